"""Zoo, hyper-representations -> <results>/properties/{zoo}/{features}.h5."""


rule properties:
    """Fits the probes of the config."""
    input:
        get_probes(),


rule probe:
    """Fits linear probes to the latents of one variant, to weights or their statistics."""
    input:
        zoo=get_probed_zoo,
        hyper_reps=get_probed_hyper_reps,
    output:
        "<results>/properties/{zoo}/{features}.h5",
    log:
        "<logs>/properties/{zoo}/{features}.log",
    benchmark:
        "<benchmarks>/properties/{zoo}/{features}.tsv"
    wildcard_constraints:
        features="|".join((*PLAIN_FEATURES, *SETTINGS.variants)),
    conda:
        ENVIRONMENT
    threads: SETTINGS.compute.threads
    resources:
        mem_mb=growing(8000),
        runtime=longer(120),
    params:
        code=fingerprint("probe.py"),
        command=command("probe.py"),
        flags=probe_flags,
        where=where(),
    shell:
        """
        {params.command} \
            --zoo {input.zoo:q} \
            --hyper-reps {input.hyper_reps:q} \
            {params.flags} \
            --output {output:q} \
            {params.where} \
            >{log:q} 2>&1
        """
