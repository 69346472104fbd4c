"""Permutations and sign flips of neurons that leave a network's function unchanged.

Units of a hidden layer may change places if the inputs of the next layer follow. Which
axes move together is data of the architecture; here they become gather indices over the
flat vector, so that a permuted population is `weights.gather(1, index)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..networks.architectures import Architecture
from ..numbers.shapes import Float, Int

# activations f with f(-x) = -f(x)
ODD_ACTIVATIONS = ("tanh",)

Permutations = Mapping[str, Int[Tensor, "models _"]]
Signs = Mapping[str, Float[Tensor, "models _"]]


class Symmetries(NamedTuple):
    """One change per network that leaves its function as it is.

    Attributes:
        entries: Which entry of the flat vector comes to each place.
        signs: By what it is multiplied there, 1 or -1.
    """

    entries: Int[Tensor, "models parameters"]
    signs: Float[Tensor, "models parameters"]

    def of(
        self, weights: Float[Tensor, "models parameters"]
    ) -> Float[Tensor, "models parameters"]:
        """Returns the changed networks, such as another epoch of the same ones."""
        return weights.gather(1, self.entries) * self.signs.to(weights.dtype)


def sign_axes(architecture: Architecture, activation: str) -> dict[str, int]:
    """Returns the size of each axis whose units may be flipped in sign, by name.

    Args:
        architecture: Declares which axes are sign symmetric.
        activation: Of the network; only an odd one has such axes.
    """
    return {
        item.units_axis: item.units
        for item in architecture.weighted
        if activation in ODD_ACTIVATIONS and item.sign_symmetric and item.units_axis
    }


def symmetries(
    architecture: Architecture, permutations: Permutations, signs: Signs
) -> Symmetries:
    """Returns changes of flat vectors: units permuted, then flipped.

    Args:
        architecture: Declares which axes move together.
        permutations: By symmetric axis, as for permutation_index().
        signs: By axis, as for sign_vector(); those that are left out stay.
    """
    index = permutation_index(architecture, permutations)
    if not signs:
        return Symmetries(index, torch.ones(index.shape, device=index.device))
    return Symmetries(index, sign_vector(architecture, signs))


def random_symmetries(
    architecture: Architecture,
    models: int,
    *,
    activation: str,
    rng: torch.Generator,
) -> Symmetries:
    """Draws uniform permutations and, where units may be flipped, signs per model."""
    permutations = random_permutations(architecture, models, rng=rng)
    device = rng.device
    signs = {
        axis: torch.randint(0, 2, (models, units), generator=rng, device=device) * 2.0
        - 1
        for axis, units in sign_axes(architecture, activation).items()
    }
    return symmetries(architecture, permutations, signs)


def random_permutations(
    architecture: Architecture, models: int, *, rng: torch.Generator
) -> dict[str, Int[Tensor, "models units"]]:
    """Draws an independent uniform permutation per model and symmetric axis."""
    device = rng.device
    return {
        axis: torch.rand(models, units, generator=rng, device=device).argsort(1)
        for axis, units in architecture.symmetric_axes.items()
    }


def permutation_index(
    architecture: Architecture, permutations: Permutations
) -> Int[Tensor, "models parameters"]:
    """Returns gather indices that apply the permutations to flat weight vectors.

    Unit u of the permuted network is unit permutations[axis][:, u] of the original.

    Args:
        architecture: Declares which axes move together.
        permutations: By symmetric axis; all axes, all for the same number of models.
    """
    some = next(iter(permutations.values()))
    models, device = len(some), some.device

    def order(axis: str | None, size: int) -> Tensor:
        if axis is None:
            return torch.arange(size, device=device).expand(models, size)
        return permutations[axis]

    pieces = []
    for item in architecture.weighted:
        units = order(item.units_axis, item.units)
        inputs = order(item.inputs_axis, item.inputs)
        block = torch.arange(item.block, device=device)
        rows = units[:, :, None, None] * item.fan_in
        columns = inputs[:, None, :, None] * item.block + block
        pieces.append((item.start + rows + columns).flatten(1))
        if item.layer.bias:
            pieces.append(item.bias.start + units)
    return torch.cat(pieces, dim=1)


def orbits(architecture: Architecture) -> Int[Tensor, parameters]:
    """Numbers the sets of entries that permutations of units bring to one another.

    They are the connected components of the graph in which every entry is joined to
    where a swap of the first two units and a turn by one bring it, axis by axis: these
    two generate all permutations.
    """
    # only where a training begins: loading them takes a fifth of a second
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    still = {a: torch.arange(n)[None] for a, n in architecture.symmetric_axes.items()}
    start = torch.arange(architecture.parameters)
    edges = [torch.stack([start, start])]
    for axis, order in still.items():
        turned = order.roll(1, 1)
        swapped = torch.cat([order[:, :2].flip(1), order[:, 2:]], dim=1)
        for moved in (turned, swapped):
            index = permutation_index(architecture, {**still, axis: moved})[0]
            edges.append(torch.stack([start, index]))
    rows, columns = torch.cat(edges, dim=1).numpy()
    graph = coo_array((np.ones(len(rows)), (rows, columns)))
    _, labels = connected_components(graph, directed=False)
    return torch.from_numpy(labels).long()


def invariant_mean(
    weights: Float[Tensor, "models parameters"], architecture: Architecture
) -> Float[Tensor, parameters]:
    """Returns the mean of all networks in all their permutations.

    The mean network as far as it does not depend on the order of the units: what may be
    subtracted without telling one permutation from another.
    """
    orbit = orbits(architecture).to(weights.device)
    sums = weights.new_zeros(int(orbit.max()) + 1)
    means = sums.index_add(0, orbit, weights.mean(0)) / orbit.bincount()
    return means[orbit]


def sign_vector(
    architecture: Architecture, signs: Signs
) -> Float[Tensor, "models parameters"]:
    """Returns factors that flip the sign of units, for networks with odd activations.

    Args:
        architecture: Declares the layers.
        signs: +1 or -1 by symmetric axis; axes that are left out stay as they are.

    Raises:
        ValueError: If an axis is not sign symmetric (a max-pool follows it).
    """
    allowed = {w.units_axis for w in architecture.weighted if w.sign_symmetric}
    if forbidden := set(signs) - allowed:
        raise ValueError(f"axes {sorted(forbidden)} are not sign symmetric")
    some = next(iter(signs.values()))

    def factor(axis: str | None, size: int) -> Tensor:
        if axis is not None and axis in signs:
            return signs[axis]
        return some.new_ones(len(some), size)

    pieces = []
    for item in architecture.weighted:
        units = factor(item.units_axis, item.units)
        inputs = factor(item.inputs_axis, item.inputs)
        weight = units[:, :, None, None] * inputs[:, None, :, None]
        pieces.append(weight.expand(-1, -1, -1, item.block).flatten(1))
        if item.layer.bias:
            pieces.append(units)
    return torch.cat(pieces, dim=1)
