"""The fused engine against PyTorch: gradient, Adam, evaluation, reproducibility.

A kernel compiles once per network and machine; later runs load it.
"""

import numpy as np
import pytest

import make_kernel_reference
from hyperreps.engines.fused import engine as fused
from hyperreps.engines.plan import unsupported
from hyperreps.networks.architectures import (
    CLASSES,
    Activation,
    Architecture,
    Convolution,
    Linear,
    MaxPool,
    Residual,
    build,
)
from hyperreps.networks.initialisation import initial_weights

from .conftest import make_images
from .fused_oracle import (
    RECIPE,
    RECIPES,
    assert_activation,
    assert_layers_agree,
    batch,
    decided,
    digits,
    distance,
    epoch,
    gradient,
    module,
    tails,
)

pytest.importorskip("numba", reason="the fused engine needs numba")

IMAGES = 150
# name and channels
NETWORKS = [
    ("cnn", 1),
    ("cnn", 3),
    ("cnn_res_skip", 1),
    ("cnn_res_skip", 3),
    ("cnn_one_skip", 1),
    ("cnn_4conv", 1),
    ("cnn_4conv_id_skip", 1),
]
OTHERS = [name for name, channels in NETWORKS if channels == 1]
of_networks = pytest.mark.parametrize(("name", "channels"), NETWORKS)
of_names = pytest.mark.parametrize("name", OTHERS)


def arguments(channels: int, name: str = "cnn") -> dict:
    arrays = make_images(channels, (IMAGES, 1, 1))
    return {
        "architecture": build(name, channels=channels),
        "pixels": arrays["train/images"],
        "labels": arrays["train/labels"],
        "mean": [0.4, 0.3, 0.5][:channels],
        "std": [0.2, 0.25, 0.3][:channels],
        "threads": 1,
    }


def start(
    models: int, data: dict, *, initialization: str = RECIPE.initialization
) -> np.ndarray:
    return initial_weights(
        data["architecture"], initialization=initialization, seeds=range(models)
    ).numpy()


def orders(models: int, *, images: int = IMAGES, among: int = IMAGES) -> np.ndarray:
    rows = [np.random.default_rng(k).permutation(among)[:images] for k in range(models)]
    return np.stack(rows).astype(np.int32)


def train(weights, order, data, *, recipe=RECIPE, state=None, step=0):
    """Returns weights, moments, loss and correct answers after an epoch."""
    state = state or (np.zeros_like(weights), np.zeros_like(weights))
    rows = [x.copy() for x in (weights, *state)]
    result = fused.train_epoch(*rows, step, recipe=recipe, order=order, **data)
    return (*rows, *result)


def assert_gradient(data, *, activation, size):
    """Adam's first moment after one step from zero is a tenth of the gradient."""
    weights = start(1, data)
    order = orders(1, images=size)
    changes = {"activation": activation, "batch_size": size, "weight_decay": 0.0}
    recipe = RECIPE.model_copy(update=changes)
    _, moment, _, loss, correct = train(weights, order, data, recipe=recipe)
    expected = gradient(weights[0], data, order[0], activation=activation)
    assert distance(moment[0] / 0.1, expected[2]) < 1e-5 * expected[2].norm()
    # a score of tens is right to a millionth
    assert loss[0] == pytest.approx(expected[0], rel=1e-5, abs=1e-5 * size)
    assert correct[0] == expected[1]


@pytest.mark.parametrize("size", [1, 4, 10, 16, 37, 128])
@pytest.mark.parametrize("activation", fused.ACTIVATIONS)
@of_networks
def test_gradient_equals_autograd_in_float64(name, channels, activation, size):
    assert_gradient(arguments(channels, name), activation=activation, size=size)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@of_networks
def test_every_layer_has_its_gradient_on_real_images(name, channels, recipe):
    """Untrained, after one epoch and after ten, by the recipe that is used.

    Where units saturate slopes are tiny, and Adam takes full steps by them.
    """
    data = digits(channels, name) | {"threads": 1}
    count = len(data["labels"])
    weights = start(1, data, initialization=recipe.initialization)
    changes = {"batch_size": 100, "weight_decay": 0.0}
    whole = recipe.model_copy(update=changes)
    state, step = None, 0
    for epochs in (0, 1, 9):
        for _ in range(epochs):
            order = orders(1, images=count, among=count)
            weights, *state, _, _ = train(
                weights, order, data, recipe=recipe, state=state, step=step
            )
            step += -(-count // recipe.batch_size)
        index = np.arange(100, dtype=np.int32)
        index = decided(weights[0], data, index, activation=recipe.activation)
        _, moment, *_ = train(weights, index[None], data, recipe=whole)
        assert_layers_agree(
            moment[0] / 0.1, weights[0], data, index, activation=recipe.activation
        )


@pytest.mark.parametrize("activation", fused.ACTIVATIONS)
def test_values_and_slopes_are_right_far_into_both_tails(activation):
    x = tails()
    values, slopes = x.copy(), np.empty_like(x)
    kernel = fused.load_kernel(build("cnn", channels=1))
    code = fused.ACTIVATIONS.index(activation)
    kernel.activate(code, values, slopes, np.int64(0), np.int64(len(x)))
    assert_activation(activation, x, values, slopes)


def test_a_confident_network_has_its_gradient():
    """Its wanted class's probability minus one is the sum of the others, not 1e-7."""
    data = digits(1) | {"threads": 1}
    count = len(data["labels"])
    recipe = RECIPE.model_copy(update={"batch_size": 10, "weight_decay": 0.0})
    weights, state, order = start(1, data), None, np.arange(count, dtype=np.int32)
    for epoch_ in range(50):
        step = epoch_ * count // 10
        weights, *state, _, _ = train(
            weights, order[None], data, recipe=recipe, state=state, step=step
        )
    _, moment, *_ = train(weights, order[None, :10], data, recipe=recipe)
    loss, _, expected = gradient(weights[0], data, order[:10], activation="tanh")
    assert loss < 1e-2
    assert distance(moment[0] / 0.1, expected) < 1e-5 * expected.norm()


@pytest.mark.parametrize("name", ["cnn", "cnn_res_skip", "cnn_4conv_id_skip"])
def test_vectors_of_eight_lanes_give_the_same(name, monkeypatch):
    """As on a CPU without AVX-512."""
    load = fused.load_kernel
    monkeypatch.setattr(fused, "load_kernel", lambda x: load(x, lanes=8))
    assert_gradient(arguments(1, name), activation="tanh", size=10)


@of_networks
@pytest.mark.parametrize(
    ("activation", "decay"), [("tanh", 0.0), ("gelu", 1e-2), ("leaky_relu", 1e-2)]
)
def test_fifty_steps_equal_torch_adam(name, channels, activation, decay):
    data = arguments(channels, name)
    changes = {"activation": activation, "weight_decay": decay, "batch_size": 3}
    recipe = RECIPE.model_copy(update=changes)
    weights, order = start(1, data), orders(1)
    after, first, second, loss, _ = train(weights, order, data, recipe=recipe)
    expected, *moments, total = epoch(weights[0], data, order[0], recipe=recipe)
    assert distance(after[0], expected) < 1e-3 * distance(expected, weights[0])
    assert loss[0] == pytest.approx(total, rel=1e-4)
    for own, theirs in zip((first, second), moments, strict=True):
        assert distance(own[0], theirs) < 1e-3 * theirs.norm()


@of_networks
@pytest.mark.parametrize("activation", fused.ACTIVATIONS)
def test_evaluation_equals_torch(name, channels, activation):
    data = arguments(channels, name)
    weights = start(3, data)
    scores = np.full((3, IMAGES, CLASSES), np.nan, np.float32)
    loss, correct = fused.evaluate(
        weights, activation=activation, scores=scores, **data
    )
    every = np.arange(IMAGES)
    for k, row in enumerate(weights):
        expected = gradient(row, data, every, activation=activation)
        assert loss[k] == pytest.approx(expected[0], rel=1e-5)
        assert correct[k] == expected[1]
        model = module(row, data, activation=activation).double()
        exact = model(batch(data, every)[0]).detach().numpy()
        np.testing.assert_allclose(scores[k], exact, atol=1e-5 * np.abs(exact).max())


def test_ties_count_as_in_torch():
    """A dead network answers with the first class."""
    data = arguments(1)
    weights = np.zeros_like(start(1, data))
    loss, correct = fused.evaluate(weights, activation="relu", **data)
    assert correct[0] == (data["labels"] == 0).sum()
    assert loss[0] == pytest.approx(IMAGES * np.log(10))


@of_names
def test_same_bits_alone_in_company_and_with_two_threads(name):
    data = arguments(1, name)
    weights, order = start(17, data), orders(17)
    company = train(weights, order, data)
    threads = train(weights, order, data | {"threads": 2})
    for k in (0, 7, 16):
        alone = train(weights[k : k + 1], order[k : k + 1], data)
        for together, threaded, single in zip(company, threads, alone, strict=True):
            np.testing.assert_array_equal(together[k], single[0])
            np.testing.assert_array_equal(threaded[k], single[0])
    judged = fused.evaluate(weights, activation="tanh", **data)
    again = fused.evaluate(weights[7:8], activation="tanh", **data | {"threads": 2})
    assert (judged[0][7], judged[1][7]) == (again[0][0], again[1][0])


@of_names
def test_stopped_and_resumed_training_has_the_same_bits(name):
    """An epoch in one piece, or stopped after 70 images; the last batch is short."""
    data = arguments(1, name)
    weights, order = start(2, data), orders(2)
    whole = train(weights, order, data)
    *half, loss, correct = train(weights, order[:, :70], data)
    rest = train(half[0], order[:, 70:], data, state=tuple(half[1:]), step=10)
    for one, other in zip(whole[:3], rest[:3], strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(loss + rest[3], whole[3], rtol=1e-12)
    np.testing.assert_array_equal(correct + rest[4], whole[4])


@of_names
def test_stale_samples_of_a_chunk_do_not_matter(name):
    """A short batch after a full one is the same as from a fresh state."""
    data = arguments(1, name)
    recipe = RECIPE.model_copy(update={"batch_size": 16})
    weights, order = start(1, data), orders(1, images=19)
    whole = train(weights, order, data, recipe=recipe)
    *half, _, _ = train(weights, order[:, :16], data, recipe=recipe)
    state = tuple(half[1:])
    rest = train(half[0], order[:, 16:], data, recipe=recipe, state=state, step=1)
    np.testing.assert_array_equal(whole[0], rest[0])


def test_the_reason_is_given_where_the_engine_does_not_fit(monkeypatch):
    network = build("cnn", channels=1)
    assert fused.unsupported_here(network, "tanh", "adam") is None
    assert "adam only" in fused.unsupported_here(network, "tanh", "sgd")
    monkeypatch.setattr(fused.importlib.util, "find_spec", lambda name: None)
    assert "numba" in fused.unsupported_here(network, "tanh", "adam")


STAGE = build("cnn", channels=1).layers[:3]
HEAD = (Linear(10),)
POOLED = (MaxPool(5, 2), Convolution(8, 1))


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        ((Convolution(16, 5), *STAGE[1:], *HEAD), "8 channels"),
        ((Convolution(8, 9), *STAGE[1:], *HEAD), "8 x 8"),
        ((Convolution(8, 5), Activation(), *HEAD), "begins with conv-pool"),
        ((*STAGE, Linear(9)), "10 classes"),
        ((*STAGE, Convolution(10, 3), *HEAD, Activation(), Activation()), "once"),
        ((Residual((*STAGE, Convolution(8, 1)), POOLED), *HEAD), "around the first"),
        (
            (Residual(STAGE, (*POOLED, Convolution(8, 1))), *HEAD),
            "around the first",
        ),
        ((*STAGE, Residual((), ()), *HEAD), "layer in the body"),
        ((*STAGE, Residual((Activation(),), ()), *HEAD), "once"),
        (
            (
                *STAGE,
                Residual((*STAGE, Convolution(8, 1)), (Convolution(8, 1), MaxPool(3))),
                *HEAD,
            ),
            "around the second",
        ),
    ],
)
def test_a_network_that_no_kernel_is_written_for_is_told_why(layers, reason):
    assert reason in unsupported(Architecture("other", 1, layers))


def test_bad_input_is_refused():
    data = arguments(1)
    weights, order = start(1, data), orders(1)
    with pytest.raises(ValueError, match=r"the images are\s+0\.\.149"):
        train(weights, order + 1, data)
    with pytest.raises(ValueError, match="expected"):
        fused.evaluate(
            weights, activation="tanh", **data | {"pixels": data["pixels"][:, :, :9]}
        )
    with pytest.raises(ValueError, match="expected int32"):
        train(weights, order.astype(np.int64), data)


def test_the_kernel_shown_in_the_docs_is_the_one_that_is_written():
    shown = make_kernel_reference.REFERENCE.read_text(encoding="utf-8")
    assert shown == make_kernel_reference.reference(), (
        "run workflow/scripts/make_kernel_reference.py"
    )
