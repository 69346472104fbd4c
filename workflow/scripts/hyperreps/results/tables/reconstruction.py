"""The table of networks beside their reconstructions."""

from __future__ import annotations

from typing import Any, ClassVar

import pandas as pd

from ..experiments import (
    HELD_OUT,
    SCORE_NAMES,
    SEEN,
    WHOLE,
    OfStage,
    reconstruction,
)
from ..layout import Layout, Table, with_interval, zoo_headings

SPLIT_NAMES = {SEEN: "training networks", HELD_OUT: "held-out networks"}


class Reconstruction(OfStage, Table):
    """R² by layer and accuracies, a row per variant and a block per split."""

    words: ClassVar = "reconstruction.yaml"
    needs: ClassVar = (*OfStage.needs, "published")

    def frame(self) -> pd.DataFrame:
        """Returns errors and accuracies of the networks of every split."""
        return reconstruction(self.sources)

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
        return f"{row.mean:.2f}"
    scale, digits = {"r2": (1, 2), "mse": (1, 4)}.get(row.quantity, (100, 1))
    return with_interval(row, layout, scale=scale, digits=digits)
