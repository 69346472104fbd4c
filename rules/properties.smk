"""Zoo, hyper-representations -> <results>/properties/{zoo}/{features}.h5."""

PROBES = files_of("properties", needs.probes(SETTINGS))


rule properties:
    """Fits the probes of the config."""
    input:
        PROBES,


rule probe:
    """Fits linear probes to the latents of one variant, to weights or their statistics."""
    input:
        zoo=lambda w: zoo_file(
            w.zoo, needs.probe_alignment(SETTINGS, w.zoo, w.features)
        ),
        hyper_reps=lambda w: get_hyper_reps(w.zoo, needs.probed_variant(w.features)),
    output:
        "<results>/properties/{zoo}/{features}.h5",
    log:
        "<logs>/properties/{zoo}/{features}.log",
    benchmark:
        "<benchmarks>/properties/{zoo}/{features}.tsv"
    wildcard_constraints:
        features=one_of((*PLAIN_FEATURES, *SETTINGS.variants)),
    conda:
        ENVIRONMENT
    threads: SETTINGS.compute.threads
    resources:
        mem_mb=growing(8000),
        runtime=longer(120),
    params:
        code=fingerprint("probe.py"),
        command=command("probe.py"),
        # weights are those of the networks that the first variant sees
        flags=lambda w: flags(
            features=w.features,
            weight_threshold=SETTINGS.variant(
                needs.probed_variant(w.features) or SETTINGS.properties.variants[0],
                zoo=w.zoo,
            ).weight_threshold,
        ),
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
