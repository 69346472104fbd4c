"""Zoos and samples -> <results>/novelty: how new are networks?"""


rule novelty:
    """Audits the samples of the config's methods: how new are they?"""
    input:
        files_of("novelty", SETTINGS.audited),
        result_files(AUDIT),


rule audit_references:
    """Audits populations of one zoo whose novelty is known."""
    input:
        zoo="<results>/zoos/{zoo}{aligned}.h5",
        dataset=lambda w: get_dataset(w.zoo),
    output:
        "<results>/novelty/{zoo}{aligned}.h5",
    log:
        "<logs>/novelty/{zoo}{aligned}.log",
    benchmark:
        "<benchmarks>/novelty/{zoo}{aligned}.tsv"
    wildcard_constraints:
        aligned=r"(\.aligned)?",
    conda:
        ENVIRONMENT
    threads: SETTINGS.compute.threads
    resources:
        mem_mb=growing(8000),
        runtime=longer(4 * 60),
    params:
        code=fingerprint("audit_references.py", own=lambda w: get_own_start(w.zoo)),
        command=command("audit_references.py"),
        flags=lambda w: flags(
            settings=SETTINGS.novelty.model_copy(update=dict(zoos=(), methods=())),
            seed=SETTINGS.seed,
            weight_threshold=SETTINGS.variant("", zoo=w.zoo).weight_threshold,
        ),
        where=where(),
    shell:
        """
        {params.command} \
            --zoo {input.zoo:q} \
            --dataset {input.dataset:q} \
            {params.flags} \
            --output {output:q} \
            {params.where} \
            >{log:q} 2>&1
        """


rule audit:
    """Compares the samples of one method with the training networks."""
    input:
        zoo=get_pool,
        dataset=lambda w: get_dataset(w.zoo),
        references=lambda w: get_pool(w, stage="novelty"),
        samples="<results>/samples/{zoo}/{method}.h5",
        hyper_reps=lambda w: get_hyper_reps(w.zoo, SETTINGS.methods[w.method].hyper_rep),
        curves=lambda w: get_curves(w.zoo, SETTINGS.methods[w.method].hyper_rep),
    output:
        "<results>/novelty/{zoo}/{method}.h5",
    log:
        "<logs>/novelty/{zoo}/{method}.log",
    benchmark:
        "<benchmarks>/novelty/{zoo}/{method}.tsv"
    conda:
        ENVIRONMENT
    threads: SETTINGS.compute.threads
    resources:
        mem_mb=growing(8000),
        runtime=longer(60),
    params:
        code=fingerprint("audit.py"),
        command=command("audit.py"),
        where=where(),
    shell:
        """
        {params.command} \
            --zoo {input.zoo:q} \
            --dataset {input.dataset:q} \
            --references {input.references:q} \
            --samples {input.samples:q} \
            --hyper-reps {input.hyper_reps:q} \
            --curves {input.curves:q} \
            --output {output:q} \
            {params.where} \
            >{log:q} 2>&1
        """
