"""Verdicts on distances: are networks nearer to training than held-out ones are?"""

from __future__ import annotations

import math

import numpy as np

from ..numbers.shapes import Float


def z_u(
    distances: Float[np.ndarray, models], held_out: Float[np.ndarray, others]
) -> float:
    """Data-copying statistic: how much nearer to training than held-out networks.

    The z-score of the Mann-Whitney U of distances to the nearest training network:
    about N(0, 1) for samples that are distributed as held-out networks are, far below 0
    for copies, far above 0 for samples that are unlike any. It grows with the number of
    networks; nearer() does not.

    Source: Z_U of Meehan, Chaudhuri and Dasgupta 2020.
    """
    return z_score(nearer(distances, held_out), len(distances), len(held_out))


def z_score(nearer: float, models: int, others: int) -> float:
    """Returns Z_U of a share nearer(); where that is 0 or 1 the scale ends."""
    pairs = models * others
    return (0.5 - nearer) * pairs / math.sqrt(pairs * (models + others + 1) / 12)


def nearer(
    distances: Float[np.ndarray, models], held_out: Float[np.ndarray, others]
) -> float:
    """Probability that a network is nearer to training than a held-out one.

    0.5 for samples distributed as held-out networks; ties count half.
    """
    return float(placements(distances, held_out).mean())


def placements(
    values: Float[np.ndarray, models], others: Float[np.ndarray, others]
) -> Float[np.ndarray, models]:
    """Returns for each value the share of the others above it; ties count half."""
    ordered = np.sort(others)
    above = len(ordered) - np.searchsorted(ordered, values, side="right")
    ties = len(ordered) - above - np.searchsorted(ordered, values, side="left")
    return (above + ties / 2) / len(ordered)
