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
    "q25",
    "median",
    "q75",
    "published_median",
    "reference",
    "seeds",
    "seed_std",
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


def resampling_weights(
    groups: np.ndarray, *, resamples: int, rng: np.random.Generator
) -> Float[np.ndarray, "weightings samples"]:
    """Draws bootstrap resamples of grouped samples, as weights of the samples.

    Args:
        groups: The group of each sample: numbers or strings. Groups are drawn with
            replacement, all samples of one together.
        resamples: Number of resamples.
        rng: Source of randomness.

    Returns:
        Rows that sum to 1: first equal weights, for the estimate itself, then one row
        per resample. These are NaN for fewer than two groups.
    """
    _, labels = np.unique(groups, return_inverse=True)
    count = int(labels.max()) + 1
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    weights = np.concatenate([np.ones((1, count)), drawn])[:, labels]
    if count < 2:
        weights[1:] = math.nan
    return weights / weights.sum(axis=1, keepdims=True)


def crossed_estimate(
    values: Float[np.ndarray, "weightings hyper_reps"],
    *,
    confidence: float,
    rng: np.random.Generator,
) -> tuple[float, float, float]:
    """Returns a mean over hyper-representations and its confidence interval.

    Networks and hyper-representations are crossed: each resample of the networks meets
    its own draw of hyper-representations, with replacement.

    Args:
        values: A statistic for each row of resampling_weights(), and each
            hyper-representation. Resamples without a value (NaN) are left out.
        confidence: Level in (0, 1).
        rng: Source of randomness.

    Returns:
        Estimate, lower and upper end; NaN where there is none.
    """
    resamples, count = len(values) - 1, values.shape[1]
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    means = (values[1:] * drawn).sum(axis=1) / count
    means = means[np.isfinite(means)]
    estimate = float(values[0].mean())
    if not len(means):
        return estimate, math.nan, math.nan
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return estimate, float(low), float(high)


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
        published: As load_published() returns it.
        statistics: Of the confidence intervals.
        seed: Base seed; each cell draws from its own stream, so that its interval does
            not depend on the other cells.

    Returns:
        One row per source, target, epoch and method, in the order of frame: n; in
        [0, 1] mean, std (ddof 0), ci_low, ci_high, published_mean, published_std,
        q25, median, q75 (quantiles), published_median; reference; seeds, the number of
        hyper-representations, and seed_std, the standard deviation (ddof 1) between
        their means, NaN for fewer than two.

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
    cell_keys = [*keys, "published", "reference"]
    wanted = frame[frame["epoch"].isin(epochs)]
    cells: list[dict[str, Any]] = []
    key: Any
    for key, members in wanted.groupby(cell_keys, sort=False):
        *cell, compared, reference = key
        rng = numpy_generator(seed, *map(str, cell))
        cells.append(
            dict(zip(keys, cell, strict=True))
            | _summary(members, statistics, rng)
            | paper.get((*cell[:2], compared, cell[3]), {})
            | {"reference": reference}
        )
    return _in_table_order(pd.DataFrame(cells, columns=SUMMARY_COLUMNS))


def _summary(
    members: pd.DataFrame, statistics: Statistics, rng: np.random.Generator
) -> dict[str, int | float]:
    """Returns what is known of the accuracies of one cell; see summarise()."""
    accuracy = members["accuracy"].to_numpy(np.float64)
    retrained = members[members["group"].str.startswith("seed ")]
    means = retrained.groupby("group")["accuracy"].mean().astype(np.float64)
    low, high = bootstrap_interval(
        accuracy,
        members["group"].to_numpy(),
        resamples=statistics.resamples,
        confidence=statistics.confidence,
        rng=rng,
    )
    return {
        "n": len(accuracy),
        "mean": float(accuracy.mean()),
        "std": float(accuracy.std()),
        "ci_low": low,
        "ci_high": high,
        "seeds": len(means),
        "seed_std": float(means.std()),
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
