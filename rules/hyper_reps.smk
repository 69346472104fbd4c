"""Zoo -> <results>/hyper_reps/{zoo}/{variant}_seed{seed}.safetensors and .csv."""


rule hyper_reps:
    """Trains all hyper-representations of the config."""
    input:
        [path for used in needs.hyper_reps(SETTINGS) for path in get_hyper_reps(*used)],


rule pretrain:
    """Trains one hyper-representation; an interrupted training goes on where it was."""
    input:
        zoo=lambda w: zoo_file(w.zoo, SETTINGS.variant(w.variant, zoo=w.zoo).alignment),
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
        command=command("pretrain.py"),
        # its own seed only: one more seed trains one more, and leaves the others
        flags=lambda w: flags(
            settings=SETTINGS.variant(w.variant, zoo=w.zoo).model_copy(
                update={"seeds": (w.seed,)}
            ),
            seed=w.seed,
        ),
        where=where(compiled=SETTINGS.compute.compiled),
    shell:
        """
        {params.command} \
            --zoo {input.zoo:q} \
            {params.flags} \
            --output {output.model:q} \
            {params.where} \
            >{log:q} 2>&1
        """
