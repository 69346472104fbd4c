"""Uncertainty: bootstrap intervals of grouped samples, and summaries of populations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from .seeds import numpy_generator
from .settings import SettingsError, Statistics
from .shapes import Float, Int

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
]


def bootstrap_interval(
    values: Float[np.ndarray, "samples"],
    groups: np.ndarray,
    *,
    resamples: int,
    confidence: float,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Confidence interval of a mean of grouped values, by a two-level bootstrap.

    Groups are drawn with replacement, then as many members as it has from each drawn
    group, again with replacement (Davison and Hinkley 1997, section 3.8). With one
    member per group it is the plain percentile bootstrap. With one group only, the
    interval holds for that group: it cannot know how groups differ.

    Args:
        values: One number per sample, in any order.
        groups: The group of each sample: numbers or strings.
        resamples: Number of bootstrap means, at least 1.
        confidence: Level in (0, 1).
        rng: Source of randomness; the result does not depend on the order of samples.

    Returns:
        Lower and upper end; NaN and NaN for fewer than two values.
    """
    if len(values) < 2:
        return math.nan, math.nan
    _, labels = np.unique(np.asarray(groups), return_inverse=True)
    ordered = values[np.lexsort((values, labels))]
    positions, starts = _two_level_draws(np.bincount(labels), resamples, rng)
    sums = np.add.reduceat(ordered[positions], starts)
    counts = np.diff(starts, append=len(positions))
    return interval(sums / counts, confidence=confidence)


def _two_level_draws(
    sizes: Int[np.ndarray, groups], resamples: int, rng: np.random.Generator
) -> tuple[Int[np.ndarray, drawn], Int[np.ndarray, resamples]]:
    """Draws groups, then members: positions in group order, where resamples start."""
    starts = np.cumsum(sizes) - sizes
    drawn = rng.integers(len(sizes), size=(resamples, len(sizes)))
    counts = sizes[drawn].sum(axis=1)
    # one entry per member of every drawn group, resample after resample
    groups_drawn = np.repeat(drawn.ravel(), sizes[drawn].ravel())
    within = (rng.random(len(groups_drawn)) * sizes[groups_drawn]).astype(np.int64)
    return starts[groups_drawn] + within, np.cumsum(counts) - counts


def resampled_rows(
    groups: np.ndarray, *, resamples: int, rng: np.random.Generator
) -> list[Int[np.ndarray, drawn]]:
    """Returns the rows of each resample of the two-level bootstrap.

    For statistics other than the mean; see bootstrap_interval().
    """
    _, labels = np.unique(np.asarray(groups), return_inverse=True)
    order = np.argsort(labels, kind="stable")
    positions, starts = _two_level_draws(np.bincount(labels), resamples, rng)
    return np.split(order[positions], starts[1:])


def interval(
    values: Float[np.ndarray, resamples], *, confidence: float
) -> tuple[float, float]:
    """Returns both ends of the percentile interval of resampled values.

    NaN is left out; NaN and NaN where nothing is left.
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return math.nan, math.nan
    tail = (1 - confidence) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    return float(low), float(high)


def summarise(
    frame: pd.DataFrame,
    *,
    epochs: Sequence[int],
    published: pd.DataFrame,
    statistics: Statistics,
    seed: int,
) -> pd.DataFrame:
    """Summarises every population at some epochs, beside the published numbers.

    Args:
        frame: As collect() returns it.
        epochs: Epochs wanted; a population that ends before one has no row there.
        published: As load_published() returns it; medians are left out.
        statistics: Of the confidence intervals.
        seed: Base seed; each cell draws from its own stream, so that its interval does
            not depend on the other cells.

    Returns:
        One row per source, target, epoch and method, in the order of frame: n, mean,
        std (ddof 0), ci_low, ci_high, published_mean, published_std; all in [0, 1].

    Raises:
        SettingsError: If no population has one of the epochs.
    """
    last = int(frame["epoch"].max())
    if set(epochs) - set(frame["epoch"]):
        raise SettingsError(
            f"epochs: got {list(epochs)}, but the networks were trained to epoch"
            f" {last}; leave later epochs out, or train longer"
        )
    means = published[published["statistic"] == "mean"]
    keys = ("source", "target", "method", "epoch")
    names = zip(*(means[key] for key in keys), strict=True)
    paper = dict(
        zip(names, zip(means["value"], means["std"], strict=True), strict=True)
    )
    cell_keys = [*keys, "published"]
    wanted = frame[frame["epoch"].isin(epochs)]
    cells: list[tuple[Any, ...]] = []
    key: Any
    for key, members in wanted.groupby(cell_keys, sort=False):
        *cell, compared = key
        numbers = _summary(members, statistics, numpy_generator(seed, *map(str, cell)))
        beside = paper.get((*cell[:2], compared, cell[3]), (math.nan, math.nan))
        cells.append((*cell, *numbers, *beside))
    return _in_table_order(pd.DataFrame(cells, columns=SUMMARY_COLUMNS))


def _summary(
    members: pd.DataFrame, statistics: Statistics, rng: np.random.Generator
) -> tuple[int, float, float, float, float]:
    """Returns n, mean, std (ddof 0) and both ends of the interval of the mean."""
    accuracy = members["accuracy"].to_numpy(np.float64)
    interval = bootstrap_interval(
        accuracy,
        members["group"].to_numpy(),
        resamples=statistics.resamples,
        confidence=statistics.confidence,
        rng=rng,
    )
    return len(accuracy), float(accuracy.mean()), float(accuracy.std()), *interval


def _in_table_order(summary: pd.DataFrame) -> pd.DataFrame:
    """Sorts by population, epoch, method; names in order of first appearance."""
    populations = pd.factorize(summary["source"] + "-" + summary["target"])[0]
    methods = pd.factorize(summary["method"])[0]
    order = np.lexsort((methods, summary["epoch"], populations))
    return summary.iloc[order].reset_index(drop=True)
