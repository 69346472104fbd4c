"""Zoo, hyper-representations -> <results>/ablations/{zoo}/{variant}.h5."""

ABLATIONS = files_of("ablations", needs.ablations(SETTINGS))


rule ablations:
    """Measures all variants of the ablation."""
    input:
        ABLATIONS,


rule ablate:
    """Reconstructs and samples by all seeds of one variant."""
    input:
        zoo=lambda w: zoo_file(w.zoo, SETTINGS.variant(w.variant, zoo=w.zoo).alignment),
        dataset=lambda w: get_dataset(w.zoo),
        hyper_reps=lambda w: get_hyper_reps(w.zoo, w.variant),
        curves=lambda w: get_curves(w.zoo, w.variant),
    output:
        "<results>/ablations/{zoo}/{variant}.h5",
    log:
        "<logs>/ablations/{zoo}/{variant}.log",
    benchmark:
        "<benchmarks>/ablations/{zoo}/{variant}.tsv"
    conda:
        ENVIRONMENT
    threads: SETTINGS.compute.threads
    resources:
        mem_mb=growing(8000),
        runtime=longer(240),
    params:
        code=fingerprint("ablate.py"),
        command=command("ablate.py"),
        flags=lambda w: flags(
            variant=w.variant, samples=SETTINGS.ablation.samples, seed=SETTINGS.seed
        ),
        where=where(engine=SETTINGS.compute.engine),
    shell:
        """
        {params.command} \
            --zoo {input.zoo:q} \
            --dataset {input.dataset:q} \
            --hyper-reps {input.hyper_reps:q} \
            --curves {input.curves:q} \
            {params.flags} \
            --output {output:q} \
            {params.where} \
            >{log:q} 2>&1
        """
