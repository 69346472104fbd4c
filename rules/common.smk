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
    speeds = Speeds(Path(workflow.basedir, "docs", "measurements"))
    costs = estimate(SETTINGS, speeds)
    total = sum(cost.core_hours for cost in costs)
    hours = [
        f"{cost.stage} {'' if cost.complete else 'at least '}{cost.core_hours:.3g}"
        for cost in costs
        if cost.core_hours >= total / 100 or not cost.complete
    ]
    logger.info(
        f"The whole config takes about {total:.3g} core-hours without a GPU:"
        f" {', '.join(hours)}; what is below 1 % is in the sum only"
        " (docs/performance.md)."
    )
