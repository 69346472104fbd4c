"""The start of the autoencoder at principal components, against closed forms."""

from itertools import permutations, product

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from hyperreps.networks.architectures import (
    Architecture,
    Convolution,
    Crop,
    Linear,
    Residual,
)
from hyperreps.representation import components
from hyperreps.representation.components import permuted_moment
from hyperreps.representation.pretraining import Pretraining, fixed_permutations
from hyperreps.settings.stages import HyperRep, SettingsError
from hyperreps.symmetry.permutations import permutation_index

from .small_autoencoder import SMALL

# 3 units, which one layer both reads and writes, and 2: twelve permutations
TINY = Architecture(
    "tiny",
    1,
    (
        Crop(12),
        Convolution(3, 4),
        Residual((Convolution(3, 1),), ()),
        Linear(2),
        Linear(2),
    ),
)
# as wide as the widest token: 16 weights and a bias
WIDE = {"width": 18, "heads": 2}
START = HyperRep(
    **{
        **SMALL.model_dump(),
        "initialization": "components",
        "compression": "linear",
        "contrast_weight": 0.0,
        "erase_probability": 0.0,
        "dropout": 0.0,
        "epochs": 0,
    }
)


def networks(count: int = 40, seed: int = 0) -> torch.Tensor:
    """Correlated weights whose layers have unequal spreads, away from 0."""
    rng = torch.Generator().manual_seed(seed)
    size = TINY.parameters
    mixed = torch.randn(size, size, generator=rng) / size**0.5
    drawn = torch.randn(count, size, generator=rng) @ mixed + 0.3
    layers = torch.from_numpy(TINY.layer_index)
    return drawn * torch.tensor([1.0, 5.0, 0.2, 2.0])[layers]


def started(weights: torch.Tensor, **changes: object) -> Pretraining:
    settings = HyperRep(**{**START.model_dump(), **changes})
    return Pretraining(weights, weights[:5], TINY, settings=settings, seed=1)


def all_permutations(orders: dict[str, int]) -> dict[str, torch.Tensor]:
    """All permutations of all axes, as a table."""
    alone = [list(permutations(range(size))) for size in orders.values()]
    rows = list(zip(*product(*alone), strict=True))
    return {axis: torch.tensor(row) for axis, row in zip(orders, rows, strict=True)}


def test_a_moment_is_averaged_over_all_permutations():
    weights = networks()
    table = all_permutations(TINY.symmetric_axes)
    index = permutation_index(TINY, table)
    assert len(index) == 12
    shown = weights[:, index].flatten(0, 1).double()
    exact = shown.T @ shown / len(shown)
    moment = weights.T @ weights / len(weights)
    rng = torch.Generator().manual_seed(3)
    torch.testing.assert_close(
        permuted_moment(moment, TINY, table=table, rng=rng).double(),
        exact,
        rtol=1e-4,
        atol=1e-4,
    )
    drawn = permuted_moment(moment, TINY, table=None, rng=rng).double()
    before = (moment - exact).norm()
    assert (drawn - exact).norm() < 0.005 * before
    assert before > 0.1 * exact.norm()


@pytest.mark.parametrize("normalization", ["layer", "none"])
@pytest.mark.parametrize("inputs", ["layer", "raw"])
@pytest.mark.parametrize("latent", [3, 12])
def test_it_is_the_best_linear_autoencoder_by_the_loss(normalization, inputs, latent):
    """Eckart and Young: what is lost are the squares of the last singular values."""
    weights = networks()
    training = started(
        weights,
        **WIDE,
        latent=latent,
        inputs=inputs,
        loss_normalization=normalization,
        permutation=False,
    )
    model = training.model
    with torch.no_grad():
        _, output = model(weights)
    scale = 1.0 if training.scale is None else training.scale
    lost = ((output - weights) / scale).square().mean()
    seen = ((weights - model.shift) / scale).double().numpy()
    values = np.linalg.svd(seen, compute_uv=False)
    best = (values[latent:] ** 2).sum() / seen.size
    assert lost == pytest.approx(best, rel=1e-4)
    assert best > 1e-3


def test_a_latent_as_large_as_a_network_loses_nothing():
    weights = networks(300)
    training = started(weights, **WIDE, latent=TINY.parameters + 7, inputs="layer")
    other = networks(4, seed=9)
    with torch.no_grad():
        _, output = training.model(other)
    torch.testing.assert_close(output, other, rtol=1e-4, atol=1e-4)


def test_networks_in_other_permutations_are_known_as_well():
    """As no components of the networks as they are would be."""
    weights = networks(8)
    table = all_permutations(TINY.symmetric_axes)
    index = permutation_index(TINY, table)
    shown = weights[:, index].flatten(0, 1)
    losses = {}
    for permuted in (True, False):
        training = started(weights, **WIDE, latent=8, permutation=permuted)
        with torch.no_grad():
            _, output = training.model(shown)
        scale = training.scale
        losses[permuted] = ((output - shown) / scale).square().mean()
    assert losses[True] < 0.8 * losses[False]


def test_fixed_permutations_are_those_of_the_training():
    weights = networks()
    training = started(weights, **WIDE, latent=6, permutations=2)
    table = fixed_permutations(training.model)
    shown = weights[:, permutation_index(TINY, table)].flatten(0, 1)
    with torch.no_grad():
        _, output = training.model(shown)
    lost = ((output - shown) / training.scale).square().mean()
    values = np.linalg.svd((shown / training.scale).double(), compute_uv=False)
    assert lost == pytest.approx((values[6:] ** 2).sum() / shown.numel(), rel=1e-4)


def test_what_it_knew_before_training_is_epoch_0_of_the_curve():
    training = started(networks(), **WIDE, latent=12)
    (entry,) = training.timed_curve()
    assert entry["epoch"] == 0
    assert 0.2 < entry["r2_scaled_train"] < 1
    assert entry["core_seconds"] > 0
    assert "loss" not in entry


def test_training_goes_on_from_there():
    """A narrow model, whose components are far from all: every weight learns."""
    changes = {"latent": 6, "epochs": 30, "learning_rate": 0.003, "permutation": False}
    training = started(networks(), **changes)
    before = {k: v.clone() for k, v in training.model.named_parameters()}
    for _ in range(30):
        training.run_epoch()
    first, last = training.curve[0], training.curve[-1]
    assert last["r2_scaled_train"] > first["r2_scaled_train"] + 0.02
    parts = ("encoder", "decoder")
    still = [
        name
        for name, weight in training.model.named_parameters()
        if name.startswith(parts) and torch.equal(weight, before[name])
    ]
    assert not still


def test_a_stopped_training_goes_on_as_if_it_never_stopped():
    changes = {"latent": 6, "epochs": 4, "learning_rate": 0.003}
    whole = started(networks(), **changes)
    half = started(networks(), **changes)
    for _ in range(2):
        whole.run_epoch()
        half.run_epoch()
    again = started(networks(), **changes)
    again.load_state_dict(half.state_dict())
    assert [entry["epoch"] for entry in again.curve] == [0, 1, 2]
    for training in (whole, again):
        training.run_epoch()
        training.run_epoch()
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(weight, again.model.state_dict()[name])


def test_networks_that_are_too_large_are_refused(monkeypatch):
    monkeypatch.setattr(components, "LARGEST", TINY.parameters - 1)
    with pytest.raises(
        SettingsError, match="up to 76 parameters, not 77; set it to rel"
    ):
        started(networks(), latent=3)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"compression": "token"}, "needs compression: linear"),
        ({"initialization": "release"}, "epochs: 0 leaves it untrained"),
    ],
)
def test_what_cannot_start_so_is_said(changes, line):
    with pytest.raises(ValidationError, match=line):
        HyperRep(**{**START.model_dump(), **changes})
