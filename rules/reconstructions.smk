"""Zoo, hyper-representations -> <results>/reconstructions/{zoo}/{variant}.h5."""

RECONSTRUCTIONS = files_of("reconstructions", needs.reconstructions(SETTINGS))


rule reconstructions:
    """Reconstructs the networks of the config."""
    input:
        RECONSTRUCTIONS,


rule reconstruct:
    """Compares networks with their reconstructions by all seeds of one variant."""
    input:
        zoo=lambda w: zoo_file(w.zoo, SETTINGS.variant(w.variant, zoo=w.zoo).alignment),
        dataset=lambda w: get_dataset(w.zoo),
        hyper_reps=lambda w: get_hyper_reps(w.zoo, w.variant),
    output:
        "<results>/reconstructions/{zoo}/{variant}.h5",
    log:
        "<logs>/reconstructions/{zoo}/{variant}.log",
    benchmark:
        "<benchmarks>/reconstructions/{zoo}/{variant}.tsv"
    conda:
        ENVIRONMENT
    threads: SETTINGS.compute.threads
    resources:
        mem_mb=growing(8000),
        runtime=longer(240),
    params:
        code=fingerprint("reconstruct.py"),
        command=command("reconstruct.py"),
        flags=lambda w: flags(variant=w.variant),
        where=where(engine=SETTINGS.compute.engine),
    shell:
        """
        {params.command} \
            --zoo {input.zoo:q} \
            --dataset {input.dataset:q} \
            --hyper-reps {input.hyper_reps:q} \
            {params.flags} \
            --output {output:q} \
            {params.where} \
            >{log:q} 2>&1
        """
