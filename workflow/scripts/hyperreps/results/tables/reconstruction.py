"""The table of reconstructions: R² by layer, and accuracies."""

from __future__ import annotations

from typing import Any, ClassVar

import pandas as pd

from ..layout import Layout, Table, rounded, with_interval, zoo_headings
from ..summaries import HELD_OUT, SCORE_NAMES, SEEN, WHOLE, OfReconstructions

SPLIT_NAMES = {SEEN: "training networks", HELD_OUT: "held-out networks"}


class Reconstruction(OfReconstructions, Table):
    """R² by layer and accuracies, a row per variant and a block per split."""

    words: ClassVar = "reconstruction.yaml"

    def cells(self, frame: pd.DataFrame, layout: Layout) -> pd.DataFrame:
        """Sets the variants below each other, R2 by layer and accuracies beside."""
        accuracies = frame["quantity"].isin(["original", "reconstruction"])
        whole = frame["layer"] == WHOLE
        wanted = frame["split"].isin(SPLIT_NAMES) & (
            whole | (frame["quantity"] != "mse")
        )
        frame, accuracies = frame[wanted], accuracies[wanted]
        headings = frame["quantity"].map({"r2": SCORE_NAMES["r2"], "mse": "MSE"})
        table = frame.assign(
            zoo=zoo_headings(frame, layout),
            block=frame["split"].map(SPLIT_NAMES),
            name=frame["variant"].map(layout.heading),
            heading=headings.mask(accuracies, f"accuracy, {layout.percent}"),
            column=frame["layer"].mask(accuracies, frame["quantity"]),
            best=False,
        )
        table["text"] = [_reconstructed(row, layout) for row in table.itertuples()]
        peaks = table[table["published"].notna()].copy()
        peaks["column"] = "published " + peaks["quantity"]
        peaks["text"] = [f"{layout.about}{100 * p:.0f}" for p in peaks["published"]]
        return pd.concat([table, peaks])


def _reconstructed(row: Any, layout: Layout) -> str:
    if row.quantity == "r2" and row.layer != WHOLE:
        return rounded(row.mean, ".2f")
    form = {"r2": ".2f", "mse": ".4f"}.get(row.quantity, ".1%")
    return with_interval(row.mean, row, form, layout)
