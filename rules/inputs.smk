"""What the stages read, and their settings as flags."""

from hyperreps.config import needs


def zoo_file(zoo, alignment):
    """Returns the path of a zoo in its own or in aligned coordinates."""
    suffix = ".aligned" if alignment == "weight_matching" else ""
    return f"<results>/zoos/{zoo}{suffix}.h5"


def get_dataset(zoo):
    """Returns the path of the images a zoo is trained on."""
    return f"<results>/datasets/{SETTINGS.zoos[zoo].dataset}.h5"


def get_own_images(wildcards):
    """Returns the user's file of an image set; none for one that has official files."""
    dataset = wildcards.dataset
    return own_file(f"datasets.{dataset}.path", SETTINGS.datasets[dataset].path)


def get_own_networks(wildcards):
    """Returns the user's file of networks that were trained elsewhere."""
    zoo = wildcards.zoo
    return own_file(f"zoos.{zoo}.weights", SETTINGS.zoos[zoo].weights)


def own_file(key, path):
    """Returns the file that a key of the config names, as an input; none if it is empty."""
    return [outside(key, str(DATA / expanded(path, key=key)))] if path else []


def contents(get_files):
    """Returns a parameter that changes with what an input function's files hold."""
    return lambda wildcards: [content_digest(Path(f)) for f in get_files(wildcards)]


def get_shards(wildcards):
    """Returns the shards of a zoo, in the order of their seeds."""
    shards = SETTINGS.zoos[wildcards.zoo].shards(SETTINGS.compute.shard_size)
    return [
        f"<results>/zoos/{wildcards.zoo}/seeds_{first}_{last}.h5"
        for first, last in shards
    ]


def get_hyper_reps(zoo, variant):
    """Returns the hyper-representations of a variant, one per seed."""
    return [
        f"<results>/hyper_reps/{zoo}/{variant}_seed{seed}.safetensors"
        for seed in SETTINGS.variant(variant, zoo=zoo).seeds
    ]


def get_pool(wildcards):
    """Returns the zoo a method draws from, in its variant's or its own coordinates."""
    zoo = wildcards.zoo
    return zoo_file(zoo, needs.method_alignment(SETTINGS, zoo, wildcards.method))


def pool_threshold(zoo, method):
    """Returns the absolute weight above which networks are in no pool of a method."""
    variant = SETTINGS.methods[method].hyper_rep
    return SETTINGS.variant(variant, zoo=zoo).weight_threshold


def get_latent_space(wildcards):
    """Returns the hyper-representations a method samples from; none in weight space."""
    variant = SETTINGS.methods[wildcards.method].hyper_rep
    return get_hyper_reps(wildcards.zoo, variant) if variant else []


def get_generators(zoo, name):
    """Returns the trained generators that a method samples from; for sampler gan."""
    method = SETTINGS.methods[name]
    if not needs_generator(method.sampler):
        return []
    return [
        f"<results>/generators/{zoo}/{name}_seed{seed}.safetensors"
        for seed in SETTINGS.variant(method.hyper_rep, zoo=zoo).seeds
    ]


def get_samples(zoos, methods):
    """Returns the samples of methods, not finetuned."""
    return expand("<results>/samples/{zoo}/{method}.h5", zoo=zoos, method=methods)


def finetuning_flags(wildcards):
    """Returns how samples of a zoo are trained on the images of another, as flags."""
    target = wildcards.target
    recipe, epochs = SETTINGS.finetuning(wildcards.source, target, wildcards.method)
    return flags(target=target, recipe=recipe, epochs=epochs, seed=SETTINGS.seed)


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


def get_population(wildcards):
    """Returns the file whose networks an ensemble is made of."""
    zoo, population = wildcards.zoo, wildcards.population
    if population in ZOO_POPULATIONS:
        return f"<results>/zoos/{zoo}.h5"
    if population in SETTINGS.in_distribution.methods:
        return f"<results>/finetuned/{zoo}-{zoo}/{population}.h5"
    return f"<results>/samples/{zoo}/{population}.h5"


def ensemble_flags(wildcards):
    """Returns what a population is and which ensembles of it are wanted, as flags."""
    settings, population = SETTINGS.ensembles, wildcards.population
    kind, epochs = "finetuned", settings.epochs
    if population in ZOO_POPULATIONS:
        kind = "zoo"
    elif population not in SETTINGS.in_distribution.methods:
        kind, epochs = "samples", (0,)
    return flags(
        kind=kind,
        method=population,
        zoo=wildcards.zoo,
        activation=SETTINGS.zoos[wildcards.zoo].recipe.activation,
        sizes=settings.sizes,
        epochs=epochs,
        subsets=settings.subsets,
        seed=SETTINGS.seed,
    )


def get_ensembles():
    """Returns the ensembles of the zoos' own networks and of the methods."""
    return [
        f"<results>/ensembles/{zoo}/{population}.h5"
        for zoo, population in needs.ensembles(SETTINGS)
    ]


def get_reconstructions():
    """Returns the reconstructions of the config."""
    return [
        f"<results>/reconstructions/{zoo}/{variant}.h5"
        for zoo, variant in needs.reconstructions(SETTINGS)
    ]


def get_probes():
    """Returns the probes of the config, weights in the variants' coordinates too."""
    return [
        f"<results>/properties/{zoo}/{features}.h5"
        for zoo, features in needs.probes(SETTINGS)
    ]


def get_latents():
    """Returns the probes of the first variant, whose files hold its latents."""
    first = SETTINGS.properties.variants[:1]
    return [path for path in get_probes() if Path(path).stem in first]


def get_probed_zoo(wildcards):
    """Returns the zoo whose networks are probed, in the coordinates of the features."""
    zoo, features = wildcards.zoo, wildcards.features
    if features in PLAIN_FEATURES:
        aligned = features == "weights_aligned"
        return zoo_file(zoo, "weight_matching" if aligned else "none")
    return zoo_file(zoo, SETTINGS.variant(features, zoo=zoo).alignment)


def get_probed_hyper_reps(wildcards):
    """Returns the hyper-representations whose latents are probed; none for weights."""
    zoo, features = wildcards.zoo, wildcards.features
    return [] if features in PLAIN_FEATURES else get_hyper_reps(zoo, features)


def probe_flags(wildcards):
    """Returns the settings of a probe as flags."""
    zoo, features = wildcards.zoo, wildcards.features
    first = SETTINGS.properties.variants[0]
    variant = first if features in PLAIN_FEATURES else features
    threshold = SETTINGS.variant(variant, zoo=zoo).weight_threshold
    return flags(features=features, weight_threshold=threshold)


def experiment_flags(**more):
    """Returns the settings of an experiment's table or figure as flags."""
    return flags(
        **more,
        statistics=SETTINGS.statistics,
        seed=SETTINGS.seed,
    )


def get_audits():
    """Returns the audited samples of all methods that the config names."""
    return [
        f"<results>/novelty/{zoo}/{method}.h5" for zoo, method in needs.audits(SETTINGS)
    ]


def get_audit_references(wildcards):
    """Returns the audited references in the coordinates that a method draws in."""
    return get_pool(wildcards).replace("zoos", "novelty", 1)


def get_novelty_inputs():
    """Returns the files that the results of the audit are made from, by flag."""
    references = [
        zoo_file(*pair).replace("zoos", "novelty", 1)
        for pair in needs.audit_references(SETTINGS)
    ]
    return {"references": references, "audits": get_audits()}


def novelty_settings():
    """Returns the settings of the audit without the names of zoos and methods."""
    return SETTINGS.novelty.model_copy(update={"zoos": (), "methods": ()})


# the experiments beside the tables of accuracies, with what their files are made from
EXPERIMENT_TABLES = {
    table: inputs
    for table, inputs in (
        ("ensembles", get_ensembles()),
        ("reconstruction", get_reconstructions()),
        ("properties", get_probes()),
    )
    if inputs
}
EXPERIMENT_FIGURES = {
    figure: inputs
    for figure, inputs in (
        ("ensembles", get_ensembles()),
        ("calibration", get_ensembles()),
        ("reconstruction", get_reconstructions()),
        ("latents", get_latents()),
    )
    if inputs
}
