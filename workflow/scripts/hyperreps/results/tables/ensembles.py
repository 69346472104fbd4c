"""The table of ensembles: accuracy, likelihood and calibration."""

from __future__ import annotations

from typing import Any, ClassVar

import pandas as pd

from ..layout import Layout, Table, rounded, zoo_headings
from ..summaries import OfEnsembles


class Ensembles(OfEnsembles, Table):
    """Accuracy, likelihood and calibration of ensembles, a block per epoch."""

    words: ClassVar = "ensembles.yaml"

    def cells(self, frame: pd.DataFrame, layout: Layout) -> pd.DataFrame:
        """Sets single networks beside the largest ensembles that all methods allow."""
        sizes = [set(part["size"]) for _, part in frame.groupby(["zoo", "method"])]
        common = set.intersection(*sizes)
        table = frame[frame["size"].isin({min(common), max(common)})].copy()
        headings = {
            "accuracy": (f"accuracy, {layout.percent}", ".1%"),
            "nll": ("NLL, nats", ".2f"),
            "ece": (f"ECE, {layout.percent}", ".1%"),
            "disagreement": (f"disagreement, {layout.percent}", ".1%"),
        }
        table["block"] = "epoch " + table["epoch"].astype(str)
        table["name"] = table["method"].map(layout.name)
        table["heading"] = table["metric"].map(lambda metric: headings[metric][0])
        table["column"] = "size " + table["size"].astype(str)
        rows: list[Any] = list(table.itertuples())
        table["text"] = [
            layout.plus_minus.join(
                rounded(x, headings[r.metric][1]) for x in (r.mean, r.std)
            )
            for r in rows
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
