"""The weights of untrained networks, each a function of its seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from ..files.own_parts import find_initialization, one_line
from ..numbers.shapes import Float
from ..settings.stages import SettingsError
from .architectures import Architecture

INITIAL_BIAS = 0.01


def initial_weights(
    architecture: Architecture, *, initialization: str, seeds: Iterable[int]
) -> Float[Tensor, "models parameters"]:
    """Draws the weights of untrained networks; all biases are 0.01.

    Args:
        architecture: The network.
        initialization: As in Recipe; "uniform" is U(0, 1), as in the release.
            Shortcuts always start with kaiming_uniform, as there.
        seeds: One per model; each model depends on its own seed only.

    Raises:
        SettingsError: If there is no such initialisation, or the user's does not give
            weights.
    """
    own = find_initialization(initialization)
    rows = []
    for seed in seeds:
        rng = torch.Generator().manual_seed(seed)
        row = torch.full((architecture.parameters,), INITIAL_BIAS)
        for key, shape in architecture.shapes().items():
            layer, kind = key.split(".")
            if kind == "weight":
                item = next(w for w in architecture.weighted if w.name == layer)
                if own and not item.shortcut:
                    drawn = _own(own, initialization, shape, item.fan_in, rng)
                else:
                    name = "kaiming_uniform" if item.shortcut else initialization
                    drawn = _draw(name, shape, item.fan_in, rng)
                row[item.weight] = drawn.flatten()
        rows.append(row)
    return torch.stack(rows)


def _own(
    function: Callable[..., Any],
    name: str,
    shape: tuple[int, ...],
    fan_in: int,
    rng: torch.Generator,
) -> Tensor:
    """Returns what a user's function draws, once it is known to be weights."""
    try:
        drawn = function(shape, fan_in=fan_in, rng=rng)
    except Exception as error:
        raise SettingsError(
            f"{name}: function({shape}, ...) fails ({one_line(error)})"
        ) from error
    if not isinstance(drawn, Tensor) or drawn.shape != shape:
        found = list(drawn.shape) if isinstance(drawn, Tensor) else type(drawn).__name__
        raise SettingsError(f"{name}: must return a tensor {list(shape)}, not {found}")
    if not drawn.isfinite().all():
        raise SettingsError(f"{name}: must return finite weights")
    return drawn.float()


def _draw(
    name: str, shape: tuple[int, ...], fan_in: int, rng: torch.Generator
) -> Tensor:
    weight = torch.empty(shape)
    if name == "uniform":
        return weight.uniform_(0, 1, generator=rng)
    if name == "uniform_fan_in":
        return weight.uniform_(0, fan_in**-0.5, generator=rng)
    if name == "normal":
        return weight.normal_(0, 1, generator=rng)
    initialize = getattr(torch.nn.init, f"{name}_")
    return initialize(weight, generator=rng)
