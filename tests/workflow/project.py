"""A copy of the project, and the real command line run in it."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pandas as pd
import yaml
from safetensors.numpy import load_file

from ..processes import CHECKOUT, python

SMOKE = "config/smoke.yaml"
RESULTS = "results/smoke"
RESULT_FOLDERS = ("tables/", "figures/")
# the figures of each table
FIGURES_OF = {
    "in_distribution": ("finetuning", "epoch_zero", "zoo"),
    "samplers": ("samplers",),
    "transfer": ("transfer",),
    "architectures": ("architectures",),
}
TABLES = tuple(FIGURES_OF)
FIGURES = tuple(figure for figures in FIGURES_OF.values() for figure in figures)
NOVELTY_FIGURES = ("novelty", "copies")
NOVELTY_JOBS = {
    "table_novelty": 1,
    "values": 1,
    **{f"figure_{name}": 1 for name in NOVELTY_FIGURES},
}
GENERATED = {"results", "logs", "benchmarks", "data"}
# from the user's or the test run's environment, they would change what is tested
UNWANTED = {
    *("PYTHONPATH", "HYPERREPS_DATA", "SNAKEMAKE_PROFILE", "MPLBACKEND"),
    *("OMP_NUM_THREADS", "PYTHONDONTWRITEBYTECODE"),
}
PATIENCE = 500  # seconds to wait on a busy machine
TRACEBACK = "Traceback (most recent call last)"


def result_jobs(*tables: str) -> dict[str, int]:
    """Returns the jobs that make tables, their figures and numbers for LaTeX."""
    jobs = [f"{kind}_{t}" for t in tables for kind in ("table", "table_significance")]
    jobs += [f"figure_{figure}" for table in tables for figure in FIGURES_OF[table]]
    return dict.fromkeys([*jobs, "values"], 1)


RESULT_JOBS = result_jobs(*TABLES)


class Finished(NamedTuple):
    """What a command left: its exit code and all that it printed."""

    code: int
    output: str


class Project:
    """A folder with the sources of the project, in which commands are run.

    Args:
        root: Its folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.results = root / RESULTS

    @classmethod
    def from_checkout(cls, root: Path) -> Project:
        """Copies the sources, without hidden and generated files."""

        def ignored(folder: str, names: list[str]) -> set[str]:
            if Path(folder) != CHECKOUT:
                return {"__pycache__"}
            return {name for name in names if name[0] == "." or name in GENERATED}

        shutil.copytree(CHECKOUT, root, symlinks=True, ignore=ignored)
        return cls(root)

    def copy(self, root: Path) -> Project:
        """Copies everything, with its times, as `cp -a` does."""
        shutil.copytree(self.root, root, symlinks=True)
        return Project(root)

    @contextmanager
    def started(
        self, command: Sequence[str], *, log: Path, **environment: str
    ) -> Iterator[subprocess.Popen]:
        """Starts a command in its own process group, which does not outlive the block.

        Args:
            command: The command and its arguments.
            log: File for all that it prints.
            **environment: Variables to set.
        """
        with (
            log.open("wb") as file,
            subprocess.Popen(
                # SIGINT is ignored in what a shell has started in the background
                ("env", "--default-signal=INT", *command),
                cwd=self.root,
                env=inherited() | environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            ) as process,
        ):
            try:
                yield process
            finally:
                kill(process)

    def run(self, command: Sequence[str], **environment: str) -> Finished:
        """Runs a command to its end; pytest's timeout ends the test and kills it."""
        log = self.root.with_name(f"{self.root.name}.output")
        with self.started(command, log=log, **environment) as process:
            code = process.wait()
        return Finished(code, log.read_text(encoding="utf-8"))

    def snakemake(self, *arguments: str, **environment: str) -> Finished:
        """Runs `python -m snakemake` with these arguments, in no time to start."""
        return self.python("-m", "snakemake", *arguments, **environment)

    def python(self, *words: str, **environment: str) -> Finished:
        """Runs Python to its end, in a process that has its libraries loaded."""
        done = python(
            words, cwd=self.root, environment=inherited() | environment, together=True
        )
        return Finished(done.returncode, done.stdout)

    def smoke(self, *arguments: str, overlay: dict | None = None) -> Finished:
        """Runs snakemake with the smoke settings.

        Args:
            *arguments: Targets, then options.
            overlay: Settings that change those of the smoke run.
        """
        return self.snakemake(*arguments, "--configfile", *self.configs(overlay))

    def planned(self, *targets: str, overlay: dict | None = None) -> dict[str, int]:
        """Returns how many jobs of each rule would run; those of `all` are left out."""
        done = self.smoke(*targets, "--dry-run", overlay=overlay)
        assert done.code == 0, done.output
        return job_counts(done.output)

    def configs(self, overlay: dict | None = None) -> list[str]:
        """Returns the smoke settings and, written to a file, what changes them."""
        if overlay is None:
            return [SMOKE]
        path = self.root / "config" / "overlay.yaml"
        path.write_text(yaml.safe_dump(overlay), encoding="utf-8")
        return [SMOKE, "config/overlay.yaml"]

    def module(self, name: str) -> Path:
        """Returns the file of a module of the library."""
        return self.root / "workflow" / "scripts" / "hyperreps" / f"{name}.py"

    def command(self, log: str) -> str:
        """Returns the command line that a job wrote to its log."""
        text = (self.root / "logs" / "smoke" / log).read_text(encoding="utf-8")
        return re.findall(r"^\S+ command: (.*)$", text, flags=re.M)[-1]

    def files(self, folder: str = "results") -> dict[str, str]:
        """Returns the sha256 of all files in a folder, by path."""
        return {
            str(path.relative_to(self.root)): hashlib.sha256(
                path.read_bytes()
            ).hexdigest()
            for path in sorted((self.root / folder).rglob("*"))
            if path.is_file()
        }


def inherited() -> dict[str, str]:
    """Returns the variables of a user who has activated the environment."""
    found = {k: v for k, v in os.environ.items() if k not in UNWANTED}
    return found | {"PATH": f"{Path(sys.executable).parent}:{found['PATH']}"}


def kill(process: subprocess.Popen) -> None:
    """Kills a process and all that it started, with no chance to clean up."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def job_counts(output: str) -> dict[str, int]:
    """Reads the table of jobs that snakemake prints, without the rule `all`."""
    if "Nothing to be done" in output:
        return {}
    table = re.search(
        r"^Job stats:\njob +count\n[- ]+\n(.*?)^total", output, re.M | re.S
    )
    assert table, output
    rows = (line.split() for line in table[1].splitlines())
    return {rule: int(count) for rule, count in rows if rule != "all"}


def edit(path: Path, old: str, new: str) -> None:
    """Replaces a piece of a file."""
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{path.name} has no {old!r} any more; change this test"
    path.write_text(text.replace(old, new), encoding="utf-8")


def arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Reads all datasets and attributes of an HDF5 file, by plain h5py."""
    found: dict[str, np.ndarray] = {}
    with h5py.File(path) as file:

        def read(name: str, item: object) -> None:
            if isinstance(item, h5py.Dataset):
                found[name] = item[()]

        file.visititems(read)
        return found, dict(file.attrs)


def lasting(attributes: dict) -> dict:
    """Returns the attributes that are the same whenever a file is made.

    Digests are of these, of the name, and of the order in which it was written; the
    time that a run took is its own.
    """
    passing = ("name", "checksum", "contents")
    return {
        name: value
        for name, value in attributes.items()
        if name not in passing and not name.startswith("core_seconds")
    }


def assert_same_arrays(path: Path, expected: Path) -> None:
    """Compares two HDF5 files bit for bit: all datasets, and attributes that last."""
    (values, attributes), (wanted, wanted_attributes) = arrays(path), arrays(expected)
    assert lasting(attributes) == lasting(wanted_attributes)
    assert values.keys() == wanted.keys() != set()
    for name, value in values.items():
        np.testing.assert_array_equal(value, wanted[name], err_msg=name)


def with_flags(command: str, flags: dict[str, list[str]]) -> list[str]:
    """Returns a command line with the values of some flags replaced or added."""
    words = shlex.split(command)
    for flag, values in flags.items():
        if flag in words:
            start = words.index(flag)
            end = start + 1
            while end < len(words) and not words[end].startswith("--"):
                end += 1
            del words[start:end]
        words += [flag, *values]
    return words


def assert_same_results(
    project: Project, expected: Project, targets: Iterable[str] = ()
) -> None:
    """Compares all results bit for bit; pictures and documents by their numbers.

    Args:
        project: Where they are.
        expected: The whole run.
        targets: The tables and figures of a run that made these only, and what they
            are made from.
    """
    ours, wanted = (
        {str(path.relative_to(run.results)) for path in run.results.rglob("*.*")}
        for run in (project, expected)
    )
    if targets:
        made = {Path(name).stem for name in ours if name.startswith(RESULT_FOLDERS)}
        assert made == {target.partition("_")[2] for target in targets}
        assert ours <= wanted
    else:
        assert ours == wanted != set()
    for name in sorted(ours):
        paths = project.results / name, expected.results / name
        if name.endswith(".h5"):
            assert_same_arrays(*paths)
        elif name.endswith(".safetensors"):
            assert_same_tensors(*paths)
        elif name.startswith(("hyper_reps/", "generators/", "jumps/")):
            assert_same_curve(*paths)
        elif name.endswith((".csv", ".tex")):
            assert paths[0].read_bytes() == paths[1].read_bytes(), name


def assert_same_curve(path: Path, expected: Path) -> None:
    """Compares two training curves, but for the time that their runs took."""
    ours, wanted = (pd.read_csv(file, dtype=str) for file in (path, expected))
    assert (ours.pop("core_seconds").astype(float) > 0).all()
    del wanted["core_seconds"]
    pd.testing.assert_frame_equal(ours, wanted)


def assert_same_tensors(path: Path, expected: Path) -> None:
    """Compares two safetensors files bit for bit."""
    ours, wanted = load_file(path), load_file(expected)
    assert ours.keys() == wanted.keys() != set()
    for name, value in ours.items():
        assert value.tobytes() == wanted[name].tobytes(), f"{path.name}: {name}"


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Waits until something happens, for as long as a busy machine may need."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)
