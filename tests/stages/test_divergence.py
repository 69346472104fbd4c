"""Networks that diverge, from their training to the stages that leave them out."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from .test_scripts import RECIPE, call

TRAIN = f"train_zoo.py --dataset toy.h5 --architecture cnn {RECIPE} --device cpu"
TRAIN += " --first-seed 1 --models 12 --output shard.h5"
MERGE = "merge_zoo.py --shards shard.h5 --name toy --settings.dataset toy"
MERGE += " --settings.models 12 --settings.window 1 2 --output zoo.h5"


def limited(command: str, prefix: str, limit: float) -> str:
    recipe = RECIPE.replace("--recipe", f"{prefix}recipe")
    plain = command.replace(RECIPE, "")
    return f"{plain} {recipe} {prefix}recipe.weight-limit {limit!r}"


def succeed(command: str, folder: Path) -> str:
    done = call(*command.split(maxsplit=1), folder)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture
def limit(images: Path) -> float:
    """A limit of weights that every third network exceeds in training."""
    succeed(TRAIN, images.parent)
    with h5py.File(images.parent / "shard.h5") as file:
        assert (file["diverged"][()] == -1).all()
        largest = np.sort(abs(file["weights"][()]).max((1, 2)))
    return float(largest[7:9].mean())


def test_diverged_networks_are_frozen_marked_and_left_out(
    images: Path, limit: float
) -> None:
    folder = images.parent
    with h5py.File(folder / "shard.h5") as file:
        free = file["weights"][()]
    succeed(limited(TRAIN, "--", limit), folder)
    with h5py.File(folder / "shard.h5") as file:
        weights, lost = file["weights"][()], file["diverged"][()] >= 0
    assert lost.sum() == 4
    # the others are as if nothing had happened, these within the limit
    np.testing.assert_array_equal(weights[~lost], free[~lost])
    started = abs(weights[:, 0]).max(1) <= limit
    assert (abs(weights[lost & started]).max((1, 2)) <= limit).all()

    assert "4 diverged" in succeed(limited(MERGE, "--settings.", limit), folder)
    rep = "--settings.width 8 --settings.heads 2 --settings.blocks 1"
    rep += " --settings.feedforward 8 --settings.latent 3 --settings.epochs 1"
    pretrain = f"pretrain.py --zoo zoo.h5 {rep} --seed 1 --output ae.safetensors"
    sample = "sample.py --zoo zoo.h5 --dataset toy.h5 --name noise --method.samples 50"
    sample += " --method.sampler noise --method.options sigma 0.01 --output s.h5"
    for command in (pretrain, sample, "align_zoo.py --zoo zoo.h5 --output aligned.h5"):
        log = succeed(command + " --device cpu" * ("align" not in command), folder)
        assert "4 of 12 networks diverged and are left out" in log
    with h5py.File(folder / "s.h5") as file:
        sources = np.unique(file["source_model"][()])
    assert not lost[sources].any()


def test_a_zoo_of_diverged_networks_is_an_error(images: Path, limit: float) -> None:
    folder = images.parent
    succeed(limited(TRAIN, "--", 1e-3), folder)
    command = limited(MERGE, "--settings.", 1e-3)
    done = call(*command.split(maxsplit=1), folder)
    assert done.returncode == 1
    (line,) = (x for x in done.stderr.splitlines() if "error" in x)
    assert "networks of split train have diverged" in line
    assert "lower recipe.learning_rate" in line
    assert "Traceback" not in done.stderr
    assert not (folder / "zoo.h5").exists()


def test_weight_space_has_no_network_above_the_threshold(images: Path) -> None:
    """As latent space, whose hyper-representation has a threshold of its own."""
    folder = images.parent
    succeed(TRAIN, folder)
    succeed(limited(MERGE, "--settings.", 1000.0), folder)
    with h5py.File(folder / "zoo.h5") as file:
        largest = abs(file["weights"][()]).max(2)
        train = file["split"][()] == b"train"
    threshold = float(np.median(largest[train, 1:]))
    sample = "sample.py --zoo zoo.h5 --dataset toy.h5 --name all --method.samples 50"
    sample += f" --method.sampler identity --weight-threshold {threshold!r}"
    succeed(f"{sample} --output s.h5 --device cpu", folder)
    with h5py.File(folder / "s.h5") as file:
        drawn = {*zip(file["source_model"][()], file["source_epoch"][()], strict=True)}
    small = np.argwhere((largest <= threshold) & train[:, None])
    assert drawn == {(model, epoch) for model, epoch in small if epoch >= 1}
