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


def get_audits():
    """Returns the audited samples of all methods that the config names."""
    return [
        f"<results>/novelty/{zoo}/{method}.h5" for zoo, method in needs.audits(SETTINGS)
    ]


def get_audit_references(wildcards):
    """Returns the audited references in the coordinates that a method draws in."""
    return get_pool(wildcards).replace("zoos", "novelty", 1)
