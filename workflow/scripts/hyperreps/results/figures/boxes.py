"""Figures of how the accuracies of networks are distributed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ..accuracies import BASELINE, OfAccuracies
from ..drawing import (
    GREY,
    OWN_COLOURS,
    PALETTES,
    QUANTILES,
    Drawing,
    line,
    method_colours,
    method_family,
    open_markers,
    percent,
    shown_name,
)

# of a population
KEYS = ["source", "target", "method", "epoch"]
ABOUT = ["reference", "trivial"]
# characters of a method's name, beyond which a column has no room for an axis
LONG_NAME = 20


class Boxes(OfAccuracies, Drawing):
    """A box and a point per network for every method and epoch, references below."""

    label: ClassVar[str] = "test accuracy, not finetuned"

    def shown(self) -> pd.DataFrame:
        """Returns the networks that are shown: those at the epochs of the table."""
        return self.networks[self.networks["epoch"].isin(self.sources.epochs)]

    def colours(self, methods: Iterable[str]) -> dict[str, str]:
        """Returns the colour of each method."""
        return method_colours(methods)

    def frame(self) -> pd.DataFrame:
        """Returns accuracies, their quantiles and what is published."""
        numbers = _distribution_numbers(self.shown(), self.published)
        columns = [*KEYS, *ABOUT, "statistic", "sample", "accuracy"]
        return pd.DataFrame(numbers, columns=columns)

    def draw(self, data: pd.DataFrame) -> Figure:
        """Draws a panel per pair of zoos and a row per method and epoch."""
        # methods first
        names = data.sort_values("reference", kind="stable")
        names = names.drop_duplicates(["method", "epoch"])
        rows = list(zip(names["method"], names["epoch"], strict=True))
        labels = [
            shown_name(row.method, row.epoch, trivial=row.trivial)
            for row in names.itertuples()
        ]
        references = names["reference"].sum()
        colours = self.colours(data["method"].unique())
        wide = max(map(len, names["method"])) > LONG_NAME
        height = 0.55 + 0.24 * len(rows)
        figure, drawn = self.panels(data, height=height, share_y=True, wide=wide)
        key: Any
        for axes, part in drawn:
            for key, numbers in part.groupby(["method", "epoch"], sort=False):
                _box(axes, numbers, position=rows.index(key), colour=colours[key[0]])
            if references:
                edge = len(rows) - references - 0.5
                axes.axhline(edge, color="#b3b3b3", linewidth=0.8)
            axes.set_yticks(range(len(rows)), labels)
            axes.set_ylim(len(rows) - 0.5, -0.5)
            axes.set_xlim(0, min(1, 1.08 * part["accuracy"].max()))
            percent(axes.xaxis, bins=5)
            axes.grid(axis="y", visible=False)
            axes.set_xlabel(self.label)
        known = data["statistic"].drop_duplicates()
        known = known[known.str.startswith("published")]
        ranges = "quartiles and median; whiskers 5 to 95 %"
        self.legend(
            figure,
            line("network", marker=".", linestyle=""),
            Patch(facecolor="#d9d9d9", edgecolor=GREY, label=ranges),
            published=" or ".join(known.str.replace("_", " ")),
        )
        return figure


class EpochZero(Boxes):
    """Accuracy before finetuning, per method and reference."""

    def shown(self) -> pd.DataFrame:
        """Returns all networks at epoch 0."""
        return self.networks[self.networks["epoch"] == 0]


class Architectures(Boxes):
    """Accuracy per method at each finetuning epoch after the first.

    Means hide it if a part of a population learns and a part does not.
    """

    label: ClassVar[str] = "test accuracy"

    def shown(self) -> pd.DataFrame:
        """Returns the networks of the methods at the later epochs of the table."""
        shown = super().shown()
        shown = shown[(shown["epoch"] > 0) & (shown["method"] != BASELINE)]
        return shown.sort_values("epoch", kind="stable")


class Samplers(Boxes):
    """Accuracy per sampler and reference, and of B_T as it trains."""

    def colours(self, methods: Iterable[str]) -> dict[str, str]:
        """Returns the family's first colour for all that have none of their own.

        There are more samplers than colours; they are told apart by their rows.
        """
        family = {m: PALETTES[method_family(m)][0] for m in methods}
        return family | method_colours(set(methods) & OWN_COLOURS.keys())


def _distribution_numbers(
    frame: pd.DataFrame, known: pd.DataFrame
) -> Iterator[tuple[Any, ...]]:
    """Yields all plotted numbers: KEYS, ABOUT, statistic, sample, accuracy.

    The sample is -1 for what belongs to the whole population.
    """
    paper = known.set_index(KEYS)[["statistic", "value"]].T.to_dict("list")
    cell: Any
    groups = frame.groupby([*KEYS, *ABOUT, "published"], sort=False)
    for (*cell, compared), members in groups:
        for row in members[["sample", "accuracy"]].itertuples(index=False):
            yield *cell, "sample", *row
        for name, share in QUANTILES.items():
            yield *cell, name, -1, members["accuracy"].quantile(share)
        source, target, _, epoch, *_ = cell
        if (source, target, compared, epoch) in paper:
            statistic, value = paper[source, target, compared, epoch]
            yield *cell, f"published_{statistic}", -1, value


def _box(axes: Axes, rows: pd.DataFrame, *, position: int, colour: str) -> None:
    """Draws one population: a box of its quantiles and a faint point per network."""
    samples = rows[rows["statistic"] == "sample"]
    numbers = rows[rows["statistic"] != "sample"].set_index("statistic")["accuracy"]
    alone = len(samples) == 1
    if not alone:
        ends = ("whislo", "q1", "med", "q3", "whishi")
        line = {"color": colour, "linewidth": 1}
        axes.bxp(
            [dict(zip(ends, numbers[list(QUANTILES)], strict=True))],
            positions=[position],
            orientation="horizontal",
            widths=0.6,
            showfliers=False,
            patch_artist=True,
            manage_ticks=False,
            boxprops={"facecolor": (colour, 0.18), "edgecolor": colour, "linewidth": 1},
            medianprops={"color": colour, "linewidth": 2},
            whiskerprops=line,
            capprops=line,
        )
    # golden-ratio steps spread neighbours evenly and the same way every time
    spread = (np.arange(len(samples)) * 0.6180339887) % 1 - 0.5
    axes.scatter(
        samples["accuracy"],
        position + (0 if alone else 0.5 * spread),
        s=14 if alone else 4,
        color=colour,
        alpha=1 if alone else 0.35,
        linewidths=0,
        zorder=3,
    )
    for value in numbers[numbers.index.str.startswith("published")]:
        open_markers(axes, [value], [position], colour)
    look: dict[str, Any] = {"va": "center", "fontsize": "small", "color": "#6b6b6b"}
    axes.annotate(
        f"n = {len(samples)}",
        (1, position),
        xycoords=("axes fraction", "data"),
        xytext=(3, 0),
        textcoords="offset points",
        annotation_clip=False,
        **look,
    )
