"""The figure of networks beside their nearest training networks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ...files.storage import opened
from ...numbers.seeds import derived_rng
from ..audits import PANEL, OfAudits, panel_name, populations
from ..drawing import Drawing, shown_name

# entries of the weight vector that are shown
ENTRIES = 96
# references shown among the copies: what is new, and what is not
BESIDE = ("held_out", "other_epoch")


class Copies(OfAudits, Drawing):
    """Weights of sampled networks beside those of their nearest training network."""

    def frame(self) -> pd.DataFrame:
        """Returns the entries shown: of the nearest, a median and the farthest."""
        sources = self.sources
        files = [(path, "novelty_references") for path in sources.references]
        files += [(path, "novelty") for path in sources.audits]
        parts = [part for path, kind in files for part in _compared_rows(path, kind)]
        return pd.concat(parts, ignore_index=True)

    def draw(self, data: pd.DataFrame) -> Figure:
        """Draws the pairs of each zoo as stripes of colours, a block per population."""
        pairs = list(data.groupby(PANEL, sort=False))
        blocks = max(part["population"].nunique() for _, part in pairs)
        columns = min(2, len(pairs))
        lines = -(-len(pairs) // columns)
        figure = self.new_figure(lines * (0.5 + 0.55 * blocks))
        grids = figure.subfigures(lines, columns, squeeze=False).ravel()
        key: Any
        for place, (key, part) in zip(grids, pairs, strict=False):
            look = {"fontweight": "bold", "fontsize": "medium"}
            place.suptitle(panel_name(*key), x=0.02, ha="left", **look)
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
                look = {"fontweight": "normal", "fontsize": "small"}
                axes.set_title(shown_name(str(name)), pad=2, **look)
            for axes in all_axes:
                axes.set_axis_off()
        return figure


def _compared_rows(path: Path, kind: str) -> Iterator[pd.DataFrame]:
    """Yields the entries of both networks of each pair of a file."""
    with opened(path, kind=kind) as file:
        about = {name: str(file.attrs[name]) for name in PANEL}
        shown_of = populations(file)
        if kind == "novelty_references":
            shown_of = {name: shown_of[name] for name in BESIDE if name in shown_of}
        for name, found in shown_of.items():
            order = np.argsort(found["aligned"][()], kind="stable")
            for sample in dict.fromkeys(order[[0, len(order) // 2, -1]].tolist()):
                for row in ("matched", "nearest"):
                    weights = found[f"{row}_weights"][sample]
                    rng = derived_rng("copies", len(weights))
                    shown = np.sort(rng.choice(len(weights), ENTRIES, replace=False))
                    fixed = {"population": name, "sample": sample, "row": row}
                    numbers = {"entry": shown, "weight": weights[shown]}
                    yield pd.DataFrame({**about, **fixed, **numbers})
