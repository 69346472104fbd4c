"""Permutations and sign flips of neurons that leave a network's function unchanged.

Units of a hidden layer may change places if the inputs of the next layer follow. Which
axes move together is data of the architecture; here they become gather indices over the
flat vector, so that a permuted population is `weights.gather(1, index)`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .architectures import Architecture
from .shapes import Float, Int

Permutations = Mapping[str, Int[Tensor, "models units"]]


def random_permutations(
    architecture: Architecture, models: int, *, generator: torch.Generator
) -> dict[str, Int[Tensor, "models units"]]:
    """Draws an independent uniform permutation per model and symmetric axis."""
    device = generator.device
    return {
        axis: torch.rand(models, units, generator=generator, device=device).argsort(1)
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


def sign_vector(
    architecture: Architecture, signs: Mapping[str, Float[Tensor, "models units"]]
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
