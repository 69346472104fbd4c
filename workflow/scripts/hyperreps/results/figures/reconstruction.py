"""The figure of held-out networks and their reconstructions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ...files.storage import read_arrays
from ..drawing import GREY, PALETTES, Drawing, level_of, line, percent
from ..summaries import HELD_OUT, OfReconstructions

ORIGINAL = "original"
# of the variants
PALETTE = (PALETTES["S_"][0], PALETTES["B_"][0], *PALETTES[""])


class Reconstruction(OfReconstructions, Drawing):
    """Accuracy, R² by layer and spread of weights; a row per zoo."""

    def frame(self) -> pd.DataFrame:
        """Returns R² by layer, accuracies, and densities of weights."""
        summary = super().frame()
        chosen = (summary["quantity"] == "r2") & (summary["split"] == HELD_OUT)
        columns = ["zoo", "variant", "quantity", "layer", "mean", "ci_low", "ci_high"]
        r2 = summary.loc[chosen, columns].rename(columns={"mean": "value"})
        others = [_accuracies_and_spreads(path) for path in self.sources.inputs]
        both = pd.concat([r2, *others], ignore_index=True)
        return self.with_level(both.drop_duplicates(ignore_index=True))

    def draw(self, data: pd.DataFrame) -> Figure:
        """Draws the three panels of each zoo."""
        variants = [name for name in data["variant"].unique() if name != ORIGINAL]
        colours = {ORIGINAL: GREY, **dict(zip(variants, cycle(PALETTE), strict=False))}
        figure, zoos = self.zoo_rows(data, 3, height=2.0)
        for zoo, row, part in zoos:
            by_quantity = dict(tuple(part.groupby("quantity", sort=False)))
            row[0].set_title(zoo)
            _accuracy_steps(row[0], by_quantity["accuracy"], colours)
            _layer_bars(row[1], by_quantity["r2"], colours)
            _layer_violins(row[2], by_quantity["density"], colours)
        shown = {name: f"reconstructed, {name}" for name in variants}
        shown[ORIGINAL] = "held-out networks"
        self.legend(
            figure,
            *(Patch(color=c, alpha=0.7, label=shown[n]) for n, c in colours.items()),
            line(f"{level_of(data)} interval", color="black", lw=1),
            ncols=4,
        )
        return figure


def _accuracies_and_spreads(path: Path) -> pd.DataFrame:
    """Returns accuracies and densities of weights of the held-out networks.

    One row per network, and per bin (x is its middle) of each layer's weights.
    """
    arrays, about = read_arrays(path, kind="reconstruction")
    variant, chosen = about["variant"], arrays["split"] == HELD_OUT
    part = json.loads(about["splits"]).index(HELD_OUT)
    edges = arrays["histogram/edges"]
    frames = []
    for kind, name in ((ORIGINAL, ORIGINAL), ("reconstruction", variant)):
        accuracy = np.atleast_2d(arrays[f"accuracy/{kind}"])[:, chosen]
        columns = {"variant": name, "quantity": "accuracy", "value": accuracy.ravel()}
        # numbers in a row, so that equal accuracies are not taken for one network
        columns["x"] = np.arange(accuracy.size)
        frames.append(pd.DataFrame(columns))
        counts = arrays[f"histogram/{kind}"][part]
        for index, layer in enumerate(json.loads(about["layers"])):
            share = counts[index] / counts[index].sum()
            columns = {"variant": name, "quantity": "density", "layer": layer}
            columns["x"] = (edges[index][1:] + edges[index][:-1]) / 2
            columns["value"] = share / np.diff(edges[index])
            frames.append(pd.DataFrame(columns))
    return pd.concat(frames).assign(zoo=about["zoo"])


def _accuracy_steps(axes: Axes, data: pd.DataFrame, colours: dict[str, str]) -> None:
    """Draws the share of networks in each 2.5 % of accuracy."""
    bins = np.linspace(0, 1, 41)
    for name, rows in data.groupby("variant", sort=False):
        shares, _ = np.histogram(rows["value"], bins)
        colour = colours[str(name)]
        axes.stairs(shares / len(rows), bins, color=colour)
        axes.stairs(shares / len(rows), bins, fill=True, color=colour, alpha=0.2)
    axes.set_xlim(0, min(1, 0.05 + data["value"].max()))
    axes.set_ylim(bottom=0)
    for axis in (axes.xaxis, axes.yaxis):
        percent(axis, bins=5)
    axes.set(xlabel="test accuracy", ylabel="networks")


def _places(
    axes: Axes, data: pd.DataFrame, *, width: float
) -> Iterator[tuple[str, np.ndarray, pd.DataFrame]]:
    """Yields each variant with its places on the axis, a group of them per layer."""
    places, layers = pd.factorize(data["layer"])
    variants = list(data.assign(place=places).groupby("variant", sort=False))
    for index, (name, rows) in enumerate(variants):
        shift = (index - (len(variants) - 1) / 2) * width
        yield str(name), rows["place"].to_numpy() + shift, rows
    axes.set_xticks(range(len(layers)), layers, rotation=45, ha="right")
    axes.grid(axis="x", visible=False)


def _layer_bars(axes: Axes, data: pd.DataFrame, colours: dict[str, str]) -> None:
    width = 0.8 / data["variant"].nunique()
    for name, place, rows in _places(axes, data, width=width):
        axes.bar(place, rows["value"], width, color=colours[name], alpha=0.7)
        axes.vlines(place, rows["ci_low"], rows["ci_high"], color="black", lw=1)
    axes.axhline(0, color=GREY, lw=0.6)
    # a layer far below zero must not hide the others
    axes.set_ylim(max(axes.get_ylim()[0], -1.05), min(axes.get_ylim()[1], 1.05))
    axes.set_ylabel("R² of weights")


def _layer_violins(axes: Axes, data: pd.DataFrame, colours: dict[str, str]) -> None:
    width = 0.84 / data["variant"].nunique()
    for name, place, rows in _places(axes, data, width=width):
        for at, shape in rows.groupby(place, sort=False):
            half = 0.46 * width * shape["value"] / shape["value"].max()
            ends = at - half, at + half
            axes.fill_betweenx(shape["x"], *ends, color=colours[name], alpha=0.7, lw=0)
    axes.set_ylabel("weight")
