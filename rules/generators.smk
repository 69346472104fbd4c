"""Latents -> <results>/generators/{zoo}/{method}_seed{seed}.safetensors."""


rule generators:
    """Trains the generators of all methods with sampler gan."""
    input:
        [path for used in needs.generators(SETTINGS) for path in get_generators(*used)],


rule train_gan:
    """Trains one generator; an interrupted training goes on where it was."""
    input:
        zoo=get_pool,
        hyper_rep=lambda w: (
            f"<results>/hyper_reps/{w.zoo}/"
            f"{SETTINGS.methods[w.method].hyper_rep}_seed{w.seed}.safetensors"
        ),
    output:
        "<results>/generators/{zoo}/{method}_seed{seed}.safetensors",
    log:
        "<logs>/generators/{zoo}/{method}_seed{seed}.log",
    benchmark:
        "<benchmarks>/generators/{zoo}/{method}_seed{seed}.tsv"
    conda:
        ENVIRONMENT
    threads: SETTINGS.compute.threads
    resources:
        mem_mb=growing(4000),
        runtime=longer(60),
    params:
        code=fingerprint("train_gan.py"),
        command=command("train_gan.py"),
        # how many are drawn and compared does not matter to its training
        flags=lambda w: flags(
            method=SETTINGS.methods[w.method].model_copy(
                update={"samples": 1, "best_of": 1, "published": ""}
            ),
            name=w.method,
            settings=SETTINGS.gan,
            seed=SETTINGS.seed,
        ),
        where=where(),
    shell:
        """
        {params.command} \
            --zoo {input.zoo:q} \
            --hyper-rep {input.hyper_rep:q} \
            {params.flags} \
            --output {output:q} \
            {params.where} \
            >{log:q} 2>&1
        """
