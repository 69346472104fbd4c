"""Networks and images -> <results>/ensembles/{zoo}/{population}.h5."""


rule ensembles:
    """Evaluates the ensembles of the config."""
    input:
        get_ensembles(),


rule ensemble:
    """Evaluates random ensembles of one population at each size and epoch."""
    input:
        networks=get_population,
        dataset=lambda w: get_dataset(w.zoo),
    output:
        "<results>/ensembles/{zoo}/{population}.h5",
    log:
        "<logs>/ensembles/{zoo}/{population}.log",
    benchmark:
        "<benchmarks>/ensembles/{zoo}/{population}.tsv"
    wildcard_constraints:
        population="|".join((*ZOO_POPULATIONS, *SETTINGS.methods)),
    conda:
        ENVIRONMENT
    threads: SETTINGS.compute.threads
    resources:
        mem_mb=growing(4000),
        runtime=longer(120),
    params:
        code=fingerprint("ensembles.py"),
        command=command("ensembles.py"),
        flags=ensemble_flags,
        where=where(),
    shell:
        """
        {params.command} \
            --networks {input.networks:q} \
            --dataset {input.dataset:q} \
            {params.flags} \
            --output {output:q} \
            {params.where} \
            >{log:q} 2>&1
        """
