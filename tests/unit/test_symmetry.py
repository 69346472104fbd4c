import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperreps.engines.grouped import forward
from hyperreps.networks.architectures import ARCHITECTURES, build
from hyperreps.networks.initialisation import initial_weights
from hyperreps.symmetry.permutations import (
    permutation_index,
    random_permutations,
    sign_vector,
)

NETWORKS = [(name, channels) for name in ARCHITECTURES for channels in (1, 3)]
seeds = st.integers(0, 2**31 - 1)


def population(name, channels, seed, models=2):
    """In float64, so that only the order of sums differs between equal functions."""
    network = build(name, channels=channels)
    start = range(seed, seed + models)
    weights = initial_weights(network, initialization="normal", seeds=start)
    # distinct biases: permuting them must matter
    return network, (weights + 0.1 * torch.randn_like(weights)).double()


def permuted(network, weights, seed):
    generator = torch.Generator().manual_seed(seed)
    permutations = random_permutations(network, len(weights), generator=generator)
    index = permutation_index(network, permutations)
    return permutations, index, weights.gather(1, index)


@pytest.mark.parametrize(("name", "channels"), NETWORKS)
@settings(max_examples=10, deadline=None)
@given(seed=seeds)
def test_permutations_preserve_the_function(name, channels, seed):
    network, weights = population(name, channels, seed)
    _, _, other = permuted(network, weights, seed)
    images = torch.randn(3, channels, 28, 28).double()
    for activation in ("tanh", "relu"):
        expected = forward(network, weights, images, activation=activation)
        found = forward(network, other, images, activation=activation)
        torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)
    assert (weights != other).any()


@pytest.mark.parametrize(("name", "channels"), NETWORKS)
@settings(max_examples=10, deadline=None)
@given(seed=seeds)
def test_index_is_a_bijection_and_composes(name, channels, seed):
    network = build(name, channels=channels)
    generator = torch.Generator().manual_seed(seed)
    first = random_permutations(network, 2, generator=generator)
    second = random_permutations(network, 2, generator=generator)
    one, two = (permutation_index(network, p) for p in (first, second))
    everything = torch.arange(network.parameters)
    assert (one.sort(1).values == everything).all()
    # first one, then two, is the composition of the permutations
    both = {axis: first[axis].gather(1, second[axis]) for axis in first}
    assert (one.gather(1, two) == permutation_index(network, both)).all()


def test_identity_permutation_is_the_identity(cnn):
    identity = {
        axis: torch.arange(units)[None] for axis, units in cnn.symmetric_axes.items()
    }
    index = permutation_index(cnn, identity)
    assert (index[0] == torch.arange(cnn.parameters)).all()


@pytest.mark.parametrize(("name", "channels"), NETWORKS)
def test_sign_flips_preserve_an_odd_network(name, channels):
    network, weights = population(name, channels, 3)
    generator = torch.Generator().manual_seed(0)
    signs = {
        w.units_axis: torch.randint(0, 2, (2, w.units), generator=generator) * 2.0 - 1
        for w in network.weighted
        if w.sign_symmetric
    }
    flipped = weights * sign_vector(network, signs)
    images = torch.randn(3, channels, 28, 28).double()
    torch.testing.assert_close(
        forward(network, flipped, images, activation="tanh"),
        forward(network, weights, images, activation="tanh"),
        atol=1e-9,
        rtol=1e-9,
    )
    assert (flipped != weights).any()


def test_sign_flips_across_max_pooling_are_refused(cnn):
    with pytest.raises(ValueError, match=r"conv1.*not sign symmetric"):
        sign_vector(cnn, {"conv1": torch.ones(1, 8)})
