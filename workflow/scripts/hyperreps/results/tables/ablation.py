"""The table of the ablation: what each variant remembers, generalises and costs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import pandas as pd

from ..layout import Column, Layout, LongTable, Row, zoo_headings
from ..summaries import OfAblations


class Ablation(OfAblations, LongTable):
    """R², accuracies, distances and costs: a row per variant."""

    words: ClassVar = "ablation.yaml"
    columns: ClassVar = (
        Column("R² shown", "r2_shown"),
        Column("R² training", "r2_training"),
        Column("R² held out", "r2_held_out"),
        Column("accuracy training", "accuracy_training", ".1%"),
        Column("accuracy held out", "accuracy_held_out", ".1%"),
        Column("released", "accuracy_released", ".1%"),
        Column("independent", "accuracy_independent", ".1%"),
        Column("distance held out", "distance_held_out"),
        Column("distance released", "distance_released"),
        Column("core-seconds", "core_seconds", ".0f"),
    )

    def rows(self, frame: pd.DataFrame, layout: Layout) -> Iterator[Row]:
        """Yields a row per variant, a block per zoo."""
        shown = frame.assign(zoo=zoo_headings(frame, layout), value=frame["mean"])
        for (zoo, variant), part in shown.groupby(["zoo", "variant"], sort=False):
            numbers = {row.quantity: row for row in part.itertuples()}
            texts = {"seeds": str(part["hyper_reps"].iloc[0])}
            texts |= self.measured(numbers, layout)
            yield zoo, layout.heading(variant), texts
