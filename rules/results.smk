"""Zoos, samples and finetuned networks -> <results>/tables and <results>/figures."""

# the figures that show the populations of each table
FIGURES_OF = {
    "in_distribution": ("finetuning", "epoch_zero", "zoo"),
    "samplers": ("samplers",),
    "transfer": ("transfer",),
    "architectures": ("architectures",),
}
TABLES = tuple(SETTINGS.comparisons)
FIGURES = {figure: table for table in TABLES for figure in FIGURES_OF[table]}


rule tables:
    """Makes all tables."""
    input:
        expand(
            "<results>/tables/{table}.{suffix}",
            table=[*TABLES, *EXPERIMENT_TABLES],
            suffix=("csv", "tex", "html"),
        ),


rule figures:
    """Makes all figures."""
    input:
        expand(
            "<results>/figures/{figure}.{suffix}",
            figure=[*FIGURES, *EXPERIMENT_FIGURES],
            suffix=("pdf", "png", "csv"),
        ),


# one rule per table and figure: the caption of a report cannot contain a wildcard
for table in TABLES:

    rule:
        name:
            f"table_{table}"
        input:
            **get_result_inputs(table),
        output:
            csv=f"<results>/tables/{table}.csv",
            tex=f"<results>/tables/{table}.tex",
            html=report(
                f"<results>/tables/{table}.html",
                caption=f"../workflow/report/table_{table}.rst",
                category="Tables",
                labels={"table": table},
            ),
        log:
            f"<logs>/tables/{table}.log",
        benchmark:
            f"<benchmarks>/tables/{table}.tsv"
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=growing(4000),
            runtime=longer(30),
        params:
            code=fingerprint("make_table.py", PUBLISHED),
            command=command("make_table.py"),
            flags=result_flags(table),
        shell:
            """
            {params.command} \
                --zoos {input.zoos:q} \
                --finetuned {input.finetuned:q} \
                --samples {input.samples:q} \
                --references {input.references:q} \
                --published {input.published:q} \
                {params.flags} \
                --output {output.csv:q} \
                >{log:q} 2>&1
            """


for figure, table in FIGURES.items():

    rule:
        name:
            f"figure_{figure}"
        input:
            **get_result_inputs(table),
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
            code=fingerprint("make_figure.py", PUBLISHED, STYLE),
            command=command("make_figure.py"),
            flags=result_flags(table, figure=figure),
        shell:
            """
            {params.command} \
                --zoos {input.zoos:q} \
                --finetuned {input.finetuned:q} \
                --samples {input.samples:q} \
                --references {input.references:q} \
                --published {input.published:q} \
                {params.flags} \
                --output {output.pdf:q} \
                >{log:q} 2>&1
            """
