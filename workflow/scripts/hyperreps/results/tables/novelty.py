"""The table of the audit: how new every population is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import pandas as pd

from ..audits import PANEL, OfAudits, panel_name
from ..layout import NOT_KNOWN, Layout, LongTable, Row


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
    Column("raw L2", "raw", ".2f"),
    Column("aligned L2", "aligned", ".2f", interval=True),
    Column("at least", "bound", ".2f"),
    Column("relative", "relative", ".2f"),
    Column("other runs", "other_aligned", ".2f"),
    Column("errors shared", "overlap", ".2f", interval=True),
    Column("disagreement", "disagreement", ".3f"),
    Column("ZU", "z_u", ".1f", interval=True),
    Column("copies", "copies", ".0%", interval=True),
    Column("new", "new", ".0%", interval=True),
    Column("new and good", "novel_and_performant", ".0%", interval=True),
    Column("sources", "effective_sources", ".1f"),
    Column("pairs L2", "pair_distance", ".2f"),
    Column("pairs disagree", "pair_disagreement", ".3f"),
)


class Novelty(OfAudits, LongTable):
    """Distances, verdicts and diversity: a row per population, methods first."""

    words: ClassVar = "novelty.yaml"

    def frame(self) -> pd.DataFrame:
        """Returns what is said of every population."""
        return self.summary

    def values(self) -> dict[str, Any]:
        """Returns the accuracy bar in percent and the first multiple."""
        settings = self.sources.settings
        bar = f"{100 * settings.accuracy_bar:g}"
        return {"bar": bar, "multiple": f"{settings.multiples[0]:g}"}

    def rows(self, frame: pd.DataFrame, layout: Layout) -> Iterator[Row]:
        """Yields a row per population, methods first, a block per zoo."""
        first = f"{self.sources.settings.multiples[0]:g}"
        other = (frame["measure"] == "novel_and_performant") & (
            frame["against"] != first
        )
        order = frame[~other].sort_values("reference", kind="stable")
        key: Any
        for key, part in order.groupby([*PANEL, "population"], sort=False):
            numbers = {row.measure: row for row in part.itertuples()}
            counts = part.iloc[0]
            texts = {"n (groups)": f"{counts['n']} ({counts['groups']})"}
            texts |= {c.heading: _cell(numbers[c.measure], c, layout) for c in COLUMNS}
            if numbers["nearer"].value in (0, 1):
                texts["ZU"] += " saturated"
            yield layout.heading(panel_name(*key[:2])), layout.name(key[2]), texts


def _cell(row: Any, column: Column, layout: Layout) -> str:
    if math.isnan(row.value):
        return NOT_KNOWN
    text = _number(row.value, column)
    if column.interval and not math.isnan(row.ci_low):
        ends = (_number(end, column) for end in (row.ci_low, row.ci_high))
        text += " " + layout.interval(f"[{', '.join(ends)}]")
    return text


def _number(value: float, column: Column) -> str:
    return format(value, column.form).removesuffix("%")
