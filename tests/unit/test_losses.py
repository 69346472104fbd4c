"""Losses of the hyper-representation, against numbers computed by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import r2_score

from hyperreps.networks.architectures import build
from hyperreps.representation.autoencoder import (
    normalization,
)
from hyperreps.representation.losses import (
    nt_xent,
    r_squared,
    reconstruction_loss,
)

from .small_autoencoder import zoo


def test_layer_normalized_loss_is_the_papers_formula(cnn):
    weights, output = zoo(cnn, 5), torch.randn(5, cnn.parameters)
    std = normalization(weights, cnn, centering=False).layer_std
    expected = 0.0
    for item in cnn.weighted:
        part = weights[:, item.whole]
        # unbiased, over all models and entries of the layer, biases included
        variance = np.var(part.numpy().astype(np.float64), ddof=1)
        expected += float(((output - weights)[:, item.whole] ** 2).sum()) / variance
    expected /= weights.numel()
    loss = reconstruction_loss(output, weights, std=std)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    plain = reconstruction_loss(output, weights, std=None)
    assert float(plain) == pytest.approx(float((output - weights).square().mean()))


@settings(max_examples=10, deadline=None)
@given(scale=st.floats(0.1, 50), layer=st.integers(0, 4))
def test_layer_normalized_loss_ignores_the_scale_of_a_layer(scale, layer):
    cnn = build("cnn", channels=1)
    weights, output = zoo(cnn, 4), torch.randn(4, cnn.parameters)
    where = cnn.weighted[layer].whole

    def loss(factor):
        w, o = weights.clone(), output.clone()
        w[:, where] *= factor
        o[:, where] *= factor
        std = normalization(w, cnn, centering=False).layer_std
        return float(reconstruction_loss(o, w, std=std))

    assert loss(scale) == pytest.approx(loss(1.0), rel=1e-4)


def test_predicting_the_mean_of_centred_weights_costs_one(cnn):
    weights = torch.randn(200, cnn.parameters) * 3
    std = normalization(weights, cnn, centering=True).layer_std
    loss = reconstruction_loss(torch.zeros_like(weights), weights, std=std)
    assert float(loss) == pytest.approx(1, abs=0.01)


def test_nt_xent_equals_a_hand_computation():
    projections = torch.randn(6, 4, dtype=torch.float64)
    z = (projections / projections.norm(dim=1, keepdim=True)).numpy()
    total = 0.0
    for i in range(6):
        partner = (i + 3) % 6
        similar = [np.exp(z[i] @ z[k] / 0.5) for k in range(6) if k != i]
        total -= np.log(np.exp(z[i] @ z[partner] / 0.5) / sum(similar))
    loss = nt_xent(projections, temperature=0.5)
    assert float(loss) == pytest.approx(total / 6, rel=1e-5)


def test_r_squared_equals_scikit_learn(cnn):
    weights = torch.randn(30, cnn.parameters)
    output = weights + 0.3 * torch.randn_like(weights)
    layers = torch.from_numpy(cnn.layer_index)
    found = r_squared(output, weights, mean=weights.mean(0), layers=layers)
    for k, item in enumerate(cnn.weighted):
        expected = r2_score(
            weights[:, item.whole].numpy(),
            output[:, item.whole].numpy(),
            multioutput="variance_weighted",
        )
        assert float(found[k]) == pytest.approx(expected, abs=1e-5)
