"""Uncertainty: intervals of grouped and crossed samples, summaries of populations.

Networks of one hyper-representation share its luck of training, so that a group of
them, not a network, is the unit: variances come from how groups differ, and quantiles
from Student's t with as many degrees of freedom as groups allow. With two groups that
is a wide interval, and rightly. Nothing is drawn at random.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.special

from .settings import SettingsError, Statistics
from .shapes import Float

SUMMARY_COLUMNS = [
    "source",
    "target",
    "method",
    "epoch",
    "n",
    "mean",
    "std",
    "ci_low",
    "ci_high",
    "published_mean",
    "published_std",
    "q25",
    "median",
    "q75",
    "published_median",
    "reference",
    "seeds",
    "seed_std",
    "groups",
]
# what an accuracy, a share or a probability can be
SHARE = (0.0, 1.0)
# standard errors below this part of the largest value are rounding
NO_SPREAD = 1e-9

Ends = tuple[float, float]
UNKNOWN: Ends = (math.nan, math.nan)


@dataclass(frozen=True)
class Mean:
    """A mean over networks, and what its groups tell about its error.

    Attributes:
        value: Mean of all values.
        names: The groups; of a single group, its members.
        means: Mean of each.
        scores: Share of each in the error; their squares sum to the variance.
        freedom: Degrees of freedom of the variance; NaN where that is not known.
        count: Number of values.
    """

    value: float
    names: np.ndarray
    means: Float[np.ndarray, "groups"]
    scores: Float[np.ndarray, "groups"]
    freedom: float
    count: int

    @property
    def variance(self) -> float:
        """Of the mean; NaN where it is not known."""
        return float(self.scores @ self.scores)

    @property
    def spread(self) -> bool:
        """Says whether groups differ by more than rounding."""
        return math.sqrt(self.variance) > NO_SPREAD * float(np.abs(self.means).max())


def grouped_mean(values: Float[np.ndarray, "samples"], groups: np.ndarray) -> Mean:
    """Returns the mean of grouped values with a variance that holds their sharing.

    Var = sum_g w_g^2 (m_g - mean)^2 / (1 - 2 w_g + sum w^2), with w_g the part of the
    samples that group g has: unbiased for groups whose means vary alike, and s^2 / G
    for groups of equal size. The members of a single group are the units themselves:
    the result then holds for that group only.

    Source: Bell and McCaffrey 2002, for a mean; degrees of freedom as there.

    Args:
        values: One number per sample, in any order.
        groups: The group of each sample: numbers or strings.
    """
    names, labels = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) == 1:
        labels = np.arange(len(values))
        names = np.array([f"{names[0]}, member {k}" for k in labels], dtype=object)
    sizes = np.bincount(labels)
    means = np.bincount(labels, weights=values) / sizes
    mean, weights = float(np.mean(values)), sizes / len(values)
    if len(names) < 2 or not math.isfinite(mean):
        unknown = np.full(len(names), math.nan)
        return Mean(mean, names, means, unknown, math.nan, len(values))
    squares = weights @ weights
    scale = weights / np.sqrt(1 - 2 * weights + squares)
    freedom = float(len(names) - 1)
    if np.ptp(sizes):
        # of the scores of groups that vary alike
        covariance = np.eye(len(names)) - weights - weights[:, None] + squares
        covariance *= scale * scale[:, None]
        freedom = float(np.trace(covariance) ** 2 / (covariance**2).sum())
    scores = scale * (means - mean)
    return Mean(mean, names, means, scores, freedom, len(values))


def mean_interval(mean: Mean, *, confidence: float, limits: Ends = SHARE) -> Ends:
    """Confidence interval of a mean by Student's t.

    Where nothing varies, t would give an interval without width, from two networks as
    from a thousand. There the values not met are bounded instead: networks that no
    sample is of may be as many as share_interval() allows for none seen, and anywhere
    within the limits.

    Args:
        mean: As grouped_mean() returns it.
        confidence: Level in (0, 1).
        limits: What the mean can be; the interval is cut there.

    Returns:
        Lower and upper end; NaN and NaN for fewer than two values, and where nothing
        varies that has no limits.
    """
    if math.isnan(mean.freedom):
        return UNKNOWN
    quantile = t_quantile(confidence, mean.freedom)
    if not mean.spread:
        if not np.isfinite(limits).all():
            return UNKNOWN
        _, unseen = _wilson(0, mean.count, quantile)
        low, high = (mean.value + unseen * (end - mean.value) for end in limits)
        return low, high
    half = quantile * math.sqrt(mean.variance)
    return max(limits[0], mean.value - half), min(limits[1], mean.value + half)


def share_interval(mean: Mean, *, confidence: float) -> Ends:
    """Confidence interval of a share of networks, by Wilson with a quantile of t.

    The effective number of networks is p (1 - p) / variance, at most their number;
    this is their number divided by the design effect of the groups.

    Args:
        mean: As grouped_mean() returns it, of zeros and ones, or of probabilities.
        confidence: Level in (0, 1).

    Returns:
        Lower and upper end, within [0, 1] and never equal; NaN and NaN for fewer than
        two values.
    """
    if math.isnan(mean.freedom):
        return UNKNOWN
    number: float = mean.count
    if mean.spread:
        number = min(number, mean.value * (1 - mean.value) / mean.variance)
    return _wilson(mean.value, number, t_quantile(confidence, mean.freedom))


def _wilson(share: float, number: float, quantile: float) -> Ends:
    """Both solutions p of (share - p)^2 = quantile^2 p (1 - p) / number."""
    square = quantile**2 / number
    center = (share + square / 2) / (1 + square)
    half = math.sqrt(square * share * (1 - share) + square**2 / 4) / (1 + square)
    return max(0.0, center - half), min(1.0, center + half)


def median_interval(
    values: Float[np.ndarray, "samples"],
    groups: np.ndarray,
    *,
    confidence: float,
    limits: Ends,
) -> Ends:
    """Confidence interval of the median of grouped values.

    The share of values below the median is one half, with a standard error s; the
    quantiles at 1/2 -+ r s say how far the median may be off, r being that of t or, if
    it would lead beyond the sample, what leads to its ends, and then scaled to t.

    Source: Woodruff 1952.

    Args:
        values: One number per sample, in any order.
        groups: The group of each sample: numbers or strings.
        confidence: Level in (0, 1).
        limits: What the median can be; the interval is cut there.

    Returns:
        Lower and upper end; NaN and NaN for fewer than two values, and where it would
        have no width.
    """
    median = float(np.median(values))
    if not math.isfinite(median):
        return UNKNOWN
    below = grouped_mean((values < median) + 0.5 * (values == median), groups)
    if math.isnan(below.freedom):
        return UNKNOWN
    # no surer than as many independent networks, as in share_interval()
    error = math.sqrt(max(below.variance, 0.25 / below.count))
    quantile = t_quantile(confidence, below.freedom)
    reach = min(quantile, 0.5 / error)
    low, high = np.quantile(values, [0.5 - reach * error, 0.5 + reach * error])
    half = float(high - low) / 2 * quantile / reach
    if half <= NO_SPREAD * float(np.abs(values).max()):
        return UNKNOWN
    return max(limits[0], median - half), min(limits[1], median + half)


def combined_freedom(parts: Iterable[tuple[float, float]]) -> float:
    """Degrees of freedom of a sum of independent variances (Welch, Satterthwaite).

    Args:
        parts: Variance and degrees of freedom of each.
    """
    variances, freedoms = np.array([*parts]).T
    scale = variances.max()
    if scale <= 0:
        return float(freedoms.min())
    # scaled first: squares of small variances would vanish
    relative = variances / scale
    return float(relative.sum() ** 2 / (relative**2 / freedoms).sum())


def t_quantile(confidence: float, freedom: float) -> float:
    """Returns how many standard errors a two-sided interval of t goes to each side."""
    return float(scipy.special.stdtrit(freedom, (1 + confidence) / 2))


def left_out_weights(groups: np.ndarray) -> Float[np.ndarray, "weightings samples"]:
    """Returns weights of the samples, for a jackknife that leaves out a group a time.

    Args:
        groups: The group of each sample: numbers or strings.

    Returns:
        Rows that sum to 1: first equal weights, for the estimate itself, then one row
        per group, without its samples; NaN where there is no other.
    """
    names, labels = np.unique(np.asarray(groups), return_inverse=True)
    kept = labels != np.arange(len(names))[:, None]
    weights = np.concatenate([np.ones((1, len(labels))), kept])
    totals = weights.sum(axis=1, keepdims=True)
    return weights / np.where(totals > 0, totals, math.nan)


def crossed_estimate(
    values: Float[np.ndarray, "weightings hyper_reps"],
    *,
    confidence: float,
    limits: Ends,
) -> tuple[float, float, float]:
    """Returns a mean over hyper-representations and its confidence interval.

    Networks and hyper-representations are crossed. The variance is the sum of that
    between networks, by the jackknife, and that between hyper-representations; what
    both share is counted twice, which is on the safe side. A single
    hyper-representation adds nothing: the interval then holds for it alone.

    Source: Owen 2007, section 4, for sums of crossed variances.

    Args:
        values: A statistic for each row of left_out_weights(), and each
            hyper-representation.
        confidence: Level in (0, 1).
        limits: What the statistic can be; the interval is cut there.

    Returns:
        Estimate, lower and upper end; NaN where there is none.
    """
    left_out, by_seed = values[1:].mean(axis=1), values[0]
    groups, seeds = len(left_out), len(by_seed)
    estimate = float(by_seed.mean())
    if groups < 2 or not np.isfinite(values).all():
        return estimate, *UNKNOWN
    parts = [(float(left_out.var()) * (groups - 1), groups - 1.0)]
    if seeds > 1:
        parts.append((float(by_seed.var(ddof=1)) / seeds, seeds - 1.0))
    error = math.sqrt(sum(variance for variance, _ in parts))
    mean = Mean(
        value=estimate,
        names=np.arange(groups),
        means=left_out,
        scores=np.array([error]),
        freedom=combined_freedom(parts),
        count=groups,
    )
    return estimate, *mean_interval(mean, confidence=confidence, limits=limits)


def summarise(
    frame: pd.DataFrame,
    *,
    epochs: Sequence[int],
    published: pd.DataFrame,
    statistics: Statistics,
) -> pd.DataFrame:
    """Summarises every population at some epochs, beside the published numbers.

    Args:
        frame: As collect() returns it.
        epochs: Epochs wanted; a population that ends before one has no row there.
        published: As load_published() returns it.
        statistics: Of the confidence intervals.

    Returns:
        One row per source, target, epoch and method, in the order of frame: n; in
        [0, 1] mean, std (ddof 0), ci_low, ci_high, published_mean, published_std,
        q25, median, q75 (quantiles), published_median; reference; seeds, the number of
        hyper-representations, and seed_std, the standard deviation (ddof 1) between
        their means, NaN for fewer than two; groups, the number of independent groups
        that the interval rests on: 1 where it holds for that group's networks only.

    Raises:
        SettingsError: If no population has one of the epochs.
    """
    last = int(frame["epoch"].max())
    if set(epochs) - set(frame["epoch"]):
        raise SettingsError(
            f"epochs: got {list(epochs)}, but the networks were trained to epoch"
            f" {last}; leave later epochs out, or train longer"
        )
    keys = ("source", "target", "method", "epoch")
    paper = {
        tuple(getattr(row, key) for key in keys): {
            f"published_{row.statistic}": row.value,
            "published_std": row.std,
        }
        for row in published.itertuples()
    }
    cell_keys = [*keys, "published", "reference"]
    wanted = frame[frame["epoch"].isin(epochs)]
    cells: list[dict[str, Any]] = []
    key: Any
    for key, members in wanted.groupby(cell_keys, sort=False):
        *cell, compared, reference = key
        cells.append(
            dict(zip(keys, cell, strict=True))
            | _summary(members, statistics)
            | paper.get((*cell[:2], compared, cell[3]), {})
            | {"reference": reference}
        )
    return _in_table_order(pd.DataFrame(cells, columns=SUMMARY_COLUMNS))


def _summary(members: pd.DataFrame, statistics: Statistics) -> dict[str, int | float]:
    """Returns what is known of the accuracies of one cell; see summarise()."""
    accuracy = members["accuracy"].to_numpy(np.float64)
    retrained = members[members["group"].str.startswith("seed ")]
    means = retrained.groupby("group")["accuracy"].mean().astype(np.float64)
    low, high = mean_interval(
        grouped_mean(accuracy, members["group"].to_numpy()),
        confidence=statistics.confidence,
    )
    return {
        "n": len(accuracy),
        "mean": float(accuracy.mean()),
        "std": float(accuracy.std()),
        "ci_low": low,
        "ci_high": high,
        "seeds": len(means),
        "seed_std": float(means.std()),
        "groups": members["group"].nunique(),
        **dict(
            zip(
                ("q25", "median", "q75"),
                np.quantile(accuracy, [0.25, 0.5, 0.75]).tolist(),
                strict=True,
            )
        ),
    }


def _in_table_order(summary: pd.DataFrame) -> pd.DataFrame:
    """Sorts by population, epoch, method; names in order of first appearance."""
    populations = pd.factorize(summary["source"] + "-" + summary["target"])[0]
    methods = pd.factorize(summary["method"])[0]
    order = np.lexsort((methods, summary["epoch"], populations))
    return summary.iloc[order].reset_index(drop=True)
