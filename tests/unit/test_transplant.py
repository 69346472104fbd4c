import pytest
import torch

from hyperreps.engines.grouped import forward
from hyperreps.networks.architectures import build
from hyperreps.networks.initialisation import initial_weights
from hyperreps.networks.transplant import transplant
from hyperreps.settings.stages import SettingsError


def networks(name, *, seeds=range(2), initialization="normal"):
    network = build(name, channels=1)
    return network, initial_weights(network, initialization=initialization, seeds=seeds)


def test_the_layers_of_the_cnn_arrive_in_the_one_with_shortcuts():
    """With shortcuts of zero the network computes what the cnn does."""
    cnn, weights = networks("cnn")
    target, start = networks("cnn_res_skip", seeds=range(10, 12))
    result = transplant(weights, cnn, target, how="layers", start=start)
    for item in target.weighted:
        if item.shortcut:
            assert (result[:, item.whole] == start[:, item.whole]).all()
            result[:, item.whole] = 0
    images = torch.randn(3, 1, 28, 28)
    torch.testing.assert_close(
        forward(target, result, images, activation="tanh"),
        forward(cnn, weights, images, activation="tanh"),
    )


def test_layers_of_other_sizes_take_what_fits():
    cnn, weights = networks("cnn")
    target, start = networks("cnn_4conv", seeds=range(10, 12))
    result = transplant(weights, cnn, target, how="layers", start=start)
    shapes, own = target.shapes(), cnn.shapes()
    pieces = {}
    for name, vector, layout in (
        ("result", result, shapes),
        ("start", start, shapes),
        ("cnn", weights, own),
    ):
        parts = vector.split([torch.Size(s).numel() for s in layout.values()], dim=1)
        pieces[name] = {
            key: part.unflatten(1, shape)
            for (key, shape), part in zip(layout.items(), parts, strict=True)
        }
    found, before, given = (pieces[k] for k in ("result", "start", "cnn"))
    assert (found["conv1.weight"] == given["conv1.weight"]).all()
    assert (found["conv1.bias"] == given["conv1.bias"]).all()
    # 4 of 6 units; kernels of 4 x 4 and 3 x 3 have no counterpart
    assert (found["conv2.weight"] == given["conv2.weight"][:, :4]).all()
    assert (found["conv3.weight"] == before["conv3.weight"]).all()
    assert (found["conv4.weight"] == before["conv4.weight"]).all()
    assert (found["linear1.weight"] == given["linear1.weight"][:, :18]).all()
    assert (found["linear2.weight"] == given["linear2.weight"][:, :, :18]).all()
    assert (found["linear2.bias"] == given["linear2.bias"]).all()


def test_a_vector_is_read_as_it_is_if_the_lengths_are_equal():
    cnn, weights = networks("cnn")
    target, start = networks("cnn_one_skip")
    result = transplant(weights, cnn, target, how="vector", start=start)
    assert (result == weights).all()
    target, start = networks("cnn_res_skip")
    with pytest.raises(SettingsError, match="2464 weights, cnn_res_skip 2562"):
        transplant(weights, cnn, target, how="vector", start=start)


def test_nothing_is_taken_over_if_not_asked_for():
    cnn, weights = networks("cnn")
    target, start = networks("cnn_4conv")
    assert (transplant(weights, cnn, target, how="none", start=start) == start).all()


def test_shortcuts_start_as_in_the_release_whatever_the_recipe():
    target, start = networks("cnn_res_skip", initialization="uniform")
    signs = {w.name: bool((start[:, w.weight] < 0).any()) for w in target.weighted}
    assert signs["skip1"]
    assert signs["skip3"]
    assert not signs["conv1"]
