"""Ensembles, reconstructions, probes -> their <results>/tables and <results>/figures."""

# what their files are made from
LATENTS = files_of("properties", needs.latents(SETTINGS))
EXPERIMENT_TABLES = {
    table: inputs
    for table, inputs in (
        ("ensembles", ENSEMBLES),
        ("reconstruction", RECONSTRUCTIONS),
        ("properties", PROBES),
    )
    if inputs
}
EXPERIMENT_FIGURES = {
    figure: inputs
    for figure, inputs in (
        ("ensembles", ENSEMBLES),
        ("calibration", ENSEMBLES),
        ("reconstruction", RECONSTRUCTIONS),
        ("latents", LATENTS),
    )
    if inputs
}


# one rule per table and figure: the caption of a report cannot contain a wildcard
for table in EXPERIMENT_TABLES:

    rule:
        name:
            f"table_{table}"
        input:
            files=EXPERIMENT_TABLES[table],
            published=PUBLISHED,
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
            code=fingerprint("make_experiment_table.py", PUBLISHED),
            command=command("make_experiment_table.py"),
            flags=experiment_flags(table=table),
        shell:
            """
            {params.command} \
                --inputs {input.files:q} \
                --published {input.published:q} \
                {params.flags} \
                --output {output.csv:q} \
                >{log:q} 2>&1
            """


for figure in EXPERIMENT_FIGURES:

    rule:
        name:
            f"figure_{figure}"
        input:
            files=EXPERIMENT_FIGURES[figure],
            published=PUBLISHED,
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
            code=fingerprint("make_experiment_figure.py", PUBLISHED, STYLE),
            command=command("make_experiment_figure.py"),
            flags=experiment_flags(figure=figure),
        shell:
            """
            {params.command} \
                --inputs {input.files:q} \
                --published {input.published:q} \
                {params.flags} \
                --output {output.pdf:q} \
                >{log:q} 2>&1
            """
