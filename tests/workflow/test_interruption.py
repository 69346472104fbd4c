"""Killed at any point, a run goes on and ends as if nothing had happened."""

from __future__ import annotations

import shlex
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest
from safetensors.numpy import load_file

from .project import SMOKE, Project, assert_same_arrays, kill

PATIENCE = 120  # seconds to wait for a log line on a busy machine
DATASET = "results/smoke/datasets/digits.h5"


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


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)


def contains(log: Path, text: str) -> bool:
    return log.exists() and text in log.read_text(encoding="utf-8")


def assert_same_model(path: Path, expected: Path) -> None:
    ours, wanted = load_file(path), load_file(expected)
    assert ours.keys() == wanted.keys() != set()
    for name, value in ours.items():
        assert value.tobytes() == wanted[name].tobytes(), name
    curves = (p.with_suffix(".csv").read_text("utf-8") for p in (path, expected))
    assert next(curves) == next(curves)


def use_fewer_images(path: Path) -> None:
    """Makes epochs short: there have to be many, so that one is always cut off."""
    with h5py.File(path, "r+") as file:
        for part, number in (("train", 128), ("val", 32), ("test", 32)):
            for name in ("images", "labels"):
                kept = file[part][name][:number]
                del file[part][name]
                file[part][name] = kept


@pytest.mark.parametrize(
    ("log", "longer", "suffix", "assert_same"),
    [
        pytest.param(
            "zoos/digits/seeds_1_4.log",
            {"--recipe.epochs": ["30"]},
            ".h5",
            assert_same_arrays,
            id="train_zoo",
        ),
        pytest.param(
            "hyper_reps/digits/normalized_seed1.log",
            {"--settings.epochs": ["40"]},
            ".safetensors",
            assert_same_model,
            id="pretrain",
        ),
        pytest.param(
            "finetuned/digits-digits/S_KDE30.log",
            {"--epochs": ["0", "2", "30"]},
            ".h5",
            assert_same_arrays,
            id="finetune",
        ),
    ],
)
def test_a_killed_training_resumes_and_ends_the_same(
    project: Project,
    log: str,
    longer: dict[str, list[str]],
    suffix: str,
    assert_same: Callable[[Path, Path], None],
) -> None:
    use_fewer_images(project.root / DATASET)
    undisturbed = project.root / "new" / f"undisturbed{suffix}"
    output = project.root / "new" / f"interrupted{suffix}"
    state = output.with_suffix(".state")
    command = project.command(log)
    whole = with_flags(command, {**longer, "--output": [str(undisturbed)]})
    flags = {**longer, "--output": [str(output)], "--save-every": ["0"]}
    again = with_flags(command, flags)
    text = project.root / "interrupted.log"
    with project.started(whole, log=project.root / "undisturbed.log") as other:
        with project.started(again, log=text) as process:
            wait_for(lambda: contains(text, "epoch 3/") and state.exists(), "epoch 3")
            kill(process)
        left = [path.suffix for path in output.parent.glob("interrupted.*")]
        assert left == [".state"]
        assert other.wait() == 0

    done = project.run(again)
    assert done.code == 0, done.output
    assert "resumed after epoch" in done.output
    assert "epoch 2/" not in done.output
    assert not state.exists()
    assert_same(output, undisturbed)


def test_a_killed_snakemake_can_be_run_again(
    project: Project, finished: Project
) -> None:
    for name in ("zoos", "hyper_reps", "samples", "finetuned", "tables", "figures"):
        shutil.rmtree(project.results / name)
    training = project.root / "logs/smoke/zoos/digits/seeds_1_4.log"
    training.unlink()
    command = ["python", "-m", "snakemake", "tables", "--configfile", SMOKE]
    with project.started(command, log=project.root / "killed.log") as process:
        wait_for(lambda: contains(training, "epoch 1/2"), "the zoo's training")
        kill(process)
    assert not (project.results / "zoos" / "digits.h5").exists()

    locked = project.smoke("tables")
    assert locked.code != 0
    assert "--unlock" in locked.output
    assert project.smoke("--unlock").code == 0
    done = project.smoke("tables")
    assert done.code == 0, done.output
    table = "tables/in_distribution.csv"
    expected = (finished.results / table).read_bytes()
    assert (project.results / table).read_bytes() == expected
    assert_same_arrays(
        project.results / "zoos" / "digits.h5", finished.results / "zoos" / "digits.h5"
    )


def test_results_do_not_depend_on_shards_and_cores(
    project: Project, finished: Project
) -> None:
    shutil.rmtree(project.results / "zoos")
    overlay = {"compute": {"shard_size": 3}}
    done = project.smoke("zoos", "--cores", "1", overlay=overlay)
    assert done.code == 0, done.output
    logs = project.root / "logs/smoke/zoos/digits"
    assert (logs / "seeds_7_8.log").exists(), "three shards: 1..3, 4..6, 7..8"
    assert_same_arrays(
        project.results / "zoos" / "digits.h5", finished.results / "zoos" / "digits.h5"
    )
