import math
from functools import partial

import numpy as np
import pytest
import torch

from hyperreps.engines.grouped import TorchEngine
from hyperreps.networks.architectures import build
from hyperreps.networks.initialisation import initial_weights
from hyperreps.settings.stages import SettingsError
from hyperreps.zoo import launches, population
from hyperreps.zoo.launches import training_seconds

from .conftest import make_images, on_cpu
from .small_population import RECIPE, train


def test_a_launch_that_runs_out_of_memory_is_halved(monkeypatch, caplog):
    whole = train(range(11))
    step, evaluation = TorchEngine.train_epoch, TorchEngine.evaluate

    def scarce(function):
        def limited(self, rows, *args, **kwargs):
            if len(rows) > 4:
                raise torch.OutOfMemoryError
            return function(self, rows, *args, **kwargs)

        return limited

    monkeypatch.setattr(TorchEngine, "train_epoch", scarce(step))
    monkeypatch.setattr(TorchEngine, "evaluate", scarce(evaluation))
    with caplog.at_level("INFO"):
        parts = train(range(11))
    assert [len(launch.rows) for launch in parts.launches.parts] == [3, 3, 3, 2]
    assert "out of memory; training 3 models at a time" in caplog.text
    # without AVX-512, PyTorch rounds a convolution by how many share a launch
    close = partial(np.testing.assert_allclose, rtol=0, atol=1e-6)
    close(parts.recorded, whole.recorded)
    close(parts.loss["train"], whole.loss["train"])


def test_the_cost_of_a_network_is_that_of_all_its_images(monkeypatch):
    images = on_cpu(make_images(counts=(60, 30, 30)))["train"]
    network = build("cnn", channels=1)
    weights = initial_weights(network, initialization="uniform", seeds=range(3))
    # the first pass takes a second, the second one four
    clock = iter([0.0, 1.0, 1.0, 5.0])
    monkeypatch.setattr(launches.time, "process_time", lambda: next(clock))
    before = weights.clone()
    monkeypatch.setattr(launches, "TIMED_NETWORKS", 2)
    monkeypatch.setattr(launches, "TIMED_IMAGES", 20)
    found = training_seconds(weights, network, images, recipe=RECIPE, engine="loop")
    assert found == pytest.approx(4 * 60 / 20 / 2)
    assert (weights == before).all()


def test_what_an_epoch_takes_is_the_mean_over_networks_and_epochs(monkeypatch):
    assert math.isnan(train([1, 2], until=0).core_seconds)
    # six seconds of the first epoch and two of the second, of two networks
    clock = iter([0.0, 6.0, 10.0, 12.0])
    monkeypatch.setattr(population.time, "process_time", lambda: next(clock))
    assert train([1, 2], until=2).core_seconds == 2


def test_not_even_one_model_fits(monkeypatch):
    def fail(*_args, **_kwargs):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(TorchEngine, "train_epoch", fail)
    with pytest.raises(SettingsError, match="out of memory with one model; lower"):
        train(range(3))


def test_memory_of_a_model_counts_its_feature_maps(cnn):
    sizes = [4608, 1152, 1152, 384, 96, 96, 36, 36, 20, 20, 10]
    assert cnn.feature_sizes == sizes
    expected = 4 * (5 * 2464 + 3 * 128 * sum(sizes))
    assert TorchEngine(cnn, "tanh").bytes_per_model(128) == expected
