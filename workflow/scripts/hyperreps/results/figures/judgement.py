"""The figure of accuracy against distance, with the curves of noise and soups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..accuracies import display_name
from ..drawing import (
    GREY,
    LIGHT_GREY,
    Drawing,
    line,
    method_colours,
    percent,
    shown_name,
)
from ..judgement import CURVES, Judged
from .novelty import MARKERS

STYLES = {"noise": (GREY, "-"), "soup": (LIGHT_GREY, "--")}
LINES = (*CURVES, "reconstructions")
# references that say what is possible; the others would crowd the picture
SHOWN = ("held_out",)


class Judgement(Judged, Drawing):
    """Mean accuracy of every population at its mean distance to training."""

    def frame(self) -> pd.DataFrame:
        """Returns what is said of every population, and the lines that it is part of.

        Returns:
            Judged.frame() with a column lines: names of LINES.
        """
        data = super().frame()
        members = {key: getattr(self.sources, key) for key in LINES}
        data["lines"] = [
            " ".join(key for key, names in members.items() if name in names)
            for name in data["population"]
        ]
        return data

    def draw(self, data: pd.DataFrame) -> Figure:
        """Draws a point per population, lines for curves and reconstructions."""
        wide = data.pivot_table(
            index=["zoo", "population"],
            columns="measure",
            values=["value", "ci_low", "ci_high"],
            sort=False,
            dropna=False,
        )
        known = data.drop_duplicates("population").set_index("population")
        part_of = known["lines"].astype(object).fillna("").str.split()
        lines = {key: [n for n in known.index if key in part_of[n]] for key in LINES}
        on_curves = {name for curve in CURVES for name in lines[curve]}
        methods = known.index[~known["reference"] & ~known.index.isin(on_curves)]
        names = [n for n in SHOWN if n in known.index] + list(methods)
        colours = dict.fromkeys(SHOWN, "black") | method_colours(methods)
        looks = {
            name: {"color": colours[name], "marker": MARKERS[k % len(MARKERS)]}
            for k, name in enumerate(names)
        }
        zoos = wide.index.to_frame(index=False)
        shape: dict[str, Any] = {"wide": True, "legend": (0.9, 1.6)}
        figure, drawn = self.panels(
            zoos, ["zoo"], height=3.4, title=lambda zoo: display_name(zoo, zoo), **shape
        )
        for axes, part in drawn:
            means = wide.loc[part["zoo"].iloc[0]]
            _draw_lines(axes, means, known, lines)
            for name in reversed([name for name in names if name in means.index]):
                _draw_point(axes, means.loc[[name]], ls="", zorder=3, **looks[name])
            axes.set_xlim(left=-0.03)
            axes.set_ylim(bottom=0)
            percent(axes.yaxis)
            axes.set(
                xlabel="distance to training / that of held-out networks",
                ylabel="test accuracy",
            )
        curves = [
            line(c if of == 1 else f"{c}, best of {of}", **_style(c, of))
            for c, of in _curves(known, lines)
        ]
        points = (line(shown_name(name), ls="", **looks[name]) for name in names)
        dotted = [line(name, ls=":") for name in LINES[len(CURVES) :] if lines[name]]
        self.legend(figure, *curves, *dotted, *points, ncols=3)
        return figure


def _curves(known: pd.DataFrame, lines: dict[str, list[str]]) -> list[tuple[str, int]]:
    """Returns the curves, and of how many draws the best ones are their points."""
    return [
        (curve, int(of))
        for curve in CURVES
        for of in sorted(set(known.loc[lines[curve], "best_of"]))
    ]


def _style(curve: str, best_of: int) -> dict[str, Any]:
    """Returns how a curve is drawn."""
    colour, style = STYLES[curve]
    thin = {} if best_of == 1 else {"linewidth": 0.8, "marker": "x"}
    return {"color": colour, "ls": style, "marker": ".", **thin}


def _draw_lines(
    axes: Axes, means: pd.DataFrame, known: pd.DataFrame, lines: dict[str, list[str]]
) -> None:
    """Draws the curves, and how accurate reconstructions are."""
    here = known.loc[known.index.isin(means.index)]
    for curve, of in _curves(known, lines):
        names = [n for n in lines[curve] if n in here.index[here["best_of"] == of]]
        points = means.loc[names].sort_values(("value", "distance"))
        _draw_point(axes, points, **_style(curve, of))
    names = [name for name in lines["reconstructions"] if name in here.index]
    for height in means.loc[names, ("value", "accuracy")]:
        axes.axhline(height, color=GREY, linestyle=":", linewidth=0.9)


def _draw_point(axes: Axes, rows: pd.DataFrame, **look: Any) -> None:
    """Draws populations with the intervals of both means."""
    spans = {}
    for axis, measure in (("xerr", "distance"), ("yerr", "accuracy")):
        value = rows["value", measure]
        ends = [value - rows["ci_low", measure], rows["ci_high", measure] - value]
        spans[axis] = np.nan_to_num(np.stack(ends))
    axes.errorbar(
        rows["value", "distance"],
        rows["value", "accuracy"],
        elinewidth=0.7,
        markersize=4.5,
        **spans,
        **look,
    )
