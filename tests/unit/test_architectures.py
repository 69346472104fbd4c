import functools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hyperreps.engines.grouped import forward
from hyperreps.networks.architectures import (
    Architecture,
    Convolution,
    Linear,
    Residual,
    build,
)
from hyperreps.networks.initialisation import initial_weights


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


class ResCnn(nn.Module):
    """The cnn with pooled 1 x 1 shortcuts, written as an ordinary module."""

    def __init__(self, channels):
        super().__init__()
        self.conv1, self.skip1 = nn.Conv2d(channels, 8, 5), nn.Conv2d(channels, 8, 1)
        self.conv2, self.skip2 = nn.Conv2d(8, 6, 5), nn.Conv2d(8, 6, 1)
        self.conv3, self.skip3 = nn.Conv2d(6, 4, 2), nn.Conv2d(6, 4, 1)
        self.linear1, self.linear2 = nn.Linear(36, 20), nn.Linear(20, 10)

    def forward(self, x):
        x = F.max_pool2d(self.conv1(x), 2).tanh() + self.skip1(F.max_pool2d(x, 5, 2))
        x = F.max_pool2d(self.conv2(x), 2).tanh() + self.skip2(F.max_pool2d(x, 5, 2))
        x = self.conv3(x).tanh() + self.skip3(F.max_pool2d(x, 2, 1))
        return self.linear2(self.linear1(x.flatten(1)).tanh())


class OneSkip(nn.Module):
    """Three convolutions and one strided 1 x 1 shortcut."""

    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 8, 5, bias=False)
        self.conv2 = nn.Conv2d(8, 6, 5)
        self.conv3 = nn.Conv2d(6, 4, 2, bias=False)
        self.skip1 = nn.Conv2d(8, 4, 1, stride=4, bias=False)
        self.linear1 = nn.Linear(36, 20, bias=False)
        self.linear2 = nn.Linear(20, 10)

    def forward(self, x):
        x = F.max_pool2d(self.conv1(x), 2).tanh()
        y = self.conv3(F.max_pool2d(self.conv2(x), 2).tanh()).tanh()
        x = y + self.skip1(x)
        return self.linear2(self.linear1(x.flatten(1)).tanh())


class FourConvolutions(nn.Module):
    """Four convolutions, with or without an identity shortcut."""

    def __init__(self, channels, *, skip):
        super().__init__()
        self.skip = skip
        self.conv1 = nn.Conv2d(channels, 8, 5)
        self.conv2 = nn.Conv2d(8, 4, 5, bias=False)
        self.conv3 = nn.Conv2d(4, 6, 4, bias=False)
        self.conv4 = nn.Conv2d(6, 4, 3, bias=False)
        self.linear1, self.linear2 = nn.Linear(36, 18), nn.Linear(18, 10)

    def forward(self, x):
        x = self.conv2(F.max_pool2d(self.conv1(x), 2).tanh()).tanh()
        y = self.conv4(self.conv3(x).tanh()).tanh()
        x = y + x[:, :, 1:-1:2, 1:-1:2] if self.skip else y
        return self.linear2(self.linear1(x.flatten(1)).tanh())


ORACLES = {
    "cnn_res_skip": ResCnn,
    "cnn_one_skip": OneSkip,
    "cnn_4conv": functools.partial(FourConvolutions, skip=False),
    "cnn_4conv_id_skip": functools.partial(FourConvolutions, skip=True),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ORACLES)
def test_networks_compute_what_ordinary_modules_do(name, channels):
    network, oracle = build(name, channels=channels), ORACLES[name](channels)
    weights = initial_weights(network, initialization="kaiming_normal", seeds=range(3))
    images = torch.randn(4, channels, 28, 28)
    scores = forward(network, weights, images, activation="tanh")
    modules = dict(oracle.named_parameters())
    for row, found in zip(weights, scores, strict=True):
        start = 0
        for key, shape in network.shapes().items():
            size = math.prod(shape)
            modules[key].data = row[start : start + size].view(shape)
            start += size
        assert start == len(row)
        expected = oracle(images).detach()
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
    with pytest.raises(ValueError, match=r"unknown architecture 'cnn9'.*cnn"):
        build("cnn9", channels=1)
