"""Damaged, swapped and foreign files at every stage's input are named, never used.

Each stage of the finished smoke run is run again by the command in its log, with one
input at a time damaged, and from a damaged state of an interrupted training.
"""

from __future__ import annotations

import os
import re
import runpy
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from hyperreps.files.resuming import EXIT_UNFINISHED
from hyperreps.sampling import jump_training

from ..workflow.project import RESULTS, Project, arrays, lasting, with_flags

FORMATS = (".h5", ".safetensors")


class Stage(NamedTuple):
    """A job of the smoke run.

    Attributes:
        name: Of its script, with the figure or table it makes.
        words: Its command line, without python.
        inputs: Files it reads, relative to the project.
        output: File it writes.
    """

    name: str
    words: list[str]
    inputs: list[str]
    output: str


def run_stage(
    stage: Stage, root: Path, monkeypatch: pytest.MonkeyPatch, *more: str
) -> object:
    """Runs a script in this process, which has its libraries loaded already.

    Returns:
        What the process would end with: None, a code, or the line of an error.
    """
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "argv", [*stage.words, *more])
    try:
        runpy.run_path(stage.words[0], run_name="__main__")
    except SystemExit as ended:
        return ended.code
    return None


def stages(project: Project) -> Iterator[Stage]:
    """Yields one job per script and thing that is made, from the logs."""
    seen = set()
    for log in sorted((project.root / "logs/smoke").rglob("*.log")):
        found = re.findall(r"^\S+ command: \S+ (.*)$", log.read_text(), flags=re.M)
        if not found:
            continue
        words = shlex.split(found[-1])
        kind = [w for f, w in pairwise(words) if f in ("--table", "--figure")]
        name = " ".join([Path(words[0]).stem, *kind])
        output = words[words.index("--output") + 1]
        inputs = [w for w in words if Path(w).suffix in FORMATS and w != output]
        if inputs and name not in seen:
            seen.add(name)
            yield Stage(name, words, inputs, output)


def content(path: Path) -> object:
    """Returns all that a zoo or a model holds."""
    if path.suffix == ".h5":
        values, attributes = arrays(path)
        return {k: v.tobytes() for k, v in values.items()}, lasting(attributes)
    return {name: x.tobytes() for name, x in load_file(path).items()}


def truncate(path: Path, *_: object) -> None:
    os.truncate(path, path.stat().st_size * 2 // 3)


def flip(path: Path, _: Path, rng: np.random.Generator) -> None:
    damaged = bytearray(path.read_bytes())
    damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
    path.write_bytes(damaged)


def swap(path: Path, other: Path, _: np.random.Generator) -> None:
    shutil.copyfile(other, path)


def foreign(path: Path, *_: object) -> None:
    path.unlink()
    if path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["weights"] = np.zeros((3, 2, 5))
    else:
        save_file({"weight": np.zeros(3)}, path)


def other_format(path: Path, *_: object) -> None:
    path.write_text("seed,accuracy\n1,0.5\n")


def remove(path: Path, *_: object) -> None:
    path.unlink()


DAMAGES: tuple[Callable[..., None], ...] = (
    *(truncate, swap, foreign, other_format, remove),
    *(flip, flip, flip),
)


@pytest.fixture(scope="module")
def damaged_project(
    finished: Project, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    """The finished run with the shards of a zoo, which are temporary."""
    project = finished.copy(tmp_path_factory.mktemp("damaged") / "project")
    shards = (f"{RESULTS}/zoos/digits/seeds_{part}.h5" for part in ("1_4", "5_8"))
    done = project.smoke(*shards, "--notemp")
    assert done.code == 0, done.output
    yield project
    shutil.rmtree(project.root)


def a_file_like(path: Path, root: Path) -> Path:
    """Returns another result of the same format, of the same kind if there is one."""
    kind = path.relative_to(root / RESULTS).parts[0]
    others = [p for p in (root / RESULTS).rglob(f"*{path.suffix}") if p != path]
    return min(
        others, key=lambda p: (p.relative_to(root / RESULTS).parts[0] != kind, p)
    )


def test_damaged_inputs_are_named(
    damaged_project: Project, monkeypatch: pytest.MonkeyPatch, tried: Counter[str]
) -> None:
    root = damaged_project.root
    rng = np.random.default_rng(0)
    rerun = list(stages(damaged_project))
    for stage in rerun:
        for name in dict.fromkeys(stage.inputs):
            path = root / name
            saved = path.read_bytes()
            other = a_file_like(path, root)
            for damage in DAMAGES:
                damage(path, other, rng)
                line = run_stage(stage, root, monkeypatch)
                where = f"{stage.name}, {name}, {damage.__name__}: {line}"
                assert isinstance(line, str), where
                assert line.startswith("error: "), where
                assert name in line, where
                assert "\n" not in line, where
                tried[f"inputs of stages: {damage.__name__}, refused"] += 1
                path.write_bytes(saved)
    assert {Path(stage.words[0]).stem for stage in rerun} == {
        *("train_zoo", "merge_zoo", "align_zoo", "pretrain", "train_gan", "train_jump"),
        *(
            "sample",
            "finetune",
            "audit_references",
            "audit",
            "make_table",
            "make_figure",
        ),
    }


# flags that make a training long enough to be interrupted, and another of its kind
TRAININGS = {
    "train_zoo": ({"--recipe.epochs": ["3"]}, {"--first-seed": ["100"]}),
    "pretrain": ({}, {"--seed": ["100"]}),
    "train_gan": ({"--settings.epochs": ["2"]}, {"--seed": ["100"]}),
    "train_jump": ({"--settings.epochs": ["2"]}, {"--seed": ["100"]}),
    "finetune": ({"--epochs": ["0", "1", "2"]}, {"--seed": ["100"]}),
}


@pytest.mark.parametrize("script", TRAININGS)
def test_damaged_states_are_not_used(
    damaged_project: Project,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    tried: Counter[str],
) -> None:
    # a state is whole or damaged after few steps as after many
    monkeypatch.setattr(jump_training, "STEPS_PER_EPOCH", 10)
    root = damaged_project.root
    rng = np.random.default_rng(0)
    longer, other = TRAININGS[script]
    stage = next(s for s in stages(damaged_project) if s.name == script)
    stage = stage._replace(words=with_flags(shlex.join(stage.words), longer))
    swapped = stage._replace(words=with_flags(shlex.join(stage.words), other))
    output = root / stage.output
    state = output.with_suffix(".state")
    budget = ("--minutes", "0")
    assert run_stage(stage, root, monkeypatch) is None
    good = content(output)
    assert run_stage(swapped, root, monkeypatch, *budget) == EXIT_UNFINISHED
    others = state.rename(state.with_suffix(".other"))
    for damage in (truncate, flip, flip, swap, other_format):
        assert run_stage(stage, root, monkeypatch, *budget) == EXIT_UNFINISHED
        damage(state, others, rng)
        assert run_stage(stage, root, monkeypatch) is None
        assert content(output) == good, damage.__name__
        assert not state.exists()
        tried["states: damaged, not used"] += 1
