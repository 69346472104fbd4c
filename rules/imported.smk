"""Networks trained elsewhere -> <results>/zoos/{zoo}.h5."""

IMPORTED = [name for name, zoo in SETTINGS.zoos.items() if zoo.weights]


# these zoos are not trained
ruleorder: import_zoo > merge_zoo


rule import_zoo:
    """Turns an npz file of networks into a zoo and evaluates them."""
    input:
        dataset=lambda w: get_dataset(w.zoo),
    output:
        "<results>/zoos/{zoo}.h5",
    log:
        "<logs>/zoos/{zoo}.log",
    benchmark:
        "<benchmarks>/zoos/{zoo}.tsv"
    wildcard_constraints:
        # a regular expression that matches nothing where there are none
        zoo="|".join(IMPORTED) or "(?!)",
    conda:
        ENVIRONMENT
    threads: SETTINGS.compute.threads
    resources:
        mem_mb=growing(8000),
        runtime=longer(12 * 60),
    params:
        code=fingerprint("import_zoo.py"),
        script=script("import_zoo.py"),
        flags=lambda w: flags(
            name=w.zoo,
            settings=SETTINGS.zoos[w.zoo].model_copy(update={"hyper_rep": {}}),
            data_dir=SETTINGS.data_dir,
        ),
        where=where(engine=SETTINGS.compute.engine),
    shell:
        """
        python {params.script:q} \
            --dataset {input.dataset:q} \
            {params.flags} \
            --output {output:q} \
            {params.where} \
            >{log:q} 2>&1
        """
