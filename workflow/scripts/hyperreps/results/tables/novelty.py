"""The table of the audit: how new every population is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import pandas as pd

from ..audits import PANEL, OfAudits, panel_name
from ..layout import NOT_KNOWN, Layout, LongTable, Row

# of the distance to unseen runs, what rounding leaves of none
COPY = 1e-4


class Column(NamedTuple):
    """One column of the table; what it means is in novelty.yaml.

    Attributes:
        heading: Above the numbers; no character that LaTeX treats apart.
        measure: Of novelty_summary().
        form: Format of the value and of both ends of its interval; with % in percent.
        interval: Whether the interval is shown.
    """

    heading: str
    measure: str
    form: str
    interval: bool = False


COLUMNS = (
    Column("accuracy", "accuracy", ".1%", interval=True),
    Column("R2", "r2_held_out", ".2f", interval=True),
    Column("training/unseen", "training_over_unseen", ".2f", interval=True),
    Column("own source", "source_in_runs", ".2f", interval=True),
    Column("in runs", "in_runs", ".2f", interval=True),
    Column("in snapshots", "in_snapshots", ".1f"),
    Column("new by runs", "new_by_runs", ".0%", interval=True),
    Column("new by snapshots", "new_by_snapshots", ".0%"),
    Column("good", "good", ".0%"),
    Column("new and good", "new_and_good", ".0%", interval=True),
    Column("errors shared", "overlap", ".2f"),
    Column("ZU", "z_u", ".1f"),
    Column("joint p", "joint", ".3f"),
    Column("would see", "detectable", ".1%"),
    Column("pairs L2", "pair_distance", ".1f"),
)


class Novelty(OfAudits, LongTable):
    """Distances, verdicts and diversity: a row per population, methods first."""

    words: ClassVar = "novelty.yaml"

    def frame(self) -> pd.DataFrame:
        """Returns what is said of every population."""
        return self.summary

    def rows(self, frame: pd.DataFrame, layout: Layout) -> Iterator[Row]:
        """Yields a row per population, methods first, a block per zoo."""
        order = frame.sort_values("reference", kind="stable")
        key: Any
        for key, part in order.groupby([*PANEL, "population"], sort=False):
            numbers = {row.measure: row for row in part.itertuples()}
            counts = part.iloc[0]
            texts = {"n (groups)": f"{counts['n']} ({counts['groups']})"}
            texts |= {
                c.heading: cell(numbers.get(c.measure), c, layout) for c in COLUMNS
            }
            if derives(numbers["training_over_unseen"]):
                texts["training/unseen"] += " derived"
            if numbers["nearer"].value in (0, 1):
                texts["ZU"] += " saturated"
            yield layout.heading(panel_name(*key[:2])), layout.name(key[2]), texts


def derives(ratio: Any) -> bool:
    """Whether networks surely are nearer to training runs than to unseen ones.

    Args:
        ratio: Row of novelty_summary(). Exact copies have no interval, and the ratio 0.
    """
    return ratio.ci_high < 1 or ratio.value < COPY


def cell(row: Any | None, column: Column, layout: Layout) -> str:
    """Returns the text of a measure: its value, and its interval if that is shown."""
    if row is None or not math.isfinite(row.value):
        return NOT_KNOWN
    text = _number(row.value, column)
    if column.interval and not math.isnan(row.ci_low):
        ends = (_number(end, column) for end in (row.ci_low, row.ci_high))
        text += " " + layout.interval(f"[{', '.join(ends)}]")
    return text


def _number(value: float, column: Column) -> str:
    return format(value, column.form).removesuffix("%")
