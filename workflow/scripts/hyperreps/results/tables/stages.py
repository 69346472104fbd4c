"""Tables of ensembles, reconstructions and probes."""

from __future__ import annotations

from typing import Any, ClassVar

import pandas as pd

from ..layout import Layout, Table, rounded, with_interval, zoo_headings
from ..stages import (
    HELD_OUT,
    SCORE_NAMES,
    SEEN,
    WHOLE,
    OfEnsembles,
    OfProbes,
    OfReconstructions,
)

SPLIT_NAMES = {SEEN: "training networks", HELD_OUT: "held-out networks"}
PROPERTY_NAMES = {"accuracy": "test accuracy", "gap": "generalisation gap"}
FEATURE_NAMES = {
    "weights": "W",
    "weights_aligned": "W, aligned",
    "statistics": "s(W)",
}


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


def _reconstructed(row: Any, layout: Layout) -> str:
    if row.quantity == "r2" and row.layer != WHOLE:
        return rounded(row.mean, ".2f")
    form = {"r2": ".2f", "mse": ".4f"}.get(row.quantity, ".1%")
    return with_interval(row.mean, row, form, layout)
