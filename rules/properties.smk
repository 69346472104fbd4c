"""Zoo and hyper-representations -> <results>/properties, its table and figure."""


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


rule table_properties:
    """What linear probes read, beside published numbers."""
    input:
        get_probes(),
    output:
        csv="<results>/tables/properties.csv",
        tex="<results>/tables/properties.tex",
        html=report(
            "<results>/tables/properties.html",
            caption="../workflow/report/properties.rst",
            category="Tables",
            labels={"table": "properties"},
        ),
    log:
        "<logs>/tables/properties.log",
    benchmark:
        "<benchmarks>/tables/properties.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=longer(30),
    params:
        code=fingerprint("make_experiment_table.py"),
        script=script("make_experiment_table.py"),
        flags=experiment_flags(table="properties"),
    shell:
        """
        python {params.script:q} \
            --inputs {input:q} \
            {params.flags} \
            --output {output.csv:q} \
            >{log:q} 2>&1
        """


rule figure_latents:
    """Maps of the latents: PCA and UMAP."""
    input:
        get_latents(),
    output:
        pdf="<results>/figures/latents.pdf",
        png=report(
            "<results>/figures/latents.png",
            caption="../workflow/report/latents.rst",
            category="Figures",
            labels={"figure": "latents"},
        ),
        csv="<results>/figures/latents.csv",
    log:
        "<logs>/figures/latents.log",
    benchmark:
        "<benchmarks>/figures/latents.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=longer(30),
    params:
        code=fingerprint("make_experiment_figure.py"),
        script=script("make_experiment_figure.py"),
        flags=experiment_flags(figure="latents"),
    shell:
        """
        python {params.script:q} \
            --inputs {input:q} \
            {params.flags} \
            --output {output.pdf:q} \
            >{log:q} 2>&1
        """
