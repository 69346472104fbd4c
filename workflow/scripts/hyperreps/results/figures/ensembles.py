"""Figures of ensembles over their size."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, PercentFormatter

from ..accuracies import display_name
from ..drawing import (
    GREY,
    LIGHT_GREY,
    Drawing,
    grid,
    method_colours,
    shown_name,
    unique,
)
from ..experiments import OfEnsembles

# the zoo's best networks, beside all of its test split
BEST_OF_ZOO = "B_T30"
METRIC_NAMES = {
    "accuracy": "test accuracy",
    "nll": "NLL (nats)",
    "ece": "ECE",
    "disagreement": "disagreement",
}


class OverSize(OfEnsembles, Drawing):
    """A curve over size per method with the range of ensembles, a row per zoo."""

    @abstractmethod
    def columns(self, data: pd.DataFrame) -> list[tuple[str, dict[str, Any]]]:
        """Returns title and selected values of each column of panels.

        Without a title panels are named on their axis.
        """

    def draw(self, data: pd.DataFrame) -> Figure:
        """Draws all panels."""
        columns = self.columns(data)
        zoos, methods = unique(data["zoo"]), unique(data["method"])
        colours = method_colours([m for m in methods if m != BEST_OF_ZOO])
        colours[BEST_OF_ZOO] = LIGHT_GREY
        figure, lines = grid(len(zoos), len(columns), height=1.75)
        for line, zoo in zip(lines, zoos, strict=True):
            for axes, (title, chosen) in zip(line, columns, strict=True):
                part = data[data["zoo"] == zoo]
                for key, value in chosen.items():
                    part = part[part[key] == value]
                method: Any
                for method, curve in part.groupby("method", sort=False):
                    band = (curve["low"], curve["high"])
                    colour = colours[method]
                    axes.fill_between(
                        curve["size"], *band, color=colour, alpha=0.12, lw=0
                    )
                    # a marker, for methods that have one size only
                    axes.plot(curve["size"], curve["mean"], ".-", color=colour, ms=3)
                axes.set_xscale("log")
                axes.set_xlim(1, max(data["size"].max(), 2))
                axes.xaxis.set_major_locator(FixedLocator(unique(data["size"])))
                axes.xaxis.set_major_formatter("{x:g}")
                axes.xaxis.set_minor_locator(NullLocator())
                axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
                metric = part["metric"].iloc[0]
                if metric != "nll":
                    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
                if title or axes is line[0]:
                    name = display_name(zoo, zoo)
                    axes.set_title(f"{name}, {title}" if title else name, fontsize=8)
                if not title or axes is line[0]:
                    axes.set_ylabel(METRIC_NAMES[metric])
        for axes in lines[-1]:
            axes.set_xlabel("networks per ensemble")
        handles: list[Any] = [
            Line2D([], [], color=colours[m], label=shown_name(m)) for m in methods
        ]
        handles.append(Patch(color=GREY, alpha=0.2, label=f"{self.level} of ensembles"))
        figure.legend(handles=handles, loc="outside lower center", ncols=4)
        return figure


class Ensembles(OverSize):
    """Accuracy of ensembles: a panel per epoch."""

    def frame(self) -> pd.DataFrame:
        """Returns the accuracies of ensembles of every size."""
        data = super().frame()
        return data[data["metric"] == "accuracy"]

    def columns(self, data: pd.DataFrame) -> list[tuple[str, dict[str, Any]]]:
        """Returns a column of panels per epoch."""
        return [(f"epoch {epoch}", {"epoch": epoch}) for epoch in unique(data["epoch"])]


class Calibration(OverSize):
    """Likelihood, calibration and disagreement after the last epoch."""

    def frame(self) -> pd.DataFrame:
        """Returns all but the accuracies of ensembles of every size."""
        data = super().frame()
        last = data["epoch"].max()
        return data[(data["epoch"] == last) & (data["metric"] != "accuracy")]

    def columns(self, data: pd.DataFrame) -> list[tuple[str, dict[str, Any]]]:
        """Returns a column of panels per metric."""
        return [("", {"metric": metric}) for metric in unique(data["metric"])]
