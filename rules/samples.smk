"""Zoo and hyper-representations -> <results>/samples/{zoo}/{method}.h5."""


rule samples:
    """Draws the samples of all methods of the config."""
    input:
        files_of("samples", needs.samples(SETTINGS)),


rule sample:
    """Draws networks by one method and evaluates them untrained."""
    input:
        zoo=get_pool,
        dataset=lambda w: get_dataset(w.zoo),
        hyper_reps=lambda w: get_hyper_reps(w.zoo, SETTINGS.methods[w.method].hyper_rep),
        generators=lambda w: get_generators(w.zoo, w.method),
        curves=lambda w: get_learning(w.zoo, w.method),
    output:
        "<results>/samples/{zoo}/{method}.h5",
    log:
        "<logs>/samples/{zoo}/{method}.log",
    benchmark:
        "<benchmarks>/samples/{zoo}/{method}.tsv"
    conda:
        ENVIRONMENT
    threads: SETTINGS.compute.threads
    resources:
        mem_mb=growing(8000),
        runtime=longer(60),
    params:
        code=fingerprint("sample.py", own=lambda w: get_own_parts(w.zoo, w.method)),
        command=command("sample.py"),
        flags=lambda w: flags(
            method=SETTINGS.methods[w.method],
            name=w.method,
            seed=SETTINGS.seed,
            weight_threshold=SETTINGS.variant(
                SETTINGS.methods[w.method].hyper_rep, zoo=w.zoo
            ).weight_threshold,
        ),
        where=where(engine=SETTINGS.compute.engine),
    shell:
        """
        {params.command} \
            --zoo {input.zoo:q} \
            --dataset {input.dataset:q} \
            --hyper-reps {input.hyper_reps:q} \
            --generators {input.generators:q} \
            --curves {input.curves:q} \
            {params.flags} \
            --output {output:q} \
            {params.where} \
            >{log:q} 2>&1
        """
