"""What the stages made -> <results>/tables and <results>/figures."""


rule tables:
    """Makes all tables, but those of the audit and of significance."""
    input:
        result_files(result for result in REST if result.kind == "table"),


rule figures:
    """Makes all figures, but those of the audit."""
    input:
        result_files(result for result in REST if result.kind == "figure"),


rule significance:
    """Says which differences of the tables of accuracies are more than chance."""
    input:
        result_files(SIGNIFICANCE),


rule values:
    """Writes the numbers of tables as LaTeX commands."""
    input:
        tables=[result_file(result, "csv") for result in VALUES],
    output:
        "<results>/tables/values.tex",
    log:
        "<logs>/tables/values.log",
    benchmark:
        "<benchmarks>/tables/values.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=longer(10),
    params:
        code=fingerprint("make_values.py"),
        command=command("make_values.py"),
    shell:
        """
        {params.command} \
            --tables {input.tables:q} \
            --output {output:q} \
            >{log:q} 2>&1
        """


# one rule per table and figure, which have inputs and flags of their own
for result in RESULTS:

    rule:
        name:
            f"{result.kind}_{result.name}"
        input:
            **get_sources(result),
        output:
            **result_outputs(result),
        log:
            f"<logs>/{result.kind}s/{result.name}.log",
        benchmark:
            f"<benchmarks>/{result.kind}s/{result.name}.tsv"
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=growing(4000),
            runtime=longer(60),
        params:
            code=result_code(result),
            command=command(f"make_{result.kind}.py"),
            sources=lambda wildcards, input: flags(**dict(input.items())),
            flags=result_flags(result),
            # the first, which names the others
            output=lambda wildcards, output: output[0],
        shell:
            """
            {params.command} \
                {params.sources} \
                {params.flags} \
                --output {params.output:q} \
                >{log:q} 2>&1
            """
