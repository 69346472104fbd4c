"""The figure of the zoos' training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ..accuracies import BASELINE, OfAccuracies, collect_zoos
from ..drawing import (
    GREY,
    PALETTES,
    PUBLISHED_LOOK,
    QUANTILES,
    Drawing,
    line,
    method_colours,
    percent,
    shown_name,
)


class Zoo(OfAccuracies, Drawing):
    """Test accuracy of all models of each zoo over their training."""

    def frame(self) -> pd.DataFrame:
        """Returns one row per zoo and epoch; see _zoo_numbers()."""
        return _zoo_numbers(collect_zoos(self.sources.zoos), self.published)

    def draw(self, data: pd.DataFrame) -> Figure:
        """Draws a panel per zoo: median and ranges over its models."""
        figure, drawn = self.panels(data, height=2.2)
        colour = method_colours([BASELINE])[BASELINE]
        fill = PALETTES["S_"][0]
        for axes, part in drawn:
            epochs = part["epoch"]
            for low, high, alpha in (("q05", "q95", 0.18), ("q25", "q75", 0.35)):
                band = part[low], part[high]
                axes.fill_between(epochs, *band, color=fill, alpha=alpha, lw=0)
            axes.plot(epochs, part["median"], color=fill)
            paper = part[part["published_mean"].notna()]
            # even an empty series would take up space in the layout
            if len(paper):
                numbers = paper["published_mean"], paper["published_std"].fillna(0)
                look = {
                    "color": colour,
                    "clip_on": False,
                    "zorder": 5,
                    **PUBLISHED_LOOK,
                }
                axes.errorbar(
                    paper["epoch"], *numbers, capsize=2.5, elinewidth=0.9, **look
                )
            axes.set_xlim(0, epochs.max())
            axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
            axes.set_ylim(bottom=0)
            percent(axes.yaxis)
            axes.set(xlabel="training epoch", ylabel="test accuracy")
            number = f"n = {part['n'].iloc[0]}"
            corner: dict[str, Any] = {"xycoords": "axes fraction", "ha": "right"}
            axes.annotate(number, (0.98, 0.05), color=GREY, **corner)
        known = data["published_mean"].notna().any()
        name = f"published {shown_name(BASELINE)}, mean ± std"
        self.legend(
            figure,
            line("median", color=fill),
            Patch(facecolor=fill, alpha=0.5, label="quartiles"),
            Patch(facecolor=fill, alpha=0.18, label="5 to 95 %"),
            published=name if known else "",
        )
        return figure


def _zoo_numbers(zoos: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Returns one row per zoo and epoch: n, quantiles over models, published B_T."""
    accuracy = zoos.groupby(["zoo", "epoch"], sort=False)["accuracy"]
    numbers = accuracy.quantile(np.array([*QUANTILES.values()])).unstack()
    numbers.columns = pd.Index(QUANTILES)
    numbers.insert(0, "n", accuracy.count())
    known = published.query("method == @BASELINE and statistic == 'mean'")
    known = known[known["source"] == known["target"]]
    known = known.rename(columns={"value": "published_mean", "std": "published_std"})
    known = known.set_index(["source", "epoch"])[["published_mean", "published_std"]]
    known.index.names = numbers.index.names
    data = numbers.join(known).reset_index().rename(columns={"zoo": "target"})
    data.insert(0, "source", data["target"])
    return data
