"""Weights of one architecture as the start of another."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from ..numbers.shapes import Float
from ..settings.stages import SettingsError
from .architectures import Architecture, Weighted


def transplant(
    weights: Float[Tensor, "models parameters"],
    source: Architecture,
    target: Architecture,
    *,
    how: Literal["layers", "vector", "none"],
    start: Float[Tensor, "models target_parameters"],
) -> Float[Tensor, "models target_parameters"]:
    """Returns networks of the target architecture.

    Args:
        weights: Networks of the source architecture.
        source: What they are.
        target: What they become.
        how: "layers": a layer takes the first units and inputs of the layer of the same
            name, as far as both have them and if their kernels are equally large.
            "vector": the whole vector is read as one of the target, across the borders
            of layers; the target's classes in the authors' release have the length for
            it. "none": nothing is taken over.
        start: Freshly initialised networks; what is not taken over stays as it is here.

    Raises:
        SettingsError: If vectors of different length are to be read as each other.
    """
    if how == "vector":
        if source.parameters != target.parameters:
            raise SettingsError(
                f"transplant vector: {source.name} has {source.parameters} weights,"
                f" {target.name} {target.parameters}; use layers"
            )
        return weights.clone()
    result = start.clone()
    givers = {item.name: item for item in source.weighted} if how == "layers" else {}
    for taker in target.weighted:
        giver = givers.get(taker.name)
        if giver is not None and giver.block == taker.block:
            _copy(weights, giver, result, taker)
    return result


def _copy(weights: Tensor, giver: Weighted, result: Tensor, taker: Weighted) -> None:
    units, inputs = (min(giver.units, taker.units), min(giver.inputs, taker.inputs))
    given = _blocks(weights, giver)[:, :units, :inputs]
    _blocks(result, taker)[:, :units, :inputs] = given
    if giver.layer.bias and taker.layer.bias:
        result[:, taker.bias][:, :units] = weights[:, giver.bias][:, :units]


def _blocks(
    weights: Float[Tensor, "models parameters"], item: Weighted
) -> Float[Tensor, "models units inputs block"]:
    """Returns the weight of a layer, as a view."""
    return weights[:, item.weight].unflatten(1, (item.units, item.inputs, item.block))
