"""Figures of ensembles over their size."""

from __future__ import annotations

from typing import Any, ClassVar

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from ..drawing import (
    GREY,
    LIGHT_GREY,
    Drawing,
    level_of,
    line,
    method_colours,
    percent,
    shown_name,
)
from ..summaries import OfEnsembles

# the zoo's best networks, beside all of its test split
BEST_OF_ZOO = "B_T30"
# ratio of two sizes that are both labelled
CLOSEST = 1.45
METRIC_NAMES = {
    "accuracy": "test accuracy",
    "nll": "NLL (nats)",
    "ece": "ECE",
    "disagreement": "disagreement",
}


class OverSize(OfEnsembles, Drawing):
    """A curve over size per method with the range of ensembles, a row per zoo.

    Attributes:
        key: What the panels of a zoo differ in.
    """

    key: ClassVar[str]

    def draw(self, data: pd.DataFrame) -> Figure:
        """Draws all panels."""
        columns, methods = data[self.key].unique(), data["method"].unique()
        colours = method_colours([m for m in methods if m != BEST_OF_ZOO])
        colours[BEST_OF_ZOO] = LIGHT_GREY
        figure, zoos = self.zoo_rows(data, len(columns), height=1.75)
        for zoo, row, of_zoo in zoos:
            for axes, value in zip(row, columns, strict=True):
                part = of_zoo[of_zoo[self.key] == value]
                method: Any
                for method, curve in part.groupby("method", sort=False):
                    size, look = curve["size"], {"color": colours[method]}
                    band = curve["low"], curve["high"]
                    axes.fill_between(size, *band, alpha=0.12, lw=0, **look)
                    # a marker, for methods that have one size only
                    axes.plot(size, curve["mean"], ".-", ms=3, **look)
                metric = part["metric"].iloc[0]
                _set_axes(axes, data["size"].unique().tolist(), metric)
                by_epoch = self.key == "epoch"
                if by_epoch or axes is row[0]:
                    title = f"{zoo}, epoch {value}" if by_epoch else zoo
                    axes.set_title(title)
                if not by_epoch or axes is row[0]:
                    axes.set_ylabel(METRIC_NAMES[metric])
        for axes in row:
            axes.set_xlabel("networks per ensemble")
        self.legend(
            figure,
            *(line(shown_name(method), color=colours[method]) for method in methods),
            Patch(color=GREY, alpha=0.2, label=f"{level_of(data)} of ensembles"),
            ncols=4,
        )
        return figure


def _set_axes(axes: Axes, sizes: list[int], metric: str) -> None:
    axes.set_xscale("log")
    axes.set_xlim(1, max(*sizes, 2))
    axes.xaxis.set_major_locator(FixedLocator(_apart(sizes)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    if metric == "nll":
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    else:
        percent(axes.yaxis, bins=5)


def _apart(sizes: list[int]) -> list[int]:
    """Returns the sizes whose labels do not touch on a logarithmic axis."""
    shown: list[int] = []
    for size in sizes:
        if not shown or size >= CLOSEST * shown[-1]:
            shown.append(size)
    return shown


class Ensembles(OverSize):
    """Accuracy of ensembles: a panel per epoch."""

    key: ClassVar = "epoch"

    def frame(self) -> pd.DataFrame:
        """Returns the accuracies of ensembles of every size."""
        return self.with_level(super().frame().query("metric == 'accuracy'"))


class Calibration(OverSize):
    """Likelihood, calibration and disagreement after the last epoch."""

    key: ClassVar = "metric"

    def frame(self) -> pd.DataFrame:
        """Returns all but the accuracies of ensembles of every size."""
        wanted = "metric != 'accuracy' and epoch == epoch.max()"
        return self.with_level(super().frame().query(wanted))
