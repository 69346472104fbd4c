"""The best of several draws, chosen by the script that samples."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import sample
from hyperreps.data.images import read_images
from hyperreps.files.storage import read_arrays, write_arrays
from hyperreps.networks.architectures import build
from hyperreps.networks.initialisation import initial_weights
from hyperreps.running.devices import Machine
from hyperreps.settings.stages import Method, Recipe, Zoo
from hyperreps.zoo.behaviour import predictions
from hyperreps.zoo.zoos import ZooData

from .conftest import make_images

RECIPE = Recipe(
    initialization="kaiming_uniform",
    activation="tanh",
    learning_rate=0.003,
    batch_size=10,
    epochs=1,
)


@pytest.fixture(scope="module")
def zoo() -> ZooData:
    """Untrained networks: their accuracies differ enough to be ranked."""
    network = build("cnn", channels=1)
    weights = initial_weights(
        network, initialization="kaiming_uniform", seeds=range(1, 13)
    )
    return ZooData(
        name="toy",
        weights=weights.numpy()[:, None],
        epochs=np.array([1]),
        accuracy={"val": np.zeros((12, 1)), "test": np.zeros((12, 1))},
        seed=np.arange(1, 13),
        split=np.array(["train"] * 12),
        architecture=network,
        settings=Zoo(dataset="toy", models=12, window=(1, 1), recipe=RECIPE),
    )


@pytest.fixture
def drawn(zoo, tmp_path, monkeypatch):
    """Runs the script on images whose test part is another one for each seed."""
    monkeypatch.setattr(sample, "read_zoo", lambda path: zoo)

    def run(best_of: int, *, samples: int, seed: int = 0):
        images = make_images(counts=(20, 60, 30))
        other = make_images(counts=(20, 60, 30), seed=seed)
        images |= {k: v for k, v in other.items() if k.startswith("test")}
        about = {"kind": "dataset", "dataset": "toy", "mean": [0.4], "std": [0.2]}
        write_arrays(tmp_path / "toy.h5", images, attributes=about)
        options = {"sigma": 0.5, "unit": "pool"}
        sample.main(
            zoo=tmp_path / "zoo.h5",
            dataset=tmp_path / "toy.h5",
            method=Method(
                sampler="noise", samples=samples, best_of=best_of, options=options
            ),
            name="noise",
            output=tmp_path / "out.h5",
            machine=Machine(device="cpu"),
        )
        return read_arrays(tmp_path / "out.h5", kind="samples")

    return run


def test_the_best_tenth_by_validation_images_is_kept(zoo, drawn, tmp_path):
    everything, _ = drawn(1, samples=40)
    kept, about = drawn(10, samples=4)
    val = read_images(tmp_path / "toy.h5").on(torch.device("cpu"))["val"]
    weights = torch.from_numpy(everything["weights"])
    answers = predictions(zoo.architecture, weights, val, activation="tanh")
    accuracy = (answers == val.labels.numpy()).mean(1)
    rows = np.sort(np.argsort(-accuracy, kind="stable")[:4])
    np.testing.assert_array_equal(kept["weights"], everything["weights"][rows])
    np.testing.assert_array_equal(
        kept["source_model"], everything["source_model"][rows]
    )
    np.testing.assert_allclose(kept["accuracy/val"], accuracy[rows], atol=1e-6)
    assert kept["accuracy/val"].min() > everything["accuracy/val"].mean()
    assert json.loads(about["settings"])["best_of"] == 10
    assert about["core_seconds"] > 0


def test_test_images_do_not_choose(drawn):
    one, _ = drawn(10, samples=4)
    other, _ = drawn(10, samples=4, seed=5)
    np.testing.assert_array_equal(one["weights"], other["weights"])
    assert (one["accuracy/test"] != other["accuracy/test"]).any()
