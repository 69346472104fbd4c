"""The weights of untrained networks, each a function of its seed."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from ..numbers.shapes import Float
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
    """
    rows = []
    for seed in seeds:
        rng = torch.Generator().manual_seed(seed)
        row = torch.full((architecture.parameters,), INITIAL_BIAS)
        for key, shape in architecture.shapes().items():
            layer, kind = key.split(".")
            if kind == "weight":
                item = next(w for w in architecture.weighted if w.name == layer)
                name = "kaiming_uniform" if item.shortcut else initialization
                drawn = _draw(name, shape, item.fan_in, rng)
                row[item.weight] = drawn.flatten()
        rows.append(row)
    return torch.stack(rows)


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
