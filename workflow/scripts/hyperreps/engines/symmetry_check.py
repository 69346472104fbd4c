"""Which permutations and sign flips of units leave a network's function as it is."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..files.own_parts import is_own, one_line, own_part
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
        units: How many there are.
        permutation: Largest change of a class score when units change places, relative
            to the largest score.
        sign: The same when some units change sign.
    """

    axis: str
    units: int
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
            AxisCheck(axis, units, change(weights.gather(1, index)), change(flipped))
        )
    return checks


def plain_network(name: str, *, channels: int) -> nn.Sequential | None:
    """Returns the plain PyTorch network that a name of a user's file stands for.

    Args:
        name: FILE.py:NAME, of a Sequential or a function(channels) that returns one;
            None for whatever else it is.
        channels: Of the images.
    """
    found = own_part(name) if is_own(name) else None
    if callable(found) and not isinstance(found, nn.Module):
        try:
            found = found(channels)
        except Exception as error:
            raise SettingsError(
                f"{name}: function(channels={channels}) fails ({one_line(error)})"
            ) from error
    return found if isinstance(found, nn.Sequential) else None


def check_sequential(
    network: nn.Sequential, *, channels: int, seed: int = 0
) -> list[AxisCheck]:
    """Computes the same of a plain network, for the units of each hidden layer.

    What lies between a layer and the next one (norms, for instance) moves with its
    units. The given network stays as it is.

    Args:
        network: Conv2d and Linear layers without groups, in Sequentials or not.
        channels: Of the images it takes, which are as large as all here.
        seed: Of weights, images and changes.

    Raises:
        SettingsError: If it cannot be computed on such images, or one layer does not
            take what the one before gives.
    """
    rng = torch.Generator().manual_seed(seed)
    kind: dict[str, Any] = {"generator": rng, "dtype": torch.float64}
    network = copy.deepcopy(network).double().eval()
    for name, values in network.state_dict().items():
        if values.is_floating_point():
            drawn = 0.3 * torch.randn(values.shape, **kind)
            values.copy_(drawn.abs() + 0.5 if name.endswith("running_var") else drawn)
    images = torch.randn(4, channels, IMAGE_SIZE, IMAGE_SIZE, **kind)
    # without Sequentials, whose layers come behind them
    parts = [p for p in network.named_modules() if not isinstance(p[1], nn.Sequential)]
    places = [k for k, p in enumerate(parts) if isinstance(p[1], nn.Conv2d | nn.Linear)]
    with torch.no_grad():
        expected = _scores(network, images)
        return [
            _checked(network, images, expected, parts[first : last + 1], rng)
            for first, last in pairwise(places)
        ]


def _checked(
    network: nn.Sequential,
    images: Tensor,
    expected: Tensor,
    parts: Sequence[tuple[str, nn.Module]],
    rng: torch.Generator,
) -> AxisCheck:
    """Checks the units of the first of some layers, whose last one takes them."""
    (name, layer), *between, (after, following) = parts
    weight, taken = layer.state_dict()["weight"], following.state_dict()["weight"]
    units = len(weight)
    if taken[0].numel() % units or {getattr(m, "groups", 1) for _, m in parts} != {1}:
        raise SettingsError(f"{after}: does not take the {units} units of {name} alone")
    beside = [
        (k, x) for _, m in (parts[0], *between) for k, x in m.state_dict().items()
    ]
    beside = [(k, x) for k, x in beside if x.dim() and len(x) == units]
    tensors = [
        taken.view(len(taken), units, -1).transpose(0, 1),
        *(x for _, x in beside),
    ]
    before = [x.clone() for x in tensors]

    def change() -> float:
        found = (_scores(network, images) - expected).abs().max() / expected.abs().max()
        for tensor, values in zip(tensors, before, strict=True):
            tensor.copy_(values)
        return float(found)

    order = torch.rand(units, generator=rng).argsort()
    for tensor in tensors:
        tensor.copy_(tensor[order])
    permutation = change()
    signs = 1 - 2 * torch.randint(0, 2, (units,), generator=rng).double()
    signs[0] = -1
    # the scale of a norm has no part in it
    odd = [x for k, x in beside if k in ("bias", "running_mean")]
    for tensor in (tensors[0], weight, *odd):
        tensor.mul_(signs.view(-1, *[1] * (tensor.dim() - 1)))
    return AxisCheck(name, units, permutation, change())


def _scores(network: nn.Sequential, images: Tensor) -> Tensor:
    try:
        found: Tensor = network(images)
    except Exception as error:
        shape = list(images.shape[1:])
        raise SettingsError(
            f"the network cannot be computed on images {shape} ({one_line(error)})"
        ) from error
    return found


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
