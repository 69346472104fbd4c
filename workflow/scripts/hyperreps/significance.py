"""Which differences between populations are more than chance, and how large."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats

from .novelty import nearer
from .seeds import numpy_generator
from .settings import SettingsError, Statistics
from .shapes import Float
from .statistics import interval, resampled_rows

# Sarle's coefficient of a uniform distribution; more means two peaks or a long tail
TWO_PEAKS = 5 / 9
FEW = 20


def has_two_peaks(values: Float[np.ndarray, "samples"]) -> bool:
    """Says whether the mean of a population may describe none of its networks.

    By Sarle's bimodality coefficient (skewness^2 + 1) / kurtosis with the usual
    corrections for n, above that of a uniform distribution, 5/9. Fewer than 20 values,
    or equal ones, never have two peaks.

    Source: Pfister et al. 2013, Frontiers in Psychology 4:700.
    """
    n = len(values)
    if n < FEW or np.ptp(values) < 1e-9:
        return False
    skewness = scipy.stats.skew(values, bias=False)
    kurtosis = scipy.stats.kurtosis(values, bias=False)
    correction = 3 * (n - 1) ** 2 / ((n - 2) * (n - 3))
    return bool((skewness**2 + 1) / (kurtosis + correction) > TWO_PEAKS)


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
    frame: pd.DataFrame, *, epochs: Sequence[int], statistics: Statistics, seed: int
) -> pd.DataFrame:
    """Compares all methods of each block of the accuracy table pairwise.

    A block is one population (source, target) at one epoch; at epoch 0 each method is
    also compared with each reference, in a block of its own. Networks that share a
    group (see evaluations.collect) share its luck, so tests take the mean of each group
    as one observation. Where a method has a single group, networks are the observations
    and the test holds for that group only. Where one of the two has two peaks, medians
    take the place of means, in groups as well.

    Args:
        frame: As evaluations.collect() returns it.
        epochs: Epochs of the table.
        statistics: Of the two-level bootstrap interval of the difference.
        seed: Base seed of the bootstrap.

    Returns:
        One row per pair: source, target, epoch, block (methods, references), method,
        other, n and n_other, observations and observations_other, unit (group,
        network), center (mean, median), difference, ci_low, ci_high, hedges_g and
        cliffs_delta (of networks), p_welch, p_mann_whitney, and both with Holm's
        correction over the block. NaN where there is nothing to test.

    Raises:
        SettingsError: If there is no pair at all.
    """
    rows: list[dict[str, Any]] = []
    wanted = frame[frame["epoch"].isin(epochs)]
    key: Any
    for key, cell in wanted.groupby(["source", "target", "epoch"], sort=False):
        about = dict(zip(("source", "target", "epoch"), key, strict=True))
        for block, pairs in _blocks(cell):
            found = []
            for one, two in pairs:
                rng = numpy_generator(seed, "compare", *map(str, key), one, two)
                members = [cell[cell["method"] == name] for name in (one, two)]
                numbers = _pair(*members, statistics=statistics, rng=rng)
                names = {"block": block, "method": one, "other": two}
                found.append({**about, **names, **numbers})
            for test in ("p_welch", "p_mann_whitney"):
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
    known = cell.groupby("method", sort=False)["reference"].first()
    methods, references = list(known.index[~known]), list(known.index[known])
    yield "methods", list(combinations(methods, 2))
    yield "references", list(product(methods, references))


def _pair(
    one: pd.DataFrame,
    two: pd.DataFrame,
    *,
    statistics: Statistics,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Returns all numbers of one comparison."""
    pair = (one, two)
    values = [rows["accuracy"].to_numpy(np.float64) for rows in pair]
    groups = [rows["group"].to_numpy() for rows in pair]
    peaks = any(has_two_peaks(x) for x in values)
    center = np.median if peaks else np.mean
    grouped = all(len(set(g)) > 1 for g in groups)
    observed = values
    if grouped:
        observed = [
            np.array([center(x[g == name]) for name in dict.fromkeys(g)])
            for x, g in zip(values, groups, strict=True)
        ]
    draws = [resampled_rows(g, resamples=statistics.resamples, rng=rng) for g in groups]
    differences = np.array(
        [
            center(values[0][a]) - center(values[1][b])
            for a, b in zip(*draws, strict=True)
        ]
    )
    alone = min(map(len, values)) < 2
    low, high = interval(differences, confidence=statistics.confidence)
    welch, mann_whitney = (math.nan, math.nan) if alone else _tests(*observed)
    return {
        "n": len(one),
        "n_other": len(two),
        "observations": len(observed[0]),
        "observations_other": len(observed[1]),
        "unit": "group" if grouped else "network",
        "center": "median" if peaks else "mean",
        "difference": float(center(values[0]) - center(values[1])),
        "ci_low": math.nan if alone else low,
        "ci_high": math.nan if alone else high,
        "hedges_g": hedges_g(*values),
        "cliffs_delta": cliffs_delta(*values),
        "p_welch": welch,
        "p_mann_whitney": mann_whitney,
    }


def _tests(
    some: Float[np.ndarray, "samples"], others: Float[np.ndarray, "others"]
) -> tuple[float, float]:
    """Returns two-sided p values of Welch's t and of Mann and Whitney's U."""
    if max(np.ptp(some), np.ptp(others)) < 1e-9:
        # no spread on either side: t is not defined
        welch = math.nan
    else:
        with warnings.catch_warnings():
            # one side without a spread: said to lose precision, but is not used
            warnings.simplefilter("ignore", RuntimeWarning)
            welch = float(scipy.stats.ttest_ind(some, others, equal_var=False).pvalue)
    return welch, float(scipy.stats.mannwhitneyu(some, others).pvalue)
