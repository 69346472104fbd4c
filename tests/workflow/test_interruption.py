"""A killed training goes on where it was; whole runs: tests/faults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hyperreps.files.storage import read_arrays, write_arrays

from .project import (
    Project,
    assert_same_arrays,
    assert_same_curve,
    assert_same_tensors,
    kill,
    wait_for,
    with_flags,
)

DATASET = "results/smoke/datasets/digits.h5"


def contains(log: Path, text: str) -> bool:
    return log.exists() and text in log.read_text(encoding="utf-8")


def assert_same_model(path: Path, expected: Path) -> None:
    assert_same_tensors(path, expected)
    assert_same_curve(path.with_suffix(".csv"), expected.with_suffix(".csv"))


def use_fewer_images(path: Path) -> None:
    """Makes epochs short: there have to be many, so that one is always cut off."""
    arrays, attributes = read_arrays(path, kind="dataset")
    for part, number in (("train", 128), ("val", 32), ("test", 32)):
        for name in (f"{part}/images", f"{part}/labels"):
            arrays[name] = arrays[name][:number]
    write_arrays(path, arrays, attributes=attributes)


@pytest.mark.parametrize(
    ("log", "longer", "suffix", "assert_same"),
    [
        pytest.param(
            "zoos/digits/seeds_1_4.log",
            {"--recipe.epochs": ["30"], "--last-epoch": ["30"]},
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
