"""Zoo -> <results>/hyper_reps/{zoo}/{variant}_seed{seed}.safetensors and .csv."""


def get_hyper_reps(zoo, variant):
    """Returns the hyper-representations of a variant, one per seed."""
    return [
        f"<results>/hyper_reps/{zoo}/{variant}_seed{seed}.safetensors"
        for seed in SETTINGS.variant(variant).seeds
    ]


def get_used_variants():
    """Returns the variants that the methods of the config use."""
    table = SETTINGS.in_distribution
    methods = [SETTINGS.methods[name] for name in table.methods + table.references]
    return sorted({method.hyper_rep for method in methods if method.hyper_rep})


rule hyper_reps:
    """Trains all hyper-representations that the config's methods use."""
    input:
        [
            path
            for zoo in SETTINGS.in_distribution.zoos
            for variant in get_used_variants()
            for path in get_hyper_reps(zoo, variant)
        ],


rule pretrain:
    """Trains one hyper-representation; an interrupted training goes on where it was."""
    input:
        zoo=lambda w: zoo_file(w.zoo, SETTINGS.variant(w.variant).alignment),
    output:
        model="<results>/hyper_reps/{zoo}/{variant}_seed{seed}.safetensors",
        curve="<results>/hyper_reps/{zoo}/{variant}_seed{seed}.csv",
    log:
        "<logs>/hyper_reps/{zoo}/{variant}_seed{seed}.log",
    benchmark:
        "<benchmarks>/hyper_reps/{zoo}/{variant}_seed{seed}.tsv"
    conda:
        ENVIRONMENT
    threads: SETTINGS.compute.threads
    resources:
        mem_mb=growing(8000),
        runtime=longer(12 * 60),
        gpu=gpus(),
    params:
        code=fingerprint("pretrain.py"),
        flags=lambda w: flags(settings=SETTINGS.variant(w.variant), seed=w.seed),
        where=where(),
    shell:
        """
        python {SCRIPTS:q}/pretrain.py \
            --zoo {input.zoo:q} \
            {params.flags} \
            --output {output.model:q} \
            {params.where} \
            >{log:q} 2>&1
        """
