"""The table of the judgement: every population beside noise and soups."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pandas as pd

from ..accuracies import display_name
from ..judgement import CURVES, Judged, verdict
from ..layout import Layout, LongTable, Row
from .novelty import Column, cell

COLUMNS = (
    Column("accuracy", "accuracy", ".1%", interval=True),
    Column("distance", "distance", ".2f", interval=True),
    Column("over noise", "above_noise", "+.1%", interval=True),
    Column("over soup", "above_soup", "+.1%", interval=True),
    Column("new and good", "new_and_good", ".0%", interval=True),
    Column("disagreement", "disagreement", ".2f", interval=True),
    Column("ten vote", "ensemble", ".1%"),
    Column("R2", "r2_held_out", ".2f"),
    Column("core-seconds", "core_seconds", ".3f"),
)


class Judgement(Judged, LongTable):
    """Accuracy at distance, and the verdict: a row per population, methods first."""

    words: ClassVar = "judgement.yaml"

    def rows(self, frame: pd.DataFrame, layout: Layout) -> Iterator[Row]:
        """Yields a row per population, methods first, a block per zoo."""
        order = frame.sort_values("reference", kind="stable")
        key: Any
        for key, part in order.groupby(["zoo", "population"], sort=False):
            numbers = {row.measure: row for row in part.itertuples()}
            counts = part.iloc[0]
            texts = {"n (groups)": f"{counts['n']} ({counts['groups']})"}
            texts |= {
                c.heading: cell(numbers.get(c.measure), c, layout) for c in COLUMNS
            }
            known = [numbers.get(f"above_{curve}") for curve in CURVES]
            leads = [(row.ci_low, row.ci_high) for row in known if row is not None]
            texts["verdict"] = verdict(leads) if len(leads) == len(CURVES) else "curve"
            zoo = layout.heading(display_name(key[0], key[0]))
            yield zoo, layout.name(key[1]), texts
