import numpy as np
import pytest
import torch

from hyperreps.engines.grouped import TorchEngine
from hyperreps.networks.architectures import build
from hyperreps.networks.initialisation import initial_weights
from hyperreps.zoo.population import PopulationTraining

from .conftest import make_images, on_cpu
from .small_population import ENGINES, RECIPE, train


@pytest.mark.parametrize("engine", ENGINES)
def test_a_diverged_model_is_frozen_and_the_others_train_on(engine):
    """Model 2 starts beyond the limit, model 5 with NaN; the others are as alone."""
    network = build("cnn", channels=1)
    start = initial_weights(network, initialization="uniform", seeds=range(7))
    start[2, 10] = 2e3
    start[5, 2000] = torch.nan
    training = PopulationTraining(
        start,
        network,
        images=on_cpu(make_images()),
        seeds=range(7),
        recipe=RECIPE,
        record=range(3),
        engine=engine,
    )
    training.run_epoch()
    summary = training.run_epoch()
    assert training.diverged.tolist() == [-1, -1, 0, -1, -1, 0, -1]
    assert summary["diverged"] == 2
    np.testing.assert_array_equal(training.weights[[2, 5]], start[[2, 5]])
    np.testing.assert_array_equal(
        training.accuracy["train"][5, 0], training.accuracy["train"][5, 2]
    )
    healthy = train(range(7), engine=engine)
    keep = [0, 1, 3, 4, 6]
    assert (training.recorded[keep] == healthy.recorded[keep]).all()


def test_a_model_that_diverges_in_training_keeps_its_last_good_weights():
    largest = np.abs(train(range(30)).recorded).max(2)
    limit = float(np.median(largest[:, 2]))
    recipe = RECIPE.model_copy(update={"weight_limit": limit})
    training = train(range(30), recipe=recipe)
    expected = np.where((largest > limit).any(1), (largest > limit).argmax(1), -1)
    np.testing.assert_array_equal(training.diverged, expected)
    assert 0 < (training.diverged > 0).sum() < 30
    for row, epoch in zip(training.recorded, training.diverged, strict=True):
        if epoch > 0:
            np.testing.assert_array_equal(row[epoch - 1], row[-1])


def test_where_all_models_diverged_nothing_is_trained_any_more(monkeypatch):
    recipe = RECIPE.model_copy(update={"weight_limit": 0.5})
    monkeypatch.setattr(TorchEngine, "train_epoch", lambda *_, **__: 1 / 0)
    training = train(range(2), recipe=recipe)
    assert training.diverged.tolist() == [0, 0]
    assert (training.recorded == training.recorded[:, :1]).all()
    for values in training.recorder.metrics().values():
        assert (values == values[:, :1]).all()
    recipe = recipe.model_copy(update={"epochs": 4, "evaluate_every": 3})
    metrics = train(range(2), recipe=recipe, record=[]).recorder.metrics()
    assert np.isfinite(metrics["accuracy/train"]).all()
    assert np.isnan(metrics["accuracy/test"]).all(0).nonzero()[0].tolist() == [2]
