"""Zoos, samples and finetuned networks -> <results>/tables and <results>/figures."""

FIGURES = ("finetuning", "epoch_zero", "zoo")


rule tables:
    """Makes all tables."""
    input:
        expand(
            "<results>/tables/{table}.{suffix}",
            table=["in_distribution", *get_experiments()[0]],
            suffix=("csv", "tex", "html"),
        ),


rule figures:
    """Makes all figures."""
    input:
        expand(
            "<results>/figures/{figure}.{suffix}",
            figure=[*FIGURES, *get_experiments()[1]],
            suffix=("pdf", "png", "csv"),
        ),


rule make_table:
    """Accuracy of each method at each epoch, beside the published numbers."""
    input:
        **get_result_inputs(),
    output:
        csv="<results>/tables/in_distribution.csv",
        tex="<results>/tables/in_distribution.tex",
        html=report(
            "<results>/tables/in_distribution.html",
            caption="../workflow/report/in_distribution.rst",
            category="Tables",
            labels={"table": "in_distribution"},
        ),
    log:
        "<logs>/tables/in_distribution.log",
    benchmark:
        "<benchmarks>/tables/in_distribution.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=longer(30),
    params:
        code=fingerprint("make_table.py"),
        script=script("make_table.py"),
        flags=result_flags(),
    shell:
        """
        python {params.script:q} \
            --zoos {input.zoos:q} \
            --finetuned {input.finetuned:q} \
            --references {input.references:q} \
            --published {input.published:q} \
            {params.flags} \
            --output {output.csv:q} \
            >{log:q} 2>&1
        """


# one rule per figure: the caption of a report cannot contain a wildcard
for figure in FIGURES:

    rule:
        name:
            f"figure_{figure}"
        input:
            **get_result_inputs(),
        output:
            pdf=f"<results>/figures/{figure}.pdf",
            png=report(
                f"<results>/figures/{figure}.png",
                caption=f"../workflow/report/{figure}.rst",
                category="Figures",
                labels={"figure": figure},
            ),
            csv=f"<results>/figures/{figure}.csv",
        log:
            f"<logs>/figures/{figure}.log",
        benchmark:
            f"<benchmarks>/figures/{figure}.tsv"
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=growing(4000),
            runtime=longer(30),
        params:
            code=fingerprint("make_figure.py"),
            script=script("make_figure.py"),
            flags=result_flags(figure=figure),
        shell:
            """
            python {params.script:q} \
                --zoos {input.zoos:q} \
                --finetuned {input.finetuned:q} \
                --references {input.references:q} \
                --published {input.published:q} \
                {params.flags} \
                --output {output.pdf:q} \
                >{log:q} 2>&1
            """
