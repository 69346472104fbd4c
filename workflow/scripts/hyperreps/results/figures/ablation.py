"""The figure of the ablation: what is remembered and what generalises, by setting."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..drawing import LIGHT_GREY, PALETTES, Drawing, line, percent
from ..summaries import OfAblations

# quantities of each row of panels, and how they are drawn
BLUE, ORANGE, GREEN = PALETTES["S_"][0], PALETTES["B_"][0], PALETTES[""][0]
LINES = {
    "R²": {
        "r2_shown": ("training networks, as shown", "black"),
        "r2_training": ("training networks", LIGHT_GREY),
        "r2_held_out": ("held-out networks", BLUE),
    },
    "test accuracy": {
        "accuracy_training": ("training networks", LIGHT_GREY),
        "accuracy_held_out": ("held-out networks", BLUE),
        "accuracy_released": ("samples, released", ORANGE),
        "accuracy_independent": ("samples, independent", GREEN),
    },
}
# settings that are one axis, and the column of its values
AXES = {
    "permutations": {"permutation", "permutations"},
    "latent": {"latent"},
    "epochs": {"epochs"},
}
OTHER = "other changes"


class Ablation(OfAblations, Drawing):
    """R² above, accuracies below, a panel per setting; two rows per zoo."""

    def draw(self, data: pd.DataFrame) -> Figure:
        """Draws all panels, as wide as they have variants."""
        # zoos have the same variants
        shown = panels_of(data[data["zoo"] == data["zoo"].iloc[0]])
        figure, zoos = self.zoo_rows(
            data,
            len(shown),
            lines=len(LINES),
            height=1.6,
            legend=1.2,
            sharex="col",
            sharey="row",
            width_ratios=[1 + len(labels) for labels in shown.values()],
        )
        for zoo, block, part in zoos:
            block[0].set_title(zoo)
            for row, measure in zip(np.split(block, len(LINES)), LINES, strict=True):
                for axes, (title, labels) in zip(row, shown.items(), strict=True):
                    _draw_panel(axes, labels, part, measure, joined=title != OTHER)
                row[0].set_ylabel(measure)
        for axes, title in zip(figure.axes[-len(shown) :], shown, strict=True):
            axes.set_xlabel(title)
        names = {name: c for of in LINES.values() for name, c in of.values()}
        handles = (line(name, color=c, marker=".") for name, c in names.items())
        self.legend(figure, *handles, ncols=3)
        return figure


def panels_of(data: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Returns the panels of a zoo: each setting with the variants that change it only.

    The first variant, which changes nothing, is in all; what no setting has is in the
    last. Values are spaced evenly.

    Returns:
        By the title of a panel, labels by variant, from left to right.
    """
    variants = data.drop_duplicates("variant").set_index("variant")
    changed = variants["changed"].astype(object).fillna("").str.split().map(set)
    rest = variants.index.tolist()
    panels = {}
    for title, keys in AXES.items():
        chosen = variants[[not keys_of - keys for keys_of in changed]]
        if len(chosen) > 1:
            values = sorted(chosen[title].items(), key=lambda item: _rank(item[1]))
            panels[title] = {str(name): str(value) for name, value in values}
            rest = [name for name in rest if name not in chosen.index[1:]]
    if len(rest) > 1 or len(variants) == 1:
        panels[OTHER] = {name: name.replace("_", " ") for name in rest}
    return panels


def _rank(value: str | int) -> float:
    return float({"none": 0, "all": math.inf}.get(str(value), value))


def _draw_panel(
    axes: Axes,
    labels: dict[str, str],
    data: pd.DataFrame,
    measure: str,
    *,
    joined: bool,
) -> None:
    """Draws the quantities of a row for some variants, joined by lines or not."""
    place = range(len(labels))
    for quantity, (_, colour) in LINES[measure].items():
        rows = data[data["quantity"] == quantity].set_index("variant").loc[[*labels]]
        style = "-" if joined else ""
        axes.plot(place, rows["mean"], marker=".", ls=style, color=colour)
        axes.vlines(place, rows["ci_low"], rows["ci_high"], color=colour, lw=0.8)
    axes.set_xlim(-0.6, len(labels) - 0.4)
    axes.set_xticks(place, labels.values(), rotation=90)
    axes.grid(axis="x", visible=False)
    if measure == "test accuracy":
        axes.set_ylim(0, 1)
        percent(axes.yaxis)
    else:
        axes.set_ylim(min(0, max(axes.get_ylim()[0], -0.2)), 1)
