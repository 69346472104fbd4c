"""Are networks nearer to training runs than to as many unseen ones?"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import scipy.special

from ..numbers.shapes import Bool, Float, Int
from ..numbers.statistics import Estimate, Part, grouped_mean


class Memory(NamedTuple):
    """Distances of each network to equally many runs.

    Attributes:
        equal_training: To the nearest of as many training runs as there are unseen
            ones: the mean over all ways to draw them, its own source, where it has a
            single one, always among them; NaN where there are fewer.
        unseen: To the nearest unseen run.
        unseen_next: To the second nearest.
        unseen_run: Which unseen run is the nearest, from 0.
        unseen_runs: How many there are.
        training_runs: How many of those.
    """

    equal_training: Float[np.ndarray, models]
    unseen: Float[np.ndarray, models]
    unseen_next: Float[np.ndarray, models]
    unseen_run: Int[np.ndarray, models]
    unseen_runs: Int[np.ndarray, models]
    training_runs: Int[np.ndarray, models]


def memory(
    training: Float[np.ndarray, "models runs"],
    unseen: Float[np.ndarray, "models unseen"],
    *,
    own: Bool[np.ndarray, "models runs"],
) -> Memory:
    """Compares distances to training runs with those to unseen runs, in equal numbers.

    Args:
        training: Distance to each training run; infinite for one not compared with.
        unseen: Distance to each unseen run.
        own: Which training run a network was made from. A network that does not take
            after its source is as far from it as from any other run, so that counting
            it as drawn changes nothing for it.
    """
    count = unseen.shape[1]
    source = np.where(own, training, np.inf).min(1)
    others = np.where(own, np.inf, training)
    drawn = [count - 1 if any(row) else count for row in own]
    equal = np.array(
        [
            expected_smallest(row[np.isfinite(row)], count=draws, at_most=float(at))
            for row, at, draws in zip(others, source, drawn, strict=True)
        ]
    )
    ordered = np.sort(unseen, axis=1)
    return Memory(
        equal_training=equal,
        unseen=ordered[:, 0],
        unseen_next=ordered[:, min(1, count - 1)],
        unseen_run=unseen.argmin(1),
        unseen_runs=np.full(len(unseen), count),
        training_runs=np.full(len(unseen), training.shape[1]),
    )


def expected_smallest(
    values: Float[np.ndarray, "runs"], *, count: int, at_most: float = math.inf
) -> float:
    """Mean, over all subsets of so many of the values, of the smallest of each.

    The k-th smallest of n, from 0, is the smallest of C(n - k - 1, count - 1) subsets.

    Args:
        values: Without any order.
        count: Size of the subsets; none: at_most itself. NaN if there are fewer values.
        at_most: A further value, in every subset.
    """
    n = len(values)
    if not 0 < count <= n:
        return at_most if count == 0 else math.nan
    after = np.arange(n - 1, count - 2, -1)
    # in logarithms: C(1000, 150) is beyond float64
    log_gamma = scipy.special.gammaln
    subsets = log_gamma(after + 1) - log_gamma(after - count + 2)
    shares = np.exp(subsets - subsets[0])
    smallest = np.minimum(np.sort(values), at_most)[: len(after)]
    return float(shares @ smallest / shares.sum())


def by_run(
    distances: Float[np.ndarray, "models networks"], run: Int[np.ndarray, networks]
) -> tuple[Int[np.ndarray, runs], Float[np.ndarray, "models runs"]]:
    """Returns the runs, and the distance to the nearest epoch of each."""
    order = np.argsort(run, kind="stable")
    runs, starts = np.unique(run[order], return_index=True)
    return runs, np.minimum.reduceat(distances[:, order], starts, axis=1)


def training_over_unseen(found: Memory, groups: np.ndarray) -> Estimate:
    """Ratio of the mean distances to as many training as unseen runs.

    1 for networks that know no more of training runs than of others, whatever their
    spread: the mean network and shrunk ones are near to both. 0 for copies.

    The error has two parts. That between groups of networks is by linearisation of the
    ratio (Cochran 1977, 6.4). That of which runs happen to be unseen is by a jackknife,
    with the two degrees of freedom that a gap below a minimum has: often one run is the
    nearest to many networks. A mean over subsets of the training runs has at most their
    share of this variance (Hoeffding 1948).

    Args:
        found: Of the networks of a population.
        groups: The group of each network.
    """
    near, far = found.equal_training.mean(), found.unseen.mean()
    ratio = float(near / far)
    scores = (found.equal_training - ratio * found.unseen) / far
    parts = grouped_mean(scores, groups).parts
    runs = int(found.unseen_runs[0])
    if parts and runs > 1:
        without = np.where(
            found.unseen_run == np.arange(runs)[:, None],
            found.unseen_next,
            found.unseen,
        )
        ratios = near / without.mean(1)
        squares = float(np.square(ratios - ratios.mean()).sum())
        share = runs / int(found.training_runs[0])
        variance = (runs - 1) / runs * squares * (1 + share)
        parts = (*parts, Part(variance, min(2.0, runs - 1.0)))
    return Estimate(ratio, parts, len(scores))
