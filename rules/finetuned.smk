"""Samples and images -> <results>/finetuned/{source}-{target}/{method}.h5."""


rule finetuned:
    """Finetunes the samples of all methods of the config."""
    input:
        [
            f"<results>/finetuned/{source}-{target}/{method}.h5"
            for source, target, method in needs.finetuned_networks(SETTINGS)
        ],


rule finetune:
    """Trains the samples of one method by the recipe of the target zoo."""
    input:
        samples="<results>/samples/{source}/{method}.h5",
        dataset=lambda w: get_dataset(w.target),
    output:
        "<results>/finetuned/{source}-{target}/{method}.h5",
    log:
        "<logs>/finetuned/{source}-{target}/{method}.log",
    benchmark:
        "<benchmarks>/finetuned/{source}-{target}/{method}.tsv"
    conda:
        ENVIRONMENT
    threads: SETTINGS.compute.threads
    resources:
        mem_mb=growing(4000),
        runtime=longer(24 * 60),
        gpu=gpus(),
    params:
        code=fingerprint("finetune.py"),
        command=command("finetune.py"),
        flags=lambda w: flags(
            target=w.target,
            **SETTINGS.finetuning(w.source, w.target, w.method)._asdict(),
            seed=SETTINGS.seed,
        ),
        where=where(engine=SETTINGS.compute.engine),
    shell:
        """
        {params.command} \
            --samples {input.samples:q} \
            --dataset {input.dataset:q} \
            {params.flags} \
            --output {output:q} \
            {params.where} \
            >{log:q} 2>&1
        """
