"""Networks and images -> <results>/ensembles, and the table and figures of them."""


rule ensembles:
    """Evaluates the ensembles of the config."""
    input:
        get_ensembles(),


rule ensemble:
    """Evaluates random ensembles of one population at each size and epoch."""
    input:
        networks=get_population,
        dataset=lambda w: get_dataset(w.zoo),
    output:
        "<results>/ensembles/{zoo}/{population}.h5",
    log:
        "<logs>/ensembles/{zoo}/{population}.log",
    benchmark:
        "<benchmarks>/ensembles/{zoo}/{population}.tsv"
    wildcard_constraints:
        population="|".join((*ZOO_POPULATIONS, *SETTINGS.methods)),
    conda:
        ENVIRONMENT
    threads: SETTINGS.compute.threads
    resources:
        mem_mb=growing(4000),
        runtime=longer(120),
    params:
        code=fingerprint("ensembles.py"),
        script=script("ensembles.py"),
        flags=ensemble_flags,
        where=where(),
    shell:
        """
        python {params.script:q} \
            --networks {input.networks:q} \
            --dataset {input.dataset:q} \
            {params.flags} \
            --output {output:q} \
            {params.where} \
            >{log:q} 2>&1
        """


rule table_ensembles:
    """Accuracy, likelihood and calibration of ensembles beside single networks."""
    input:
        get_ensembles(),
    output:
        csv="<results>/tables/ensembles.csv",
        tex="<results>/tables/ensembles.tex",
        html=report(
            "<results>/tables/ensembles.html",
            caption="../workflow/report/ensembles.rst",
            category="Tables",
            labels={"table": "ensembles"},
        ),
    log:
        "<logs>/tables/ensembles.log",
    benchmark:
        "<benchmarks>/tables/ensembles.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=longer(30),
    params:
        code=fingerprint("make_experiment_table.py"),
        script=script("make_experiment_table.py"),
        flags=experiment_flags(table="ensembles"),
    shell:
        """
        python {params.script:q} \
            --inputs {input:q} \
            {params.flags} \
            --output {output.csv:q} \
            >{log:q} 2>&1
        """


rule figure_ensembles:
    """Accuracy of ensembles over their size."""
    input:
        get_ensembles(),
    output:
        pdf="<results>/figures/ensembles.pdf",
        png=report(
            "<results>/figures/ensembles.png",
            caption="../workflow/report/ensembles.rst",
            category="Figures",
            labels={"figure": "ensembles"},
        ),
        csv="<results>/figures/ensembles.csv",
    log:
        "<logs>/figures/ensembles.log",
    benchmark:
        "<benchmarks>/figures/ensembles.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=longer(30),
    params:
        code=fingerprint("make_experiment_figure.py"),
        script=script("make_experiment_figure.py"),
        flags=experiment_flags(figure="ensembles"),
    shell:
        """
        python {params.script:q} \
            --inputs {input:q} \
            {params.flags} \
            --output {output.pdf:q} \
            >{log:q} 2>&1
        """


rule figure_calibration:
    """Likelihood, calibration and disagreement of ensembles over their size."""
    input:
        get_ensembles(),
    output:
        pdf="<results>/figures/calibration.pdf",
        png=report(
            "<results>/figures/calibration.png",
            caption="../workflow/report/calibration.rst",
            category="Figures",
            labels={"figure": "calibration"},
        ),
        csv="<results>/figures/calibration.csv",
    log:
        "<logs>/figures/calibration.log",
    benchmark:
        "<benchmarks>/figures/calibration.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=longer(30),
    params:
        code=fingerprint("make_experiment_figure.py"),
        script=script("make_experiment_figure.py"),
        flags=experiment_flags(figure="calibration"),
    shell:
        """
        python {params.script:q} \
            --inputs {input:q} \
            {params.flags} \
            --output {output.pdf:q} \
            >{log:q} 2>&1
        """
