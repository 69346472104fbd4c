"""Official image files -> <results>/datasets/{dataset}.h5."""


rule datasets:
    """Makes all image sets that the config's zoos need."""
    input:
        [get_dataset(zoo) for zoo in needs.zoos(SETTINGS)],


rule prepare_dataset:
    """Loads, verifies, resizes and splits one image set."""
    input:
        lambda w: get_own_file("datasets", w.dataset, "path"),
    output:
        "<results>/datasets/{dataset}.h5",
    log:
        "<logs>/datasets/{dataset}.log",
    benchmark:
        "<benchmarks>/datasets/{dataset}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=longer(60),
    params:
        code=fingerprint(
            "prepare_dataset.py", own=lambda w: [SETTINGS.datasets[w.dataset].source]
        ),
        command=command("prepare_dataset.py"),
        contents=lambda w: contents(get_own_file("datasets", w.dataset, "path")),
        flags=lambda w: flags(
            settings=SETTINGS.datasets[w.dataset], name=w.dataset, without=("path",)
        ),
        files=lambda w, output: flags(
            **{"settings.path": SETTINGS.datasets[w.dataset].path, "data_dir": DATA}
        ),
    shell:
        """
        {params.command} \
            {params.flags} \
            {params.files} \
            --output {output:q} \
            >{log:q} 2>&1
        """
