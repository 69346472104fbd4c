"""Settings, names and helpers that all rules share."""

import gc
import json
import os
import shlex
import sys
import time
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

# the DAG only grows; looking through it for garbage took a third of a dry run
gc.set_threshold(500_000, 100, 100)

# seconds by which the clocks of machines may differ
CLOCK_TOLERANCE = 60

SCRIPTS = Path(workflow.basedir) / "workflow" / "scripts"
sys.path.insert(0, str(SCRIPTS))

from hyperreps.costs import Speeds, estimate
from hyperreps.fingerprint import code_fingerprint
from hyperreps.sampling import needs_generator
from hyperreps.configuration import PLAIN_FEATURES, ZOO_POPULATIONS, load_settings
from hyperreps.settings import SettingsError

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


def where(**more):
    """Returns the flags that say where a job computes, and how."""
    compute = SETTINGS.compute
    return flags(device=compute.device, threads=compute.threads, **more)


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


def get_hyper_reps(zoo, variant):
    """Returns the hyper-representations of a variant, one per seed."""
    return [
        f"<results>/hyper_reps/{zoo}/{variant}_seed{seed}.safetensors"
        for seed in SETTINGS.variant(variant, zoo=zoo).seeds
    ]


def get_used_zoos():
    """Returns the zoos of all tables."""
    tables = SETTINGS.comparisons.values()
    pairs = [pair for table in tables for pair in table.populations]
    return list(dict.fromkeys(zoo for pair in pairs for zoo in pair))


def get_used_methods():
    """Returns each zoo and method of all tables whose samples are needed."""
    used = [
        (source, method)
        for table in SETTINGS.comparisons.values()
        for source, _ in table.populations
        for method in table.methods + table.references
    ]
    return list(dict.fromkeys(used))


def get_used_hyper_reps():
    """Returns the hyper-representations that the methods of all tables sample from."""
    used = [(zoo, SETTINGS.methods[name].hyper_rep) for zoo, name in get_used_methods()]
    return [
        path
        for zoo, variant in dict.fromkeys(used)
        if variant
        for path in get_hyper_reps(zoo, variant)
    ]


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
        "published": project_path("config", "published.yaml"),
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


def require_writable():
    """Ends the run before its first job if the folders of its files are read-only."""
    for kind in ("results", "logs", "benchmarks"):
        folder = Path(kind, SETTINGS.experiment)
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        if not os.access(existing, os.W_OK | os.X_OK):
            raise WorkflowError(
                f"error: {existing.resolve()}: cannot be written to; mend that and run"
                " again"
            )


def require_clock():
    """Ends the run if results are from the future: snakemake goes by their times."""
    paths = Path("results", SETTINGS.experiment).rglob("*.*")
    newest = max(((path.stat().st_mtime, path) for path in paths), default=None)
    ahead = newest[0] - time.time() if newest else 0
    if ahead > CLOCK_TOLERANCE:
        raise WorkflowError(
            f"error: {newest[1]}: its time is {ahead / 3600:.1f} hours ahead of the"
            " clock; set the clock or, if it is right:"
            " find results -newermt now -exec touch {} +"
        )


def show_estimate():
    """Prints what the whole config takes, whatever is done already."""
    costs = estimate(SETTINGS, Speeds(Path(workflow.basedir, "docs", "measurements")))
    hours = ", ".join(
        f"{cost.stage} {'' if cost.complete else 'at least '}{cost.core_hours:.3g}"
        for cost in costs
    )
    logger.info(
        f"The whole config takes about this many core-hours without a GPU: {hours}"
        " (docs/performance.md)."
    )


def get_ensembles():
    """Returns the ensembles of the zoos' own networks and of the methods."""
    return expand(
        "<results>/ensembles/{zoo}/{population}.h5",
        zoo=SETTINGS.ensembles.zoos,
        population=ZOO_POPULATIONS + SETTINGS.ensembles.methods,
    )


def get_reconstructions():
    """Returns the reconstructions of the config."""
    return expand(
        "<results>/reconstructions/{zoo}/{variant}.h5",
        zoo=SETTINGS.reconstruction.zoos,
        variant=SETTINGS.reconstruction.variants,
    )


def get_probes():
    """Returns the probes of the config, weights in the variants' coordinates too."""
    settings = SETTINGS.properties
    probes = []
    for zoo in settings.zoos:
        variants = [SETTINGS.variant(name, zoo=zoo) for name in settings.variants]
        aligned = any(variant.alignment != "none" for variant in variants)
        plain = [f for f in PLAIN_FEATURES if aligned or f != "weights_aligned"]
        probes += expand(
            f"<results>/properties/{zoo}/{{features}}.h5",
            features=[*plain, *settings.variants],
        )
    return probes


def get_latents():
    """Returns the probes of the first variant, whose files hold its latents."""
    first = SETTINGS.properties.variants[:1]
    return [path for path in get_probes() if Path(path).stem in first]


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
