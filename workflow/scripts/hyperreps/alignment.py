"""Bringing all models of a population into the coordinates of one reference."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from .architectures import Architecture
from .shapes import Float, Int
from .symmetry import permutation_index


class _Matcher:
    """Weight matching of models against one reference, axis by axis."""

    def __init__(self, architecture: Architecture, scale: np.ndarray) -> None:
        self.architecture = architecture
        self.scale = scale

    def features(self, vector: np.ndarray, axis: str) -> np.ndarray:
        """Returns what moves with each unit of an axis: [units, features]."""
        parts = []
        scaled = vector / self.scale
        for item in self.architecture.weighted:
            weight = scaled[item.weight].reshape(item.units, item.inputs, item.block)
            if item.units_axis == axis:
                parts.append(weight.reshape(item.units, -1))
                if item.layer.bias:
                    parts.append(scaled[item.bias, None])
            if item.inputs_axis == axis:
                parts.append(weight.transpose(1, 0, 2).reshape(item.inputs, -1))
        return np.concatenate(parts, axis=1)

    def match(
        self, vector: np.ndarray, reference: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Returns the gather index that brings vector closest to reference.

        Coordinate descent over the axes in random order until none changes; each step
        is a linear assignment and can only lower the scaled squared distance.
        """
        index = np.arange(len(vector))
        axes = sorted(self.architecture.symmetric_axes)
        changed = True
        while changed:
            changed = False
            for axis in rng.permutation(axes):
                current = vector[index]
                similarity = self.features(reference, axis) @ (
                    self.features(current, axis).T
                )
                _, order = linear_sum_assignment(similarity, maximize=True)
                gain = similarity[np.arange(len(order)), order].sum() - np.trace(
                    similarity
                )
                if gain > 1e-6 * abs(np.trace(similarity)):
                    index = index[self._step(axis, order)]
                    changed = True
        return index

    def _step(self, axis: str, order: np.ndarray) -> np.ndarray:
        permutations = {
            name: torch.from_numpy(order if name == axis else np.arange(units))[None]
            for name, units in self.architecture.symmetric_axes.items()
        }
        return permutation_index(self.architecture, permutations)[0].numpy()


def weight_matching(
    weights: Float[np.ndarray, "models parameters"],
    architecture: Architecture,
    *,
    fit: Int[np.ndarray, fitted],
    reference: int,
    rounds: int = 5,
    restarts: int = 4,
    seed: int,
) -> Int[np.ndarray, "models parameters"]:
    """Finds permutations that bring all models into the coordinates of one reference.

    First every model is matched to the reference, then, for some rounds, to the mean of
    the aligned models that may be seen. Entries are scaled by the standard deviation of
    their layer.

    Args:
        weights: One model per row.
        architecture: Declares the symmetric axes.
        fit: Rows that the scale and the mean may use.
        reference: Row that the first round matches to.
        rounds: Rounds to the mean after the first one.
        restarts: Orders of the axes tried per model and round; the closest wins.
        seed: Of the orders. A model's result depends on it and on the fitted rows only.

    Returns:
        Gather indices: `np.take_along_axis(weights, index, 1)` is aligned.

    Source: weight matching, Ainsworth et al. 2023 (git re-basin), algorithms 1 and 3.
    """
    layers = architecture.layer_index
    scale = np.ones(architecture.parameters)
    for layer in range(len(architecture.weighted)):
        scale[layers == layer] = max(weights[fit][:, layers == layer].std(), 1e-4)
    matcher = _Matcher(architecture, scale)
    target = weights[reference].astype(np.float64)
    indices = np.tile(np.arange(architecture.parameters), (len(weights), 1))
    for round_ in range(rounds + 1):
        for row, vector in enumerate(weights.astype(np.float64)):
            best = np.inf
            for restart in range(restarts):
                rng = np.random.default_rng((seed, round_, restart))
                index = matcher.match(vector, target, rng)
                distance = (((vector[index] - target) / scale) ** 2).sum()
                if distance < best - 1e-9:
                    best, indices[row] = distance, index
        target = np.take_along_axis(weights, indices, 1)[fit].mean(0, dtype=np.float64)
    return indices
