"""Networks and images -> <results>/ensembles/{zoo}/{population}.h5."""

ENSEMBLES = files_of("ensembles", needs.ensembles(SETTINGS))
# where the networks of a population are
NETWORKS = {
    "zoo": "<results>/zoos/{zoo}.h5",
    "finetuned": "<results>/finetuned/{zoo}-{zoo}/{population}.h5",
    "samples": "<results>/samples/{zoo}/{population}.h5",
}


rule ensembles:
    """Evaluates the ensembles of the config."""
    input:
        ENSEMBLES,


rule ensemble:
    """Evaluates random ensembles of one population at each size and epoch."""
    input:
        networks=lambda w: expand(
            NETWORKS[needs.population_kind(SETTINGS, w.population)], **w
        ),
        dataset=lambda w: get_dataset(w.zoo),
    output:
        "<results>/ensembles/{zoo}/{population}.h5",
    log:
        "<logs>/ensembles/{zoo}/{population}.log",
    benchmark:
        "<benchmarks>/ensembles/{zoo}/{population}.tsv"
    wildcard_constraints:
        population=one_of((*ZOO_POPULATIONS, *SETTINGS.methods)),
    conda:
        ENVIRONMENT
    threads: SETTINGS.compute.threads
    resources:
        mem_mb=growing(4000),
        runtime=longer(120),
    params:
        code=fingerprint("ensembles.py"),
        command=command("ensembles.py"),
        flags=lambda w: flags(
            kind=needs.population_kind(SETTINGS, w.population),
            method=w.population,
            zoo=w.zoo,
            activation=SETTINGS.zoos[w.zoo].recipe.activation,
            sizes=SETTINGS.ensembles.sizes,
            epochs=needs.ensemble_epochs(SETTINGS, w.population),
            subsets=SETTINGS.ensembles.subsets,
            seed=SETTINGS.seed,
        ),
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
