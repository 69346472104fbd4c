import pytest

from hyperreps.architectures import Convolution, build


@pytest.mark.parametrize(("channels", "parameters"), [(1, 2464), (3, 2864)])
def test_cnn_has_the_published_number_of_parameters(channels, parameters):
    assert build("cnn", channels=channels).parameters == parameters


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
