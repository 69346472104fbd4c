import pytest
import torch

from hyperreps.engines.grouped import forward
from hyperreps.networks.architectures import (
    Architecture,
    Convolution,
    Linear,
    Residual,
    build,
)
from hyperreps.networks.initialisation import initial_weights

from .modules import OTHERS, ordinary


@pytest.mark.parametrize(
    ("name", "one", "three"),
    [
        ("cnn", 2464, 2864),
        ("cnn_res_skip", 2562, 2978),
        ("cnn_one_skip", 2464, 2864),
        ("cnn_4conv", 2464, 2864),
        ("cnn_4conv_id_skip", 2464, 2864),
    ],
)
def test_networks_have_the_published_numbers_of_parameters(name, one, three):
    assert build(name, channels=1).parameters == one
    assert build(name, channels=3).parameters == three


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", OTHERS)
def test_networks_compute_what_ordinary_modules_do(name, channels):
    network = build(name, channels=channels)
    weights = initial_weights(network, initialization="kaiming_normal", seeds=range(3))
    images = torch.randn(4, channels, 28, 28)
    scores = forward(network, weights, images, activation="tanh")
    for row, found in zip(weights, scores, strict=True):
        expected = ordinary(row, network, activation="tanh")(images).detach()
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_sums_tie_axes_together():
    """What is added must be permuted alike, and may not change its sign alone."""
    res = {w.name: w for w in build("cnn_res_skip", channels=1).weighted}
    assert res["conv1"].units_axis == res["skip1"].units_axis
    assert res["conv2"].inputs_axis == res["skip2"].inputs_axis
    assert [n for n, w in res.items() if w.sign_symmetric] == ["linear1"]
    skip = {w.name: w for w in build("cnn_4conv_id_skip", channels=1).weighted}
    assert skip["conv4"].units_axis == skip["conv2"].units_axis == "conv2"
    assert [n for n, w in skip.items() if w.sign_symmetric] == ["conv3", "linear1"]
    assert len(build("cnn_4conv", channels=1).symmetric_axes) == 5
    assert len(build("cnn_4conv_id_skip", channels=1).symmetric_axes) == 4


def test_branches_of_different_shape_are_refused():
    broken = Residual((Convolution(4, 3),), (Convolution(4, 1),))
    network = Architecture("broken", 1, (broken, Linear(10)))
    with pytest.raises(ValueError, match=r"end with \(26, 4\) and \(28, 4\)"):
        _ = network.parameters


def test_vector_layout_is_that_of_the_release():
    cnn = build("cnn", channels=1)
    assert [w.start for w in cnn.weighted] == [0, 208, 1414, 1514, 2254]
    lengths = [w.bias.stop - w.start for w in cnn.weighted]
    assert lengths == [208, 1206, 100, 740, 210]
    assert [w.units for w in cnn.weighted] == [8, 6, 4, 20, 10]
    assert [w.block for w in cnn.weighted] == [25, 25, 4, 9, 1]
    assert sum(w.units for w in cnn.weighted) == 48


def test_symmetric_axes_of_the_cnn():
    cnn = build("cnn", channels=1)
    assert cnn.symmetric_axes == {"conv1": 8, "conv2": 6, "conv3": 4, "linear1": 20}
    # max-pooling follows conv1 and conv2, so their units have no sign symmetry
    signed = [w.name for w in cnn.weighted if w.sign_symmetric]
    assert signed == ["conv3", "linear1"]


def test_shapes_are_those_of_pytorch():
    shapes = build("cnn", channels=3).shapes()
    assert shapes["conv1.weight"] == (8, 3, 5, 5)
    assert shapes["linear1.weight"] == (20, 36)
    assert list(shapes)[:2] == ["conv1.weight", "conv1.bias"]
    assert isinstance(build("cnn", channels=1).layers[0], Convolution)


def test_unknown_architecture_is_named():
    with pytest.raises(ValueError, match=r"unknown 'cnn9'; architectures.py has cnn,"):
        build("cnn9", channels=1)
