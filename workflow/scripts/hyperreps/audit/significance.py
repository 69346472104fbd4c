"""Which differences between populations are more than chance, and how large."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd
import scipy.optimize
import scipy.special
import scipy.stats

from ..numbers.shapes import Float
from ..numbers.statistics import (
    DIFFERENCE,
    Ends,
    Estimate,
    Mean,
    Part,
    grouped_mean,
    mean_interval,
)
from ..settings.stages import SettingsError, Statistics
from .verdicts import nearer

# probability of being called different that a detectable difference has
POWER = 0.8
DIFFERENT = "different"
EQUIVALENT = "equivalent within the margin"
UNDECIDED = "undecided"


def holm(p_values: Float[np.ndarray, tests]) -> Float[np.ndarray, tests]:
    """Adjusts p values of one family by Holm's step-down method; NaN is no test."""
    adjusted = p_values.copy()
    tested = np.flatnonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested])]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.maximum.accumulate(factors * p_values[order]).clip(max=1)
    return adjusted


def hedges_g(
    some: Float[np.ndarray, "samples"], others: Float[np.ndarray, "others"]
) -> float:
    """Difference of means in pooled standard deviations, corrected for small samples.

    NaN without a spread.

    Source: Hedges 1981, with the factor 1 - 3 / (4 (n + m) - 9).
    """
    n, m = len(some), len(others)
    if min(n, m) < 2:
        return math.nan
    freedom = n + m - 2
    pooled = (some.var(ddof=1) * (n - 1) + others.var(ddof=1) * (m - 1)) / freedom
    if pooled < 1e-18:
        return math.nan
    correction = 1 - 3 / (4 * freedom - 1)
    return float(correction * (some.mean() - others.mean()) / math.sqrt(pooled))


def cliffs_delta(
    some: Float[np.ndarray, "samples"], others: Float[np.ndarray, "others"]
) -> float:
    """P(some > others) - P(some < others), the rank-biserial correlation."""
    return 1 - 2 * nearer(some, others)


def compare(
    frame: pd.DataFrame, *, epochs: Sequence[int], statistics: Statistics
) -> pd.DataFrame:
    """Compares all methods of each block of the accuracy table pairwise.

    A block is one population (source, target) at one epoch. Networks that no
    hyper-representation has made, at epoch 0 with the references, are a block of their
    own: each method is compared with each of them. What is compared is the mean over
    networks, in every row. Networks that share a group (see
    accuracies.collect) share its luck, so groups are the observations, and those of
    the same seed or the same zoo model are paired; see mean_difference(). Where a
    method has a single group, its networks are the observations and the row holds for
    that group only.

    Args:
        frame: As accuracies.collect() returns it.
        epochs: Epochs of the table.
        statistics: confidence is the level of intervals and verdicts;
            equivalence_margin is what verdict() takes for no difference.

    Returns:
        One row per pair: source, target, epoch, block (methods, references), method,
        other, n and n_other, observations and observations_other, pairs (groups that
        both have), unit (group, network), difference of means, ci_low, ci_high,
        difference_of_medians, margin, verdict, detectable (see
        detectable_difference()), hedges_g and cliffs_delta (of networks), p_t,
        p_ranks, and both with Holm's correction over the block. Verdicts are each
        pair's own: they are not corrected. NaN where there is nothing to test.

    Raises:
        SettingsError: If there is no pair at all.
    """
    rows: list[dict[str, Any]] = []
    wanted = frame[frame["epoch"].isin(epochs)]
    key: Any
    for key, cell in wanted.groupby(["source", "target", "epoch"], sort=False):
        about = dict(zip(("source", "target", "epoch"), key, strict=True))
        members = dict(tuple(cell.groupby("method", sort=False)))
        for block, pairs in _blocks(cell):
            found = []
            for one, two in pairs:
                numbers = _pair(members[one], members[two], statistics=statistics)
                names = {"block": block, "method": one, "other": two}
                found.append({**about, **names, **numbers})
            for test in ("p_t", "p_ranks"):
                adjusted = holm(np.array([row[test] for row in found], dtype=float))
                for row, value in zip(found, adjusted, strict=True):
                    row[f"{test}_holm"] = float(value)
            rows += found
    if not rows:
        raise SettingsError(
            f"epochs: no two populations to compare at any of {list(epochs)}"
        )
    return pd.DataFrame(rows).sort_values(
        ["source", "target", "epoch"], kind="stable", key=_first_seen, ignore_index=True
    )


def _first_seen(column: pd.Series) -> pd.Series:
    """Keeps names in order of appearance, and epochs in theirs."""
    if column.name == "epoch":
        return column
    return pd.Series(pd.factorize(column)[0], index=column.index)


def _blocks(cell: pd.DataFrame) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    # what no hyper-representation has made is what others are compared with
    known = (cell["reference"] | cell["trivial"]).groupby(cell["method"], sort=False)
    beside = known.first()
    methods, references = list(beside.index[~beside]), list(beside.index[beside])
    yield "methods", list(combinations(methods, 2))
    yield "references", list(product(methods, references))


def _pair(
    one: pd.DataFrame, two: pd.DataFrame, *, statistics: Statistics
) -> dict[str, Any]:
    """Returns all numbers of one comparison."""
    confidence, margin = statistics.confidence, statistics.equivalence_margin
    pair = (one, two)
    values = [rows["accuracy"].to_numpy(np.float64) for rows in pair]
    means = [accuracy_of(rows, side) for rows, side in zip(pair, "ab", strict=True)]
    difference = mean_difference(*means)
    ends = difference_interval(*means, confidence=confidence)
    single = any(rows["group"].nunique() == 1 for rows in pair)
    medians = [float(np.median(x)) for x in values]
    return {
        "n": len(one),
        "n_other": len(two),
        "observations": len(means[0].means),
        "observations_other": len(means[1].means),
        "pairs": len(np.intersect1d(means[0].names, means[1].names)),
        "unit": "network" if single else "group",
        "difference": difference.value,
        "ci_low": ends[0],
        "ci_high": ends[1],
        "difference_of_medians": medians[0] - medians[1],
        "margin": margin,
        "verdict": verdict(ends, margin=margin),
        "detectable": detectable_difference(difference, confidence=confidence),
        "hedges_g": hedges_g(*values),
        "cliffs_delta": cliffs_delta(*values),
        "p_t": _t_test(*means, confidence=confidence),
        "p_ranks": _rank_test(*means),
    }


def accuracy_of(rows: pd.DataFrame, side: str) -> Mean:
    """Returns a method's mean accuracy, to be compared with another one's.

    Args:
        rows: Its networks, as accuracies.collect() returns them, at one epoch.
        side: Letter that names groups which only this method can have.
    """
    groups = rows["group"].astype(str)
    # samples are numbered anew in every file, and a single group is no observation
    own = groups.str.startswith("sample ") | (groups.nunique() == 1)
    names = groups.mask(own, f"{side} " + groups)
    return grouped_mean(rows["accuracy"].to_numpy(np.float64), names.to_numpy(str))


def mean_difference(one: Mean, two: Mean) -> Estimate:
    """Returns the difference of two means, with the groups of the same name paired.

    The score of a group is the difference of its scores in both: with the same groups
    of equal size this is the paired t test of their means; groups of one alone are a
    part of the error of their own.
    """
    names = np.union1d(one.names, two.names)
    scores, known = np.zeros(len(names)), np.zeros((2, len(names)), bool)
    for row, (mean, sign) in enumerate(((one, 1), (two, -1))):
        places = np.searchsorted(names, mean.names)
        scores[places] += sign * mean.scores
        known[row, places] = True
    parts = []
    if one.parts and two.parts:
        freedoms = np.array([[mean.parts[0].freedom] for mean in (one, two)])
        # groups that both have, and those of either alone
        for owners in ([True, True], [True, False], [False, True]):
            chosen = np.equal(known.T, owners).all(axis=1)
            if chosen.any():
                freedom = freedoms[owners].min(initial=float(chosen.sum()))
                variance = float(scores[chosen] @ scores[chosen])
                parts.append(Part(variance, float(freedom)))
    count = min(one.count, two.count)
    return Estimate(one.value - two.value, tuple(parts), count)


def difference_interval(one: Mean, two: Mean, *, confidence: float) -> Ends:
    """Confidence interval of a difference of mean accuracies.

    By Student's t; where one of the two has no spread, from the intervals of both, so
    that what was not met counts here as it does in mean_interval().

    Source: Zou and Donner 2008, for the difference of two intervals.
    """
    difference = mean_difference(one, two)
    if not difference.parts or min(one.variance, two.variance) > 0:
        return mean_interval(difference, confidence=confidence, limits=DIFFERENCE)
    (a, b), (c, d) = (mean_interval(m, confidence=confidence) for m in (one, two))
    low = math.hypot(one.value - a, d - two.value)
    high = math.hypot(b - one.value, two.value - c)
    return max(-1.0, difference.value - low), min(1.0, difference.value + high)


def verdict(ends: Ends, *, margin: float) -> str:
    """Says what an interval of a difference allows to say, in one of three ways.

    Equivalent: the whole interval lies within the margin. That is two one-sided tests
    (Schuirmann 1987), each at half of 1 - confidence, and comes first: a difference
    that is sure and below the margin is equivalent. Different: the interval is on one
    side of zero. Undecided: neither, or no interval.
    """
    low, high = ends
    if -margin < low and high < margin:
        return EQUIVALENT
    return DIFFERENT if low > 0 or high < 0 else UNDECIDED


def detectable_difference(difference: Estimate, *, confidence: float) -> float:
    """Smallest difference that would have been called different in 4 of 5 runs.

    For as many groups that vary as much as these; NaN where nothing varies.
    """
    if not difference.variance > 0:
        return math.nan
    error = math.sqrt(difference.variance)
    quantile = difference.reach(confidence) / error
    return error * _detectable_errors(round(quantile, 6), confidence)


def detectable_by(reach: float, *, confidence: float) -> float:
    """Bounds detectable_difference() from above where only an interval is known.

    Args:
        reach: Half of its length. With many groups the bound is exact; with two it is
            up to a fifth too large.
        confidence: Its level.
    """
    quantiles = scipy.special.ndtri([POWER, (1 + confidence) / 2])
    return reach * float(1 + quantiles[0] / quantiles[1])


@functools.cache
def _detectable_errors(quantile: float, confidence: float) -> float:
    """The same in standard errors: where noncentral t exceeds the quantile of t."""
    freedom = _freedom(quantile, confidence)

    def missing(noncentrality: float) -> float:
        power = scipy.stats.nct.sf(quantile, freedom, noncentrality)
        return float(power) - POWER

    return float(scipy.optimize.brentq(missing, 0, 3 * quantile + 3))


def _freedom(quantile: float, confidence: float) -> float:
    """Degrees of freedom for which t has this quantile."""
    return float(scipy.special.stdtridf((1 + confidence) / 2, quantile))


def _t_test(one: Mean, two: Mean, *, confidence: float) -> float:
    """Two-sided p value that fits the interval; NaN where one has no spread."""
    difference = mean_difference(one, two)
    if not min(one.variance, two.variance, difference.variance) > 0:
        return math.nan
    error = math.sqrt(difference.variance)
    freedom = _freedom(difference.reach(confidence) / error, confidence)
    return float(2 * scipy.special.stdtr(freedom, -abs(difference.value) / error))


def _rank_test(one: Mean, two: Mean) -> float:
    """Two-sided p value of Wilcoxon's signed ranks of pairs, or of Mann and Whitney."""
    if min(one.count, two.count) < 2:
        return math.nan
    if np.array_equal(one.names, two.names):
        differences = one.means - two.means
        if not differences.any():
            return 1.0
        return float(scipy.stats.wilcoxon(differences).pvalue)
    return float(scipy.stats.mannwhitneyu(one.means, two.means).pvalue)
