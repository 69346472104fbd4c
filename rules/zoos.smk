"""Images -> <results>/zoos/{zoo}.h5, and its aligned form where a variant asks for it."""


rule zoos:
    """Trains all zoos of the config."""
    input:
        expand("<results>/zoos/{zoo}.h5", zoo=needs.zoos(SETTINGS)),


rule train_zoo:
    """Trains one shard of a zoo; an interrupted shard goes on where it was."""
    input:
        dataset=lambda w: get_dataset(w.zoo),
    output:
        temp("<results>/zoos/{zoo}/seeds_{first}_{last}.h5"),
    log:
        "<logs>/zoos/{zoo}/seeds_{first}_{last}.log",
    benchmark:
        "<benchmarks>/zoos/{zoo}/seeds_{first}_{last}.tsv"
    conda:
        ENVIRONMENT
    threads: SETTINGS.compute.threads
    resources:
        mem_mb=growing(4000),
        runtime=longer(12 * 60),
        gpu=gpus(),
    params:
        code=fingerprint(
            "train_zoo.py",
            own=lambda w: [
                SETTINGS.zoos[w.zoo].architecture,
                SETTINGS.zoos[w.zoo].recipe_of(int(w.first)).initialization,
            ],
        ),
        command=command("train_zoo.py"),
        flags=lambda w: flags(
            architecture=SETTINGS.zoos[w.zoo].architecture,
            recipe=SETTINGS.zoos[w.zoo].recipe_of(int(w.first)),
            first_seed=w.first,
            models=int(w.last) - int(w.first) + 1,
            keep=SETTINGS.zoos[w.zoo].kept_epochs,
            last_epoch=SETTINGS.zoos[w.zoo].last_epoch,
            complete=complete_seeds(
                SETTINGS.zoos[w.zoo], first=int(w.first), last=int(w.last)
            ),
        ),
        where=where(engine=SETTINGS.compute.engine),
    shell:
        """
        {params.command} \
            --dataset {input.dataset:q} \
            {params.flags} \
            --output {output:q} \
            {params.where} \
            >{log:q} 2>&1
        """


rule merge_zoo:
    """Puts the shards of a zoo into one file and splits its models."""
    input:
        lambda w: [
            f"<results>/zoos/{w.zoo}/seeds_{first}_{last}.h5"
            for first, last in SETTINGS.zoos[w.zoo].shards(SETTINGS.compute.shard_size)
        ],
    output:
        "<results>/zoos/{zoo}.h5",
    log:
        "<logs>/zoos/{zoo}.log",
    benchmark:
        "<benchmarks>/zoos/{zoo}.tsv"
    wildcard_constraints:
        zoo=one_of(zoo for zoo, its in SETTINGS.zoos.items() if not its.weights),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=longer(30),
    params:
        code=fingerprint("merge_zoo.py"),
        command=command("merge_zoo.py"),
        # a zoo does not depend on how it will be represented
        flags=lambda w: flags(
            name=w.zoo,
            settings=SETTINGS.zoos[w.zoo].model_copy(
                update={"hyper_rep": {}, "variations": {}}
            ),
            variations=json.dumps(SETTINGS.zoos[w.zoo].variations),
        ),
    shell:
        """
        {params.command} \
            --shards {input:q} \
            {params.flags} \
            --output {output:q} \
            >{log:q} 2>&1
        """


rule align_zoo:
    """Brings all models of a zoo into the coordinates of one of them."""
    input:
        "<results>/zoos/{zoo}.h5",
    output:
        "<results>/zoos/{zoo}.aligned.h5",
    log:
        "<logs>/zoos/{zoo}.aligned.log",
    benchmark:
        "<benchmarks>/zoos/{zoo}.aligned.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=longer(60),
    params:
        code=fingerprint("align_zoo.py"),
        command=command("align_zoo.py"),
    shell:
        """
        {params.command} \
            --zoo {input:q} \
            --output {output:q} \
            >{log:q} 2>&1
        """
