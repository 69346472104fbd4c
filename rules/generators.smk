"""Latents -> <results>/generators/{zoo}/{method}_seed{seed}.safetensors and .csv.

Zoo -> <results>/jumps/{zoo}/{jump}_seed{seed}.safetensors and .csv.
"""


rule generators:
    """Trains what the samplers gan and jump draw from."""
    input:
        [path for used in needs.generators(SETTINGS) for path in get_generators(*used)],
        [path for used in needs.jumps(SETTINGS) for path in get_jumps(*used)],


rule train_gan:
    """Trains one generator; an interrupted training goes on where it was."""
    input:
        zoo=get_pool,
        hyper_rep=lambda w: (
            f"<results>/hyper_reps/{w.zoo}/"
            f"{SETTINGS.methods[w.method].hyper_rep}_seed{w.seed}.safetensors"
        ),
    output:
        model="<results>/generators/{zoo}/{method}_seed{seed}.safetensors",
        curve="<results>/generators/{zoo}/{method}_seed{seed}.csv",
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
            --output {output.model:q} \
            {params.where} \
            >{log:q} 2>&1
        """


rule train_jump:
    """Trains one jump; an interrupted training goes on where it was."""
    input:
        unpack(get_jump_inputs),
    output:
        model="<results>/jumps/{zoo}/{jump}_seed{seed}.safetensors",
        curve="<results>/jumps/{zoo}/{jump}_seed{seed}.csv",
    log:
        "<logs>/jumps/{zoo}/{jump}_seed{seed}.log",
    benchmark:
        "<benchmarks>/jumps/{zoo}/{jump}_seed{seed}.tsv"
    conda:
        ENVIRONMENT
    threads: SETTINGS.compute.threads
    resources:
        mem_mb=growing(4000),
        runtime=longer(12 * 60),
        gpu=gpus(),
    params:
        code=fingerprint("train_jump.py", own=lambda w: get_own_start(w.zoo)),
        command=command("train_jump.py"),
        flags=lambda w: flags(
            without=("pretrained_on", "pretrained_as"),
            settings=SETTINGS.jump_of(w.jump).model_copy(update={"seeds": (0,)}),
            seed=w.seed,
        ),
        sources=lambda wildcards, input: flags(**dict(input.items())),
        where=where(),
    shell:
        """
        {params.command} \
            {params.sources} \
            {params.flags} \
            --output {output.model:q} \
            {params.where} \
            >{log:q} 2>&1
        """
