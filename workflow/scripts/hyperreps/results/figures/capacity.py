"""The figure of the audit over sizes of the latent and lengths of its training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator, PercentFormatter

from ..audits import PANEL, OfAudits, panel_name
from ..drawing import GREY, Drawing, grid, legend

# measure of novelty_summary(), its axis, and the value of held-out networks if known
SHOWN = {
    "r2_held_out": "R², held-out networks",
    "accuracy": "test accuracy",
    "source_in_runs": "distance to own source\n/ distance between runs",
    "training_over_unseen": "distance to training\n/ to unseen runs",
}
# from light to dark: longer training
SHADES = ("#9ecae1", "#4292c6", "#084594", "#00203a")
FORMS = {"released": ("o", "-"), "independent": ("s", "--")}


class Capacity(OfAudits, Drawing):
    """R2, accuracy, distance and derivation of samples by latent size."""

    def frame(self) -> pd.DataFrame:
        """Returns the measures shown, with latent size and epochs of training."""
        about = self.networks[~self.networks["reference"]]
        about = about[about["latent"].notna()]
        keys = [*PANEL, "population"]
        about = about.groupby(keys, sort=False)[["form", "latent", "epochs"]].first()
        shown = self.summary[self.summary["measure"].isin(SHOWN)]
        known = shown.join(about, on=keys)
        # held-out networks are what samples should be like
        wanted = known["latent"].notna() | (known["population"] == "held_out")
        return known[wanted].drop(columns="reference").reset_index(drop=True)

    def draw(self, data: pd.DataFrame) -> Figure:
        """Draws a row of panels per zoo, a line per form and length of training."""
        zoos = list(data.groupby(PANEL, sort=False))
        figure, axes = grid(2 * len(zoos), 2, height=2.1)
        lengths = np.sort(data["epochs"].dropna().unique())
        colours = dict(zip(lengths, SHADES, strict=False))
        key: Any
        for rows, (key, part) in zip(axes.reshape(len(zoos), 4), zoos, strict=True):
            rows[0].set_title(panel_name(*key), loc="left")
            for panel, (measure, name) in zip(rows, SHOWN.items(), strict=True):
                _draw_measure(panel, part[part["measure"] == measure], colours)
                panel.set_ylabel(name)
                if measure != "r2_held_out":
                    panel.set_ylim(bottom=0)
                if measure == "accuracy":
                    panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
            for panel in rows[2:]:
                panel.set_xlabel("size of the latent")
        handles = [
            Line2D([], [], color=colour, label=f"{length:.0f} epochs")
            for length, colour in colours.items()
        ]
        for form in [f for f in FORMS if f in set(data["form"])]:
            marker, line = FORMS[form]
            style: dict[str, Any] = {"color": GREY, "marker": marker, "linestyle": line}
            handles.append(Line2D([], [], label=form, **style))
        held_out: dict[str, Any] = {"color": GREY, "linestyle": ":", "linewidth": 0.9}
        handles.append(Line2D([], [], label="held-out networks", **held_out))
        legend(figure, handles)
        return figure


def _draw_measure(axes: Axes, data: pd.DataFrame, colours: dict[float, str]) -> None:
    known = data[data["population"] == "held_out"]["value"].dropna()
    for value in known:
        axes.axhline(value, color=GREY, linestyle=":", linewidth=0.9)
    for (form, length), rows in data.dropna(subset="latent").groupby(
        ["form", "epochs"]
    ):
        marker, line = FORMS.get(form, ("D", ":"))
        line_of = rows.sort_values("latent")
        spread = (
            line_of["value"] - line_of["ci_low"],
            line_of["ci_high"] - line_of["value"],
        )
        axes.errorbar(
            line_of["latent"],
            line_of["value"],
            np.nan_to_num(np.stack(spread)),
            color=colours[length],
            marker=marker,
            linestyle=line,
            elinewidth=0.8,
        )
    axes.set_xscale("log")
    ticks = sorted(data["latent"].dropna().unique())
    axes.set_xticks(ticks, [f"{tick:.0f}" for tick in ticks], size=7)
    axes.xaxis.set_minor_locator(NullLocator())
