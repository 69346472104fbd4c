"""Distances between networks up to the symmetries of their function.

Two vectors may be the same network: units permuted and, where the activation is odd,
flipped in sign. The distance wanted is the smallest over all such changes of one of
them. It is bracketed: `Matcher.match` gives an upper bound (exact for a changed copy),
`Matcher.orbits` a lower one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from torch import Tensor
from tqdm import tqdm

from .architectures import Architecture
from .shapes import Float, Int

# activations f with f(-x) = -f(x)
ODD_ACTIVATIONS = ("tanh",)
# float32 sums: a smaller relative gain may be rounding
TOLERANCE = 1e-5


class _Layer(NamedTuple):
    """One weighted layer of a population."""

    weight: Float[Tensor, "models units inputs block"]
    bias: Float[Tensor, "models biases"]


_Layers = list[_Layer]


class Matcher:
    """Weight matching of pairs of networks, many pairs at once.

    Args:
        architecture: Declares the symmetric axes.
        activation: Of the networks; an odd one adds sign flips.
    """

    def __init__(self, architecture: Architecture, *, activation: str) -> None:
        self.architecture = architecture
        odd = activation in ODD_ACTIVATIONS
        self.flips = frozenset(
            w.units_axis for w in architecture.weighted if odd and w.sign_symmetric
        )

    def match(
        self,
        vectors: Float[Tensor, "models parameters"],
        targets: Float[Tensor, "models parameters"],
    ) -> Float[Tensor, "models parameters"]:
        """Brings each vector as near to its target as weight matching can.

        Starts from the vector as it is, or from an assignment of units by features that
        no symmetry of other axes changes (with and without flips), whichever is
        nearest; a changed copy is found by the latter. Then coordinate descent over the
        axes in layer order, each step a linear assignment, until none gains (a local
        optimum).

        Returns:
            The vectors with units permuted and flipped, never farther than before.

        Source: weight matching, Ainsworth et al. 2023 (git re-basin), algorithm 1; the
        start and the signs are ours.
        """
        goal, layers = self._split(targets), self._split(vectors)
        kinds = dict.fromkeys((frozenset[str | None](), self.flips))
        starts = [self._start(layers, goal, flips) for flips in kinds]
        for start in starts:
            nearer = _distance(start, goal) < _distance(layers, goal)
            layers = [
                _chosen(nearer, *both) for both in zip(start, layers, strict=True)
            ]
        active = torch.arange(len(vectors))
        result = self._join(layers)
        while len(active):
            layers, moved = self._sweep(layers, goal)
            layers, goal = _rows(layers, moved), _rows(goal, moved)
            active = active[moved]
            result[active] = self._join(layers)
        return result

    def orbits(
        self, vectors: Float[Tensor, "models parameters"]
    ) -> Float[Tensor, "models parameters"]:
        """Sorts all entries that symmetries may exchange, by magnitude if they flip.

        The distance of two results is a lower bound of the distance of the networks
        after any permutation and flip (rearrangement inequality).
        """
        parts = []
        for item, layer in zip(
            self.architecture.weighted, self._split(vectors), strict=True
        ):
            axes = (item.units_axis, item.inputs_axis)
            flipped = not self.flips.isdisjoint(axes)
            # free: entries that may take each other's place
            kept = [dim for dim, axis in enumerate(axes, start=1) if axis is None]
            free = [dim for dim in (1, 2) if dim not in kept]
            weight = layer.weight.abs() if flipped else layer.weight
            rows = weight.permute(0, *kept, 3, *free).flatten(1 + len(kept) + 1)
            parts.append(rows.sort(-1).values.flatten(1))
            bias = layer.bias.abs() if item.units_axis in self.flips else layer.bias
            parts.append(bias.sort(1).values if item.units_axis else bias)
        return torch.cat(parts, dim=1)

    def _split(self, vectors: Tensor) -> list[_Layer]:
        return [
            _Layer(
                vectors[:, w.weight].reshape(-1, w.units, w.inputs, w.block),
                vectors[:, w.bias],
            )
            for w in self.architecture.weighted
        ]

    def _join(self, layers: _Layers) -> Tensor:
        parts = [part.flatten(1) for layer in layers for part in layer]
        return torch.cat(parts, dim=1)

    def _start(
        self, layers: _Layers, goal: _Layers, flips: frozenset[str | None]
    ) -> list[_Layer]:
        """Assigns units by what the symmetries of other axes leave as it is."""
        orders = {}
        for axis in self.architecture.symmetric_axes:
            known, wanted = (self._invariants(x, axis, flips) for x in (layers, goal))
            orders[axis] = _assignment(wanted @ known.transpose(1, 2))
        started = list(layers)
        for axis, order in orders.items():
            started = self._reorder(started, axis, order, None)
        # from the first layer on: incoming weights then have their final signs
        for index, item in enumerate(self.architecture.weighted):
            if item.units_axis is not None and item.units_axis in flips:
                found, aim = started[index], goal[index]
                agreement = (found.weight * aim.weight).sum((2, 3))
                if item.layer.bias:
                    agreement = agreement + found.bias * aim.bias
                signs = _signs(agreement)
                started = self._reorder(started, item.units_axis, None, signs)
        return started

    def _invariants(
        self, layers: _Layers, axis: str, flips: frozenset[str | None]
    ) -> Float[Tensor, "models units features"]:
        """Returns features of the units of an axis, whatever the other axes do."""
        parts = []
        for item, (weight, bias) in zip(
            self.architecture.weighted, layers, strict=True
        ):
            sides = (
                (item.units_axis, item.inputs_axis, weight),
                (item.inputs_axis, item.units_axis, weight.transpose(1, 2)),
            )
            for own, other, entries in sides:
                if own == axis:
                    if not flips.isdisjoint((own, other)):
                        entries = entries.abs()
                    if other is not None:
                        entries = entries.sort(2).values
                    parts.append(entries.flatten(2))
            if item.units_axis == axis and item.layer.bias:
                parts.append((bias.abs() if axis in flips else bias)[..., None])
        return torch.cat(parts, dim=2)

    def _sweep(self, layers: _Layers, goal: _Layers) -> tuple[_Layers, Tensor]:
        """Goes once over all axes; returns the layers and which networks moved."""
        moved = torch.zeros(len(goal[0].weight), dtype=torch.bool)
        for axis, units in self.architecture.symmetric_axes.items():
            similarity = self._similarity(layers, goal, axis)
            flipped = axis in self.flips
            order = _assignment(similarity.abs() if flipped else similarity)
            chosen = similarity.gather(2, order[..., None])[..., 0]
            before = similarity.diagonal(dim1=1, dim2=2)
            gain = (chosen.abs() if flipped else chosen).sum(1) - before.sum(1)
            better = gain > TOLERANCE * before.abs().sum(1)
            order = torch.where(better[:, None], order, torch.arange(units))
            signs = None
            if flipped:
                signs = torch.where(better[:, None], _signs(chosen), 1.0)
            layers = self._reorder(layers, axis, order, signs)
            moved |= better
        return layers, moved

    def _similarity(
        self, layers: _Layers, goal: _Layers, axis: str
    ) -> Float[Tensor, "models units units"]:
        """Inner products of unit v of the networks with unit u of their targets."""
        units = self.architecture.symmetric_axes[axis]
        total = goal[0].weight.new_zeros(len(goal[0].weight), units, units)
        for item, here, there in zip(
            self.architecture.weighted, layers, goal, strict=True
        ):
            if item.units_axis == axis:
                total += there.weight.flatten(2) @ here.weight.flatten(2).mT
                if item.layer.bias:
                    total += there.bias[:, :, None] * here.bias[:, None, :]
            if item.inputs_axis == axis:
                one, two = (x.weight.transpose(1, 2).flatten(2) for x in (there, here))
                total += one @ two.mT
        return total

    def _reorder(
        self, layers: _Layers, axis: str, order: Tensor | None, signs: Tensor | None
    ) -> list[_Layer]:
        """Moves and flips the units of an axis, and the inputs of the next layer."""
        changed = []
        for item, (weight, bias) in zip(
            self.architecture.weighted, layers, strict=True
        ):
            if item.units_axis == axis:
                weight = _moved(weight, 1, order, signs)
                if item.layer.bias:
                    bias = _moved(bias, 1, order, signs)
            if item.inputs_axis == axis:
                weight = _moved(weight, 2, order, signs)
            changed.append(_Layer(weight, bias))
        return changed


def _moved(
    values: Tensor, dim: int, order: Tensor | None, signs: Tensor | None
) -> Tensor:
    shape = [1] * values.dim()
    shape[0], shape[dim] = len(values), values.shape[dim]
    if order is not None:
        values = values.take_along_dim(order.reshape(shape), dim)
    return values if signs is None else values * signs.reshape(shape)


def _signs(values: Tensor) -> Tensor:
    """Returns -1 for negative values, else 1: never 0."""
    return torch.where(values < 0, -1.0, 1.0)


def _assignment(
    similarity: Float[Tensor, "models units units"],
) -> Int[Tensor, "models units"]:
    """Returns which column each row gets, so that the sum is largest."""
    orders = [linear_sum_assignment(s, maximize=True)[1] for s in similarity.numpy()]
    return torch.from_numpy(np.stack(orders))


def _distance(layers: _Layers, goal: _Layers) -> Float[Tensor, models]:
    parts = [
        (x - y).flatten(1).square().sum(1)
        for here, there in zip(layers, goal, strict=True)
        for x, y in zip(here, there, strict=True)
    ]
    return torch.stack(parts).sum(0)


def _chosen(first: Tensor, one: _Layer, two: _Layer) -> _Layer:
    weight = torch.where(first[:, None, None, None], one.weight, two.weight)
    return _Layer(weight, torch.where(first[:, None], one.bias, two.bias))


def _rows(layers: _Layers, rows: Tensor) -> list[_Layer]:
    return [_Layer(layer.weight[rows], layer.bias[rows]) for layer in layers]


def pair_distances(
    matcher: Matcher, vectors: Float[np.ndarray, "models parameters"]
) -> Float[np.ndarray, "models models"]:
    """L2 distances of all pairs of networks after matching; NaN on the diagonal."""
    weights = torch.from_numpy(vectors)
    distances = np.full((len(weights), len(weights)), np.nan)
    for row in range(len(weights) - 1):
        rest = weights[row + 1 :]
        matched = matcher.match(weights[row].expand(len(rest), -1), rest)
        found = (matched - rest).double().square().sum(1).sqrt().numpy()
        distances[row, row + 1 :] = distances[row + 1 :, row] = found
    return distances


def raw_distances(
    vectors: Float[np.ndarray, "models parameters"],
    others: Float[np.ndarray, "others parameters"],
) -> Float[np.ndarray, "models others"]:
    """Returns L2 distances, exactly 0 between equal vectors."""
    return cdist(vectors, others)


def aligned_distances(
    matcher: Matcher,
    vectors: Float[np.ndarray, "models parameters"],
    others: Float[np.ndarray, "others parameters"],
    *,
    run: Int[np.ndarray, others],
    refined: int = 8,
) -> tuple[Float[np.ndarray, "models others"], Float[np.ndarray, "models others"]]:
    """L2 distances after the best symmetry found, and lower bounds for any symmetry.

    Each vector is matched with the last network of every run, and this match serves for
    the other epochs of the run. Then the networks that are nearest so far, and those
    with the lowest bounds, are matched themselves.

    Args:
        matcher: Of the architecture and activation.
        vectors: To be matched.
        others: To be matched with.
        run: Run that each of the others is an epoch of, in increasing order of epochs.
        refined: Networks matched themselves, by either criterion.

    Returns:
        Distances, upper bounds of the smallest one over all symmetries (0 for a
        permuted and flipped copy), and its lower bounds.
    """
    targets = torch.from_numpy(others)
    last = {number: row for row, number in enumerate(run)}
    runs, member = np.unique(run, return_inverse=True)
    heads = targets[[last[number] for number in runs]]
    bounds = raw_distances(
        matcher.orbits(torch.from_numpy(vectors)).numpy(),
        matcher.orbits(targets).numpy(),
    )
    distances = np.empty(bounds.shape)
    raw = raw_distances(vectors, others)
    few = min(refined, len(others))
    for row, vector in enumerate(tqdm(torch.from_numpy(vectors), disable=None)):
        matched = matcher.match(vector.expand(len(heads), -1), heads)
        found = (matched[member] - targets).double().square().sum(1).sqrt().numpy()
        found = np.minimum(found, raw[row])
        nearest = np.argpartition(np.stack([found, bounds[row]]), few - 1)[:, :few]
        near = np.unique(nearest)
        matched = matcher.match(vector.expand(len(near), -1), targets[near])
        again = (matched - targets[near]).double().square().sum(1).sqrt().numpy()
        found[near] = np.minimum(found[near], again)
        distances[row] = found
    return distances, bounds
