"""The figure of accuracy against distance to training."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from ..audits import PANEL, OfAudits, panel_name, scale_of
from ..drawing import GREY, Drawing, line, method_colours, shown_name

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


class Novelty(OfAudits, Drawing):
    """Accuracy of every network against its distance to the training networks."""

    def frame(self) -> pd.DataFrame:
        """Returns distances and limits, in the unit of each panel."""
        parts = []
        for _, panel in self.networks.groupby(PANEL, sort=False):
            scale = scale_of(panel)
            shown = panel[[*PANEL, "population", "reference", "sample", "accuracy"]]
            limits = {"snapshots": scale.changed / scale.run}
            limits |= {"runs": scale.new / scale.run, "good": scale.good}
            parts.append(shown.assign(distance=panel["aligned"] / scale.run, **limits))
        return pd.concat(parts, ignore_index=True)

    def draw(self, data: pd.DataFrame) -> Figure:
        """Draws a point per network, and the limits."""
        # as wide as the legend, even for a panel that is alone
        shape: dict[str, Any] = {"wide": True, "legend": (0.8, 0.8), "pad": 10}
        looks = looks_of(data)
        figure, drawn = self.panels(data, PANEL, height=3.0, title=panel_name, **shape)
        for axes, shown in drawn:
            # references below, so that no method hides behind them
            for name, rows in reversed(list(shown.groupby("population", sort=False))):
                look = looks[str(name)]
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
            for ruler in ("snapshots", "runs"):
                if np.isfinite(limits[ruler]):
                    _limit(axes, limits[ruler], f"new by {ruler}")
            axes.axhline(limits["good"], color=GREY, linewidth=0.8, linestyle=":")
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
            axes.set_xlim(left=-0.03)
            axes.set_ylim(bottom=0)
            axes.set(
                xlabel="distance to training / distance between runs",
                ylabel="test accuracy",
            )
        names = ((shown_name(name), look.marks) for name, look in looks.items())
        self.legend(
            figure, *(line(name, ls="", **marks) for name, marks in names), ncols=4
        )
        return figure


def looks_of(data: pd.DataFrame) -> dict[str, Look]:
    """Gives each method a colour, each reference a grey and a marker."""
    first = data.groupby("population", sort=False)["reference"].first()
    methods, others = (list(first.index[first == known]) for known in (False, True))
    looks = {m: Look(c, "o", False) for m, c in method_colours(methods).items()}
    greys = np.linspace(0.25, 0.72, max(len(others), 1))
    for k, (name, grey) in enumerate(zip(others, greys, strict=False)):
        looks[name] = Look(str(grey), MARKERS[1 + k % (len(MARKERS) - 1)], True)
    return looks


def _limit(axes: Axes, position: float, text: str) -> None:
    axes.axvline(position, color=GREY, linewidth=0.8, linestyle="--")
    axes.annotate(
        text,
        (position, 1),
        xycoords=("data", "axes fraction"),
        xytext=(2, 1),
        textcoords="offset points",
        color=GREY,
        fontsize="small",
        annotation_clip=False,
    )
