"""Figures of the audit: accuracy against distance, and shares of both."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from ..audits import PANEL, OfAudits, panel_name
from ..drawing import GREY, NARROW, Drawing, method_colours, panels, shown_name

MARKERS = "osD^v<>PX*hd"


class OverPanels(OfAudits, Drawing):
    """A figure with a panel per zoo and its coordinates."""

    def panels(
        self, data: pd.DataFrame, *, height: float
    ) -> tuple[Figure, Iterator[tuple[Axes, pd.DataFrame]]]:
        """Returns the figure, its panels and their rows, with a legend below."""
        figure, drawn = panels(
            data,
            PANEL,
            height=height,
            title=panel_name,
            narrow=1.3 * NARROW,
            legend=(0.8, 0.8),
            pad=10,
        )
        colours, markers = self.looks
        known = self.known
        handles = [
            Line2D(
                [],
                [],
                color=colours[name],
                marker=markers[name],
                markerfacecolor="white" if known[name] else None,
                linestyle="",
                label=shown_name(name),
            )
            for name in sorted(known, key=known.__getitem__)
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=4)
        return figure, drawn

    @cached_property
    def known(self) -> dict[str, bool]:
        """Whether each population is a reference, whose novelty is known."""
        first = self.networks.groupby("population", sort=False)["reference"].first()
        return {str(name): bool(known) for name, known in first.items()}

    @cached_property
    def looks(self) -> tuple[dict[str, str], dict[str, str]]:
        """Colours and markers: methods have colours, references greys and markers."""
        methods = [name for name, known in self.known.items() if not known]
        others = [name for name, known in self.known.items() if known]
        greys = np.linspace(0.25, 0.72, max(len(others), 1))
        colours = method_colours(methods)
        colours |= {name: str(grey) for name, grey in zip(others, greys, strict=False)}
        markers = dict.fromkeys(methods, "o")
        markers |= {
            name: MARKERS[1 + k % (len(MARKERS) - 1)] for k, name in enumerate(others)
        }
        return colours, markers


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
        colours, markers = self.looks
        for axes, shown in drawn:
            # references below, so that no method hides behind them
            for name, rows in reversed(list(shown.groupby("population", sort=False))):
                known = bool(rows["reference"].iloc[0])
                axes.scatter(
                    rows["distance"],
                    rows["accuracy"],
                    s=13,
                    marker=markers[str(name)],
                    facecolors="none" if known else colours[str(name)],
                    edgecolors=colours[str(name)] if known else "none",
                    alpha=0.5 if known else 0.75,
                    linewidths=0.7 if known else 0,
                    zorder=2 if known else 3,
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
        colours, markers = self.looks
        for axes, panel in drawn:
            scale = self.scale(panel)
            key = panel[PANEL].iloc[0]
            # beyond, no network of any population is left
            good = panel.loc[panel["accuracy"] >= scale.bar, "aligned"] / scale.unit
            end = min(max(1.25, 1.1 * good.max()), max(self.sources.settings.multiples))
            grid = np.linspace(0, end, 501)
            for name, rows in panel.groupby("population", sort=False):
                known = bool(rows["reference"].iloc[0])
                good = rows.loc[rows["accuracy"] >= scale.bar, "aligned"] / scale.unit
                share = (good.to_numpy() > grid[:, None]).sum(1) / len(rows)
                axes.plot(
                    grid,
                    share,
                    color=colours[str(name)],
                    linestyle="--" if known else "-",
                    linewidth=1 if known else 1.6,
                    marker=markers[str(name)],
                    markevery=[int((share > share[0] / 2).sum())],
                    markerfacecolor="white" if known else None,
                    zorder=2 if known else 3,
                )
                points = data[(data[PANEL] == key).all(axis=1)]
                points = points[points["population"] == name]
                spread = np.stack(
                    [
                        points["value"] - points["ci_low"],
                        points["ci_high"] - points["value"],
                    ]
                )
                axes.errorbar(
                    points["multiple"],
                    points["value"],
                    np.nan_to_num(spread).clip(0),
                    linestyle="",
                    marker=markers[str(name)],
                    markerfacecolor="white" if known else None,
                    elinewidth=0.8,
                    color=colours[str(name)],
                    zorder=3 if known else 4,
                )
            axes.set_xlim(0, end)
            axes.set_ylim(-0.02, 1.02)
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
            axes.set(
                xlabel="farther than … times the leave-one-out distance",
                ylabel=f"share, accuracy ≥ {100 * scale.bar:.0f} %",
            )
        return figure
