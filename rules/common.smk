"""Settings, names and helpers that all rules share."""

import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

SCRIPTS = Path(workflow.basedir) / "workflow" / "scripts"
sys.path.insert(0, str(SCRIPTS))

from hyperreps.fingerprint import code_fingerprint
from hyperreps.settings import SettingsError, load_settings

try:
    SETTINGS = load_settings(config)
except SettingsError as error:
    raise WorkflowError(str(error)) from None

if SCRIPTS.is_relative_to(Path.cwd()):
    # the command in the log can then be pasted from the project folder
    SCRIPTS = SCRIPTS.relative_to(Path.cwd())


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
        if isinstance(value, dict):
            value = [part for pair in value.items() for part in pair]
        if not isinstance(value, (list, tuple)):
            value = [value]
        words += ["--" + name.replace("_", "-"), *(shlex.quote(str(v)) for v in value)]
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


ENVIRONMENT = str(Path(workflow.basedir) / "envs" / "hyperreps.yaml")
