"""The table that says of every published number whether it lies in our interval."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import pandas as pd

from ...numbers.statistics import SHARE, median_interval
from ..accuracies import OfAccuracies, display_name
from ..experiments import HELD_OUT, OfProbes, OfReconstructions
from ..layout import Layout, LongTable, Row
from ..result import Result, Sources

# half a unit of the last digit, of numbers with a spread or three digits, and of others
PRINTED, ABOUT = 0.0005, 0.005
COLUMNS = [
    *("table", "source", "target", "name", "epoch", "quantity", "statistic"),
    *("published", "ours", "ci_low", "ci_high", "n", "groups", "outside"),
]
# name of table, table, its numbers
Numbers = tuple[str, Result, pd.DataFrame]


class Published(LongTable):
    """A row per published number, of all tables of a run that show any.

    Args:
        tables: Of the run.
    """

    words: ClassVar = "published.yaml"

    def __init__(self, tables: Sequence[Numbers]) -> None:
        sources = tables[0][1].sources if tables else Sources()
        super().__init__(sources)
        self.tables = tables

    def frame(self) -> pd.DataFrame:
        """Returns what is said of each number.

        Returns:
            table, source and target (zoos), name (method, variant or inputs of a
            probe), epoch (-1: of none), quantity (accuracy or "R2 of" a property),
            statistic that is published, published, ours, ci_low, ci_high, n, groups
            (-1: not counted), and outside: how far our interval is above the published
            number or, negative, below; 0 where it holds it to the printed digit, NaN
            where there is no interval.
        """
        rows = [
            (name, *row, _outside(*row[6:10], tolerance=tolerance))
            for name, table, frame in self.tables
            for tolerance, *row in _compared(table, frame)
        ]
        return pd.DataFrame(rows, columns=COLUMNS)

    def rows(self, frame: pd.DataFrame, layout: Layout) -> Iterator[Row]:
        """Yields a row per number, a block per table, pair of zoos and epoch."""
        row: Any
        for row in frame.itertuples():
            epoch = f", epoch {row.epoch}" if row.epoch >= 0 else ""
            title = f"{display_name(row.source, row.target)}, {row.table}{epoch}"
            name = layout.name(row.name)
            if row.quantity != "accuracy":
                name += f", {row.quantity}"
            groups = f" ({row.groups})" if row.groups >= 0 else ""
            texts = {
                "n (groups)": f"{row.n}{groups}",
                **_texts(row, layout),
                "verdict": verdict(row),
            }
            yield layout.heading(title), name, texts


def verdict(row: Any) -> str:
    """Returns "inside", or by how much our interval is outside: "above by 8.7"."""
    if math.isnan(row.outside):
        return "no interval"
    if row.outside == 0:
        return "inside"
    where = "above" if row.outside > 0 else "below"
    return f"{where} by {_number(abs(row.outside), row)}"


def _texts(row: Any, layout: Layout) -> dict[str, str]:
    ours = _number(row.ours, row)
    if not math.isnan(row.ci_low):
        ends = f"[{_number(row.ci_low, row)}, {_number(row.ci_high, row)}]"
        ours += f" {layout.interval(ends)}"
    printed = f"{row.statistic} {_number(row.published, row)}"
    return {"published": printed, "this run": ours}


def _number(value: float, row: Any) -> str:
    """Returns accuracies in percent with a tenth, others with thousandths."""
    return f"{100 * value:.1f}" if row.quantity == "accuracy" else f"{value:.3f}"


def _outside(
    published: float, _: float, low: float, high: float, *, tolerance: float
) -> float:
    if math.isnan(low):
        return math.nan
    if low - tolerance <= published <= high + tolerance:
        return 0.0
    return low - published if published < low else high - published


def _compared(table: Result, frame: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    """Yields the tolerance and all columns but table and outside, for each number."""
    row: Any
    if isinstance(table, OfAccuracies) and "published_mean" in frame:
        for row in frame.itertuples():
            yield from _accuracies(table, row)
    if isinstance(table, OfReconstructions):
        known = frame[frame["published"].notna() & (frame["split"] == HELD_OUT)]
        known = known.assign(
            name=known["variant"].where(
                known["quantity"] == "reconstruction", known["quantity"]
            )
        )
        for row in known.drop_duplicates(["zoo", "name"]).itertuples():
            about = row.zoo, row.zoo, row.name, -1, "accuracy", "mode"
            ours = row.published, row.mean, row.ci_low, row.ci_high
            yield ABOUT, *about, *ours, row.networks, row.hyper_reps
    if isinstance(table, OfProbes):
        for row in frame[frame["published"].notna()].itertuples():
            about = row.zoo, row.zoo, row.features, -1, f"R2 of {row.property}", "value"
            ours = row.published, row.mean, row.ci_low, row.ci_high
            yield PRINTED, *about, *ours, row.networks, row.hyper_reps


def _accuracies(table: OfAccuracies, row: Any) -> Iterator[tuple[Any, ...]]:
    """Yields the mean of a population and its median, as far as they are published."""
    about = row.source, row.target, row.method, row.epoch, "accuracy"
    if not math.isnan(row.published_mean):
        ours = row.published_mean, row.mean, row.ci_low, row.ci_high
        printed = ABOUT if math.isnan(row.published_std) else PRINTED
        yield printed, *about, "mean", *ours, row.n, row.groups
    if not math.isnan(row.published_median):
        ours = row.published_median, row.median, *_median_ends(table, row)
        yield ABOUT, *about, "median", *ours, row.n, row.groups


def _median_ends(table: OfAccuracies, row: Any) -> tuple[float, float]:
    """Returns the interval of a median, NaN without the accuracies of its networks."""
    if not all(path.exists() for path in table.sources.zoos):
        return math.nan, math.nan
    found = table.networks
    for key in ("source", "target", "method", "epoch"):
        found = found[found[key] == getattr(row, key)]
    return median_interval(
        found["accuracy"].to_numpy(),
        found["group"].to_numpy(),
        confidence=table.sources.statistics.confidence,
        limits=SHARE,
    )
