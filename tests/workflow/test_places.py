"""Where is not what, and a run can be started from anywhere."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from hyperreps.config.config_files import read_config
from hyperreps.networks.architectures import build

from ..network_files import write_files
from .project import SMOKE, TRACEBACK, Finished, Project, job_counts

PYTHON = (sys.executable, "-m", "snakemake")
# a machine whose PATH has no Python environment
BARE = {"PATH": "/usr/bin:/bin"}
RECIPE = {
    "initialization": "uniform",
    "activation": "tanh",
    "learning_rate": 0.05,
    "batch_size": 64,
    "epochs": 1,
}
ZOO = {"dataset": "own", "models": 3, "window": [1, 1], "recipe": RECIPE}
# a zoo that is trained on one's own images, and two of one's own networks
TINY = {
    "experiment": "tiny",
    "data_dir": "~/files",
    "datasets": {
        "own": {"source": "npz", "path": "$OWN_IMAGES/own.npz", "validation": 10}
    },
    "zoos": {
        "trained": ZOO,
        "imported": ZOO | {"weights": "networks.npz"},
        "files": ZOO | {"weights": "networks"},
    },
    "in_distribution": {"zoos": ["trained", "imported", "files"], "epochs": [0, 1]},
    # without the time to compile
    "compute": {"device": "cpu", "engine": "grouped"},
    **{name: {"zoos": []} for name in ("samplers", "architectures", "novelty")},
    **{name: {"zoos": []} for name in ("ensembles", "reconstruction", "properties")},
    "transfer": {"pairs": []},
}
MODULE = """
configfile: "overlay.yaml"

module hyper:
    snakefile: "{snakefile}"
    config: config

use rule * from hyper as hyper_*

rule all:
    default_target: True
    input: rules.hyper_{target}.input
"""
CONDA = """#!/bin/sh
case "$*" in
info*) echo '{{"conda_version": "24.7.1", "platform": "linux-64",
"root_prefix": "{prefix}", "conda_prefix": "{prefix}", "channels": []}}' ;;
config*) echo '{{"get": {{"channel_priority": "strict"}}}}' ;;
*) echo "conda 24.7.1" ;;
esac
"""
IMPORT = {"import_zoo": 1}
EVERYTHING = {"prepare_dataset": 1, "train_zoo": 1, "merge_zoo": 1, "import_zoo": 2}


class Place(Project):
    """A folder that a run is started from, beside the project's.

    Args:
        root: Folder that holds both.
        checkout: Name of the project's folder.
        folder: Name of the run's.
    """

    def __init__(self, root: Path, checkout: str = "checkout", folder: str = "run"):
        super().__init__(root / folder)
        self.place = root
        self.snakefile = root / checkout / "Snakefile"

    def tiny(self, *arguments: str, overlay: dict | None = None) -> list[str]:
        """Returns arguments for the tiny zoos, with settings over theirs."""
        path = self.root / "overlay.yaml"
        path.write_text(yaml.safe_dump(TINY), encoding="utf-8")
        more = self.root / "more.yaml"
        more.write_text(yaml.safe_dump(overlay or {"seed": 0}), encoding="utf-8")
        files = ("--configfile", "overlay.yaml", "more.yaml")
        return ["zoos", *arguments, "-s", str(self.snakefile), *files]

    def tried(
        self, *arguments: str, overlay: dict | None = None, **changes: str
    ) -> Finished:
        """Runs snakemake for the tiny zoos on a bare machine."""
        words = self.tiny(*arguments, overlay=overlay)
        return self.snakemake(*words, **self.environment(**changes))

    def environment(self, **changes: str) -> dict[str, str]:
        """Returns the variables of a bare machine, with the home folder here."""
        return {**BARE, "HOME": str(self.place), "OWN_IMAGES": "images", **changes}

    def plans(self, overlay: dict | None = None, **changes: str) -> dict[str, int]:
        """Returns how many jobs of each rule would run, but for those of `zoos`."""
        done = self.tried("-n", overlay=overlay, **changes)
        assert done.code == 0, done.output
        counts = job_counts(done.output)
        counts.pop("zoos", None)
        return counts


def write_images(path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        x_train=rng.integers(0, 256, (60, 28, 28), dtype=np.uint8),
        y_train=np.arange(60) % 10,
        x_test=rng.integers(0, 256, (20, 28, 28), dtype=np.uint8),
        y_test=np.arange(20) % 10,
    )


def write_networks(path: Path, seed: int) -> None:
    weights = np.random.default_rng(seed).normal(size=(3, 1, 2464)).astype(np.float32)
    np.savez(path, weights=weights, epochs=[1], seeds=[1, 2, 3])


def write_states(folder: Path, seed: int) -> None:
    weights = np.random.default_rng(seed).normal(size=(3, 1, 2464)).astype(np.float32)
    about = {"epochs": [1], "seeds": [1, 2, 3], "suffix": ".safetensors"}
    write_files(folder, weights, build("cnn", channels=1), **about)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Makes the tiny zoos, from another folder and with no environment activated."""
    root = tmp_path_factory.mktemp("José's place")
    Project.from_checkout(root / "checkout")
    write_images(root / "files" / "images" / "own.npz", seed=0)
    write_networks(root / "files" / "networks.npz", seed=0)
    write_states(root / "files" / "networks", seed=0)
    place = Place(root)
    place.root.mkdir()
    done = place.run([*PYTHON, *place.tiny("--cores", "2")], **place.environment())
    assert done.code == 0, done.output
    return root, done.output


@pytest.fixture
def place(started: tuple[Path, str], tmp_path: Path) -> Place:
    """A copy of that run and all that it used, to change at will."""
    shutil.copytree(started[0], tmp_path / "copy", symlinks=True)
    return Place(tmp_path / "copy")


def test_a_run_from_another_folder_without_an_environment(
    started: tuple[Path, str],
) -> None:
    root, output = started
    assert job_counts(output) == EVERYTHING | {"zoos": 1}
    for name in TINY["zoos"]:
        assert (root / "run" / "results" / "tiny" / "zoos" / f"{name}.h5").exists()
    # no folder is called by what stands for one
    assert not {"~", "$OWN_IMAGES"} & {path.name for path in root.rglob("*")}


def test_the_settings_are_named_and_kept(started: tuple[Path, str]) -> None:
    root, output = started
    name = "results/tiny/config.yaml"
    assert f"Experiment tiny, all settings: {name}" in output
    settings = read_config(root / "run" / name)
    assert (settings["experiment"], settings["data_dir"]) == ("tiny", "~/files")
    assert {"trained", "imported", "mnist"} <= settings["zoos"].keys()


def test_the_settings_are_written_by_runs_that_change_them(place: Place) -> None:
    path = place.root / "results" / "tiny" / "config.yaml"
    before = path.stat().st_mtime_ns
    assert place.plans(overlay={"seed": 7}) == {}
    assert path.stat().st_mtime_ns == before
    done = place.tried("-F", "--touch", "--cores", "1", overlay={"seed": 7})
    assert done.code == 0, done.output
    assert read_config(path)["seed"] == 7


def test_a_second_run_plans_nothing(place: Place) -> None:
    assert place.plans() == {}


@pytest.mark.parametrize(
    "overlay",
    [
        pytest.param({"data_dir": "../moved"}, id="images moved"),
        pytest.param({"data_dir": "/no/such/folder"}, id="images out of reach"),
        pytest.param(
            {
                "datasets": {"own": {"path": "~/moved/images/own.npz"}},
                "zoos": {"imported": {"weights": "${HOME}/moved/networks.npz"}},
            },
            id="files moved",
        ),
        pytest.param(
            {"compute": {"device": "auto", "threads": 2, "engine": "auto"}},
            id="another machine",
        ),
    ],
)
def test_another_place_plans_nothing(place: Place, overlay: dict) -> None:
    # not cp -a: the copies are new
    shutil.copytree(
        place.place / "files", place.place / "moved", copy_function=shutil.copyfile
    )
    shutil.rmtree(place.place / "files")
    assert place.plans(overlay) == {}


def test_a_variable_for_the_images_plans_nothing(place: Place) -> None:
    (place.place / "files").rename(place.place / "moved")
    assert place.plans(HYPERREPS_DATA="~/moved") == {}


@pytest.mark.parametrize(
    ("checkout", "folder"),
    [("elsewhere", "run"), ("checkout", "elsewhere"), ("checkout", "checkout/run")],
)
def test_moving_the_project_or_the_run_plans_nothing(
    place: Place, checkout: str, folder: str
) -> None:
    if checkout != "checkout":
        (place.place / "checkout").rename(place.place / checkout)
    if folder != "run":
        (place.place / "run").rename(place.place / folder)
    assert Place(place.place, checkout, folder).plans() == {}


def test_other_content_plans_what_is_made_of_it(place: Place) -> None:
    files = place.place / "files"
    write_networks(files / "networks.npz", seed=1)
    assert place.plans() == IMPORT
    write_networks(files / "networks.npz", seed=0)
    shutil.rmtree(files / "networks")
    write_states(files / "networks", seed=1)
    assert place.plans() == IMPORT
    shutil.rmtree(files / "networks")
    write_states(files / "networks", seed=0)
    assert place.plans() == {}
    write_images(files / "images" / "own.npz", seed=1)
    for path in (files / "networks.npz", files / "images" / "own.npz"):
        os.utime(path, (0, 0))  # as from an archive: older than the results
    assert place.plans() == EVERYTHING


def test_a_missing_file_is_named_and_not_replaced_by_training(place: Place) -> None:
    zoo = place.root / "results" / "tiny" / "zoos" / "imported.h5"
    networks = place.place / "files" / "networks.npz"
    networks.unlink()
    assert place.plans() == {}
    zoo.unlink()
    done = place.tried("-n")
    assert done.code != 0
    assert TRACEBACK not in done.output
    assert str(networks) in done.output
    assert "import_zoo" in done.output


def test_a_module_makes_the_same(place: Place) -> None:
    place.tiny()
    text = MODULE.format(snakefile="../checkout/Snakefile", target="zoos")
    (place.root / "Snakefile").write_text(text, encoding="utf-8")
    done = place.snakemake("-n", "--cores", "1", **place.environment())
    assert done.code == 0, done.output
    assert job_counts(done.output) == {}


def test_a_module_plans_the_whole_smoke_run(sources: Project, tmp_path: Path) -> None:
    run = Project(tmp_path / "run")
    run.root.mkdir()
    shutil.copy(sources.root / SMOKE, run.root / "overlay.yaml")
    text = MODULE.format(snakefile=sources.root / "Snakefile", target="all")
    (run.root / "Snakefile").write_text(text, encoding="utf-8")
    done = run.snakemake("-n", "-p", "--cores", "1", **BARE)
    assert done.code == 0, done.output
    assert sum(job_counts(done.output).values()) == 67
    assert str(sources.root / "workflow" / "scripts" / "make_table.py") in done.output


def test_conda_jobs_use_the_python_of_conda(sources: Project, tmp_path: Path) -> None:
    """Shown by a dry run with a program that says what conda says."""
    conda = tmp_path / "bin" / "conda"
    conda.parent.mkdir()
    conda.write_text(CONDA.format(prefix=tmp_path), encoding="utf-8")
    conda.chmod(0o755)
    (conda.parent / "activate").touch()
    path = f"{conda.parent}:{BARE['PATH']}"
    target = "results/smoke/datasets/digits.h5"
    plan = (target, "-n", "-p", "--configfile", SMOKE)
    for options, python in (((), sys.executable), (("--sdm", "conda"), "python")):
        done = sources.snakemake(*plan, *options, PATH=path)
        assert done.code == 0, done.output
        line = f"{python} workflow/scripts/prepare_dataset.py "
        assert f"\n        {line}" in done.output


def test_a_configuration_is_checked_by_itself(sources: Project) -> None:
    """Where Snakemake says that a file is no YAML, and neither which nor why."""
    text = "zoos:\n  mnist:\n    recipe:\n      <<: *uniform\n"
    (sources.root / "alias.yaml").write_text(text, encoding="utf-8")
    check = ("workflow/scripts/check_config.py", SMOKE)
    done = sources.python(*check, "alias.yaml")
    assert done.code == 1
    _, line = done.output.splitlines()
    assert line.startswith("error: config: alias.yaml, line 4: *uniform")
    done = sources.python(*check)
    assert done.code == 0, done.output
    assert "experiment smoke" in done.output


def test_another_working_directory_plans_the_same_jobs(
    sources: Project, tmp_path: Path
) -> None:
    done = sources.smoke("-n", "--directory", str(tmp_path / "elsewhere"))
    assert done.code == 0, done.output
    assert sum(job_counts(done.output).values()) == 67


def test_the_papers_run_from_another_folder(sources: Project, tmp_path: Path) -> None:
    run = Project(tmp_path / "run")
    run.root.mkdir()
    done = run.snakemake("zoos", "-n", "-s", str(sources.root / "Snakefile"))
    assert done.code == 0, done.output
    assert job_counts(done.output)["train_zoo"] == 40


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        pytest.param(
            ("--configfile", SMOKE, "--configfile", "more.yaml"),
            ("give it once", f"--configfile {SMOKE} more.yaml"),
            id="configfile twice",
        ),
        pytest.param(
            ("--configfile", SMOKE, "twice.yaml"),
            ("twice.yaml, line 3", "'gan'", "line 1"),
            id="a section twice",
        ),
        pytest.param(
            ("--configfile", SMOKE, "--config", "data_dir=$NOT_SET/images"),
            ("data_dir: $NOT_SET", "not set"),
            id="a variable that is not set",
        ),
    ],
)
def test_nothing_is_lost_before_it_is_checked(
    sources: Project, arguments: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    (sources.root / "more.yaml").write_text("seed: 5\n", encoding="utf-8")
    text = "gan: {width: 8}\nseed: 5\ngan: {noise: 3}\n"
    (sources.root / "twice.yaml").write_text(text, encoding="utf-8")
    done = sources.snakemake("-n", *arguments)
    assert done.code != 0
    assert TRACEBACK not in done.output
    [line] = [li for li in done.output.splitlines() if li.startswith("config: ")]
    assert all(part in line for part in parts), line


def test_nested_settings_of_the_command_line(sources: Project) -> None:
    nested = ("--config", "compute={shard_size: 2}", "pathvars={results: ~/out}")
    home = str(sources.root)
    done = sources.snakemake("zoos", "-n", "--configfile", SMOKE, *nested, HOME=home)
    assert done.code == 0, done.output
    assert job_counts(done.output)["train_zoo"] == 6
    assert f"output: {home}/out/zoos/digits.h5" in done.output
