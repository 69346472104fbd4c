"""The stage script prepare_dataset.py, run as a user would."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

import hyperreps

from ..processes import python

SCRIPT = Path(hyperreps.__file__).parents[1] / "prepare_dataset.py"


def prepare_dataset(*flags: str, cwd: Path, **environment: str) -> tuple[int, str]:
    """Runs the script; returns its exit code and what it wrote but its own command."""
    inherited = {k: v for k, v in os.environ.items() if k != "HYPERREPS_DATA"}
    done = python([str(SCRIPT), *flags], cwd=cwd, environment=inherited | environment)
    lines = (done.stderr + done.stdout).splitlines()
    return done.returncode, "\n".join(x for x in lines if " command: " not in x)


def own_images(folder: Path, *, number: int = 12) -> None:
    """Writes colour images of which red, green and blue differ in mean."""
    rng = np.random.default_rng(1)
    images = rng.integers(0, 80, (number + 4, 32, 32, 3), dtype=np.uint8)
    images += np.array([0, 80, 160], dtype=np.uint8)
    labels = np.arange(number + 4) % 10
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / "own.npz",
        x_train=images[:number],
        y_train=labels[:number],
        x_test=images[number:],
        y_test=labels[number:],
    )


NPZ = ("--name", "own", "--settings.source", "npz", "--settings.path", "own.npz")


def test_writes_a_file_that_explains_itself(tmp_path: Path) -> None:
    own_images(tmp_path / "data")
    flags = (*NPZ, "--settings.validation", "5", "--data-dir", "data")
    code, log = prepare_dataset(*flags, "--output", "new/own.h5", cwd=tmp_path)
    assert (code, len(log.splitlines())) == (0, 2), log
    assert re.search(r"done: [\d.]+ s of CPU time$", log)
    assert "7 train, 5 val and 4 test images of 3 channel(s)" in log
    with h5py.File(tmp_path / "new" / "own.h5") as file:
        for part, number in (("train", 7), ("val", 5), ("test", 4)):
            assert file[part]["images"].shape == (number, 3, 28, 28)
            assert file[part]["labels"].shape == (number,)
            assert file[part]["images"].dtype == file[part]["labels"].dtype == np.uint8
        attributes = dict(file.attrs)
        train = file["train/images"][()] / 255
    assert attributes["kind"] == "dataset"
    assert attributes["dataset"] == "own"
    assert attributes["source"] == "npz"
    assert list(json.loads(attributes["sha256"])) == ["own.npz"]
    assert json.loads(attributes["settings"])["validation"] == 5
    for key, expected in (
        ("mean", train.mean((0, 2, 3))),
        ("std", train.std((0, 2, 3))),
    ):
        np.testing.assert_allclose(json.loads(attributes[key]), expected)


def test_the_same_flags_give_the_same_file(tmp_path: Path) -> None:
    flags = "--name digits --settings.source digits --settings.validation 300"
    paths = [tmp_path / name for name in ("a.h5", "b.h5")]
    for path in paths:
        output = ("--output", path.name)
        code, log = prepare_dataset(*flags.split(), *output, cwd=tmp_path)
        assert code == 0, log
    first, second = map(h5py.File, paths)
    with first, second:
        differing = {"name", "checksum", "contents"}
        assert dict(first.attrs).keys() == dict(second.attrs).keys() > differing
        for key in first.attrs.keys() - differing:
            assert first.attrs[key] == second.attrs[key], key
        for part in ("train", "val", "test"):
            for key in ("images", "labels"):
                np.testing.assert_array_equal(first[part][key], second[part][key])
        assert len(first["train/labels"]) == 1100


def test_grayscale_crop_and_given_normalisation(tmp_path: Path) -> None:
    own_images(tmp_path / "elsewhere")
    flags = "--settings.validation 1 --settings.grayscale True --settings.fit crop"
    flags += " --settings.mean 0.5 --settings.std 0.2 --data-dir none --output own.h5"
    # the environment wins over the flag
    code, log = prepare_dataset(
        *NPZ, *flags.split(), cwd=tmp_path, HYPERREPS_DATA="elsewhere"
    )
    assert code == 0, log
    with h5py.File(tmp_path / "own.h5") as file:
        assert file["test/images"].shape == (4, 1, 28, 28)
        assert (file.attrs["mean"], file.attrs["std"]) == ("[0.5]", "[0.2]")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (
            ("--settings.mean", "0.1", "--settings.std", "0.2"),
            "error: datasets.own.mean: 1 values for 3 channel(s)",
        ),
        (
            ("--settings.validation", "12"),
            "error: datasets.own.validation: 12 of 12 training images",
        ),
        (
            ("--settings.path", "other.npz"),
            "data/other.npz: no such file; put it there",
        ),
        (
            ("--settings.source", "mnsit"),
            "error: datasets.own.source: unknown 'mnsit'; sources.py has cifar10",
        ),
    ],
)
def test_bad_input_is_one_line_and_leaves_the_old_file(
    flags: tuple[str, ...], expected: str, tmp_path: Path
) -> None:
    own_images(tmp_path / "data")
    (tmp_path / "own.h5").write_text("valid")
    given = (*NPZ, "--settings.validation", "5", "--output", "own.h5")
    code, log = prepare_dataset(*given, *flags, cwd=tmp_path)
    assert (code, len(log.splitlines())) == (1, 1), log
    assert expected in log
    assert (tmp_path / "own.h5").read_text() == "valid"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "own.h5"]


def test_help_names_the_flags(tmp_path: Path) -> None:
    code, text = prepare_dataset("--help", cwd=tmp_path)
    assert code == 0
    for flag in ("--settings.source", "--name", "--data-dir", "--output"):
        assert flag in text
