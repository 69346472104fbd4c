"""The figure of the ablation: what is remembered and what generalises, by setting."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..accuracies import display_name
from ..drawing import LIGHT_GREY, PALETTES, Drawing, percent, unique
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


class Panel(NamedTuple):
    """Variants side by side.

    Attributes:
        title: Below the panel.
        labels: Name of each variant on the axis, from left to right.
    """

    title: str
    labels: dict[str, str]


class Ablation(OfAblations, Drawing):
    """R² above, accuracies below, a panel per setting; two rows per zoo."""

    def draw(self, data: pd.DataFrame) -> Figure:
        """Draws all panels, as wide as they have variants."""
        zoos = unique(data["zoo"])
        rows = [(zoo, measure) for zoo in zoos for measure in LINES]
        # zoos have the same variants
        shown = list(panels_of(data[data["zoo"] == zoos[0]]))
        figure = self.new_figure(1.6 * len(rows) + 1.2)
        lines = figure.subplots(
            len(rows),
            len(shown),
            squeeze=False,
            sharex="col",
            sharey="row",
            width_ratios=[1 + len(panel.labels) for panel in shown],
        )
        for line, (zoo, measure) in zip(lines, rows, strict=True):
            part = data[data["zoo"] == zoo]
            for axes, panel in zip(line, shown, strict=True):
                _draw_panel(axes, panel, part, measure)
            line[0].set_ylabel(measure)
            if measure == next(iter(LINES)):
                line[0].set_title(display_name(zoo), loc="left")
        for axes, panel in zip(lines[-1], shown, strict=True):
            axes.set_xlabel(panel.title)
        names = {name: c for of in LINES.values() for name, c in of.values()}
        handles = [
            Line2D([], [], color=colour, marker=".", label=name)
            for name, colour in names.items()
        ]
        self.legend(figure, *handles, ncols=3)
        return figure


def panels_of(data: pd.DataFrame) -> Iterator[Panel]:
    """Yields the panels of a zoo: each setting with the variants that change it only.

    The first variant, which changes nothing, is in all; what no setting has is in the
    last. Values are spaced evenly.
    """
    variants = data.drop_duplicates("variant").set_index("variant")
    changed = variants["changed"].astype(object).fillna("").str.split().map(set)
    rest = variants.index.tolist()
    for title, keys in AXES.items():
        chosen = variants[[not keys_of - keys for keys_of in changed]]
        if len(chosen) > 1:
            values = sorted(chosen[title].items(), key=lambda item: _rank(item[1]))
            yield Panel(title, {str(name): str(value) for name, value in values})
            rest = [name for name in rest if name not in chosen.index[1:]]
    if len(rest) > 1 or len(variants) == 1:
        yield Panel(OTHER, {name: name.replace("_", " ") for name in rest})


def _rank(value: str | int) -> float:
    return float({"none": 0, "all": math.inf}.get(str(value), value))


def _draw_panel(axes: Axes, panel: Panel, data: pd.DataFrame, measure: str) -> None:
    """Draws the quantities of a row: lines over a setting, points of other changes."""
    for quantity, (_, colour) in LINES[measure].items():
        rows = data[data["quantity"] == quantity].set_index("variant")
        rows = rows.loc[list(panel.labels)]
        place = range(len(rows))
        style = "" if panel.title == OTHER else "-"
        axes.plot(place, rows["mean"], marker=".", ls=style, color=colour)
        axes.vlines(place, rows["ci_low"], rows["ci_high"], color=colour, lw=0.8)
    axes.set_xlim(-0.6, len(panel.labels) - 0.4)
    axes.set_xticks(range(len(panel.labels)), panel.labels.values(), rotation=90)
    axes.grid(axis="x", visible=False)
    if measure == "test accuracy":
        axes.set_ylim(0, 1)
        percent(axes.yaxis)
    else:
        axes.set_ylim(min(0, max(axes.get_ylim()[0], -0.2)), 1)
