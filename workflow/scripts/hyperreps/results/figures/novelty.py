"""Figures of the audit: accuracy against distance, and shares of both."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from ..audits import PANEL, OfAudits, panel_name
from ..drawing import GREY, NARROW, Drawing, method_colours, panels, shown_name

MARKERS = "osD^v<>PX*hd"


class Look(NamedTuple):
    """How a population is drawn; references, whose novelty is known, are hollow."""

    colour: str
    marker: str
    known: bool

    @property
    def marks(self) -> dict[str, Any]:
        """Colour and marker for lines."""
        face = "white" if self.known else None
        return {"color": self.colour, "marker": self.marker, "markerfacecolor": face}


class OverPanels(OfAudits, Drawing):
    """A figure with a panel per zoo and its coordinates."""

    @cached_property
    def looks(self) -> dict[str, Look]:
        """Gives each method a colour, each reference a grey and a marker."""
        first = self.networks.groupby("population", sort=False)["reference"].first()
        methods, others = (list(first.index[first == known]) for known in (False, True))
        looks = {m: Look(c, "o", False) for m, c in method_colours(methods).items()}
        greys = np.linspace(0.25, 0.72, max(len(others), 1))
        for k, (name, grey) in enumerate(zip(others, greys, strict=False)):
            looks[name] = Look(str(grey), MARKERS[1 + k % (len(MARKERS) - 1)], True)
        return looks

    def panels(
        self, data: pd.DataFrame, *, height: float
    ) -> tuple[Figure, Iterator[tuple[Axes, pd.DataFrame]]]:
        """Returns the figure, its panels and their rows, with a legend below."""
        shape: dict[str, Any] = {
            "narrow": 1.3 * NARROW,
            "legend": (0.8, 0.8),
            "pad": 10,
        }
        figure, drawn = panels(data, PANEL, height=height, title=panel_name, **shape)
        handles = [
            Line2D([], [], linestyle="", label=shown_name(name), **look.marks)
            for name, look in self.looks.items()
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=4)
        return figure, drawn


class Novelty(OverPanels):
    """Accuracy of every network against its distance to the training networks."""

    def frame(self) -> pd.DataFrame:
        """Returns distances and limits, in the unit of each panel."""
        parts = []
        for _, panel in self.networks.groupby(PANEL, sort=False):
            scale = self.scale(panel)
            shown = panel[
                [*PANEL, "population", "reference", "sample", "accuracy"]
            ].copy()
            shown["distance"] = panel["aligned"] / scale.unit
            shown["copy_limit"] = scale.copy / scale.unit
            shown["new_limit"] = scale.new / scale.unit
            shown["accuracy_bar"] = scale.bar
            parts.append(shown)
        return pd.concat(parts, ignore_index=True)

    def draw(self, data: pd.DataFrame) -> Figure:
        """Draws a point per network, and the limits."""
        figure, drawn = self.panels(data, height=3.0)
        for axes, shown in drawn:
            # references below, so that no method hides behind them
            for name, rows in reversed(list(shown.groupby("population", sort=False))):
                look = self.looks[str(name)]
                axes.scatter(
                    *(rows["distance"], rows["accuracy"]),
                    s=13,
                    marker=look.marker,
                    facecolors="none" if look.known else look.colour,
                    edgecolors=look.colour if look.known else "none",
                    alpha=0.5 if look.known else 0.75,
                    linewidths=0.7 if look.known else 0,
                    zorder=2 if look.known else 3,
                )
            limits = shown.iloc[0]
            for text in ("copy", "new"):
                if np.isfinite(limits[f"{text}_limit"]):
                    _limit(axes, limits[f"{text}_limit"], text)
            axes.axhline(
                limits["accuracy_bar"], color=GREY, linewidth=0.8, linestyle=":"
            )
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
            axes.set_xlim(left=-0.03)
            axes.set_ylim(bottom=0)
            axes.set(
                xlabel="distance to training / leave-one-out distance",
                ylabel="test accuracy",
            )
        return figure


def _limit(axes: Axes, position: float, text: str) -> None:
    axes.axvline(position, color=GREY, linewidth=0.8, linestyle="--")
    axes.annotate(
        text,
        (position, 1),
        xycoords=("data", "axes fraction"),
        xytext=(2, 1),
        textcoords="offset points",
        color=GREY,
        fontsize=7,
        annotation_clip=False,
    )


class NovelAndPerformant(OverPanels):
    """Share of networks that are above the bar and far from all training networks."""

    def frame(self) -> pd.DataFrame:
        """Returns the shares at the multiples of the config, with intervals."""
        data = self.summary[self.summary["measure"] == "novel_and_performant"].copy()
        data["multiple"] = data["against"].astype(float)
        return data.drop(columns=["measure", "against"])

    def draw(self, data: pd.DataFrame) -> Figure:
        """Draws the share over all multiples, and the numbers on it."""
        figure, drawn = self.panels(self.networks, height=2.7)
        for axes, panel in drawn:
            scale = self.scale(panel)
            key = panel[PANEL].iloc[0]
            # beyond, no network of any population is left
            good = panel.loc[panel["accuracy"] >= scale.bar, "aligned"] / scale.unit
            end = min(max(1.25, 1.1 * good.max()), max(self.sources.settings.multiples))
            grid = np.linspace(0, end, 501)
            for name, rows in panel.groupby("population", sort=False):
                look = self.looks[str(name)]
                good = rows.loc[rows["accuracy"] >= scale.bar, "aligned"] / scale.unit
                share = (good.to_numpy() > grid[:, None]).sum(1) / len(rows)
                axes.plot(
                    *(grid, share),
                    linestyle="--" if look.known else "-",
                    linewidth=1 if look.known else 1.6,
                    markevery=[int((share > share[0] / 2).sum())],
                    zorder=2 if look.known else 3,
                    **look.marks,
                )
                points = data[(data[PANEL] == key).all(axis=1)]
                points = points[points["population"] == name]
                value = points["value"]
                spread = np.stack([value - points["ci_low"], points["ci_high"] - value])
                axes.errorbar(
                    *(points["multiple"], value, np.nan_to_num(spread).clip(0)),
                    linestyle="",
                    elinewidth=0.8,
                    zorder=3 if look.known else 4,
                    **look.marks,
                )
            axes.set_xlim(0, end)
            axes.set_ylim(-0.02, 1.02)
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
            axes.set(
                xlabel="farther than … times the leave-one-out distance",
                ylabel=f"share, accuracy ≥ {100 * scale.bar:.0f} %",
            )
        return figure
