"""The table that says of every published number whether it lies in our interval."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

import pandas as pd

from ...numbers.statistics import SHARE, UNKNOWN, median_interval
from ..accuracies import OfAccuracies, display_name
from ..layout import Layout, LongTable, Row, rounded, with_interval
from ..result import Result, Sources
from ..summaries import HELD_OUT, OfProbes, OfReconstructions

# half a unit of the last digit, of numbers with a spread or three digits, and of others
PRINTED, APPROXIMATE = 0.0005, 0.005
COLUMNS = [
    *("table", "source", "target", "name", "epoch", "quantity", "statistic"),
    *("published", "ours", "ci_low", "ci_high", "n", "groups", "outside"),
]


class Numbers(NamedTuple):
    """A table or figure of a run with its numbers.

    Attributes:
        name: Of its files.
        result: The table or figure itself.
        frame: Its numbers, as they are kept.
        again: The same, made again; None where the files are not there for that.
    """

    name: str
    result: Result
    frame: pd.DataFrame
    again: pd.DataFrame | None

    @property
    def file(self) -> str:
        """The place of its files in the run, without a suffix."""
        return f"{self.result.kind}s/{self.name}"


class Published(LongTable):
    """A row per published number, of all tables of a run that show any.

    Args:
        tables: Of the run.
    """

    words: ClassVar = "published.yaml"

    def __init__(self, tables: Sequence[Numbers]) -> None:
        super().__init__(tables[0].result.sources if tables else Sources())
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
        rows = [(one.name, *row) for one in self.tables for row in _compared(one)]
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
                "published": f"{row.statistic} {rounded(row.published, _form(row))}",
                "this run": with_interval(row.ours, row, _form(row), layout),
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
    return f"{where} by {rounded(abs(row.outside), _form(row))}"


def _form(row: Any) -> str:
    return ".1%" if row.quantity == "accuracy" else ".3f"


def outside(published: float, low: float, high: float, *, tolerance: float) -> float:
    """Returns how far an interval is above (or, negative, below) a number."""
    if math.isnan(low):
        return math.nan
    if low - tolerance <= published <= high + tolerance:
        return 0.0
    return low - published if published < low else high - published


def mean_outside(row: Any) -> float:
    """Returns the same of a row of summarise(), for a mean to its printed digit."""
    printed = APPROXIMATE if math.isnan(row.published_std) else PRINTED
    return outside(row.published_mean, row.ci_low, row.ci_high, tolerance=printed)


def _compared(numbers: Numbers) -> Iterator[tuple[Any, ...]]:
    """Yields all columns but table, for each published number."""
    _, table, frame, again = numbers
    row: Any
    if isinstance(table, OfAccuracies) and "published_mean" in frame:
        for row in frame.itertuples():
            about = row.source, row.target, row.method, row.epoch, "accuracy"
            counts = row.n, row.groups
            if not math.isnan(row.published_mean):
                ours = row.published_mean, row.mean, row.ci_low, row.ci_high
                yield *about, "mean", *ours, *counts, mean_outside(row)
            if not math.isnan(paper := row.published_median):
                ends = UNKNOWN if again is None else _median_ends(table, row)
                apart = outside(paper, *ends, tolerance=APPROXIMATE)
                yield *about, "median", paper, row.median, *ends, *counts, apart
    if isinstance(table, OfReconstructions):
        shown = frame[frame["published"].notna() & (frame["split"] == HELD_OUT)]
        made = shown["quantity"] == "reconstruction"
        shown = shown.assign(name=shown["variant"].where(made, shown["quantity"]))
        for row in shown.drop_duplicates(["zoo", "name"]).itertuples():
            key = row.zoo, row.zoo, row.name, -1, "accuracy", "mode"
            yield *key, *_estimate(row, APPROXIMATE)
    if isinstance(table, OfProbes):
        for row in frame[frame["published"].notna()].itertuples():
            key = row.zoo, row.zoo, row.features, -1, f"R2 of {row.property}", "value"
            yield *key, *_estimate(row, PRINTED)


def _estimate(row: Any, tolerance: float) -> tuple[Any, ...]:
    ends = row.ci_low, row.ci_high
    apart = outside(row.published, *ends, tolerance=tolerance)
    return row.published, row.mean, *ends, row.networks, row.hyper_reps, apart


def _median_ends(table: OfAccuracies, row: Any) -> tuple[float, float]:
    """Returns the interval of the median of a row's networks."""
    found = table.networks
    for key in ("source", "target", "method", "epoch"):
        found = found[found[key] == getattr(row, key)]
    return median_interval(
        found["accuracy"].to_numpy(),
        found["group"].to_numpy(),
        confidence=table.sources.statistics.confidence,
        limits=SHARE,
    )
