"""Files and flags that several rules share; what one rule uses stands there."""

from hyperreps.config import needs


def files_of(stage, names):
    """Returns the files of a stage, one for each pair of a zoo and a name."""
    return [f"<results>/{stage}/{zoo}/{name}.h5" for zoo, name in names]


def zoo_file(zoo, alignment, *, stage="zoos"):
    """Returns the path of a zoo in its own or in aligned coordinates.

    Args:
        stage: zoos, or novelty for the audited references in these coordinates.
    """
    suffix = ".aligned" if alignment == "weight_matching" else ""
    return f"<results>/{stage}/{zoo}{suffix}.h5"


def get_dataset(zoo):
    """Returns the path of the images a zoo is trained on."""
    return f"<results>/datasets/{SETTINGS.zoos[zoo].dataset}.h5"


def get_own_file(section, name, key):
    """Returns the user's file that a key of the config names; none if it is empty."""
    path = getattr(getattr(SETTINGS, section)[name], key)
    full = f"{section}.{name}.{key}"
    return [outside(full, str(DATA / expanded(path, key=full)))] if path else []


def get_hyper_reps(zoo, variant):
    """Returns the hyper-representations of a variant, one per seed.

    The empty name, of weight space, has none.
    """
    if not variant:
        return []
    return [
        f"<results>/hyper_reps/{zoo}/{variant}_seed{seed}.safetensors"
        for seed in SETTINGS.variant(variant, zoo=zoo).seeds
    ]


def get_generators(zoo, name):
    """Returns the trained generators that a method samples from; for sampler gan."""
    method = SETTINGS.methods[name]
    if not needs_generator(method.sampler):
        return []
    return [
        f"<results>/generators/{zoo}/{name}_seed{seed}.safetensors"
        for seed in SETTINGS.variant(method.hyper_rep, zoo=zoo).seeds
    ]


def get_pool(wildcards, *, stage="zoos"):
    """Returns the zoo a method draws from, in its variant's or its own coordinates."""
    zoo = wildcards.zoo
    alignment = needs.method_alignment(SETTINGS, zoo, wildcards.method)
    return zoo_file(zoo, alignment, stage=stage)


def get_samples(zoos, methods):
    """Returns the samples of methods, not finetuned."""
    return expand("<results>/samples/{zoo}/{method}.h5", zoo=zoos, method=methods)


def get_finetuned(table):
    """Returns the finetuned populations of a table."""
    return [
        f"<results>/finetuned/{source}-{target}/{method}.h5"
        for source, target in table.populations
        for method in table.methods
        if table.finetunes
    ]


def get_result_inputs(name):
    """Returns the files that a table and its figures are made from, by flag.

    Args:
        name: Of the table: a key of SETTINGS.comparisons.
    """
    table = SETTINGS.comparisons[name]
    sources = dict.fromkeys(source for source, _ in table.populations)
    targets = dict.fromkeys(target for _, target in table.populations)
    return {
        "zoos": expand("<results>/zoos/{zoo}.h5", zoo=targets),
        "finetuned": get_finetuned(table),
        "samples": [] if table.finetunes else get_samples(sources, table.methods),
        "references": get_samples(sources, table.references),
        "published": PUBLISHED,
    }


def result_flags(name, **more):
    """Returns the settings of a table or one of its figures as flags."""
    return f"{flags(**more, table=name)} {comparison_flags(name)}"


def comparison_flags(name):
    """Returns the epochs and the statistics of a table of accuracies as flags."""
    return flags(
        epochs=SETTINGS.comparisons[name].epochs,
        statistics=SETTINGS.statistics,
        seed=SETTINGS.seed,
    )


def experiment_flags(**more):
    """Returns the settings of an experiment's table or figure as flags."""
    return flags(
        **more,
        statistics=SETTINGS.statistics,
        seed=SETTINGS.seed,
    )


def get_novelty_inputs():
    """Returns the files that the results of the audit are made from, by flag."""
    references = [
        zoo_file(*pair, stage="novelty") for pair in needs.audit_references(SETTINGS)
    ]
    return {
        "references": references,
        "audits": files_of("novelty", needs.audits(SETTINGS)),
    }


def novelty_settings():
    """Returns the settings of the audit without the names of zoos and methods."""
    return SETTINGS.novelty.model_copy(update={"zoos": (), "methods": ()})
