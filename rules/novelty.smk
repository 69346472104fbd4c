"""Zoos and samples -> <results>/novelty, and the tables and figures made from it."""

NOVELTY_FIGURES = ("novelty", "novel_and_performant", "copies")


rule novelty:
    """Audits the samples of the config's methods: how new are they?"""
    input:
        files_of("novelty", needs.audits(SETTINGS)),
        expand(
            "<results>/tables/novelty.{suffix}",
            suffix=("csv", "tex", "html") if SETTINGS.novelty.zoos else (),
        ),
        expand(
            "<results>/figures/{figure}.{suffix}",
            figure=NOVELTY_FIGURES if SETTINGS.novelty.zoos else (),
            suffix=("pdf", "png", "csv"),
        ),


rule significance:
    """Says which differences of the tables of accuracies are more than chance."""
    input:
        expand(
            "<results>/tables/significance_{table}.{suffix}",
            table=TABLES,
            suffix=("csv", "tex", "html"),
        ),


rule audit_references:
    """Audits populations of one zoo whose novelty is known."""
    input:
        zoo="<results>/zoos/{zoo}{aligned}.h5",
        dataset=lambda w: get_dataset(w.zoo),
    output:
        "<results>/novelty/{zoo}{aligned}.h5",
    log:
        "<logs>/novelty/{zoo}{aligned}.log",
    benchmark:
        "<benchmarks>/novelty/{zoo}{aligned}.tsv"
    wildcard_constraints:
        aligned=r"(\.aligned)?",
    conda:
        ENVIRONMENT
    threads: SETTINGS.compute.threads
    resources:
        mem_mb=growing(8000),
        runtime=longer(4 * 60),
    params:
        code=fingerprint("audit_references.py"),
        command=command("audit_references.py"),
        # the bars matter to the tables and figures only
        flags=lambda w: flags(
            settings=novelty_settings().model_copy(
                update={"accuracy_bar": 1, "multiples": (1,)}
            ),
            seed=SETTINGS.seed,
            weight_threshold=SETTINGS.variant("", zoo=w.zoo).weight_threshold,
        ),
        where=where(),
    shell:
        """
        {params.command} \
            --zoo {input.zoo:q} \
            --dataset {input.dataset:q} \
            {params.flags} \
            --output {output:q} \
            {params.where} \
            >{log:q} 2>&1
        """


rule audit:
    """Compares the samples of one method with the training networks."""
    input:
        zoo=get_pool,
        dataset=lambda w: get_dataset(w.zoo),
        references=lambda w: get_pool(w, stage="novelty"),
        samples="<results>/samples/{zoo}/{method}.h5",
    output:
        "<results>/novelty/{zoo}/{method}.h5",
    log:
        "<logs>/novelty/{zoo}/{method}.log",
    benchmark:
        "<benchmarks>/novelty/{zoo}/{method}.tsv"
    conda:
        ENVIRONMENT
    threads: SETTINGS.compute.threads
    resources:
        mem_mb=growing(8000),
        runtime=longer(60),
    params:
        code=fingerprint("audit.py"),
        command=command("audit.py"),
        where=where(),
    shell:
        """
        {params.command} \
            --zoo {input.zoo:q} \
            --dataset {input.dataset:q} \
            --references {input.references:q} \
            --samples {input.samples:q} \
            --output {output:q} \
            {params.where} \
            >{log:q} 2>&1
        """


rule make_novelty_table:
    """Distances, verdicts and diversity of every audited population."""
    input:
        **get_novelty_inputs(),
    output:
        csv="<results>/tables/novelty.csv",
        tex="<results>/tables/novelty.tex",
        html=report(
            "<results>/tables/novelty.html",
            caption="../workflow/report/novelty_table.rst",
            category="Tables",
            labels={"table": "novelty"},
        ),
    log:
        "<logs>/tables/novelty.log",
    benchmark:
        "<benchmarks>/tables/novelty.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=longer(60),
    params:
        code=fingerprint("make_novelty_table.py"),
        command=command("make_novelty_table.py"),
        flags=flags(
            settings=novelty_settings(),
            statistics=SETTINGS.statistics,
        ),
    shell:
        """
        {params.command} \
            --references {input.references:q} \
            --audits {input.audits:q} \
            {params.flags} \
            --output {output.csv:q} \
            >{log:q} 2>&1
        """


# one rule per figure: the caption of a report cannot contain a wildcard
for figure in NOVELTY_FIGURES:

    rule:
        name:
            f"figure_{figure}"
        input:
            **get_novelty_inputs(),
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
            runtime=longer(60),
        params:
            code=fingerprint("make_novelty_figure.py", STYLE),
            command=command("make_novelty_figure.py"),
            flags=flags(
                figure=figure,
                settings=novelty_settings(),
                statistics=SETTINGS.statistics,
            ),
        shell:
            """
            {params.command} \
                --references {input.references:q} \
                --audits {input.audits:q} \
                {params.flags} \
                --output {output.pdf:q} \
                >{log:q} 2>&1
            """


# one per table of accuracies
for table in TABLES:

    rule:
        name:
            f"significance_{table}"
        input:
            **{k: v for k, v in get_result_inputs(table).items() if k != "published"},
        output:
            csv=f"<results>/tables/significance_{table}.csv",
            tex=f"<results>/tables/significance_{table}.tex",
            html=report(
                f"<results>/tables/significance_{table}.html",
                caption="../workflow/report/significance.rst",
                category="Tables",
                labels={"table": f"significance_{table}"},
            ),
        log:
            f"<logs>/tables/significance_{table}.log",
        benchmark:
            f"<benchmarks>/tables/significance_{table}.tsv"
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=growing(4000),
            runtime=longer(30),
        params:
            code=fingerprint("make_significance.py"),
            command=command("make_significance.py"),
            flags=comparison_flags(table),
        shell:
            """
            {params.command} \
                --zoos {input.zoos:q} \
                --finetuned {input.finetuned:q} \
                --samples {input.samples:q} \
                --references {input.references:q} \
                {params.flags} \
                --output {output.csv:q} \
                >{log:q} 2>&1
            """
