"""Networks trained elsewhere -> <results>/zoos/{zoo}.h5."""


rule import_zoo:
    """Turns an npz file or a folder of networks into a zoo and evaluates them."""
    input:
        dataset=lambda w: get_dataset(w.zoo),
        weights=lambda w: get_own_file("zoos", w.zoo, "weights"),
    output:
        "<results>/zoos/{zoo}.h5",
    log:
        "<logs>/zoos/{zoo}.log",
    benchmark:
        "<benchmarks>/zoos/{zoo}.tsv"
    wildcard_constraints:
        zoo=one_of(zoo for zoo, its in SETTINGS.zoos.items() if its.weights),
    conda:
        ENVIRONMENT
    threads: SETTINGS.compute.threads
    resources:
        mem_mb=growing(8000),
        runtime=longer(12 * 60),
    params:
        code=fingerprint(
            "import_zoo.py", own=lambda w: [SETTINGS.zoos[w.zoo].architecture]
        ),
        command=command("import_zoo.py"),
        contents=lambda w: get_networks_digests(w.zoo),
        flags=lambda w: flags(
            name=w.zoo,
            settings=SETTINGS.zoos[w.zoo].model_copy(update={"hyper_rep": {}}),
            without=("weights",),
        ),
        files=lambda w, output: flags(
            **{"settings.weights": SETTINGS.zoos[w.zoo].weights, "data_dir": DATA}
        ),
        where=where(engine=SETTINGS.compute.engine),
    shell:
        """
        {params.command} \
            --dataset {input.dataset:q} \
            {params.flags} \
            {params.files} \
            --output {output:q} \
            {params.where} \
            >{log:q} 2>&1
        """
