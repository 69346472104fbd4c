"""Uncertainty: intervals of grouped and crossed samples, summaries of populations.

Networks of one hyper-representation share its luck of training, so that a group of
them, not a network, is the unit: variances come from how groups differ, and quantiles
from Student's t with as many degrees of freedom as groups allow. With two groups that
is a wide interval, and rightly. Nothing is drawn at random.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.special

from ..settings.stages import SettingsError, Statistics
from .shapes import Float

SUMMARY_COLUMNS = [
    *("source", "target", "method", "epoch", "n", "mean", "std", "ci_low", "ci_high"),
    *("published_mean", "published_std", "q25", "median", "q75", "published_median"),
    *("reference", "seeds", "seed_std", "groups", "trivial"),
]
# standard errors below this part of the largest value are rounding
NO_SPREAD = 1e-9

Ends = tuple[float, float]
UNKNOWN: Ends = (math.nan, math.nan)
# what an accuracy, a share or a probability can be, a difference of two, and others
SHARE: Ends = (0.0, 1.0)
DIFFERENCE: Ends = (-1.0, 1.0)
NOT_NEGATIVE: Ends = (0.0, math.inf)
R_SQUARED: Ends = (-math.inf, 1.0)


class Part(NamedTuple):
    """One of the independent sources of an error: its variance, degrees of freedom."""

    variance: float
    freedom: float


@dataclass(frozen=True)
class Estimate:
    """A number with what is known of its error.

    Attributes:
        value: The number.
        parts: Of the error; none where it is not known.
        count: Networks that it is of.
        independent: Its variance, were every network a group of its own.
    """

    value: float
    parts: tuple[Part, ...]
    count: int
    independent: float = 0.0

    @property
    def variance(self) -> float:
        """Sum of the variances; NaN where it is not known."""
        return sum(p.variance for p in self.parts) if self.parts else math.nan

    def reach(self, confidence: float) -> float:
        """Returns how far an interval of Student's t goes to each side.

        Several parts add as the squares of their reaches. Welch's degrees of freedom
        would take a variance of two groups for known where it happens to be small.

        Source: Zou and Donner 2008, for parts by t.
        """
        reaches = [
            t_quantile(confidence, part.freedom) * math.sqrt(part.variance)
            for part in self.parts
        ]
        return math.hypot(*reaches) if reaches else math.nan

    def unseen(self, confidence: float) -> float:
        """Returns how large the share can be of what none of the networks is."""
        fewest = min(part.freedom for part in self.parts)
        return _wilson(0.0, t_quantile(confidence, fewest) ** 2 / self.count)[1]


@dataclass(frozen=True)
class Mean(Estimate):
    """A mean over grouped networks.

    Attributes:
        names: The groups; of a single group, its members.
        means: Mean of each.
        scores: Share of each in the error; their squares sum to the variance.
    """

    names: np.ndarray = field(kw_only=True)
    means: Float[np.ndarray, "groups"] = field(kw_only=True)
    scores: Float[np.ndarray, "groups"] = field(kw_only=True)


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
    squares = weights @ weights
    parts: tuple[Part, ...] = ()
    scores = np.full(len(names), math.nan)
    if len(names) > 1 and math.isfinite(mean):
        scale = weights / np.sqrt(1 - 2 * weights + squares)
        scores = scale * _deviations(means, mean)
        parts = (Part(float(scores @ scores), _freedom(weights, scale)),)
    return Mean(
        mean,
        parts,
        len(values),
        float(np.var(values)) / len(values),
        names=names,
        means=means,
        scores=scores,
    )


def _freedom(
    weights: Float[np.ndarray, "groups"], scale: Float[np.ndarray, "groups"]
) -> float:
    """Degrees of freedom of the squared scores of groups that vary alike."""
    if np.ptp(weights) < NO_SPREAD:
        return len(weights) - 1.0
    covariance = np.eye(len(weights)) - weights - weights[:, None] + weights @ weights
    covariance *= scale * scale[:, None]
    return float(np.trace(covariance) ** 2 / (covariance**2).sum())


def _deviations(
    values: Float[np.ndarray, "groups"], mean: float
) -> Float[np.ndarray, "groups"]:
    """Returns differences from the mean, zero where they are rounding."""
    if np.ptp(values) <= NO_SPREAD * np.abs(values).max():
        return np.zeros(len(values))
    return values - mean


def mean_interval(mean: Estimate, *, confidence: float, limits: Ends = SHARE) -> Ends:
    """Confidence interval of a mean by Student's t.

    Where nothing varies, t would give an interval without width, from two networks as
    from a thousand. There what was not met is bounded instead: networks that none of
    these is like may be as many as Wilson's interval, by the quantile of t, allows for
    none seen, and anywhere within the limits.

    Args:
        mean: As grouped_mean() returns it.
        confidence: Level in (0, 1).
        limits: What the mean can be; the interval is cut there.

    Returns:
        Lower and upper end; NaN and NaN for fewer than two values, and where nothing
        varies that has no limits.
    """
    if not mean.parts:
        return UNKNOWN
    if mean.variance > 0:
        half = mean.reach(confidence)
        return max(limits[0], mean.value - half), min(limits[1], mean.value + half)
    if not np.isfinite(limits).all():
        return UNKNOWN
    unseen = mean.unseen(confidence)
    low, high = (mean.value + unseen * (end - mean.value) for end in limits)
    return low, high


def share_interval(share: Estimate, *, confidence: float) -> Ends:
    """Confidence interval of a share of networks, by Wilson with quantiles of t.

    Networks are worth p (1 - p) / variance independent ones, their number divided by
    the design effect of the groups; never surer than if all were independent. Where
    none is what is counted, or all are, nothing varies; see mean_interval(). All
    networks count then, with the quantile of the groups.

    Args:
        share: As grouped_mean() returns it, of zeros and ones or of probabilities.
        confidence: Level in (0, 1).

    Returns:
        Lower and upper end, within [0, 1] and never equal; NaN and NaN for fewer than
        two values.
    """
    if not share.parts:
        return UNKNOWN
    reach = max(share.reach(confidence), _independent_reach(share, confidence))
    if not reach:
        return mean_interval(share, confidence=confidence)
    return _wilson(share.value, reach**2 / (share.value * (1 - share.value)))


def _independent_reach(share: Estimate, confidence: float) -> float:
    """Returns how far an interval goes at least, whatever the groups."""
    return t_quantile(confidence, math.inf) * math.sqrt(share.independent)


def _wilson(share: float, square: float) -> Ends:
    """Both solutions p of (share - p)^2 = square p (1 - p)."""
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

    The share of values below the median is one half, with an interval of its own: the
    quantiles at its ends say how far the median may be off. If it leads beyond the
    sample, the sample's half width is scaled by as much.

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
    if not math.isfinite(median) or len(values) < 2:
        return UNKNOWN
    below = grouped_mean((values < median) + 0.5 * (values == median), groups)
    reach = max(below.reach(confidence), _independent_reach(below, confidence))
    inside = min(reach, 0.5)
    low, high = np.quantile(values, [0.5 - inside, 0.5 + inside])
    half = float(high - low) / 2 * reach / inside if inside else 0.0
    if half <= NO_SPREAD * float(np.abs(values).max()):
        return UNKNOWN
    return max(limits[0], median - half), min(limits[1], median + half)


def t_quantile(confidence: float, freedom: float) -> float:
    """Returns how many standard errors a two-sided interval of t goes to each side."""
    if math.isinf(freedom):
        return float(scipy.special.ndtri((1 + confidence) / 2))
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
    spread = _deviations(left_out, float(left_out.mean()))
    parts = [Part(float(spread @ spread) * (groups - 1) / groups, groups - 1.0)]
    if seeds > 1:
        spread = _deviations(by_seed, estimate)
        freedom = seeds - 1.0
        parts.append(Part(float(spread @ spread) / freedom / seeds, freedom))
    mean = Estimate(estimate, tuple(parts), groups)
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
        that the interval rests on: 1 where it holds for that group's networks only;
        trivial.

    Raises:
        SettingsError: If no population has one of the epochs.
    """
    known = sorted(set(frame["epoch"]))
    if missing := sorted(set(epochs) - set(known)):
        raise SettingsError(
            f"epochs: got {list(epochs)}, but no network has epoch {missing[0]}; there"
            f" are {known[0]} to {known[-1]}: leave others out, or train longer"
        )
    keys = ("source", "target", "method", "epoch")
    paper = {
        tuple(getattr(row, key) for key in keys): {
            f"published_{row.statistic}": row.value,
            "published_std": row.std,
        }
        for row in published.itertuples()
    }
    cell_keys = [*keys, "published", "reference", "trivial"]
    wanted = frame[frame["epoch"].isin(epochs)]
    cells: list[dict[str, Any]] = []
    key: Any
    for key, members in wanted.groupby(cell_keys, sort=False):
        *cell, compared, reference, trivial = key
        cells.append(
            dict(zip(keys, cell, strict=True))
            | _summary(members, statistics)
            | paper.get((*cell[:2], compared, cell[3]), {})
            | {"reference": reference, "trivial": trivial}
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
