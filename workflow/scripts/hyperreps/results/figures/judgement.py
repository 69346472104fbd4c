"""The figure of accuracy against distance, with the curves of noise and soups."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import textalloc
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..drawing import GREY, LIGHT_GREY, Drawing, line, method_colours, percent
from ..judgement import CURVES, Judged
from .novelty import MARKERS

STYLES = {"noise": (GREY, "-"), "soup": (LIGHT_GREY, "--")}
LINES = (*CURVES, "reconstructions")
# names beside points: distances in parts of the width, and places that are tried
NAMES: Mapping[str, Any] = {
    **{"textsize": "small", "linecolor": GREY, "linewidth": 0.5},
    **{"min_distance": 0.012, "max_distance": 0.4, "margin": 0.004},
    **{"avoid_label_lines_overlap": True, "avoid_crossing_label_lines": True},
    "nbr_candidates": 2000,
}
# references that say what is possible; the others would crowd the picture
SHOWN = ("held_out",)


class Look(NamedTuple):
    """How a population is drawn: the best of several draws as they, but hollow."""

    drawn_from: str
    colour: str
    marker: str
    best_of: int

    @property
    def marks(self) -> dict[str, Any]:
        """Colour, marker and its size for lines."""
        face = self.colour if self.best_of == 1 else "white"
        return {
            **{"color": self.colour, "marker": self.marker},
            **{"markerfacecolor": face, "markersize": _size(self.best_of)},
        }


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
        """Draws a named point per population, lines for curves and reconstructions."""
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
        looks = _looks(known, lines)
        # a line of panels holds one: names need the width
        figure, drawn = self.zoo_rows(data, 1, height=3.6)
        panels = []
        for title, (axes,), part in drawn:
            means = wide.loc[part["zoo"].iloc[0]].loc[part["population"].unique()]
            _draw_lines(axes, means, known, lines)
            _draw_points(axes, means, looks)
            axes.set_xlim(left=-0.03)
            axes.set_ylim(bottom=0)
            percent(axes.yaxis)
            axes.set(
                title=title,
                xlabel="distance to training / that of held-out networks",
                ylabel="test accuracy",
            )
            panels.append((axes, means))
        curves = [
            line(c if of == 1 else f"{c}, best of {of}", **_style(c, of))
            for c, of in _curves(known, lines)
        ]
        dotted = [line(name, ls=":") for name in LINES[len(CURVES) :] if lines[name]]
        hollow: dict[str, Any] = {"lw": 0.7, "marker": "o", "markerfacecolor": "white"}
        chosen = sorted({look.best_of for look in looks.values()} - {1})
        several = [
            line(f"of a method, best of {of}", markersize=_size(of), **hollow)
            for of in chosen
        ]
        self.legend(figure, *curves, *dotted, *several, ncols=4)
        # only now is known where there is room
        figure.draw_without_rendering()
        for axes, means in panels:
            _name_points(axes, means, looks)
        return figure


def _size(best_of: int) -> float:
    """Returns the size of a mark: from ten draws on, it grows with their number."""
    return 4.5 + 4 * max(0.0, math.log10(best_of) - 1)


def _looks(known: pd.DataFrame, lines: dict[str, list[str]]) -> dict[str, Look]:
    """Returns how all populations are drawn that are points and on no curve."""
    on_curves = {name for curve in CURVES for name in lines[curve]}
    methods = known.index[~known["reference"] & ~known.index.isin(on_curves)]
    names = [n for n in SHOWN if n in known.index] + list(methods)
    best_of = {name: int(of) for name, of in known["best_of"].items()}
    sources = {n: n.removesuffix(f"_best{best_of[n]}") for n in names}
    sources = {n: source if source in names else n for n, source in sources.items()}
    own = list(dict.fromkeys(sources.values()))
    colours = method_colours(own[len(names) - len(methods) :])
    colours |= dict.fromkeys(SHOWN, "black")
    markers = {name: MARKERS[k % len(MARKERS)] for k, name in enumerate(own)}
    return {
        n: Look(source, colours[source], markers[source], best_of[n])
        for n, source in sources.items()
    }


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
    marks = {"marker": ".", "markersize": _size(best_of)}
    return {"color": colour, "ls": style, **marks, **thin}


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


def _draw_points(axes: Axes, means: pd.DataFrame, looks: dict[str, Look]) -> None:
    """Draws populations, and what is the best of several draws joined with these."""
    for name in reversed([name for name in looks if name in means.index]):
        look = looks[name]
        _draw_point(axes, means.loc[[name]], ls="", zorder=3, **look.marks)
        if look.drawn_from != name:
            both = means.loc[[look.drawn_from, name], "value"]
            axes.plot(both["distance"], both["accuracy"], color=look.colour, lw=0.7)


def _draw_point(axes: Axes, rows: pd.DataFrame, **look: Any) -> None:
    """Draws populations with the intervals of both means."""
    spans = {}
    for axis, measure in (("xerr", "distance"), ("yerr", "accuracy")):
        value = rows["value", measure]
        ends = [value - rows["ci_low", measure], rows["ci_high", measure] - value]
        spans[axis] = np.nan_to_num(np.stack(ends))
    _, _, bars = axes.errorbar(
        rows["value", "distance"],
        rows["value", "accuracy"],
        elinewidth=0.7,
        **spans,
        **look,
    )
    for bar in bars:
        bar.set_alpha(0.4)


def _name_points(axes: Axes, means: pd.DataFrame, looks: dict[str, Look]) -> None:
    """Names the populations that are not joined with another."""
    places = means["value"]
    shown = [name for name in looks if name in means.index]
    own = [name for name in shown if looks[name].drawn_from == name]
    drawn = [
        np.asarray(drawn.get_xydata())
        for drawn in axes.get_lines()
        if drawn.get_transform() == axes.transData
    ]
    textalloc.allocate(
        axes,
        x=places.loc[own, "distance"].to_numpy(),
        y=places.loc[own, "accuracy"].to_numpy(),
        text_list=[name.replace("_", " ") for name in own],
        x_scatter=places.loc[shown, "distance"].to_numpy(),
        y_scatter=places.loc[shown, "accuracy"].to_numpy(),
        x_lines=[points[:, 0] for points in drawn if len(points) > 1],
        y_lines=[points[:, 1] for points in drawn if len(points) > 1],
        **NAMES,
    )
