"""Do networks differ from held-out ones in several measures together?"""

from __future__ import annotations

import bisect
import math

import numpy as np
from scipy.spatial.distance import cdist

from ..numbers.shapes import Bool, Float

# random choices of one network per group, and of what is called a sample
DRAWS, PERMUTATIONS = 20, 999
# simulated tests per size of a difference, and the sizes in standard deviations
TRIALS = 50
SIZES = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
POWER = 0.8


def energy_test(
    some: Float[np.ndarray, "samples features"],
    others: Float[np.ndarray, "others features"],
    *,
    groups: np.ndarray,
    rng: np.random.Generator,
) -> float:
    """P value of an energy test, by permutation of groups.

    Networks of a group are no independent observations, so that one of each group is
    drawn, and the labels of groups are permuted. Twice the median p value of several
    draws holds however these depend on one another.

    Source: Szekely and Rizzo 2013 for the statistic, Meinshausen, Meier and Buehlmann
    2009 for the median.

    Args:
        some: Features of the networks in question.
        others: Features of independent networks, each a group of its own.
        groups: The group of each network in question.
        rng: Of draws and permutations.

    Returns:
        A value in (0, 1]; with G groups and m others none is below 1 / C(G + m, G).
    """
    names, labels = np.unique(groups.astype(str), return_inverse=True)
    members = [np.flatnonzero(labels == k) for k in range(len(names))]
    single = len(names) == len(some)
    found = []
    for _ in range(1 if single else DRAWS):
        rows = [rng.choice(rows) for rows in members]
        found.append(_p_value(some[rows], others, permutations=PERMUTATIONS, rng=rng))
    return found[0] if single else min(1.0, 2 * float(np.median(found)))


def _p_value(
    some: Float[np.ndarray, "samples features"],
    others: Float[np.ndarray, "others features"],
    *,
    permutations: int,
    rng: np.random.Generator,
) -> float:
    """P value for independent networks; features are scaled by their joint spread."""
    pooled = np.concatenate([some, others])
    spread = pooled.std(0)
    pooled = pooled / np.where(spread > 0, spread, 1)
    distances = cdist(pooled, pooled)
    own = np.zeros((permutations + 1, len(pooled)), bool)
    own[:, : len(some)] = True
    own[1:] = rng.permuted(own[1:], axis=1)
    if len(some) == 1:
        # there are no more splits
        own = np.eye(len(pooled), dtype=bool)
    energies = _energies(distances, own)
    # the first is the one in question; equal splits differ by rounding
    return float((energies >= energies[0] - 1e-9).mean())


def _energies(
    distances: Float[np.ndarray, "pooled pooled"],
    own: Bool[np.ndarray, "splits pooled"],
) -> Float[np.ndarray, splits]:
    """Energy distance of each split in two: 2 E|X - Y| - E|X - X'| - E|Y - Y'|."""
    one = own / own.sum(1, keepdims=True)
    two = ~own / (~own).sum(1, keepdims=True)
    apart = one - two
    energies: Float[np.ndarray, splits] = -((apart @ distances) * apart).sum(1)
    return energies


def detectable_shift(
    others: Float[np.ndarray, "others features"],
    *,
    groups: int,
    level: float,
    rng: np.random.Generator,
) -> float:
    """Smallest shift of the first feature that the test finds in 4 of 5 cases.

    By simulation: both samples are drawn from the others, with replacement, and one is
    shifted.

    Args:
        others: Features of independent networks.
        groups: How many independent networks stand against them.
        level: P values up to it count as found.
        rng: Of the draws.

    Returns:
        In the unit of the feature, one of SIZES standard deviations; infinite if none
        of these would be found.
    """
    spread = float(others[:, 0].std())

    def found(size: float) -> bool:
        shift = np.zeros(others.shape[1])
        shift[0] = size * spread
        hits = 0
        for _ in range(TRIALS):
            rows = rng.integers(len(others), size=groups)
            rest = rng.integers(len(others), size=len(others))
            p = _p_value(others[rows] - shift, others[rest], permutations=199, rng=rng)
            hits += p <= level
        return hits >= POWER * TRIALS

    place = bisect.bisect_left(SIZES, True, key=found)
    return SIZES[place] * spread if place < len(SIZES) else math.inf
