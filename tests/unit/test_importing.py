"""Importing a zoo: the log says how good the networks are, and warns at chance."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

import import_zoo
from hyperreps.data.images import read_images
from hyperreps.files.storage import write_arrays
from hyperreps.networks.architectures import Architecture
from hyperreps.networks.initialisation import initial_weights
from hyperreps.settings.stages import Recipe, Zoo
from hyperreps.zoo.population import PopulationTraining

RECIPE = Recipe(
    initialization="kaiming_uniform",
    activation="tanh",
    learning_rate=0.01,
    batch_size=20,
    epochs=4,
)
SEEDS = (1, 2, 3, 4)


def write_images(path: Path) -> None:
    """Images whose class is the height of a bright stripe."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 400), ("val", 50), ("test", 200)):
        labels = rng.permutation(count) % 10
        pixels = rng.integers(0, 60, (count, 1, 28, 28))
        for image, label in zip(pixels, labels, strict=True):
            image[0, 4 + 2 * label : 7 + 2 * label] += 180
        arrays[f"{split}/images"] = pixels.astype(np.uint8)
        arrays[f"{split}/labels"] = labels.astype(np.uint8)
    about = {"kind": "dataset", "dataset": "toy", "mean": [0.2], "std": [0.3]}
    write_arrays(path, arrays, attributes=about)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, np.ndarray]:
    """A folder with images, and networks trained on them: [models, 2, parameters]."""
    from hyperreps.networks.architectures import build

    folder = tmp_path_factory.mktemp("import")
    write_images(folder / "toy.h5")
    network = build("cnn", channels=1)
    training = PopulationTraining(
        initial_weights(network, initialization="kaiming_uniform", seeds=SEEDS),
        network,
        images=read_images(folder / "toy.h5").on(torch.device("cpu")),
        seeds=SEEDS,
        recipe=RECIPE,
        record=(0, 4),
        engine="grouped",
    )
    for _ in range(RECIPE.epochs):
        training.run_epoch()
    return folder, training.recorded


def biases_first(weights: np.ndarray, network: Architecture) -> np.ndarray:
    """The columns of a file that has the bias of each layer before its weight."""
    order = [
        np.arange(part.start, part.stop)
        for item in network.weighted
        for part in (item.bias, item.weight)
    ]
    return weights[..., np.concatenate(order)]


@pytest.mark.parametrize("swapped", [False, True])
def test_networks_at_chance_are_named(trained, cnn, caplog, swapped):
    folder, weights = trained
    columns = biases_first(weights, cnn) if swapped else weights
    np.savez(folder / "nets.npz", weights=columns, epochs=[0, 4], seeds=SEEDS)
    settings = Zoo(
        dataset="toy", models=4, window=(4, 4), recipe=RECIPE, weights="nets.npz"
    )
    with caplog.at_level(logging.INFO):
        import_zoo.main(
            dataset=folder / "toy.h5",
            name="toy",
            settings=settings,
            output=folder / f"zoo_{swapped}.h5",
            data_dir=folder,
        )
    medians = [r.getMessage() for r in caplog.records if "median" in r.getMessage()]
    assert medians[0].startswith("epoch 0: median test accuracy ")
    assert medians[1].startswith("epoch 4: median test accuracy ")
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    # untrained networks are at chance in both
    assert len(warnings) == swapped
    for line in warnings:
        assert str(folder / "nets.npz") in line
        assert "weight row-major, then bias" in line
        assert "\n" not in line
