"""Settings, names and helpers that all rules share."""

import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

from snakemake.exceptions import WorkflowError

SCRIPTS = Path(workflow.basedir) / "workflow" / "scripts"
sys.path.insert(0, str(SCRIPTS))

from hyperreps.fingerprint import code_fingerprint
from hyperreps.settings import SettingsError, load_settings

try:
    SETTINGS = load_settings(config)
except SettingsError as error:
    raise WorkflowError(str(error)) from None


def project_path(*parts):
    """Returns a path in the project, relative where the run starts from there.

    The commands in the logs can then be pasted.
    """
    path = Path(workflow.basedir, *parts)
    inside = path.is_relative_to(Path.cwd())
    return str(path.relative_to(Path.cwd()) if inside else path)


ENVIRONMENT = str(Path(workflow.basedir) / "envs" / "hyperreps.yaml")


pathvars:
    results=f"results/{SETTINGS.experiment}",
    logs=f"logs/{SETTINGS.experiment}",
    benchmarks=f"benchmarks/{SETTINGS.experiment}",


wildcard_constraints:
    dataset="|".join(SETTINGS.datasets),
    zoo="|".join(SETTINGS.zoos),
    source="|".join(SETTINGS.zoos),
    target="|".join(SETTINGS.zoos),
    variant="|".join(SETTINGS.variants),
    method="|".join(SETTINGS.methods),
    first=r"\d+",
    last=r"\d+",
    seed=r"\d+",


def fingerprint(script):
    """Returns a hash of a script's logic, to put among a rule's parameters."""
    return code_fingerprint(SCRIPTS / script)


def script(name):
    """Returns the path of a stage's script."""
    return project_path("workflow", "scripts", name)


def flags(**values):
    """Returns settings as command line flags; a model becomes one flag per key.

    flags(recipe=recipe, seed=1) gives "--recipe.epochs 50 ... --seed 1".
    """
    words = []
    for name, value in values.items():
        if hasattr(value, "model_fields_set"):
            keys = type(value).model_fields
            words.append(flags(**{f"{name}.{k}": getattr(value, k) for k in keys}))
            continue
        if value == {}:
            continue
        if isinstance(value, dict):
            value = [part for pair in value.items() for part in pair]
        if not isinstance(value, (list, tuple)):
            value = [value]
        words += [f"--{name}".replace("_", "-"), *(shlex.quote(str(v)) for v in value)]
    return " ".join(words)


def where():
    """Returns the flags that say where a job computes."""
    return flags(device=SETTINGS.compute.device, threads=SETTINGS.compute.threads)


def gpus():
    """Returns the number of GPUs a training job asks for."""
    return 0 if SETTINGS.compute.device == "cpu" else 1


def growing(megabytes):
    """Returns a resource function: memory that doubles with each attempt."""
    return lambda wildcards, attempt: int(megabytes * 2 ** (attempt - 1))


def longer(minutes):
    """Returns a resource function: a time limit that doubles with each attempt."""
    return lambda wildcards, attempt: int(minutes * 2 ** (attempt - 1))


def zoo_file(zoo, alignment):
    """Returns the path of a zoo in its own or in aligned coordinates."""
    suffix = ".aligned" if alignment == "weight_matching" else ""
    return f"<results>/zoos/{zoo}{suffix}.h5"


def get_dataset(zoo):
    """Returns the path of the images a zoo is trained on."""
    return f"<results>/datasets/{SETTINGS.zoos[zoo].dataset}.h5"


def get_shards(wildcards):
    """Returns the shards of a zoo, in the order of their seeds."""
    zoo = SETTINGS.zoos[wildcards.zoo]
    end = zoo.first_seed + zoo.models
    return [
        f"<results>/zoos/{wildcards.zoo}/seeds_{first}_"
        f"{min(first + SETTINGS.compute.shard_size, end) - 1}.h5"
        for first in range(zoo.first_seed, end, SETTINGS.compute.shard_size)
    ]


def get_hyper_reps(zoo, variant):
    """Returns the hyper-representations of a variant, one per seed."""
    return [
        f"<results>/hyper_reps/{zoo}/{variant}_seed{seed}.safetensors"
        for seed in SETTINGS.variant(variant, zoo=zoo).seeds
    ]


def get_used_variants():
    """Returns the variants that the methods of the config use."""
    table = SETTINGS.in_distribution
    methods = [SETTINGS.methods[name] for name in table.methods + table.references]
    return sorted({method.hyper_rep for method in methods if method.hyper_rep})


def get_pool(wildcards):
    """Returns the zoo a method draws from, in its variant's or its own coordinates."""
    method = SETTINGS.methods[wildcards.method]
    zoo, variant = wildcards.zoo, method.hyper_rep
    owner = SETTINGS.variant(variant, zoo=zoo) if variant else method
    return zoo_file(zoo, owner.alignment)


def get_latent_space(wildcards):
    """Returns the hyper-representations a method samples from; none in weight space."""
    variant = SETTINGS.methods[wildcards.method].hyper_rep
    return get_hyper_reps(wildcards.zoo, variant) if variant else []


def get_finetuned():
    """Returns the finetuned populations of the table in_distribution."""
    return [
        f"<results>/finetuned/{zoo}-{zoo}/{method}.h5"
        for zoo in SETTINGS.in_distribution.zoos
        for method in SETTINGS.in_distribution.methods
    ]


def get_references():
    """Returns the populations that are evaluated at epoch 0 only."""
    return expand(
        "<results>/samples/{zoo}/{method}.h5",
        zoo=SETTINGS.in_distribution.zoos,
        method=SETTINGS.in_distribution.references,
    )


def get_result_inputs():
    """Returns the files that the table and the figures are made from, by flag."""
    return {
        "zoos": expand("<results>/zoos/{zoo}.h5", zoo=SETTINGS.in_distribution.zoos),
        "finetuned": get_finetuned(),
        "references": get_references(),
        "published": project_path("config", "published.yaml"),
    }


def result_flags(**more):
    """Returns the settings of the table and the figures as flags."""
    return flags(
        **more,
        epochs=SETTINGS.in_distribution.epochs,
        statistics=SETTINGS.statistics,
        seed=SETTINGS.seed,
    )


def get_audits():
    """Returns the audited samples of all methods that the config names."""
    return expand(
        "<results>/novelty/{zoo}/{method}.h5",
        zoo=SETTINGS.novelty.zoos,
        method=SETTINGS.novelty.methods,
    )


def get_audit_references(wildcards):
    """Returns the audited references in the coordinates that a method draws in."""
    return get_pool(wildcards).replace("zoos", "novelty", 1)


def get_novelty_inputs():
    """Returns the files that the results of the audit are made from, by flag."""
    cells = [
        SimpleNamespace(zoo=zoo, method=method)
        for zoo in SETTINGS.novelty.zoos
        for method in SETTINGS.novelty.methods
    ]
    references = dict.fromkeys(get_audit_references(cell) for cell in cells)
    return {"references": list(references), "audits": get_audits()}


def novelty_settings():
    """Returns the settings of the audit without the names of zoos and methods."""
    return SETTINGS.novelty.model_copy(update={"zoos": (), "methods": ()})
