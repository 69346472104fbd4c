"""Figures of accuracy over finetuning."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, NullLocator
from scipy.optimize import isotonic_regression

from ...numbers.shapes import Float
from ..accuracies import TRIVIAL, OfAccuracies
from ..drawing import (
    GREY,
    Drawing,
    level_of,
    line,
    method_colours,
    open_markers,
    percent,
    shown_name,
)


class Finetuning(OfAccuracies, Drawing):
    """Mean accuracy over finetuning epochs with its confidence interval, per method."""

    def frame(self) -> pd.DataFrame:
        """Returns the summary of every method, without references, at every epoch.

        Of epochs it says whether the table has them.
        """
        shown = self.networks[~self.networks["reference"]]
        frame = self.summary(shown, sorted(set(shown["epoch"])))
        frame["in_table"] = frame["epoch"].isin(self.sources.epochs)
        return self.with_level(frame)

    def draw(self, data: pd.DataFrame) -> Figure:
        """Draws a panel per pair of zoos, a line and a band per method."""
        colours = method_colours(data["method"])
        figure, drawn = self.panels(data, height=2.5)
        for axes, part in drawn:
            curves = dict(tuple(part.groupby("method", sort=False)))
            for method, curve in curves.items():
                look: dict[str, Any] = {"color": colours[method]}
                band = (curve["ci_low"], curve["ci_high"])
                axes.fill_between(curve["epoch"], *band, alpha=0.25, lw=0, **look)
                style = "--" if curve["trivial"].iloc[0] else "-"
                axes.plot(curve["epoch"], curve["mean"], style, **look)
            # one marker for all methods that are compared with the same number
            paper = part.drop_duplicates(["epoch", "published_mean"])
            for method, known in paper.groupby("method", sort=False):
                numbers = known["epoch"], known["published_mean"]
                open_markers(axes, *numbers, colours[str(method)])
            ticks = part.loc[part["in_table"], "epoch"]
            _epoch_axis(axes, ticks, last=int(part["epoch"].max()))
            _label_lines(axes, [c.iloc[-1] for c in curves.values()], colours)
        interval = f"{level_of(data)} interval of the mean"
        trivial = [line(f"{TRIVIAL} no hyper-representation", ls="--")]
        known = data["published_mean"].notna().any()
        self.legend(
            figure,
            line("mean"),
            *(trivial if data["trivial"].any() else []),
            Patch(color=GREY, alpha=0.25, label=interval),
            published="published mean" if known else "",
        )
        return figure


class Transfer(Finetuning):
    """The same on other images, as far as the networks from elsewhere are finetuned."""

    @cached_property
    def networks(self) -> pd.DataFrame:
        """The accuracy of every network up to the last epoch of the table."""
        networks = super().networks
        return networks[networks["epoch"] <= max(self.sources.epochs)]


def _epoch_axis(axes: Axes, epochs: Iterable[int], *, last: int) -> None:
    """Sets an axis that is linear up to epoch 1 and logarithmic beyond."""
    axes.set_xscale("symlog", linthresh=1, linscale=0.6)
    axes.set_xlim(0, last)
    ticks = sorted({0, last, *epochs})
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:g}")
    percent(axes.yaxis)
    axes.set(xlabel="epoch (logarithmic after 1)", ylabel="test accuracy")


def _label_lines(
    axes: Axes, ends: Sequence[pd.Series], colours: dict[str, str]
) -> None:
    """Writes the name of each line beside its end, apart from one another.

    Args:
        axes: Its limits must be final.
        ends: The last row of each line.
        colours: By method.
    """
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    heights = np.array([(end["mean"] - low) / (high - low) for end in ends])
    # a line of text, as a fraction of the panel's height
    text = 1.4 * rcParams["font.size"] / 72 * axes.figure.dpi
    gap = text / axes.get_window_extent().height
    for end, place in zip(ends, spread(heights, gap=gap), strict=True):
        colour = colours[end["method"]]
        arrow = {"arrowstyle": "-", "color": colour, "linewidth": 0.6}
        axes.annotate(
            shown_name(end["method"], trivial=bool(end["trivial"])),
            (end["epoch"], end["mean"]),
            xytext=(1.06, place),
            textcoords="axes fraction",
            color=colour,
            va="center",
            arrowprops={**arrow, "shrinkA": 1, "shrinkB": 0, "relpos": (0, 0.5)},
            annotation_clip=False,
        )


def spread(positions: Float[np.ndarray, "lines"], *, gap: float) -> np.ndarray:
    """Moves positions as little as possible (least squares) until they are gap apart.

    Args:
        positions: On an axis from 0 to 1, in any order.
        gap: Smallest distance wanted; less where they would not fit into 0 ... 1.
    """
    order = np.argsort(positions, kind="stable")
    gap = min(gap, 1 / max(len(positions) - 1, 1))
    offsets = gap * np.arange(len(positions))
    # a sequence with gaps is an increasing one plus fixed offsets
    increasing = isotonic_regression(positions[order] - offsets).x
    moved = np.empty(len(positions))
    moved[order] = np.clip(increasing, 0, 1 - offsets[-1]) + offsets
    return moved
