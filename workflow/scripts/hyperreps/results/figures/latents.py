"""The figure of latents in two dimensions."""

from __future__ import annotations

import math
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from sklearn.decomposition import PCA

from ...files.storage import opened, read_arrays
from ...numbers.seeds import derived_seed
from ...numbers.shapes import Float
from ...running.machine_code import import_umap
from ..drawing import Drawing


class Latents(Drawing):
    """Maps of all networks' latents: PCA and UMAP, coloured by accuracy and epoch."""

    needs: ClassVar = ("inputs",)

    def frame(self) -> pd.DataFrame:
        """Returns both maps of each zoo's networks, by its first variant.

        Coordinates are rounded to a thousandth of what they span, or less: with all
        their digits, the numbers of a zoo of 1000 would be too large to be kept.
        """
        first: dict[str, Path] = {}
        for path in self.sources.inputs:
            with opened(path, kind="properties") as file:
                if "latents" in file:
                    first.setdefault(str(file.attrs["zoo"]), path)
        maps = [_maps(path, self.sources.seed) for path in first.values()]
        return pd.concat(maps, ignore_index=True)

    def draw(self, data: pd.DataFrame) -> Figure:
        """Draws the four panels of each zoo."""
        figure, zoos = self.zoo_rows(data, 4, height=1.75)
        colours = {"accuracy": "viridis", "epoch": "cividis"}
        maps = [(name, key) for name in ("PCA", "UMAP") for key in colours]
        for zoo, line, part in zoos:
            for axes, (name, key) in zip(line, maps, strict=True):
                shown = {"c": part[key], "cmap": colours[key]}
                places = part[f"{name}_x"], part[f"{name}_y"]
                points = axes.scatter(*places, s=3, linewidths=0, **shown)
                axes.set_title(f"{name}, {key}")
                axes.set(xticks=[], yticks=[], box_aspect=1)
                bar = figure.colorbar(
                    points,
                    ax=axes,
                    location="bottom",
                    aspect=12,
                    pad=0.03,
                    ticks=MaxNLocator(nbins=3, integer=key == "epoch"),
                    format=PercentFormatter(1, decimals=0)
                    if key == "accuracy"
                    else None,
                )
                bar.outline.set_visible(False)
            line[0].set_ylabel(zoo, fontweight="bold")
        return figure


def _maps(path: Path, seed: int) -> pd.DataFrame:
    """Returns both maps of the first hyper-representation's latents."""
    arrays, about = read_arrays(path, kind="properties")
    points = arrays["latents"][0]
    state = derived_seed("latents", seed, about["zoo"]) % 2**31
    maps = {
        "PCA": PCA(2, random_state=state).fit_transform(points),
        "UMAP": umap(points, seed=state),
    }
    numbers = {
        "zoo": about["zoo"],
        "model": arrays["model"],
        "epoch": arrays["epoch"],
        "accuracy": arrays["truth/accuracy"].round(4),
    }
    for name, places in maps.items():
        numbers |= dict(zip((f"{name}_x", f"{name}_y"), rounded(places).T, strict=True))
    return pd.DataFrame(numbers)


def rounded(places: Float[np.ndarray, "networks 2"]) -> Float[np.ndarray, "networks 2"]:
    """Rounds to the power of ten that is just below a thousandth of what is spanned."""
    span = float(np.ptp(places)) or 1.0
    return places.astype(np.float64).round(3 - math.floor(math.log10(span)))


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
