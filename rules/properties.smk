"""Zoo, hyper-representations -> <results>/properties/{zoo}/{features}.h5."""


def get_probed_zoo(wildcards):
    """Returns the zoo whose networks are probed, in the coordinates of the features."""
    zoo, features = wildcards.zoo, wildcards.features
    if features in PLAIN_FEATURES:
        aligned = features == "weights_aligned"
        return zoo_file(zoo, "weight_matching" if aligned else "none")
    return zoo_file(zoo, SETTINGS.variant(features, zoo=zoo).alignment)


def get_probed_hyper_reps(wildcards):
    """Returns the hyper-representations whose latents are probed; none for weights."""
    zoo, features = wildcards.zoo, wildcards.features
    return [] if features in PLAIN_FEATURES else get_hyper_reps(zoo, features)


def probe_flags(wildcards):
    """Returns the settings of a probe as flags."""
    zoo, features = wildcards.zoo, wildcards.features
    first = SETTINGS.properties.variants[0]
    variant = first if features in PLAIN_FEATURES else features
    threshold = SETTINGS.variant(variant, zoo=zoo).weight_threshold
    return flags(features=features, weight_threshold=threshold)


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
        script=script("probe.py"),
        flags=probe_flags,
        where=where(),
    shell:
        """
        python {params.script:q} \
            --zoo {input.zoo:q} \
            --hyper-reps {input.hyper_reps:q} \
            {params.flags} \
            --output {output:q} \
            {params.where} \
            >{log:q} 2>&1
        """
