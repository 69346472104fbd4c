"""Bringing all models of a population into the coordinates of one reference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..networks.architectures import Architecture
from ..numbers.shapes import Float, Int
from .matching import Matcher
from .permutations import Symmetries

# models matched at once, so that the memory does not grow with them
BATCH = 1000


def weight_matching(
    weights: Float[np.ndarray, "models parameters"],
    architecture: Architecture,
    *,
    activations: Sequence[str],
    fit: Int[np.ndarray, fitted],
    reference: int,
    rounds: int = 5,
) -> Symmetries:
    """Finds symmetries that bring all models into the coordinates of one reference.

    First every model is matched to the reference, then, for some rounds, to the mean of
    the aligned models that may be seen.

    Args:
        weights: One model per row.
        architecture: Declares the symmetric axes.
        activations: Of each model; only those with an odd one are flipped in sign.
        fit: Rows that the mean may use.
        reference: Row that the first round matches to.
        rounds: Rounds to the mean after the first one.

    Returns:
        What aligns each model; it depends on the fitted rows and the model only.

    Source: weight matching, Ainsworth et al. 2023 (git re-basin), algorithms 1 and 3;
    signs are ours.
    """
    networks = torch.from_numpy(weights)
    kinds = np.asarray(activations)
    target = networks[reference].double()
    for _ in range(rounds + 1):
        found = Symmetries(
            torch.empty(weights.shape, dtype=torch.int64), torch.empty(weights.shape)
        )
        for activation in np.unique(kinds):
            matcher = Matcher(architecture, activation=str(activation))
            same = torch.from_numpy(np.flatnonzero(kinds == activation))
            for rows in same.split(BATCH):
                some = networks[rows].double()
                matched = matcher.find(some, target[None])
                found.entries[rows], found.signs[rows] = matched
        seen = found.of(networks)[torch.from_numpy(fit)]
        target = seen.mean(0, dtype=torch.float64)
    return found
