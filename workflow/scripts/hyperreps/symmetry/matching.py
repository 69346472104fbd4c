"""Networks up to the symmetries of their function: matching and distances.

Two vectors may be the same network: units permuted and, where the activation is odd,
flipped in sign. The distance wanted is the smallest over all such changes of one of
them. It is bracketed: `Matcher.match` gives an upper bound (exact for a changed copy),
`Matcher.orbits` a lower one. The distance is plain L2: divided by the spread of each
layer it aligns zoos no better (docs/measurements/alignment.csv).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from torch import Tensor
from tqdm import tqdm

from ..networks.architectures import Architecture, Weighted
from ..numbers.shapes import Float, Int
from .permutations import Symmetries, sign_axes, symmetries

# float32 sums: a smaller relative gain may be rounding
TOLERANCE = 1e-5

# networks on the way, models first in each tensor: by layer weight.* [models, units,
# inputs, block] and bias.* [models, units]; by axis order.* and sign.* [models, units],
# the moves so far
_Networks = dict[str, Tensor]


@dataclass(frozen=True)
class Prepared:
    """Networks as a Matcher reads them, made by Matcher.prepare().

    Attributes:
        layers: Their weights and biases, by layer.
        features: What tells the units of an axis apart, by axis; for each start.
    """

    layers: _Networks
    features: tuple[dict[str, Float[Tensor, "models units features"]], ...]

    def __len__(self) -> int:
        """Number of networks."""
        return len(next(iter(self.layers.values())))

    def __getitem__(self, rows: slice | Tensor) -> Prepared:
        """Returns some of the networks."""
        features = tuple(_rows(kind, rows) for kind in self.features)
        return Prepared(_rows(self.layers, rows), features)


class Matcher:
    """Weight matching of pairs of networks, many pairs at once.

    Args:
        architecture: Declares the symmetric axes.
        activation: Of the networks; an odd one adds sign flips.
    """

    def __init__(self, architecture: Architecture, *, activation: str) -> None:
        self.architecture = architecture
        self.flips = frozenset(sign_axes(architecture, activation))
        # axes that may flip, of each start
        self._kinds = list(dict.fromkeys((frozenset[str](), self.flips)))

    def prepare(self, vectors: Float[Tensor, "models parameters"]) -> Prepared:
        """Reads networks that are matched with many others once for all."""
        layers = self._split(vectors)
        axes = self.architecture.symmetric_axes
        features = (
            {axis: self._invariants(layers, axis, flips) for axis in axes}
            for flips in self._kinds
        )
        return Prepared(layers, tuple(features))

    def match(
        self,
        vectors: Float[Tensor, "models parameters"],
        targets: Float[Tensor, "targets parameters"] | Prepared,
    ) -> Float[Tensor, "pairs parameters"]:
        """Brings each vector as near to its target as find() can.

        Returns:
            The vectors with units permuted and flipped, never farther than before.
        """
        found = self.find(vectors, targets)
        return found.of(vectors.expand(max(len(vectors), len(targets)), -1))

    def find(
        self,
        vectors: Float[Tensor, "models parameters"],
        targets: Float[Tensor, "targets parameters"] | Prepared,
    ) -> Symmetries:
        """Returns what brings each vector as near to its target as weight matching can.

        Starts from the vector as it is, or from an assignment of units by features that
        no symmetry of other axes changes (with and without flips), whichever is
        nearest; a changed copy is found by the latter. Then coordinate descent over the
        axes in layer order, each step a linear assignment, until none gains (a local
        optimum).

        Source: weight matching, Ainsworth et al. 2023 (git re-basin), algorithm 1; the
        start and the signs are ours.

        Args:
            vectors: As many as targets, or one that is matched with each.
            targets: As many as vectors, or one for all; prepared, if they are matched
                with more.
        """
        known = self.prepare(vectors)
        wanted = targets if isinstance(targets, Prepared) else self.prepare(targets)
        pairs = max(len(known), len(wanted))
        goal = _expanded(wanted.layers, pairs)
        networks = _expanded(known.layers, pairs) | self._unmoved(pairs)
        axes = self.architecture.symmetric_axes
        starts = []
        for kind, flips in enumerate(self._kinds):
            own, aims = known.features[kind], wanted.features[kind]
            orders = {axis: _assignment(aims[axis] @ own[axis].mT) for axis in axes}
            starts.append(self._start(networks, goal, orders, flips))
        for start in starts:
            nearer = _distance(start, goal) < _distance(networks, goal)
            networks = _chosen(nearer, start, networks)
        active = torch.arange(pairs)
        found = networks
        while len(active):
            networks, moved = self._sweep(networks, goal)
            networks, goal = _rows(networks, moved), _rows(goal, moved)
            active = active[moved]
            found = {k: v.index_copy(0, active, networks[k]) for k, v in found.items()}
        return symmetries(
            self.architecture,
            {axis: found[f"order.{axis}"] for axis in axes},
            {axis: found[f"sign.{axis}"] for axis in self.flips},
        )

    def orbits(
        self, vectors: Float[Tensor, "models parameters"]
    ) -> Float[Tensor, "models parameters"]:
        """Sorts all entries that symmetries may exchange, by magnitude if they flip.

        The distance of two results is a lower bound of the distance of the networks
        after any permutation and flip (rearrangement inequality).
        """
        parts = []
        networks = self._split(vectors)
        for item in self.architecture.weighted:
            weight, bias = _layer(networks, item)
            axes = (item.units_axis, item.inputs_axis)
            # free: entries that may take each other's place
            kept = [dim for dim, axis in enumerate(axes, start=1) if axis is None]
            free = [dim for dim in (1, 2) if dim not in kept]
            if not self.flips.isdisjoint(axes):
                weight = weight.abs()
            rows = weight.permute(0, *kept, 3, *free).flatten(1 + len(kept) + 1)
            parts.append(rows.sort(-1).values.flatten(1))
            if item.units_axis in self.flips:
                bias = bias.abs()
            parts.append(bias.sort(1).values if item.units_axis else bias)
        return torch.cat(parts, dim=1)

    def _split(self, vectors: Tensor) -> _Networks:
        networks = {}
        for item in self.architecture.weighted:
            shape = (-1, item.units, item.inputs, item.block)
            networks[f"weight.{item.name}"] = vectors[:, item.weight].reshape(shape)
            networks[f"bias.{item.name}"] = vectors[:, item.bias]
        return networks

    def _unmoved(self, models: int) -> _Networks:
        moves = {}
        for axis, units in self.architecture.symmetric_axes.items():
            moves[f"order.{axis}"] = torch.arange(units).repeat(models, 1)
            moves[f"sign.{axis}"] = torch.ones(models, units)
        return moves

    def _start(
        self,
        networks: _Networks,
        goal: _Networks,
        orders: dict[str, Int[Tensor, "pairs units"]],
        flips: frozenset[str],
    ) -> _Networks:
        """Assigns units by what the symmetries of other axes leave as it is."""
        started = networks
        for axis, order in orders.items():
            started = self._reorder(started, axis, order, None)
        # from the first layer on: incoming weights then have their final signs
        for item in self.architecture.weighted:
            if item.units_axis in flips:
                weight, bias = _layer(started, item)
                aim, offset = _layer(goal, item)
                agreement = (weight * aim).sum((2, 3))
                if item.layer.bias:
                    agreement = agreement + bias * offset
                signs = _signs(agreement)
                started = self._reorder(started, item.units_axis, None, signs)
        return started

    def _invariants(
        self, networks: _Networks, axis: str, flips: frozenset[str]
    ) -> Float[Tensor, "models units features"]:
        """Returns features of the units of an axis, whatever the other axes do."""
        parts = []
        for item in self.architecture.weighted:
            weight, bias = _layer(networks, item)
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

    def _sweep(self, networks: _Networks, goal: _Networks) -> tuple[_Networks, Tensor]:
        """Goes once over all axes; returns the networks and which ones moved."""
        moved = torch.zeros(len(next(iter(goal.values()))), dtype=torch.bool)
        for axis, units in self.architecture.symmetric_axes.items():
            similarity = self._similarity(networks, goal, axis)
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
            networks = self._reorder(networks, axis, order, signs)
            moved |= better
        return networks, moved

    def _similarity(
        self, networks: _Networks, goal: _Networks, axis: str
    ) -> Float[Tensor, "models units units"]:
        """Inner products of unit v of the networks with unit u of their targets."""
        total: Tensor | float = 0.0
        for item in self.architecture.weighted:
            weight, bias = _layer(networks, item)
            aim, offset = _layer(goal, item)
            if item.units_axis == axis:
                total = total + aim.flatten(2) @ weight.flatten(2).mT
                if item.layer.bias:
                    total = total + offset[:, :, None] * bias[:, None, :]
            if item.inputs_axis == axis:
                one, two = (x.transpose(1, 2).flatten(2) for x in (aim, weight))
                total = total + one @ two.mT
        assert isinstance(total, Tensor)
        return total

    def _reorder(
        self, networks: _Networks, axis: str, order: Tensor | None, signs: Tensor | None
    ) -> _Networks:
        """Moves and flips the units of an axis, and the inputs of the next layer."""
        where = [(f"order.{axis}", 1, None), (f"sign.{axis}", 1, signs)]
        for item in self.architecture.weighted:
            if item.units_axis == axis:
                where.append((f"weight.{item.name}", 1, signs))
                if item.layer.bias:
                    where.append((f"bias.{item.name}", 1, signs))
            if item.inputs_axis == axis:
                where.append((f"weight.{item.name}", 2, signs))
        changed = dict(networks)
        for key, dim, factors in where:
            changed[key] = _moved(changed[key], dim, order, factors)
        return changed


def _layer(networks: _Networks, item: Weighted) -> tuple[Tensor, Tensor]:
    return networks[f"weight.{item.name}"], networks[f"bias.{item.name}"]


def _moved(
    values: Tensor, dim: int, order: Tensor | None, signs: Tensor | None
) -> Tensor:
    if order is not None:
        # many times faster than take_along_dim, which reads an index per entry
        rows = torch.arange(len(values))[:, None]
        values = values.transpose(1, dim)[rows, order].transpose(1, dim)
    if signs is None:
        return values
    shape = [1] * values.dim()
    shape[0], shape[dim] = signs.shape
    return values * signs.reshape(shape)


def _signs(values: Tensor) -> Tensor:
    """Returns -1 for negative values, else 1: never 0."""
    return torch.where(values < 0, -1.0, 1.0)


def _assignment(
    similarity: Float[Tensor, "models units units"],
) -> Int[Tensor, "models units"]:
    """Returns which column each row gets, so that the sum is largest."""
    orders = [linear_sum_assignment(s, maximize=True)[1] for s in similarity.numpy()]
    return torch.from_numpy(np.stack(orders))


def _distance(networks: _Networks, goal: _Networks) -> Float[Tensor, models]:
    parts = [
        (networks[key] - aim).flatten(1).square().sum(1) for key, aim in goal.items()
    ]
    return torch.stack(parts).sum(0)


def _chosen(first: Tensor, one: _Networks, two: _Networks) -> _Networks:
    def each(key: str) -> Tensor:
        rows = first.reshape(-1, *[1] * (one[key].dim() - 1))
        return torch.where(rows, one[key], two[key])

    return {key: each(key) for key in one}


def _rows(networks: _Networks, rows: slice | Tensor) -> _Networks:
    return {key: values[rows] for key, values in networks.items()}


def _expanded(networks: _Networks, models: int) -> _Networks:
    return {k: v.expand(models, *v.shape[1:]) for k, v in networks.items()}


def matched_distances(
    matcher: Matcher,
    vectors: Float[np.ndarray, "models parameters"],
    goals: Float[np.ndarray, "models parameters"],
) -> Float[np.ndarray, models]:
    """L2 distance of each network to its own goal, as near as the matcher brings it."""
    weights, goal = torch.from_numpy(vectors), torch.from_numpy(goals)
    return _norms(matcher.match(weights, goal) - goal)


def pair_distances(
    matcher: Matcher, vectors: Float[np.ndarray, "models parameters"]
) -> Float[np.ndarray, "models models"]:
    """L2 distances of all pairs of networks after matching; NaN on the diagonal."""
    distances = np.full((len(vectors), len(vectors)), np.nan)
    networks = torch.from_numpy(vectors)
    prepared = matcher.prepare(networks)
    for row in tqdm(range(len(vectors) - 1), desc="pairs", disable=None):
        rest = slice(row + 1, None)
        matched = matcher.match(networks[row : row + 1], prepared[rest])
        distances[row, rest] = distances[rest, row] = _norms(matched - networks[rest])
    return distances


def _norms(
    differences: Float[Tensor, "models parameters"],
) -> Float[np.ndarray, models]:
    found: Float[np.ndarray, models] = torch.linalg.vector_norm(
        differences, dim=1, dtype=torch.float64
    ).numpy()
    return found


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
    heads = matcher.prepare(targets[[last[number] for number in runs]])
    bounds = raw_distances(
        matcher.orbits(torch.from_numpy(vectors)).numpy(),
        matcher.orbits(targets).numpy(),
    )
    distances = np.empty(bounds.shape)
    raw = raw_distances(vectors, others)
    few = min(refined, len(others))
    networks = tqdm(torch.from_numpy(vectors), desc="distances", disable=None)
    for row, vector in enumerate(networks):
        matched = matcher.match(vector[None], heads)
        found = np.minimum(_norms(matched[member] - targets), raw[row])
        nearest = np.argpartition(np.stack([found, bounds[row]]), few - 1)[:, :few]
        near = np.unique(nearest)
        again = _norms(matcher.match(vector[None], targets[near]) - targets[near])
        found[near] = np.minimum(found[near], again)
        distances[row] = found
    return distances, bounds
