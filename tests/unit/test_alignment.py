"""Alignment of whole zoos: planted symmetries are undone in all epochs alike."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import align_zoo
from hyperreps.engines.grouped import forward
from hyperreps.files.storage import write_arrays
from hyperreps.networks.architectures import ARCHITECTURES, Architecture, build
from hyperreps.networks.initialisation import initial_weights
from hyperreps.settings.stages import Recipe, Zoo
from hyperreps.symmetry.alignment import weight_matching
from hyperreps.symmetry.permutations import (
    permutation_index,
    random_permutations,
    sign_vector,
)
from hyperreps.zoo.zoos import read_zoo

NETWORKS = [(name, channels) for name in ARCHITECTURES for channels in (1, 3)]
MODELS, EPOCHS, NOISE = 8, 3, 0.01
# each model's, where a zoo varies it: in blocks, as Zoo.recipe_of() has it
MIXED = ("tanh", "gelu")


def planted(
    network: Architecture, weights: torch.Tensor, *, flipped: list[bool], seed: int
) -> torch.Tensor:
    """Moves the units of each model alike in all epochs; some also flip them."""
    rng = torch.Generator().manual_seed(seed)
    models, epochs, _ = weights.shape
    order = random_permutations(network, models, rng=rng)
    index = permutation_index(network, order)[:, None].expand(-1, epochs, -1)
    signs = {
        w.units_axis: torch.randint(0, 2, (models, w.units), generator=rng) * 2.0 - 1
        for w in network.weighted
        if w.sign_symmetric
    }
    for sign in signs.values():
        sign[~torch.tensor(flipped)] = 1.0
    factor = sign_vector(network, signs)[:, None]
    return weights.gather(2, index) * factor


def one_network(network: Architecture) -> torch.Tensor:
    """One network plus noise, for every model and epoch: [models, epochs, entries]."""
    weights = initial_weights(network, initialization="kaiming_uniform", seeds=[7])
    rng = torch.Generator().manual_seed(0)
    # distinct biases
    weights = weights + 0.1 * torch.randn(weights.shape, generator=rng)
    shape = (MODELS, EPOCHS, network.parameters)
    return weights + NOISE * torch.randn(shape, generator=rng)


def write_zoo(
    path: Path,
    network: Architecture,
    weights: torch.Tensor,
    *,
    activation: str,
    best: int = 0,
    **settings: object,
) -> None:
    """Writes a zoo whose window is the last two epochs."""
    recipe = Recipe(
        initialization="uniform",
        activation=activation,
        learning_rate=0.1,
        batch_size=1,
        epochs=EPOCHS - 1,
    )
    zoo = Zoo(
        dataset="d",
        architecture=network.name,
        models=MODELS,
        window=(1, EPOCHS - 1),
        recipe=recipe,
        **settings,
    )
    accuracy = np.full((MODELS, EPOCHS), 0.5, np.float32)
    accuracy[best] = 0.6
    split = np.array(["train"] * MODELS)
    split[[1, 5]] = "val", "test"
    write_arrays(
        path,
        {
            "weights": weights.numpy(),
            "seed": np.arange(1, MODELS + 1),
            "split": split,
            "epochs": np.arange(EPOCHS),
            **{f"accuracy/{part}": accuracy for part in ("train", "val", "test")},
        },
        attributes={
            "kind": "zoo",
            "zoo": "toy",
            "settings": zoo.model_dump(),
            "architecture": network.name,
            "channels": network.channels,
        },
    )


@pytest.mark.parametrize("activation", ["tanh", "gelu", "mixed"])
@pytest.mark.parametrize(("name", "channels"), NETWORKS)
def test_planted_symmetries_of_a_whole_zoo_are_undone(
    name, channels, activation, tmp_path
):
    network = build(name, channels=channels)
    plain = one_network(network)
    half = MODELS // 2
    kinds = [*MIXED] if activation == "mixed" else [activation] * 2
    own = [kinds[0]] * half + [kinds[1]] * half
    weights = planted(network, plain, flipped=[a == "tanh" for a in own], seed=3)
    assert np.ptp(weights.numpy(), axis=0).max() > 0.5
    # the best training network has a permutation and, if it may, signs of its own
    write_zoo(
        tmp_path / "zoo.h5",
        network,
        weights,
        activation=kinds[0],
        best=2,
        **({"variations": {"activation": MIXED}} if activation == "mixed" else {}),
    )
    align_zoo.main(zoo=tmp_path / "zoo.h5", output=tmp_path / "aligned.h5")
    with h5py.File(tmp_path / "aligned.h5") as file:
        aligned = torch.from_numpy(file["weights"][()])
        index, sign = file["permutation"][()], file["sign"][()]
    # equal up to the noise, whose range over so many networks this is
    assert np.ptp(aligned.numpy(), axis=(0, 1)).max() < 12 * NOISE
    # all epochs of a model by the one symmetry that the file names
    moved = np.take_along_axis(weights.numpy(), index[:, None], 2) * sign[:, None]
    np.testing.assert_array_equal(aligned, moved)
    assert (sign[[a != "tanh" for a in own]] == 1).all()
    images = torch.randn(2, channels, 28, 28).double()
    for function in dict.fromkeys(own):
        rows = torch.tensor([a == function for a in own])
        before, after = (
            forward(
                network, x[rows].flatten(0, 1).double(), images, activation=function
            )
            for x in (weights, aligned)
        )
        torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-5)
    assert read_zoo(tmp_path / "aligned.h5").epochs.tolist() == [1, 2]


def test_alignment_preserves_functions_and_lowers_the_spread(cnn):
    weights = initial_weights(cnn, initialization="kaiming_uniform", seeds=range(8))
    spreads = {}
    for activation in MIXED:
        found = weight_matching(
            weights.numpy(),
            cnn,
            activations=[activation] * 8,
            fit=np.arange(5),
            reference=2,
        )
        aligned = found.of(weights)
        images = torch.randn(4, 1, 28, 28).double()
        before, after = (
            forward(cnn, x.double(), images, activation=activation)
            for x in (weights, aligned)
        )
        torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-5)
        spreads[activation] = aligned[:5].var(0).sum()
    # signs bring independent networks nearer still
    assert spreads["tanh"] < 0.98 * spreads["gelu"] < 0.95 * weights[:5].var(0).sum()


def test_alignment_does_not_look_at_held_out_models(cnn):
    weights = initial_weights(cnn, initialization="uniform", seeds=range(6)).numpy()
    common = {"activations": ["tanh"] * 6, "fit": np.arange(4), "reference": 0}
    found = weight_matching(weights, cnn, **common)
    other = weights.copy()
    other[5] = other[5, ::-1] * 3
    changed = weight_matching(other, cnn, **common)
    assert (changed.entries[:5] == found.entries[:5]).all()
    assert (changed.signs[:5] == found.signs[:5]).all()


def test_no_model_depends_on_how_many_are_matched_at_once(cnn, monkeypatch):
    weights = initial_weights(cnn, initialization="uniform", seeds=range(7)).numpy()
    common = {"activations": ["tanh"] * 7, "fit": np.arange(5), "reference": 0}
    found = weight_matching(weights, cnn, **common)
    monkeypatch.setattr("hyperreps.symmetry.alignment.BATCH", 2)
    for one, two in zip(found, weight_matching(weights, cnn, **common), strict=True):
        assert (one == two).all()
