"""The figure of the audit over sizes of the latent and lengths of its training."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, PercentFormatter

from ..audits import PANEL, OfAudits, panel_name
from ..drawing import GREY, Drawing, line

# measure of novelty_summary(), its axis, and the value of held-out networks if known
SHOWN = {
    "r2_held_out": "R², held-out networks",
    "accuracy": "test accuracy",
    "source_in_runs": "distance to own source\n/ distance between runs",
    "training_over_unseen": "distance to training\n/ to unseen runs",
}
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
        figure, zoos = self.zoo_rows(
            data, 2, PANEL, lines=2, height=2.1, title=panel_name
        )
        lengths = np.sort(data["epochs"].dropna().unique())
        # from light to dark: longer training
        shades = map(to_hex, colormaps["Blues"](np.linspace(0.4, 1, len(lengths))))
        colours = dict(zip(lengths, shades, strict=True))
        for zoo, rows, part in zoos:
            rows[0].set_title(zoo)
            for panel, (measure, name) in zip(rows, SHOWN.items(), strict=True):
                _draw_measure(panel, part[part["measure"] == measure], colours)
                panel.set_ylabel(name)
                if measure != "r2_held_out":
                    panel.set_ylim(bottom=0)
                if measure == "accuracy":
                    panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
            for panel in rows[2:]:
                panel.set_xlabel("size of the latent")
        forms = [form for form in FORMS if form in set(data["form"])]
        self.legend(
            figure,
            *(line(f"{n:.0f} epochs", color=colour) for n, colour in colours.items()),
            *(line(form, marker=FORMS[form][0], ls=FORMS[form][1]) for form in forms),
            line("held-out networks", ls=":", lw=0.9),
        )
        return figure


def _draw_measure(axes: Axes, data: pd.DataFrame, colours: dict[float, str]) -> None:
    """Draws a line per form and length; dotted, what held-out networks have."""
    for value in data[data["population"] == "held_out"]["value"].dropna():
        axes.axhline(value, color=GREY, linestyle=":", linewidth=0.9)
    lines = data.dropna(subset="latent").sort_values("latent")
    for (form, length), rows in lines.groupby(["form", "epochs"], dropna=False):
        marker, style = FORMS.get(form, ("D", ":"))
        value = rows["value"]
        spread = np.stack([value - rows["ci_low"], rows["ci_high"] - value])
        axes.errorbar(
            *(rows["latent"], value, np.nan_to_num(spread)),
            color=colours[length],
            marker=marker,
            linestyle=style,
            elinewidth=0.8,
        )
    axes.set_xscale("log")
    ticks = sorted(data["latent"].dropna().unique())
    axes.set_xticks(ticks, [f"{tick:.0f}" for tick in ticks], size="small")
    axes.xaxis.set_minor_locator(NullLocator())
