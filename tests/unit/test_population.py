import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hyperreps.architectures import build
from hyperreps.population import (
    ACTIVATIONS,
    PopulationTraining,
    evaluate,
    forward,
    initial_weights,
)
from hyperreps.randomness import batch_order, mix
from hyperreps.settings import Recipe

from .conftest import make_images, on_cpu, plain_model

RECIPE = Recipe(
    initialization="uniform",
    activation="tanh",
    learning_rate=3e-3,
    batch_size=7,
    epochs=2,
)


def train(seeds, *, recipe=RECIPE, channels=1, counts=(60, 30, 30)):
    network = build("cnn", channels=channels)
    start = initial_weights(network, initialization=recipe.initialization, seeds=seeds)
    training = PopulationTraining(
        start,
        network,
        images=on_cpu(make_images(channels, counts), channels),
        seeds=seeds,
        recipe=recipe,
        record=range(recipe.epochs + 1),
    )
    while training.epoch < recipe.epochs:
        training.run_epoch()
    return training


def test_mix_is_splitmix64():
    """Against the published algorithm in Python's unbounded integers."""

    def splitmix64(state: int) -> int:
        mask = 2**64 - 1
        z = (state + 0x9E3779B97F4A7C15) & mask
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    states = [0, 1, 2**31, 2**63 - 1, -1, -(2**63)]
    expected = [splitmix64(s % 2**64) for s in states]
    found = [int(x) % 2**64 for x in mix(torch.tensor(states))]
    assert found == expected
    # first output of the reference implementation for seed 0
    assert found[0] == 0xE220A8397B1DCDAF


def test_batch_order_depends_on_seed_and_epoch_only():
    seeds = torch.tensor([5, 6, 5])
    order = batch_order(seeds, epoch=1, images=100)
    assert (order.sort(1).values == torch.arange(100)).all()
    assert (order[0] == order[2]).all()
    assert (order[0] != order[1]).any()
    assert (batch_order(seeds, epoch=2, images=100)[0] != order[0]).any()
    assert (batch_order(seeds[1:2], epoch=1, images=100)[0] == order[1]).all()


def test_batch_orders_are_uniform():
    """The first image of the order is every image equally often (chi-squared)."""
    order = batch_order(torch.arange(4000), epoch=3, images=10)
    counts = torch.bincount(order[:, 0], minlength=10).double()
    assert ((counts - 400) ** 2 / 400).sum() < 27.9  # 0.1 % quantile, 9 degrees


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("uniform", 0, 1),
        ("uniform_fan_in", 0, 1 / math.sqrt(200)),
        ("kaiming_uniform", -math.sqrt(6 / 200), math.sqrt(6 / 200)),
        ("xavier_uniform", -math.sqrt(6 / 350), math.sqrt(6 / 350)),
    ],
)
def test_initial_weights_have_the_declared_range(cnn, name, low, high):
    drawn = initial_weights(cnn, initialization=name, seeds=range(20))
    conv2 = cnn.weighted[1]  # 6 units, 8 inputs, 25 kernel positions
    weight = drawn[:, conv2.weight]
    assert weight.min() >= low
    assert weight.max() <= high
    assert weight.min() < low + 0.02 * (high - low)
    assert weight.max() > high - 0.02 * (high - low)
    for item in cnn.weighted:
        assert (drawn[:, item.bias] == 0.01).all()


def test_normal_initialization_has_unit_variance(cnn):
    drawn = initial_weights(cnn, initialization="normal", seeds=range(20))
    assert drawn[:, cnn.weighted[1].weight].std() == pytest.approx(1, abs=0.02)


def test_initialization_depends_on_the_models_own_seed(cnn):
    together = initial_weights(cnn, initialization="kaiming_normal", seeds=[3, 4, 5])
    alone = initial_weights(cnn, initialization="kaiming_normal", seeds=[4])
    assert (together[1] == alone[0]).all()
    assert (together[0] != together[1]).any()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_forward_equals_the_plain_model(activation, channels):
    network = build("cnn", channels=channels)
    weights = initial_weights(network, initialization="kaiming_uniform", seeds=range(3))
    images = torch.randn(5, 3, channels, 28, 28)
    own = forward(network, weights, images.flatten(1, 2), activation=activation)
    shared = forward(network, weights, images[:, 0], activation=activation)
    for k, row in enumerate(weights):
        model = plain_model(row, channels=channels, activation=activation)
        torch.testing.assert_close(own[k], model(images[:, k]), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(shared[k], model(images[:, 0]), atol=1e-5, rtol=1e-4)


def loop_oracle(training, seed, row, *, recipe, channels):
    """One model at a time with torch.optim, as anybody would write it."""
    model = plain_model(row, channels=channels, activation=recipe.activation)
    kinds = {
        "adam": torch.optim.Adam,
        "sgd": torch.optim.SGD,
        "rmsprop": torch.optim.RMSprop,
    }
    extra = {} if recipe.optimizer == "adam" else {"momentum": recipe.momentum}
    optimizer = kinds[recipe.optimizer](
        model.parameters(),
        lr=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        **extra,
    )
    train_images = training.images["train"]
    total, correct = 0.0, 0
    for epoch in range(1, recipe.epochs + 1):
        total, correct = 0.0, 0
        order = batch_order(
            torch.tensor([seed]), epoch=epoch, images=len(train_images.labels)
        )[0]
        for index in order.split(recipe.batch_size):
            scores = model(train_images.normalized(index))
            loss = F.cross_entropy(scores, train_images.labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += float(loss.detach()) * len(index)
            correct += int((scores.argmax(1) == train_images.labels[index]).sum())
    vector = nn.utils.parameters_to_vector(model.parameters()).detach()
    count = len(train_images.labels)
    return vector, total / count, correct / count


@pytest.mark.parametrize(
    ("channels", "changes"),
    [
        (1, {}),
        (3, {"activation": "gelu", "weight_decay": 1e-2}),
        (1, {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 1e-2}),
        (1, {"optimizer": "rmsprop", "momentum": 0.5, "learning_rate": 1e-4}),
    ],
)
def test_population_equals_the_per_model_loop(channels, changes):
    """Same weights after more than 50 steps, for every optimiser and a short batch."""
    recipe = RECIPE.model_copy(
        update={"epochs": 3, "initialization": "kaiming_uniform", **changes}
    )
    seeds = [11, 12, 13]
    training = train(seeds, recipe=recipe, channels=channels, counts=(125, 20, 20))
    for k, seed in enumerate(seeds):
        start = torch.from_numpy(training.recorded[k, 0])
        vector, loss, accuracy = loop_oracle(
            training, seed, start, recipe=recipe, channels=channels
        )
        moved = (vector - start).norm()
        assert (training.weights[k] - vector).norm() < 1e-3 * moved
        assert training.loss["train"][k, -1] == pytest.approx(loss, rel=1e-3)
        assert training.accuracy["train"][k, -1] == pytest.approx(accuracy, abs=0.01)


def test_a_model_gets_the_same_bits_alone_and_in_company():
    company = train(range(40))
    alone = train([17])
    half = train(range(10, 23))
    assert (company.recorded[17] == alone.recorded[0]).all()
    assert (company.recorded[10:23] == half.recorded).all()
    for name, values in company.metrics().items():
        np.testing.assert_array_equal(values[10:23], half.metrics()[name])


def test_resumed_training_is_bitwise_equal():
    whole = train(range(18))
    first = train(range(18), recipe=RECIPE.model_copy(update={"epochs": 2}))
    # a fresh object that takes over after epoch 1
    half = PopulationTraining(
        torch.from_numpy(first.recorded[:, 0]),
        first.architecture,
        images=first.images,
        seeds=range(18),
        recipe=RECIPE,
        record=range(3),
    )
    half.run_epoch()
    again = PopulationTraining(
        torch.zeros_like(half.weights),
        first.architecture,
        images=first.images,
        seeds=range(18),
        recipe=RECIPE,
        record=range(3),
    )
    again.load_state_dict(half.state_dict())
    again.run_epoch()
    assert (again.recorded == whole.recorded).all()
    for name, values in whole.metrics().items():
        np.testing.assert_array_equal(values, again.metrics()[name])


def test_evaluation_equals_a_hand_count(cnn):
    weights = initial_weights(cnn, initialization="kaiming_uniform", seeds=range(3))
    images = on_cpu(make_images(counts=(10, 10, 257)))["test"]
    loss, accuracy = evaluate(cnn, weights, images, activation="relu")
    for k, row in enumerate(weights):
        model = plain_model(row, channels=1, activation="relu")
        scores = model(images.normalized(slice(None)))
        right = sum(
            int(s.argmax() == y) for s, y in zip(scores, images.labels, strict=True)
        )
        assert accuracy[k] == pytest.approx(right / 257)
        expected = F.cross_entropy(scores, images.labels)
        assert loss[k] == pytest.approx(float(expected.detach()), rel=1e-5)


def test_only_the_asked_epochs_are_recorded(cnn):
    recipe = RECIPE.model_copy(update={"epochs": 3})
    training = PopulationTraining(
        initial_weights(cnn, initialization="uniform", seeds=[1]),
        cnn,
        images=on_cpu(make_images()),
        seeds=[1],
        recipe=recipe,
        record=[0, 3],
    )
    for _ in range(3):
        training.run_epoch()
    assert training.recorded.shape == (1, 2, cnn.parameters)
    assert (training.recorded[0, 1] == training.weights[0].numpy()).all()
    assert np.isfinite(training.accuracy["test"]).all()


def test_training_does_not_change_the_start(cnn):
    start = initial_weights(cnn, initialization="uniform", seeds=range(16))
    before = start.clone()
    training = PopulationTraining(
        start,
        cnn,
        images=on_cpu(make_images()),
        seeds=range(16),
        recipe=RECIPE,
        record=[0],
    )
    training.run_epoch()
    assert (start == before).all()
