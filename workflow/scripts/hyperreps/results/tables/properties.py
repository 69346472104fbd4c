"""The table of what probes read from weights, their statistics and latents."""

from __future__ import annotations

from typing import Any, ClassVar

import pandas as pd

from ..layout import Layout, Table, with_interval, zoo_headings
from ..summaries import SCORE_NAMES, OfProbes

PROPERTY_NAMES = {"accuracy": "test accuracy", "gap": "generalisation gap"}
FEATURE_NAMES = {
    "weights": "W",
    "weights_aligned": "W, aligned",
    "statistics": "s(W)",
}


class Properties(OfProbes, Table):
    """Scores of probes on held-out networks, the inputs beside each other."""

    words: ClassVar = "properties.yaml"

    def cells(self, frame: pd.DataFrame, layout: Layout) -> pd.DataFrame:
        """Sets the inputs of the probes beside each other, and the published."""
        names = frame["features"].map(lambda name: FEATURE_NAMES.get(name, f"z {name}"))
        table = frame.assign(
            zoo=zoo_headings(frame, layout),
            block=frame["property"].map(lambda name: PROPERTY_NAMES.get(name, name)),
            name=frame["metric"].map(SCORE_NAMES),
            heading=names.map(layout.heading),
            column="this run",
        )
        rows: list[Any] = list(table.itertuples())
        table["text"] = [with_interval(row.mean, row, ".2f", layout) for row in rows]
        rivals = table.groupby(["zoo", "property", "metric"])["mean"]
        table["best"] = table["mean"] == rivals.transform("max")
        beside = table[table["published"].notna()].copy()
        beside = beside.assign(column="published", best=False)
        beside["text"] = [f"{value:.2f}" for value in beside["published"]]
        return pd.concat([table, beside])
