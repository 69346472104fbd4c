"""The table of ensembles beside single networks."""

from __future__ import annotations

from typing import ClassVar

import pandas as pd

from ..experiments import OfStage, ensembles
from ..layout import Layout, Table, zoo_headings


class Ensembles(OfStage, Table):
    """Accuracy, likelihood and calibration of ensembles, a block per epoch."""

    words: ClassVar = "ensembles.yaml"

    def frame(self) -> pd.DataFrame:
        """Returns what is known of ensembles of every size."""
        return ensembles(self.sources)

    def cells(self, frame: pd.DataFrame, layout: Layout) -> pd.DataFrame:
        """Sets single networks beside the largest ensembles that all methods allow."""
        sizes = [set(part["size"]) for _, part in frame.groupby(["zoo", "method"])]
        common = set.intersection(*sizes)
        table = frame[frame["size"].isin({min(common), max(common)})].copy()
        headings = {
            "accuracy": (f"accuracy, {layout.percent}", 100, 1),
            "nll": ("NLL, nats", 1, 2),
            "ece": (f"ECE, {layout.percent}", 100, 1),
            "disagreement": (f"disagreement, {layout.percent}", 100, 1),
        }
        table["block"] = "epoch " + table["epoch"].astype(str)
        table["name"] = table["method"].map(layout.name)
        table["heading"] = table["metric"].map(lambda metric: headings[metric][0])
        table["column"] = "size " + table["size"].astype(str)
        table["text"] = [
            layout.plus_minus.join(
                f"{scale * x:.{digits}f}" for x in (row.mean, row.std)
            )
            for row in table.itertuples()
            for _, scale, digits in [headings[str(row.metric)]]
        ]
        last = table.groupby(["zoo", "method"])["epoch"].transform("max")
        table["rival"] = table["mean"].where(last == table["epoch"].max())
        rivals = table.groupby(["zoo", "epoch", "size", "metric"])["rival"]
        best = rivals.transform("min").mask(
            table["metric"] == "accuracy", rivals.transform("max")
        )
        table["best"] = (table["rival"] == best) & (table["metric"] != "disagreement")
        table["zoo"] = zoo_headings(table, layout)
        return table
