"""Reconstruction by layer, against hand computations and losses.r_squared."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hyperreps.numbers import scores
from hyperreps.representation import reconstruction
from hyperreps.representation.losses import r_squared

LAYERS = np.array([0, 0, 0, 1, 1])


def test_layer_sums_by_hand():
    values = np.array([[1.0, 2.0, 2.0, 3.0, 4.0]])
    assert reconstruction.layer_sums(values, LAYERS).tolist() == [[9.0, 25.0]]


def test_r2_by_hand():
    """Layer 0: error 1 of 4; layer 1: error 8 of 4; together 9 of 8."""
    error = np.array([[[0.5, 4.0], [0.5, 4.0]]])
    deviation = np.array([[3.0, 1.0], [1.0, 3.0]])
    equal = np.full((1, 2), 0.5)
    found = scores.explained_variance(error, deviation, equal)
    np.testing.assert_allclose(found, [[[0.75, -1.0, -0.125]]])
    # the first network alone
    found = scores.explained_variance(error, deviation, np.array([[1.0, 0.0]]))
    np.testing.assert_allclose(found, [[[1 - 0.5 / 3, -3.0, 1 - 4.5 / 4]]])


def test_r2_is_that_of_pretraining():
    rng = np.random.default_rng(0)
    weights, mean = rng.normal(size=(6, 5)), rng.normal(size=5)
    given = weights + 0.3 * rng.normal(size=(2, 6, 5))
    found = scores.explained_variance(
        reconstruction.layer_sums(given - weights, LAYERS),
        reconstruction.layer_sums(weights - mean, LAYERS),
        np.full((1, 6), 1 / 6),
    )
    for index, networks in enumerate(given):
        expected = r_squared(
            torch.from_numpy(networks),
            torch.from_numpy(weights),
            mean=torch.from_numpy(mean),
            layers=torch.from_numpy(LAYERS),
        )
        np.testing.assert_allclose(found[0, index, :2], expected.numpy())


def test_mse_is_per_weight():
    error = np.array([[[3.0, 4.0], [9.0, 0.0]]])
    equal = np.full((1, 2), 0.5)
    found = scores.mean_squared_error(error, np.array([3, 2]), equal)
    np.testing.assert_allclose(found, [[[2.0, 1.0, 8 / 5]]])


def test_histograms_hold_every_weight():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(400, 5))
    edges = reconstruction.histogram_edges(weights, LAYERS, bins=8)
    assert edges.shape == (2, 9)
    np.testing.assert_allclose(
        edges[1, [0, -1]], np.quantile(weights[:, 3:], [0.001, 0.999])
    )
    counts = reconstruction.layer_histograms(weights, LAYERS, edges)
    assert counts.sum(axis=1).tolist() == [1200, 800]
    inner = ((weights[:, :3] >= edges[0, 3]) & (weights[:, :3] < edges[0, 4])).sum()
    assert counts[0, 3] == inner


def test_weights_beyond_the_edges_count_in_the_outermost_bins():
    edges = np.array([[0.0, 1.0, 2.0]])
    values = np.array([[-5.0, 0.5, 1.5, 9.0, 9.0]])
    found = reconstruction.layer_histograms(values, np.zeros(5, np.int64), edges)
    assert found.tolist() == [[2, 3]]


def test_float32_errors_are_summed_in_double_precision():
    values = np.full((1, 5), 1e-3, np.float32)
    sums = reconstruction.layer_sums(values, LAYERS)
    assert sums.dtype == np.float64
    assert sums[0, 0] == pytest.approx(3e-6, rel=1e-6)
