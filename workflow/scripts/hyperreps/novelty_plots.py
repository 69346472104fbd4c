"""Figures of the audit, each with the numbers it shows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from .files.storage import opened
from .novelty_results import PANEL, Audits, panel_name, scale_of
from .numbers.seeds import numpy_generator
from .plotting import NARROW, WIDE, method_colours, shown_name

MARKERS = "osD^v<>PX*hd"
# entries of the weight vector that the figure of copies shows
ENTRIES = 96
# references shown among the copies: what is new, and what is not
BESIDE = ("held_out", "other_epoch")


def novelty(audits: Audits) -> tuple[Figure, pd.DataFrame]:
    """Accuracy of every network against its distance to the training networks."""
    frame = audits.networks()
    figure, panels = _panels(frame, height=3.0)
    colours, markers = _looks(frame)
    parts = []
    for axes, panel in panels:
        scale = scale_of(panel, accuracy_bar=audits.settings.accuracy_bar)
        shown = panel[[*PANEL, "population", "reference", "sample", "accuracy"]].copy()
        shown["distance"] = panel["aligned"] / scale.unit
        shown["copy_limit"] = scale.copy / scale.unit
        shown["new_limit"] = scale.new / scale.unit
        shown["accuracy_bar"] = scale.bar
        parts.append(shown)
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
        lines = {"copy": scale.copy, "new": scale.new}
        for text, limit in lines.items():
            if np.isfinite(limit):
                _limit(axes, limit / scale.unit, text)
        axes.axhline(scale.bar, color="#4d4d4d", linewidth=0.8, linestyle=":")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_xlim(left=-0.03)
        axes.set_ylim(bottom=0)
        axes.set(
            xlabel="distance to training / leave-one-out distance",
            ylabel="test accuracy",
        )
    _legend(figure, frame, colours, markers)
    return figure, pd.concat(parts, ignore_index=True)


def _limit(axes: Axes, position: float, text: str) -> None:
    axes.axvline(position, color="#4d4d4d", linewidth=0.8, linestyle="--")
    axes.annotate(
        text,
        (position, 1),
        xycoords=("data", "axes fraction"),
        xytext=(2, 1),
        textcoords="offset points",
        color="#4d4d4d",
        fontsize=7,
        annotation_clip=False,
    )


def novel_and_performant(audits: Audits) -> tuple[Figure, pd.DataFrame]:
    """Share of networks that are above the bar and far from all training networks."""
    frame = audits.networks()
    summary = audits.summary(frame)
    data = summary[summary["measure"] == "novel_and_performant"].copy()
    data["multiple"] = data["against"].astype(float)
    figure, panels = _panels(frame, height=2.7)
    colours, markers = _looks(frame)
    for axes, panel in panels:
        scale = scale_of(panel, accuracy_bar=audits.settings.accuracy_bar)
        key = panel[PANEL].iloc[0]
        # beyond, no network of any population is left
        good = panel.loc[panel["accuracy"] >= scale.bar, "aligned"] / scale.unit
        end = min(max(1.25, 1.1 * good.max()), max(audits.settings.multiples))
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
    _legend(figure, frame, colours, markers)
    return figure, data.drop(columns=["measure", "against"])


def copies(audits: Audits) -> tuple[Figure, pd.DataFrame]:
    """Weights of sampled networks beside those of their nearest training network."""
    data = _compared_rows(audits)
    panels = list(data.groupby(PANEL, sort=False))
    blocks = max(part["population"].nunique() for _, part in panels)
    columns = min(2, len(panels))
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(WIDE, lines * (0.5 + 0.55 * blocks)))
    grids = figure.subfigures(lines, columns, squeeze=False).ravel()
    key: Any
    for place, (key, part) in zip(grids, panels, strict=False):
        place.suptitle(panel_name(*key), x=0.02, ha="left", fontweight="bold", size=9)
        top = float(part["weight"].abs().quantile(0.98))
        groups = list(part.groupby("population", sort=False))
        all_axes = place.subplots(blocks, 1, squeeze=False).ravel()
        for axes, (name, rows) in zip(all_axes, groups, strict=False):
            image = rows["weight"].to_numpy().reshape(-1, ENTRIES)
            axes.imshow(
                image,
                cmap="PuOr",
                vmin=-top,
                vmax=top,
                aspect="auto",
                interpolation="nearest",
            )
            # pairs: the network, and below it the nearest one
            for edge in range(2, len(image), 2):
                axes.axhline(edge - 0.5, color="white", linewidth=2.5)
            axes.set_ylim(5.5, -0.5)
            axes.set_title(shown_name(str(name)), fontweight="normal", pad=2, size=7)
        for axes in all_axes:
            axes.set_axis_off()
    return figure, data


def _compared_rows(audits: Audits) -> pd.DataFrame:
    """Returns the entries shown: of the nearest, a median and the farthest network."""
    frames = []
    files = [(path, "novelty_references") for path in audits.references]
    for path, kind in [*files, *((path, "novelty") for path in audits.audits)]:
        with opened(path, kind=kind) as file:
            about = (str(file.attrs["zoo"]), str(file.attrs["coordinates"]))
            names = {str(file.attrs.get("method", "")): file}
            if kind == "novelty_references":
                known = json.loads(file.attrs["populations"])
                names = {name: file[name] for name in BESIDE if name in known}
            for name, group in names.items():
                order = np.argsort(group["aligned"][()], kind="stable")
                for sample in dict.fromkeys(order[[0, len(order) // 2, -1]].tolist()):
                    for row in ("matched_weights", "nearest_weights"):
                        weights = group[row][sample]
                        rng = numpy_generator("copies", len(weights))
                        shown = rng.choice(len(weights), ENTRIES, replace=False)
                        shown.sort()
                        columns = ("zoo", "coordinates", "population", "sample")
                        fixed = dict(zip(columns, (*about, name, sample), strict=True))
                        frames.append(
                            pd.DataFrame(
                                {
                                    **fixed,
                                    "row": row.removesuffix("_weights"),
                                    "entry": shown,
                                    "weight": weights[shown],
                                }
                            )
                        )
    return pd.concat(frames, ignore_index=True)


def _looks(frame: pd.DataFrame) -> tuple[dict[str, str], dict[str, str]]:
    """Gives each method a colour, each reference a grey, and each its marker."""
    known = frame.groupby("population", sort=False)["reference"].first()
    methods = [str(name) for name in known.index[~known]]
    others = [str(name) for name in known.index[known]]
    greys = np.linspace(0.25, 0.72, max(len(others), 1))
    colours = method_colours(methods)
    colours |= {name: str(grey) for name, grey in zip(others, greys, strict=False)}
    markers = dict.fromkeys(methods, "o")
    markers |= {
        name: MARKERS[1 + k % (len(MARKERS) - 1)] for k, name in enumerate(others)
    }
    return colours, markers


def _panels(
    frame: pd.DataFrame, *, height: float
) -> tuple[Figure, Iterator[tuple[Axes, pd.DataFrame]]]:
    """Returns a figure with one panel per zoo and coordinates, and their rows."""
    groups = list(frame.groupby(PANEL, sort=False))
    columns = min(2, len(groups))
    lines = -(-len(groups) // columns)
    size = (WIDE if columns == 2 else 1.3 * NARROW, height * lines + 0.8)
    figure = Figure(figsize=size)
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes in grid.flat[len(groups) :]:
        axes.set_axis_off()

    def panels() -> Iterator[tuple[Axes, pd.DataFrame]]:
        key: Any
        for axes, (key, part) in zip(grid.flat, groups, strict=False):
            axes.set_title(panel_name(*key), pad=10)
            yield axes, part

    return figure, panels()


def _legend(
    figure: Figure,
    frame: pd.DataFrame,
    colours: dict[str, str],
    markers: dict[str, str],
) -> None:
    """Puts one legend below all panels: methods first."""
    known = frame.groupby("population", sort=False)["reference"].first()
    handles = [
        Line2D(
            [],
            [],
            color=colours[str(name)],
            marker=markers[str(name)],
            markerfacecolor="white" if known[name] else None,
            linestyle="",
            label=shown_name(str(name)),
        )
        for name in [*known.index[~known], *known.index[known]]
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)


FIGURES: dict[str, Callable[[Audits], tuple[Figure, pd.DataFrame]]] = {
    "novelty": novelty,
    "novel_and_performant": novel_and_performant,
    "copies": copies,
}
