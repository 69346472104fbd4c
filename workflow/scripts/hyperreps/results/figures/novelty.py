"""The figure of accuracy against distance to training."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from ..audits import PANEL, OfAudits, panel_name, scale_of
from ..drawing import GREY, Drawing, line, method_colours, shown_name

MARKERS = "osD^v<>PX*hd"
# points of methods, and of references, whose novelty is known
FULL: dict[str, Any] = {"alpha": 0.75, "linewidths": 0, "zorder": 3}
HOLLOW: dict[str, Any] = {"alpha": 0.5, "linewidths": 0.7, "zorder": 2}


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
        known = data.groupby("population", sort=False)["reference"].first()
        looks = looks_of(known)
        figure, drawn = self.panels(data, PANEL, height=3.0, title=panel_name, **shape)
        for axes, shown in drawn:
            # references below, so that no method hides behind them
            for name, rows in reversed(list(shown.groupby("population", sort=False))):
                places = rows["distance"], rows["accuracy"]
                look, hollow = looks[str(name)], known[name]
                axes.scatter(
                    *places,
                    s=13,
                    marker=look["marker"],
                    facecolor="none" if hollow else look["color"],
                    edgecolor=look["color"] if hollow else "none",
                    **(HOLLOW if hollow else FULL),
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
        handles = (
            line(shown_name(name), ls="", mfc="white" if known[name] else None, **look)
            for name, look in looks.items()
        )
        self.legend(figure, *handles, ncols=4)
        return figure


def looks_of(known: pd.Series) -> dict[str, dict[str, str]]:
    """Gives each method a colour, each reference a grey and a marker.

    Args:
        known: By population, whether it is a reference.
    """
    methods, others = known.index[~known], known.index[known]
    looks = {m: {"color": c, "marker": "o"} for m, c in method_colours(methods).items()}
    greys = np.linspace(0.25, 0.72, max(len(others), 1)).astype(str)
    for name, grey, marker in zip(others, greys, cycle(MARKERS[1:])):
        looks[name] = {"color": grey, "marker": marker}
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
