"""Distances up to symmetries: copies are found, bounds hold, brute force agrees."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperreps.engines.grouped import forward
from hyperreps.networks.architectures import (
    ARCHITECTURES,
    Activation,
    Architecture,
    Convolution,
    Linear,
    MaxPool,
    build,
)
from hyperreps.networks.initialisation import initial_weights
from hyperreps.symmetry.matching import Matcher, aligned_distances, pair_distances
from hyperreps.symmetry.permutations import (
    permutation_index,
    random_permutations,
    sign_vector,
)

NETWORKS = [(name, channels) for name in ARCHITECTURES for channels in (1, 3)]


def networks(architecture, count, seed=0, initialization="uniform"):
    """Networks with distinct biases."""
    weights = initial_weights(
        architecture, initialization=initialization, seeds=range(seed, seed + count)
    )
    rng = torch.Generator().manual_seed(seed)
    return weights + 0.1 * torch.randn(weights.shape, generator=rng)


def changed(architecture, weights, seed, *, signs):
    """Copies with units permuted and, where it may be, flipped."""
    rng = torch.Generator().manual_seed(seed)
    order = random_permutations(architecture, len(weights), rng=rng)
    copies = weights.gather(1, permutation_index(architecture, order))
    flips = {
        w.units_axis: torch.randint(
            0, 2, (len(weights), w.units), generator=rng
        ).float()
        * 2
        - 1
        for w in architecture.weighted
        if w.sign_symmetric
    }
    return copies * sign_vector(architecture, flips) if signs and flips else copies


def small(pool: bool) -> Architecture:
    """A network whose symmetries can be counted out: 3! x 2! of them, with signs."""
    between = (MaxPool(13),) if pool else ()
    layers = (Convolution(3, 3), *between, Activation(), Linear(2), Activation())
    return Architecture("small", 1, (*layers, Linear(10)))


@pytest.mark.parametrize(("name", "channels"), NETWORKS)
@pytest.mark.parametrize("activation", ["tanh", "gelu"])
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**31 - 1))
def test_changed_copies_come_back_exactly(name, channels, activation, seed):
    network = build(name, channels=channels)
    weights = networks(network, 4, seed)
    matcher = Matcher(network, activation=activation)
    copies = changed(network, weights, seed, signs=activation == "tanh")
    assert (copies != weights).any(dim=1).all()
    torch.testing.assert_close(matcher.match(copies, weights), weights, atol=0, rtol=0)


@pytest.mark.parametrize("activation", ["tanh", "gelu"])
def test_matching_preserves_the_function_and_never_goes_farther(cnn, activation):
    vectors, targets = networks(cnn, 6), networks(cnn, 6, seed=50)
    matched = Matcher(cnn, activation=activation).match(vectors, targets)
    images = torch.randn(5, 1, 28, 28).double()
    one, two = (
        forward(cnn, x.double(), images, activation=activation)
        for x in (vectors, matched)
    )
    torch.testing.assert_close(one, two, atol=1e-9, rtol=1e-9)
    before, after = ((x - targets).norm(dim=1) for x in (vectors, matched))
    assert (after < before).all()


@pytest.mark.parametrize("activation", ["tanh", "gelu"])
def test_one_with_many_is_what_pairs_are(cnn, activation):
    many = networks(cnn, 12, seed=50)
    one = changed(cnn, many[5:6], 1, signs=False) + 0.1 * networks(cnn, 1)
    matcher = Matcher(cnn, activation=activation)
    pairs = matcher.match(one.expand_as(many), many)
    assert torch.equal(matcher.match(one, many), pairs)
    assert torch.equal(matcher.match(one, matcher.prepare(many)[4:]), pairs[4:])
    back = matcher.match(many.contiguous(), one.expand_as(many))
    assert torch.equal(matcher.match(many, one), back)


@pytest.mark.parametrize("pool", [True, False])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_near_the_best_of_all_symmetries_and_never_below(pool, activation):
    network = small(pool)
    axes = network.symmetric_axes
    vectors, targets = networks(network, 8), networks(network, 8, seed=20)
    matcher = Matcher(network, activation=activation)
    flips = [
        (axis, units)
        for axis, units in axes.items()
        if activation == "tanh"
        and any(w.units_axis == axis and w.sign_symmetric for w in network.weighted)
    ]
    assert {axis for axis, _ in flips} == matcher.flips
    found = (matcher.match(vectors, targets) - targets).norm(dim=1)
    best = torch.full((8,), torch.inf)
    number = sum(units for _, units in flips)
    for conv in permutations(range(3)):
        for linear in permutations(range(2)):
            order = {"conv1": torch.tensor([conv]), "linear1": torch.tensor([linear])}
            moved = vectors[:, permutation_index(network, order)[0]]
            for code in range(2**number):
                bits = torch.tensor([(code >> k) & 1 for k in range(number)]) * -2.0 + 1
                if flips:
                    parts = bits.split([units for _, units in flips])
                    signs = {a: p[None] for (a, _), p in zip(flips, parts, strict=True)}
                    factor = sign_vector(network, signs)
                else:
                    factor = torch.ones(1, network.parameters)
                best = best.minimum((moved * factor - targets).norm(dim=1))
    assert (found >= best - 1e-4).all()
    # a local optimum may lie above, but not often
    assert (found < best + 1e-4).sum() >= 6
    bounds = (matcher.orbits(vectors) - matcher.orbits(targets)).norm(dim=1)
    assert (bounds <= best + 1e-4).all()


@pytest.mark.parametrize("activation", ["tanh", "gelu"])
def test_bounds_see_no_symmetry(cnn, activation):
    weights = networks(cnn, 3)
    copies = changed(cnn, weights, 5, signs=activation == "tanh")
    matcher = Matcher(cnn, activation=activation)
    torch.testing.assert_close(
        matcher.orbits(copies), matcher.orbits(weights), atol=0, rtol=0
    )
    assert (matcher.orbits(weights) != weights).any()


def test_nearest_is_found_among_all_epochs_of_all_runs(cnn):
    """A changed copy of an early epoch, far from the last one its run is matched by."""
    runs, epochs = 6, 3
    others = torch.stack([networks(cnn, runs, seed=100 * k) for k in range(epochs)], 1)
    others = others.flatten(0, 1)
    run = np.repeat(np.arange(runs), epochs)
    rows = [0, 4, 17]
    vectors = changed(cnn, others[rows], 3, signs=True)
    matcher = Matcher(cnn, activation="tanh")
    distances, bounds = aligned_distances(
        matcher, vectors.numpy(), others.numpy(), run=run, refined=2
    )
    assert distances.argmin(1).tolist() == rows
    np.testing.assert_array_equal(distances.min(1), 0)
    np.testing.assert_allclose(bounds.min(1), 0, atol=1e-6)
    assert (bounds <= distances + 1e-6).all()
    second = np.partition(distances, 1)[:, 1]
    assert (second > 1).all()


def test_networks_of_one_function_have_no_distance(cnn):
    weights = networks(cnn, 3)
    weights = torch.cat([weights, changed(cnn, weights[:1], 1, signs=True)])
    distances = pair_distances(Matcher(cnn, activation="tanh"), weights.numpy())
    assert np.isnan(distances.diagonal()).all()
    np.testing.assert_array_equal(distances, distances.T)
    assert distances[0, 3] == 0
    assert distances[0, 1] == pytest.approx(distances[3, 1], rel=0.05)
