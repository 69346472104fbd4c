"""Zoo and hyper-representations -> <results>/reconstructions, its table and figure."""


rule reconstructions:
    """Reconstructs the networks of the config."""
    input:
        get_reconstructions(),


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
        script=script("reconstruct.py"),
        flags=lambda w: flags(variant=w.variant),
        where=where(),
    shell:
        """
        python {params.script:q} \
            --zoo {input.zoo:q} \
            --dataset {input.dataset:q} \
            --hyper-reps {input.hyper_reps:q} \
            {params.flags} \
            --output {output:q} \
            {params.where} \
            >{log:q} 2>&1
        """


rule table_reconstruction:
    """Reconstruction by layer and its accuracy, beside the published peaks."""
    input:
        get_reconstructions(),
    output:
        csv="<results>/tables/reconstruction.csv",
        tex="<results>/tables/reconstruction.tex",
        html=report(
            "<results>/tables/reconstruction.html",
            caption="../workflow/report/reconstruction.rst",
            category="Tables",
            labels={"table": "reconstruction"},
        ),
    log:
        "<logs>/tables/reconstruction.log",
    benchmark:
        "<benchmarks>/tables/reconstruction.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=longer(30),
    params:
        code=fingerprint("make_experiment_table.py"),
        script=script("make_experiment_table.py"),
        flags=experiment_flags(table="reconstruction"),
    shell:
        """
        python {params.script:q} \
            --inputs {input:q} \
            {params.flags} \
            --output {output.csv:q} \
            >{log:q} 2>&1
        """


rule figure_reconstruction:
    """Accuracy, R2 by layer and distribution of reconstructed weights."""
    input:
        get_reconstructions(),
    output:
        pdf="<results>/figures/reconstruction.pdf",
        png=report(
            "<results>/figures/reconstruction.png",
            caption="../workflow/report/reconstruction.rst",
            category="Figures",
            labels={"figure": "reconstruction"},
        ),
        csv="<results>/figures/reconstruction.csv",
    log:
        "<logs>/figures/reconstruction.log",
    benchmark:
        "<benchmarks>/figures/reconstruction.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=longer(30),
    params:
        code=fingerprint("make_experiment_figure.py"),
        script=script("make_experiment_figure.py"),
        flags=experiment_flags(figure="reconstruction"),
    shell:
        """
        python {params.script:q} \
            --inputs {input:q} \
            {params.flags} \
            --output {output.pdf:q} \
            >{log:q} 2>&1
        """
