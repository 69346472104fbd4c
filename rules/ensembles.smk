"""Networks and images -> <results>/ensembles/{zoo}/{population}.h5."""


def get_population(wildcards):
    """Returns the file whose networks an ensemble is made of."""
    zoo, population = wildcards.zoo, wildcards.population
    if population in ZOO_POPULATIONS:
        return f"<results>/zoos/{zoo}.h5"
    if population in SETTINGS.in_distribution.methods:
        return f"<results>/finetuned/{zoo}-{zoo}/{population}.h5"
    return f"<results>/samples/{zoo}/{population}.h5"


def ensemble_flags(wildcards):
    """Returns what a population is and which ensembles of it are wanted, as flags."""
    settings, population = SETTINGS.ensembles, wildcards.population
    kind, epochs = "finetuned", settings.epochs
    if population in ZOO_POPULATIONS:
        kind = "zoo"
    elif population not in SETTINGS.in_distribution.methods:
        kind, epochs = "samples", (0,)
    return flags(
        kind=kind,
        method=population,
        zoo=wildcards.zoo,
        activation=SETTINGS.zoos[wildcards.zoo].recipe.activation,
        sizes=settings.sizes,
        epochs=epochs,
        subsets=settings.subsets,
        seed=SETTINGS.seed,
    )


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
        script=script("ensembles.py"),
        flags=ensemble_flags,
        where=where(),
    shell:
        """
        python {params.script:q} \
            --networks {input.networks:q} \
            --dataset {input.dataset:q} \
            {params.flags} \
            --output {output:q} \
            {params.where} \
            >{log:q} 2>&1
        """
