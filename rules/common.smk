"""Settings, names and helpers that all rules share."""

import gc
import json
import os
import re
import shlex
import sys
import time
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.io import sourcecache_entry
from snakemake.logging import logger
from snakemake.pathvars import Pathvars
from snakemake.settings.types import DeploymentMethod

# the DAG only grows; looking through it for garbage took a third of a dry run
gc.set_threshold(500_000, 100, 100)

# seconds by which the clocks of machines may differ
CLOCK_TOLERANCE = 60

# the folder of the project, wherever the run is, and whatever Snakefile includes this
PROJECT = Path(workflow.current_basedir).parent
SCRIPTS = PROJECT / "workflow" / "scripts"
sys.path.insert(0, str(SCRIPTS))

from hyperreps.config.config_files import (
    SHIPPED,
    check_options,
    config_text,
    merged,
    nested_arguments,
    read_config,
    read_over_shipped,
)
from hyperreps.files.fingerprint import code_fingerprint
from hyperreps.files.own_parts import is_own, own_file
from hyperreps.files.places import content_digest, data_folder, expanded
from hyperreps.sampling.samplers import needs_generator
from hyperreps.config.configuration import (
    PLAIN_FEATURES,
    ZOO_POPULATIONS,
    check_own_networks,
    custom_rules,
    load_settings,
)
from hyperreps.settings.sections import FONTS
from hyperreps.settings.stages import SettingsError
from hyperreps.zoo.zoos import complete_seeds
from hyperreps.files.storage import OutputError, replacing


def project_path(*parts):
    """Returns a path in the project, relative where the run starts from there.

    The commands in the logs can then be pasted.
    """
    path = PROJECT.joinpath(*parts)
    inside = path.is_relative_to(Path.cwd())
    return str(path.relative_to(Path.cwd()) if inside else path)


BASE = [project_path("config", name) for name in SHIPPED]


def check_config():
    """Refuses what snakemake would lose of the files and options of a run."""
    check_options(sys.argv[1:])
    for file in dict.fromkeys([*BASE, *map(str, workflow.configfiles)]):
        read_config(Path(file))


def get_settings():
    """Returns the settings: the shipped ones, over them what the run or a module gives."""
    if workflow.modifier.skip_configfile:
        folder = Path(project_path("config"))
        return load_settings(merged(read_over_shipped(folder), config))
    arguments = workflow.config_settings.config_args or []
    return load_settings(merged(config, nested_arguments(arguments)))


@contextmanager
def refusing():
    """Ends the run by the lines that say what is wrong with its settings."""
    try:
        yield
    except SettingsError as error:
        raise WorkflowError(str(error)) from None


with refusing():
    # a job has the same config as the run that started it
    if workflow.is_main_process:
        check_config()


for file in BASE:

    configfile: file


with refusing():
    SETTINGS = get_settings()
    CUSTOM_RULES = custom_rules(SETTINGS)
    if workflow.is_main_process:
        check_own_networks(SETTINGS)

DATA = data_folder(SETTINGS.data_dir)

ENVIRONMENT = str(PROJECT / "envs" / "hyperreps.yaml")
# jobs use the Python that runs snakemake, but for those in conda's environment
CONDA = DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method
PYTHON = "python" if CONDA else sys.executable


pathvars:
    results=f"results/{SETTINGS.experiment}",
    logs=f"logs/{SETTINGS.experiment}",
    benchmarks=f"benchmarks/{SETTINGS.experiment}",


# as given in the config, but without ~ and variables
workflow.pathvars.update(
    Pathvars.from_config(
        {
            "pathvars": {
                name: expanded(path, key=name)
                for name, path in SETTINGS.pathvars.items()
            }
        },
        module_level=True,
    )
)
FOLDERS = {
    kind: Path(workflow.pathvars.apply(f"<{kind}>"))
    for kind in ("results", "logs", "benchmarks")
}


def one_of(names):
    """Returns a regular expression for these names; it matches nothing if none is."""
    return "|".join(names) or "(?!)"


wildcard_constraints:
    dataset=one_of(SETTINGS.datasets),
    zoo=one_of(SETTINGS.zoos),
    source=one_of(SETTINGS.zoos),
    target=one_of(SETTINGS.zoos),
    variant=one_of(SETTINGS.variants),
    method=one_of(SETTINGS.methods),
    first=r"\d+",
    last=r"\d+",
    seed=r"\d+",


def fingerprint(script, *files, modules=(), own=lambda wildcards: ()):
    """Returns a parameter function: a hash of a script's logic.

    It is computed for the rules whose jobs are looked at. A job that another snakemake
    started, as on a cluster, looks at its own only.

    Args:
        script: Its name.
        *files: What else of the project decides what it makes.
        modules: Files of the library that it imports by a name it is given.
        own: Returns names of parts that a job uses, some of which may be a user's.
    """

    @cache
    def computed(*parts):
        imported = [SCRIPTS / "hyperreps" / module for module in modules]
        code = code_fingerprint(SCRIPTS / script, *imported, *map(own_file, parts))
        return "-".join([code, *contents(files)])

    return lambda wildcards: computed(*filter(is_own, own(wildcards)))


def unrecorded(text):
    """Returns a parameter whose value is no reason to run a job again.

    Snakemake takes what a function makes of the output for derived, and does not keep
    it. So it is with all that says where, not what.
    """
    return lambda wildcards, output: text


def command(script):
    """Returns the words that start a stage's script."""
    return unrecorded(shlex.join([PYTHON, project_path("workflow", "scripts", script)]))


def outside(name, path):
    """Returns a file that no rule makes as an input that is known by its name.

    Where it lies and how old it is are no reasons to run a job again. Its content is,
    and has to be among the rule's parameters.
    """
    # a missing one is left as it is, to be named in full
    known = sourcecache_entry(path, name) if Path(path).exists() else path
    return ancient(known)


def contents(files):
    """Returns a parameter that changes with what files hold."""
    return [content_digest(Path(file)) for file in files]


PUBLISHED = outside("config/published.yaml", project_path("config", "published.yaml"))


def flags(*, without=(), **values):
    """Returns settings as command line flags; a model becomes one flag per key.

    flags(recipe=recipe, seed=1) gives "--recipe.epochs 50 ... --seed 1".

    Args:
        without: Keys of models to leave out.
        **values: The settings by flag.
    """
    words = []
    for name, value in values.items():
        if hasattr(value, "model_fields_set"):
            keys = [key for key in type(value).model_fields if key not in without]
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
    """Returns the flags that say where a job computes, and how; none is recorded."""
    compute = SETTINGS.compute
    return unrecorded(flags(device=compute.device, threads=compute.threads, **more))


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
    for folder in FOLDERS.values():
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        if not os.access(existing, os.W_OK | os.X_OK):
            raise WorkflowError(
                f"error: {existing.resolve()}: cannot be written to; mend that and run"
                " again"
            )


def require_clock():
    """Ends the run if results are from the future: snakemake goes by their times."""
    paths = FOLDERS["results"].rglob("*.*")
    newest = max(((path.stat().st_mtime, path) for path in paths), default=None)
    ahead = newest[0] - time.time() if newest else 0
    if ahead > CLOCK_TOLERANCE:
        raise WorkflowError(
            f"error: {newest[1]}: its time is {ahead / 3600:.1f} hours ahead of the"
            " clock; set the clock or, if it is right:"
            f" find {shlex.quote(str(FOLDERS['results']))} -newermt now"
            " -exec touch {} +"
        )


def require_font():
    """Ends the run before its first job if figures cannot have their font."""
    if SETTINGS.figures.font not in FONTS:
        # late: it imports matplotlib
        from hyperreps.results.drawing import style

        with refusing():
            style(SETTINGS.figures)


def record_config():
    """Writes all settings beside the results, and says where and whose they are."""
    path = FOLDERS["results"] / "config.yaml"
    text = config_text(SETTINGS)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        try:
            with replacing(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
        except OutputError as error:
            raise WorkflowError(f"error: {error}") from None
    logger.info(f"Experiment {SETTINGS.experiment}, all settings: {path}")


def show_estimate():
    """Prints what the whole config takes, and what it does by the jobs that ended."""
    # not for jobs that another snakemake started
    from hyperreps.config.costs import Speeds, Work, estimate
    from hyperreps.config.measured_costs import corrected
    from hyperreps.config.space import gigabytes

    speeds = Speeds(PROJECT / "docs" / "measurements")
    costs = estimate(SETTINGS, speeds)
    work = Work(SETTINGS, speeds)
    jobs = sum(part.number for part in work.jobs())
    total = sum(cost.core_hours for cost in costs)
    hours = [
        f"{cost.stage} {'' if cost.complete else 'at least '}{cost.core_hours:.3g}"
        for cost in costs
        if cost.core_hours >= total / 100 or not cost.complete
    ]
    logger.info(
        f"The whole config is {jobs} jobs, about {gigabytes(work):.2g} GB of results and"
        f" {total:.3g} core-hours in all, without a GPU:"
        f" {', '.join(hours)}; what is below 1 % is in the sum only"
        " (docs/performance.md)."
    )
    if found := corrected(work, FOLDERS["logs"]):
        logger.info(
            f"The {found.jobs} of them that ended here took {found.ratio:.2g} times the"
            f" CPU time that this says: by them {found.core_hours:.3g} core-hours in all."
        )


def is_dry_run():
    """Tells whether this run only says what it would do, when its rules are read."""
    # not in a module, whose settings are not all there is to the run
    own = workflow.is_main_process and not workflow.modifier.skip_configfile
    words = sys.argv[1:] if own else []
    return any(re.fullmatch("-[a-zA-Z]*n[a-zA-Z]*|--dry-?run", word) for word in words)


def show_places():
    """Says where the results are, a line each."""
    folder = FOLDERS["results"]
    for kind in ("tables", "figures"):
        if (folder / kind).exists():
            logger.info(f"{kind:8} {folder / kind}")
    logger.info(f"report   make report RESULTS={shlex.quote(str(folder))}")


def show_failures(run_logs):
    """Names the logs of failed jobs, which snakemake has shown, and what to do.

    Args:
        run_logs: What snakemake logged of this run; none with some loggers.
    """
    text = "".join(Path(path).read_text(encoding="utf-8") for path in run_logs)
    found = re.findall(r"^ +log: (.+) \(check log file", text, flags=re.MULTILINE)
    # a job may have been tried more than once
    for name in dict.fromkeys(found):
        logger.error(f"failed   {name}")
    logger.error(
        "Mend the cause and give the same command again: what is finished is kept, and"
        " trainings go on where they were."
    )
