"""Which permutations and sign flips of units leave a network's function as it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..files.own_parts import one_line
from ..networks.architectures import IMAGE_SIZE, Architecture
from ..settings.stages import SettingsError
from ..symmetry.permutations import permutation_index, sign_axes
from .grouped import forward

# in float64, relative to the largest score: more than the order of sums changes
TOLERANCE = 1e-9


class AxisCheck(NamedTuple):
    """What one axis of units allows.

    Attributes:
        axis: Its name, that of the first layer whose units it orders.
        permutation: Largest change of a class score when units change places, relative
            to the largest score.
        sign: The same when some units change sign.
    """

    axis: str
    permutation: float
    sign: float

    @property
    def permutes(self) -> bool:
        """Whether permutations leave the function as it is."""
        return self.permutation < TOLERANCE

    @property
    def flips(self) -> bool:
        """Whether sign flips do."""
        return self.sign < TOLERANCE


def check_symmetry(
    architecture: Architecture, *, activation: str, seed: int = 0
) -> list[AxisCheck]:
    """Computes what each declared axis allows, on random networks and images.

    Args:
        architecture: Its declaration says which axes move together.
        activation: A key of ACTIVATIONS.
        seed: Of networks, images and changes.
    """
    rng = torch.Generator().manual_seed(seed)
    kind: dict[str, Any] = {"generator": rng, "dtype": torch.float64}
    weights = 0.3 * torch.randn(2, architecture.parameters, **kind)
    images = torch.randn(4, architecture.channels, IMAGE_SIZE, IMAGE_SIZE, **kind)
    expected = forward(architecture, weights, images, activation=activation)

    def change(changed: Tensor) -> float:
        found = forward(architecture, changed, images, activation=activation)
        return float((found - expected).abs().max() / expected.abs().max())

    axes = architecture.symmetric_axes
    still = {axis: torch.arange(units).expand(2, -1) for axis, units in axes.items()}
    checks = []
    for axis, units in axes.items():
        order = torch.rand(2, units, generator=rng).argsort(1)
        index = permutation_index(architecture, {**still, axis: order})
        # one unit at least
        signs = 1 - 2 * torch.randint(0, 2, (units,), generator=rng).double()
        signs[0] = -1
        flipped = weights * _factors(architecture, axis, signs)
        checks.append(
            AxisCheck(axis, change(weights.gather(1, index)), change(flipped))
        )
    return checks


def refuted(
    architecture: Architecture, checks: Iterable[AxisCheck], *, activation: str
) -> Iterator[str]:
    """Yields a line for each declared permutation and flip that changes the function.

    Args:
        architecture: That was checked.
        checks: Of check_symmetry().
        activation: That they were made with.
    """
    signs = sign_axes(architecture, activation)
    for check in checks:
        for declared, holds, what, change in (
            (True, check.permutes, "another order", check.permutation),
            (check.axis in signs, check.flips, "another sign", check.sign),
        ):
            if declared and not holds:
                yield (
                    f"{architecture.name}: {what} of units of {check.axis} changes the"
                    f" class scores by {change:.0e} of the largest"
                )


def require_symmetry(architecture: Architecture) -> None:
    """Refuses a network whose function what it declares free changes.

    Raises:
        SettingsError: For such a network, or one that cannot be computed.
    """
    try:
        checks = check_symmetry(architecture, activation="tanh")
    except (RuntimeError, ValueError, IndexError) as error:
        raise SettingsError(
            f"{architecture.name}: cannot be computed ({one_line(error)})"
        ) from error
    for problem in refuted(architecture, checks, activation="tanh"):
        raise SettingsError(problem)


def _factors(architecture: Architecture, axis: str, signs: Tensor) -> Tensor:
    """Returns what flips units of an axis, whether that is declared or not."""
    pieces = []
    for item in architecture.weighted:
        units = signs if item.units_axis == axis else signs.new_ones(item.units)
        inputs = signs if item.inputs_axis == axis else signs.new_ones(item.inputs)
        weight = units[:, None, None] * inputs[:, None]
        pieces.append(weight.expand(-1, -1, item.block).flatten())
        if item.layer.bias:
            pieces.append(units)
    return torch.cat(pieces)
