"""The table of the ablation: what each variant remembers, generalises and costs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, NamedTuple

import pandas as pd

from ..ablation import OfAblations
from ..layout import Layout, LongTable, Row, with_interval, zoo_headings


class Column(NamedTuple):
    """One column of the table; what it means is in ablation.yaml.

    Attributes:
        heading: Above the numbers; no character that LaTeX treats apart.
        quantity: Of OfAblations.
        scale: What numbers are multiplied by.
        digits: Behind the point.
    """

    heading: str
    quantity: str
    scale: float = 1
    digits: int = 2


COLUMNS = (
    Column("R² shown", "r2_shown"),
    Column("R² train", "r2_train"),
    Column("R² held out", "r2_held_out"),
    Column("accuracy train", "accuracy_train", 100, 1),
    Column("accuracy held out", "accuracy_held_out", 100, 1),
    Column("released", "accuracy_released", 100, 1),
    Column("independent", "accuracy_independent", 100, 1),
    Column("distance held out", "distance_held_out"),
    Column("distance released", "distance_released"),
    Column("core-seconds", "core_seconds", 1, 0),
)


class Ablation(OfAblations, LongTable):
    """R², accuracies, distances and costs: a row per variant."""

    words: ClassVar = "ablation.yaml"

    def rows(self, frame: pd.DataFrame, layout: Layout) -> Iterator[Row]:
        """Yields a row per variant, a block per zoo."""
        shown = frame.assign(zoo=zoo_headings(frame, layout))
        key: tuple[str, str]
        for key, part in shown.groupby(["zoo", "variant"], sort=False):
            numbers = {row.quantity: row for row in part.itertuples()}
            texts = {"seeds": str(part["hyper_reps"].iloc[0])}
            texts |= {
                c.heading: with_interval(
                    numbers[c.quantity], layout, scale=c.scale, digits=c.digits
                )
                for c in COLUMNS
            }
            yield key[0], layout.heading(key[1]), texts
