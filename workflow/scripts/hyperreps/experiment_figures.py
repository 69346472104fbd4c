"""Figures of ensembles, reconstructions and latents, each with the numbers it shows."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, PercentFormatter
from sklearn.decomposition import PCA

from . import experiments
from .evaluations import display_name
from .experiments import HELD_OUT, Experiment
from .files.storage import read_arrays
from .numbers.seeds import derived_seed
from .numbers.shapes import Float
from .plotting import PALETTES, WIDE, method_colours, shown_name
from .running.machine_code import import_umap
from .settings.stages import Statistics

GREY, LIGHT_GREY = "#4d4d4d", "#9a9a9a"
# the zoo's best networks, beside all of its test split
BEST_OF_ZOO = "B_T30"
ORIGINAL = "original"
METRIC_NAMES = {
    "accuracy": "test accuracy",
    "nll": "NLL (nats)",
    "ece": "ECE",
    "disagreement": "disagreement",
}


def ensembles(experiment: Experiment) -> tuple[Figure, pd.DataFrame]:
    """Accuracy of ensembles over their size: a row per zoo, a panel per epoch."""
    data = experiments.ensembles(experiment)
    data = data[data["metric"] == "accuracy"]
    columns = [(f"epoch {epoch}", {"epoch": epoch}) for epoch in _unique(data["epoch"])]
    return _size_panels(data, columns, experiment.statistics), data


def calibration(experiment: Experiment) -> tuple[Figure, pd.DataFrame]:
    """Likelihood, calibration, disagreement over size after the last epoch."""
    data = experiments.ensembles(experiment)
    last = data["epoch"].max()
    data = data[(data["epoch"] == last) & (data["metric"] != "accuracy")]
    columns = [("", {"metric": metric}) for metric in _unique(data["metric"])]
    return _size_panels(data, columns, experiment.statistics), data


def _size_panels(
    data: pd.DataFrame, columns: Sequence[tuple[str, dict]], statistics: Statistics
) -> Figure:
    """Draws a curve over size per method, with the range of single ensembles.

    Args:
        data: As experiments.ensembles() returns it.
        columns: Title and selected values of each column of panels; without a title
            panels are named on their axis.
        statistics: Of the range.
    """
    zoos, methods = _unique(data["zoo"]), _unique(data["method"])
    colours = method_colours([m for m in methods if m != BEST_OF_ZOO])
    colours[BEST_OF_ZOO] = LIGHT_GREY
    figure, grid = _grid(len(zoos), len(columns), height=1.75)
    for line, zoo in zip(grid, zoos, strict=True):
        for axes, (title, chosen) in zip(line, columns, strict=True):
            part = data[data["zoo"] == zoo]
            for key, value in chosen.items():
                part = part[part[key] == value]
            method: Any
            for method, curve in part.groupby("method", sort=False):
                band = (curve["low"], curve["high"])
                colour = colours[method]
                axes.fill_between(curve["size"], *band, color=colour, alpha=0.12, lw=0)
                # a marker, for methods that have one size only
                axes.plot(curve["size"], curve["mean"], ".-", color=colour, ms=3)
            axes.set_xscale("log")
            axes.set_xlim(1, max(data["size"].max(), 2))
            axes.xaxis.set_major_locator(FixedLocator(_unique(data["size"])))
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
    for axes in grid[-1]:
        axes.set_xlabel("networks per ensemble")
    level = f"{100 * statistics.confidence:g} %"
    handles: list[Any] = [
        Line2D([], [], color=colours[m], label=shown_name(m)) for m in methods
    ]
    handles.append(Patch(color=GREY, alpha=0.2, label=f"{level} of ensembles"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


def reconstruction(experiment: Experiment) -> tuple[Figure, pd.DataFrame]:
    """Held-out networks and their reconstructions: accuracy, R2, spread of weights."""
    data = pd.concat(
        [
            _r2_numbers(experiment),
            *(_accuracies_and_spreads(path) for path in experiment.inputs),
        ],
        ignore_index=True,
    ).drop_duplicates(ignore_index=True)
    zoos = _unique(data["zoo"])
    variants = [name for name in _unique(data["variant"]) if name != ORIGINAL]
    colours = {ORIGINAL: GREY, **_variant_colours(variants)}
    figure, grid = _grid(len(zoos), 3, height=2.0)
    for line, zoo in zip(grid, zoos, strict=True):
        part = data[data["zoo"] == zoo].drop(columns="zoo")
        by_quantity = dict(tuple(part.groupby("quantity", sort=False)))
        _accuracy_steps(line[0], by_quantity["accuracy"], colours)
        line[0].set_title(display_name(zoo, zoo))
        _layer_bars(line[1], by_quantity["r2"], colours)
        _layer_violins(line[2], by_quantity["density"], colours)
    level = f"{100 * experiment.statistics.confidence:g} %"
    names = {ORIGINAL: "held-out networks"}
    handles: list[Any] = [
        Patch(color=colour, alpha=0.7, label=names.get(name, f"reconstructed, {name}"))
        for name, colour in colours.items()
    ]
    handles.append(Line2D([], [], color="black", lw=1, label=f"{level} interval"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure, data


def _variant_colours(variants: Sequence[str]) -> dict[str, str]:
    palette = (PALETTES["S_"][0], PALETTES["B_"][0], *PALETTES[""])
    return {name: palette[i % len(palette)] for i, name in enumerate(variants)}


def _r2_numbers(experiment: Experiment) -> pd.DataFrame:
    summary = experiments.reconstruction(experiment)
    chosen = (summary["quantity"] == "r2") & (summary["split"] == HELD_OUT)
    columns = ["zoo", "variant", "quantity", "layer", "mean", "ci_low", "ci_high"]
    return summary.loc[chosen, columns].rename(columns={"mean": "value"})


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
        axis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set(xlabel="test accuracy", ylabel="networks")


def _layer_bars(axes: Axes, data: pd.DataFrame, colours: dict[str, str]) -> None:
    layers = _unique(data["layer"])
    variants = _unique(data["variant"])
    width = 0.8 / len(variants)
    for index, name in enumerate(variants):
        rows = data[data["variant"] == name]
        place = np.arange(len(layers)) + (index - (len(variants) - 1) / 2) * width
        axes.bar(place, rows["value"], width, color=colours[name], alpha=0.7)
        axes.vlines(place, rows["ci_low"], rows["ci_high"], color="black", lw=1)
    axes.axhline(0, color=GREY, lw=0.6)
    axes.set_xticks(range(len(layers)), layers, rotation=45, ha="right")
    # a layer far below zero must not hide the others
    axes.set_ylim(max(axes.get_ylim()[0], -1.05), min(axes.get_ylim()[1], 1.05))
    axes.grid(axis="x", visible=False)
    axes.set_ylabel("R² of weights")


def _layer_violins(axes: Axes, data: pd.DataFrame, colours: dict[str, str]) -> None:
    layers, names = _unique(data["layer"]), _unique(data["variant"])
    width = 0.84 / len(names)
    shape: Any
    for shape, rows in data.groupby(["layer", "variant"], sort=False):
        layer, name = shape
        place = layers.index(layer) + (names.index(name) - (len(names) - 1) / 2) * width
        half = 0.46 * width * rows["value"] / rows["value"].max()
        axes.fill_betweenx(
            rows["x"], place - half, place + half, color=colours[name], alpha=0.7, lw=0
        )
    axes.set_xticks(range(len(layers)), layers, rotation=45, ha="right")
    axes.grid(axis="x", visible=False)
    axes.set_ylabel("weight")


def latents(experiment: Experiment) -> tuple[Figure, pd.DataFrame]:
    """Maps of all networks' latents: PCA and UMAP, coloured by accuracy and epoch."""
    data = pd.concat(
        [_maps(path, experiment.seed) for path in experiment.inputs], ignore_index=True
    )
    zoos = _unique(data["zoo"])
    figure, grid = _grid(len(zoos), 4, height=1.75)
    colours = {"accuracy": "viridis", "epoch": "cividis"}
    panels = [(name, key) for name in ("PCA", "UMAP") for key in colours]
    for line, zoo in zip(grid, zoos, strict=True):
        part = data[data["zoo"] == zoo]
        for axes, (name, key) in zip(line, panels, strict=True):
            rows = part[part["map"] == name]
            norm = Normalize(rows[key].min(), rows[key].max())
            shown = {"c": rows[key], "norm": norm, "cmap": colours[key]}
            axes.scatter(rows["x"], rows["y"], s=3, linewidths=0, **shown)
            axes.set_title(f"{name}, {key}", fontsize=8)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.set_box_aspect(1)
            bar = figure.colorbar(
                ScalarMappable(norm, colours[key]),
                ax=axes,
                location="bottom",
                aspect=12,
                pad=0.03,
            )
            bar.outline.set_visible(False)
            bar.locator = MaxNLocator(nbins=3, integer=key == "epoch")
            if key == "accuracy":
                bar.formatter = PercentFormatter(1, decimals=0)
            bar.update_ticks()
        line[0].set_ylabel(display_name(zoo, zoo), fontweight="bold")
    return figure, data


def _maps(path: Path, seed: int) -> pd.DataFrame:
    """Returns both maps of the first hyper-representation's latents in long form."""
    arrays, about = read_arrays(path, kind="properties")
    points = arrays["latents"][0]
    common = {
        "zoo": about["zoo"],
        "features": about["features"],
        "model": arrays["model"],
        "split": arrays["split"],
        "epoch": arrays["epoch"],
        "accuracy": arrays["truth/accuracy"],
    }
    state = derived_seed("latents", seed, about["zoo"]) % 2**31
    maps = {
        "PCA": PCA(2, random_state=state).fit_transform(points),
        "UMAP": umap(points, seed=state),
    }
    return pd.concat(
        pd.DataFrame({**common, "map": name, "x": xy[:, 0], "y": xy[:, 1]})
        for name, xy in maps.items()
    )


def umap(
    points: Float[np.ndarray, "networks latent"], *, seed: int
) -> Float[np.ndarray, "networks 2"]:
    """Returns a UMAP in two dimensions (McInnes et al. 2018)."""
    neighbours = min(15, len(points) - 1)
    # imported late: compiling it takes seconds, and only this figure needs it
    reducer = import_umap()(
        n_neighbors=neighbours, random_state=seed, n_jobs=1, init="pca"
    )
    return reducer.fit_transform(points)


def _grid(rows: int, columns: int, *, height: float) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=(WIDE, height * rows + 0.45))
    return figure, figure.subplots(rows, columns, squeeze=False)


def _unique(values: pd.Series) -> list[Any]:
    """Returns the values in order of first appearance."""
    return list(dict.fromkeys(values))


FIGURES: dict[str, Callable[[Experiment], tuple[Figure, pd.DataFrame]]] = {
    "ensembles": ensembles,
    "calibration": calibration,
    "reconstruction": reconstruction,
    "latents": latents,
}
