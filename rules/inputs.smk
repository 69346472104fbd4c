"""Files and flags that several rules share; what one rule uses stands there."""

from hyperreps.config import needs
from hyperreps.zoo.folders import networks_digest


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


def get_own_start(zoo):
    """Returns the name of a zoo's initialisation, which may be a user's."""
    return [SETTINGS.zoos[zoo].recipe.initialization]


def get_own_parts(zoo, name):
    """Returns the names of parts of a method, some of which may be a user's."""
    method = SETTINGS.methods[name]
    return [method.sampler, method.architecture, *get_own_start(zoo)]


def get_dataset(zoo):
    """Returns the path of the images a zoo is trained on."""
    return f"<results>/datasets/{SETTINGS.zoos[zoo].dataset}.h5"


def get_own_file(section, name, key):
    """Returns the user's file that a key of the config names; none if it is empty."""
    path = getattr(getattr(SETTINGS, section)[name], key)
    full = f"{section}.{name}.{key}"
    return [outside(full, str(DATA / expanded(path, key=full)))] if path else []


@cache
def get_networks_digests(zoo):
    """Returns a hash of the networks of a zoo; in a folder, of those that are read."""
    return [
        networks_digest(Path(path), SETTINGS.zoos[zoo])
        for path in get_own_file("zoos", zoo, "weights")
    ]


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


def get_curves(zoo, variant):
    """Returns the training curves of a variant, one per seed."""
    return beside(get_hyper_reps(zoo, variant))


def beside(models):
    """Returns the training curves of models, which lie beside them."""
    return [f"{Path(model).with_suffix('.csv')}" for model in models]


def get_generators(zoo, name):
    """Returns the trained generators that a method samples from; gan's or jumps."""
    method = SETTINGS.methods[name]
    if method.jump:
        return get_jumps(zoo, method.jump)
    if not needs_generator(method.sampler):
        return []
    return [
        f"<results>/generators/{zoo}/{name}_seed{seed}.safetensors"
        for seed in SETTINGS.variant(method.hyper_rep, zoo=zoo).seeds
    ]


def get_jumps(zoo, name):
    """Returns the jumps of a name, one per seed."""
    return [jump_file(zoo, name, seed) for seed in SETTINGS.jump_of(name).seeds]


def jump_file(zoo, name, seed):
    """Returns the path of a jump."""
    return f"<results>/jumps/{zoo}/{name}_seed{seed}.safetensors"


def get_jump_inputs(wildcards):
    """Returns what a jump is trained on, and the jump that it starts from, by flag."""
    found = {"zoo": f"<results>/zoos/{wildcards.zoo}.h5"}
    before = SETTINGS.jump_of(wildcards.jump).pretrained
    if before:
        found["pretrained"] = jump_file(*before, wildcards.seed)
    return found


def get_learning(zoo, name):
    """Returns the training curves of all that a method draws from."""
    method = SETTINGS.methods[name]
    models = [*get_hyper_reps(zoo, method.hyper_rep), *get_generators(zoo, name)]
    if method.jump and (before := SETTINGS.jump_of(method.jump).pretrained):
        models += get_jumps(*before)
    return beside(dict.fromkeys(models))


def get_pool(wildcards, *, stage="zoos"):
    """Returns the zoo a method draws from, in its variant's or its own coordinates."""
    zoo = wildcards.zoo
    alignment = needs.method_alignment(SETTINGS, zoo, wildcards.method)
    return zoo_file(zoo, alignment, stage=stage)


def get_samples(zoos, methods):
    """Returns the samples of methods, not finetuned."""
    return expand("<results>/samples/{zoo}/{method}.h5", zoo=zoos, method=methods)
