import contextlib
import copy
from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hyperreps.data.images import Images
from hyperreps.engines import grouped, interface
from hyperreps.engines.grouped import ACTIVATIONS, forward
from hyperreps.engines.interface import (
    FusedEngine,
    choose_engine,
    class_scores,
    evaluate,
)
from hyperreps.networks.architectures import ARCHITECTURES, build
from hyperreps.networks.initialisation import initial_weights
from hyperreps.numbers.randomness import batch_order
from hyperreps.settings.stages import SettingsError
from hyperreps.zoo.population import PopulationTraining

from .conftest import make_images, on_cpu, plain_model
from .fused_oracle import RECIPES, batch, digits, distance, module
from .small_population import ENGINES, RECIPE, train


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
            torch.tensor([seed]), epoch=epoch, count=len(train_images.labels)
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
    ("engine", "channels", "changes"),
    [
        *((engine, 1, {}) for engine in ENGINES),
        *((e, 3, {"activation": "gelu", "weight_decay": 1e-2}) for e in ENGINES),
        ("loop", 1, {"optimizer": "sgd", "learning_rate": 1e-2}),
        ("grouped", 1, {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 1e-2}),
        (
            "grouped",
            1,
            {"optimizer": "rmsprop", "momentum": 0.5, "learning_rate": 1e-4},
        ),
    ],
)
def test_population_equals_the_per_model_loop(engine, channels, changes):
    """Same weights after more than 100 steps, for every optimiser and a short batch."""
    recipe = RECIPE.model_copy(
        update={"epochs": 6, "initialization": "kaiming_uniform", **changes}
    )
    seeds = [11, 12, 13]
    training = train(
        seeds, recipe=recipe, channels=channels, counts=(125, 20, 20), engine=engine
    )
    for k, seed in enumerate(seeds):
        start = torch.from_numpy(training.recorded[k, 0])
        vector, loss, accuracy = loop_oracle(
            training, seed, start, recipe=recipe, channels=channels
        )
        moved = (vector - start).norm()
        assert (training.weights[k] - vector).norm() < 1e-3 * moved
        assert training.loss["train"][k, -1] == pytest.approx(loss, rel=1e-3)
        assert training.accuracy["train"][k, -1] == pytest.approx(accuracy, abs=0.01)


# PyTorch's own 1 - y * y cancels where tanh saturates: loop and grouped drift most
@pytest.mark.parametrize(
    ("engine", "limit"), [("loop", 0.05), ("grouped", 0.05), ("fused", 1e-3)]
)
@pytest.mark.parametrize("zoo", ["mnist", "svhn", "stl10"])
def test_every_layer_goes_the_way_it_goes_in_float64(zoo, engine, limit):
    """60 steps on real images by the recipes in use, untrained networks saturated."""
    data = digits(1)
    arrays = {}
    for split, count in (("train", 600), ("val", 20), ("test", 20)):
        arrays[f"{split}/images"] = data["pixels"][:count]
        arrays[f"{split}/labels"] = data["labels"][:count]
    recipe = RECIPES[zoo].model_copy(update={"epochs": 1})
    network = data["architecture"]
    start = initial_weights(network, initialization=recipe.initialization, seeds=[5])
    training = PopulationTraining(
        start,
        network,
        images=Images.by_split(
            arrays, mean=data["mean"], std=data["std"], device=torch.device("cpu")
        ),
        seeds=[5],
        recipe=recipe,
        record=[],
        engine=engine,
    )
    training.run_epoch()
    model = module(start[0], data, activation=recipe.activation).double()
    optimizer = torch.optim.Adam(
        model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    order = batch_order(torch.tensor([5]), epoch=1, count=600)[0]
    for index in order.split(recipe.batch_size):
        images, labels = batch(data, index)
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
    exact = nn.utils.parameters_to_vector(model.parameters()).detach()
    for item in network.weighted:
        here, there, origin = (
            x[item.whole] for x in (training.weights[0], exact, start[0])
        )
        assert distance(here, there) < limit * distance(there, origin), item.name


@pytest.mark.parametrize("engine", ENGINES)
def test_a_model_gets_the_same_bits_alone_and_in_company(engine):
    company = train(range(40), engine=engine)
    alone = train([17], engine=engine)
    half = train(range(10, 23), engine=engine)
    assert (company.recorded[17] == alone.recorded[0]).all()
    assert (company.recorded[10:23] == half.recorded).all()
    for name, values in company.recorder.metrics().items():
        np.testing.assert_array_equal(values[10:23], half.recorder.metrics()[name])


@pytest.mark.parametrize("engine", ENGINES)
def test_resumed_training_is_bitwise_equal(engine):
    whole = train(range(18), engine=engine)

    def fresh(weights):
        return PopulationTraining(
            weights,
            build("cnn", channels=1),
            images=whole.images,
            seeds=range(18),
            recipe=RECIPE,
            record=range(3),
            engine=engine,
        )

    half = fresh(torch.from_numpy(whole.recorded[:, 0]))
    half.run_epoch()
    again = fresh(torch.zeros_like(half.weights))
    again.load_state_dict(half.state_dict())
    again.run_epoch()
    assert (again.recorded == whole.recorded).all()
    for name, values in whole.recorder.metrics().items():
        np.testing.assert_array_equal(values, again.recorder.metrics()[name])


@pytest.mark.parametrize("engine", ENGINES)
def test_evaluation_equals_a_hand_count(cnn, engine):
    weights = initial_weights(cnn, initialization="kaiming_uniform", seeds=range(3))
    images = on_cpu(make_images(counts=(10, 10, 257)))["test"]
    loss, accuracy = evaluate(cnn, weights, images, activation="relu", engine=engine)
    for k, row in enumerate(weights):
        model = plain_model(row, channels=1, activation="relu")
        scores = model(images.normalized(slice(None)))
        right = sum(
            int(s.argmax() == y) for s, y in zip(scores, images.labels, strict=True)
        )
        assert accuracy[k] == pytest.approx(right / 257)
        expected = F.cross_entropy(scores, images.labels)
        assert loss[k] == pytest.approx(float(expected.detach()), rel=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_class_scores_are_those_of_the_plain_model(cnn, engine):
    weights = initial_weights(cnn, initialization="kaiming_uniform", seeds=range(3))
    images = on_cpu(make_images(counts=(10, 10, 257)))["test"]
    chosen = choose_engine(
        engine, cnn, activation="relu", device=torch.device("cpu"), optimizer="adam"
    )
    scores = chosen.class_scores(weights, images)
    for k, row in enumerate(weights):
        model = plain_model(row, channels=1, activation="relu")
        expected = model(images.normalized(slice(None)))
        torch.testing.assert_close(scores[k], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("few", [0, 1000])
def test_class_scores_of_many_networks_come_in_their_order(cnn, monkeypatch, few):
    """Of 17 in launches of 16, fused or not; the last one is alone."""
    monkeypatch.setattr(interface, "FEW_EVALUATIONS", few)
    weights = initial_weights(cnn, initialization="kaiming_uniform", seeds=range(17))
    images = on_cpu(make_images(counts=(10, 10, 33)))["test"]
    parts = list(class_scores(cnn, weights, images, activation="relu"))
    assert [len(part) for part in parts] == [16, 1]
    x = images.normalized(slice(None))
    expected = forward(cnn, weights, x, activation="relu")
    torch.testing.assert_close(torch.cat(parts), expected, atol=1e-5, rtol=1e-4)


def test_between_evaluations_only_training_is_measured():
    """Each third epoch, 0, 1 and the last, those kept, and where a network ends."""
    recipe = RECIPE.model_copy(update={"epochs": 11})
    ends = np.array([8, 11])
    always = train([3, 4], recipe=recipe, last_epochs=ends, record=[5])
    recipe = recipe.model_copy(update={"evaluate_every": 3})
    seldom = train([3, 4], recipe=recipe, last_epochs=ends, record=[5])
    assert (seldom.weights == always.weights).all()
    known = np.isin(np.arange(12), [0, 1, 3, 5, 6, 8, 9, 11])
    for name, values in seldom.recorder.metrics().items():
        expected = always.recorder.metrics()[name].copy()
        if "train" not in name:
            expected[:, ~known] = np.nan
        np.testing.assert_array_equal(values, expected)


def test_the_log_has_what_was_measured():
    recipe = RECIPE.model_copy(update={"epochs": 4, "evaluate_every": 4})
    training = train([3, 4], recipe=recipe, until=2, record=[])
    assert list(training.run_epoch()) == ["train accuracy"]
    assert list(training.run_epoch())[1:] == ["val accuracy", "test accuracy"]


@pytest.mark.parametrize("engine", ENGINES)
def test_an_epoch_of_two_passes_is_two_epochs(engine):
    two = train([3, 4], recipe=RECIPE.model_copy(update={"epochs": 4}), engine=engine)
    long = train([3, 4], recipe=RECIPE.model_copy(update={"passes": 2}), engine=engine)
    assert (long.recorded == two.recorded[:, ::2]).all()
    halves = two.accuracy["train"][:, 1:].reshape(2, 2, 2).mean(2)
    np.testing.assert_allclose(long.accuracy["train"][:, 1:], halves, rtol=1e-6)


@pytest.mark.parametrize(
    ("engine", "changes"),
    [
        *((engine, {}) for engine in ENGINES),
        ("loop", {"optimizer": "sgd"}),
        ("grouped", {"optimizer": "sgd", "momentum": 0.9}),
        ("grouped", {"optimizer": "rmsprop"}),
    ],
)
def test_models_may_end_before_others(engine, changes):
    """Whoever goes on does so as if all did, also from a state saved on the way."""
    seeds, last = [3, 4, 5, 6], np.array([2, 4, 2, 4])
    recipe = RECIPE.model_copy(update={"epochs": 4, **changes})
    whole = train(seeds, recipe=recipe, engine=engine)
    parts = train(seeds, recipe=recipe, engine=engine, last_epochs=last)
    half = train(seeds, recipe=recipe, engine=engine, last_epochs=last, until=3)
    assert half.models.tolist() == [1, 3]
    resumed = train(seeds, recipe=recipe, engine=engine, last_epochs=last, until=0)
    resumed.load_state_dict(half.state_dict())
    resumed.run_epoch()
    for found in (parts, resumed):
        for row, epochs in enumerate(last + 1):
            for values, wanted in (
                (found.recorded, whole.recorded),
                *(
                    (found.recorder.metrics()[k], whole.recorder.metrics()[k])
                    for k in found.recorder.metrics()
                ),
            ):
                assert (values[row, :epochs] == wanted[row, :epochs]).all()
                assert np.isnan(values[row, epochs:]).all()


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


def test_auto_takes_the_fastest_engine_and_says_why_not(cnn, caplog, monkeypatch):
    on = {"device": torch.device("cpu")}
    for name in ARCHITECTURES:
        network = build(name, channels=1)
        chosen = choose_engine("auto", network, activation="tanh", **on)
        assert isinstance(chosen, FusedEngine)
    monkeypatch.setattr(interface, "_say", interface._say.__wrapped__)
    with caplog.at_level("INFO"):
        chosen = choose_engine("auto", cnn, activation="tanh", optimizer="sgd", **on)
    assert chosen.name == "grouped"
    assert [r.message for r in caplog.records] == [
        "engine: grouped (not fused: the fused engine trains with adam only, not sgd)"
    ]
    with pytest.raises(SettingsError, match=r"engine fused: .* adam only"):
        choose_engine("fused", cnn, activation="tanh", optimizer="sgd", **on)


def test_two_threads_give_the_bits_of_one():
    one = train(range(5), engine="fused")
    torch.set_num_threads(2)
    try:
        two = train(range(5), engine="fused")
    finally:
        torch.set_num_threads(1)
    assert (one.recorded == two.recorded).all()


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop"])
def test_a_step_is_captured_without_changing_anything(monkeypatch, optimizer):
    """The logic around a CUDA graph, with a graph that calls the step again."""
    recipe = RECIPE.model_copy(
        update={"optimizer": optimizer, "momentum": 0.5, "learning_rate": 1e-3}
    )
    expected = train(range(3), recipe=recipe)
    steps = []

    class Graph:
        def replay(self):
            steps[-1]._run()

    @contextlib.contextmanager
    def recorded(_graph):
        # recording runs nothing on a GPU, so what ran here is undone
        step = steps[-1]
        state = step.optimizer.state[step.rows]
        kept = copy.deepcopy((step.rows.detach(), state))
        yield
        with torch.no_grad():
            step.rows.copy_(kept[0])
        for name, value in kept[1].items():
            if torch.is_tensor(value):
                state[name].copy_(value)
        step.loss.zero_()
        step.correct.zero_()

    class Step(grouped._Step):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            if len(self.images.labels) >= self.index.shape[1] > 4:
                steps.append(self)
                self.capture()

    stream = mock.MagicMock()
    monkeypatch.setattr(torch.cuda, "Stream", stream)
    monkeypatch.setattr(torch.cuda, "current_stream", stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", recorded)
    monkeypatch.setattr(grouped, "_Step", Step)
    found = train(range(3), recipe=recipe)
    assert len(steps) == 2  # epochs
    assert (found.recorded == expected.recorded).all()
    np.testing.assert_array_equal(found.loss["train"], expected.loss["train"])


def test_the_same_numbers_of_another_architecture_are_another_training():
    start = torch.zeros(2, build("cnn", channels=1).parameters)
    one, other = (
        PopulationTraining(
            start,
            build(name, channels=1),
            images=on_cpu(make_images(1, (20, 10, 10)), 1),
            seeds=[1, 2],
            recipe=RECIPE,
            record=[0],
        ).inputs()[0]
        for name in ("cnn", "cnn_4conv")
    )
    assert {key for key in one if one[key] != other[key]} == {"architecture"}
