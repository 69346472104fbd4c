"""The table of which differences between methods are more than chance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pandas as pd

from ...audit.significance import DIFFERENT, EQUIVALENT, POWER, UNDECIDED, compare
from ..accuracies import OfAccuracies, display_name
from ..layout import Layout, LongTable, Row, rounded, with_interval


class Significance(OfAccuracies, LongTable):
    """Differences of the methods of a table of accuracies, a row per pair."""

    needs: ClassVar = ("zoos",)
    words: ClassVar = "significance.yaml"

    def frame(self) -> pd.DataFrame:
        """Returns all pairs; see significance.compare()."""
        return compare(
            self.networks,
            epochs=self.sources.epochs,
            statistics=self.sources.statistics,
        )

    def values(self) -> dict[str, Any]:
        """Returns the verdicts, the margin in points and the power in percent."""
        margin = self.sources.statistics.equivalence_margin
        return {
            "different": DIFFERENT,
            "equivalent": EQUIVALENT,
            "undecided": UNDECIDED,
            "margin": f"{100 * margin:g}",
            "power": f"{100 * POWER:g}",
        }

    def rows(self, frame: pd.DataFrame, layout: Layout) -> Iterator[Row]:
        """Yields a row per pair, a block per pair of zoos and epoch."""
        row: Any
        for row in frame.itertuples():
            block = f"epoch {row.epoch}"
            if row.block == "references":
                block += ", references"
            title = f"{display_name(row.source, row.target)}, {block}"
            names = " vs ".join(map(layout.name, (row.method, row.other)))
            yield layout.heading(title), names, _texts(row, layout)


def _texts(row: Any, layout: Layout) -> dict[str, str]:
    return {
        "difference": with_interval(row.difference, row, "+.1%", layout),
        "verdict": row.verdict,
        "detectable": rounded(row.detectable, ".1%"),
        "medians": rounded(row.difference_of_medians, "+.1%"),
        "g": rounded(row.hedges_g, "+.2f"),
        "delta": rounded(row.cliffs_delta, "+.2f"),
        "p t": rounded(row.p_t_holm, ".3f"),
        "p ranks": rounded(row.p_ranks_holm, ".3f"),
        "observations": _observations(row),
    }


def _observations(row: Any) -> str:
    """Returns "5 pairs", "5 / 80 groups" or "5 / 3 groups, 3 paired"."""
    if row.pairs == row.observations == row.observations_other:
        return f"{row.pairs} pairs"
    paired = f", {row.pairs} paired" if row.pairs else ""
    return f"{row.observations} / {row.observations_other} {row.unit}s{paired}"
