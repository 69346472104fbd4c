"""The table of which differences between methods are more than chance."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar

import pandas as pd

from ...audit.significance import DIFFERENT, EQUIVALENT, POWER, UNDECIDED, compare
from ..accuracies import OfAccuracies, display_name
from ..layout import NOT_KNOWN, Layout, LongTable, Row


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
    ends = f"[{100 * row.ci_low:+.1f}, {100 * row.ci_high:+.1f}]"
    interval = "" if math.isnan(row.ci_low) else f" {layout.interval(ends)}"
    return {
        "difference": f"{100 * row.difference:+.1f}{interval}",
        "verdict": row.verdict,
        "detectable": _known(100 * row.detectable, ".1f"),
        "medians": f"{100 * row.difference_of_medians:+.1f}",
        "g": _known(row.hedges_g, "+.2f"),
        "delta": _known(row.cliffs_delta, "+.2f"),
        "p t": _p_value(row.p_t_holm),
        "p ranks": _p_value(row.p_ranks_holm),
        "observations": _observations(row),
    }


def _observations(row: Any) -> str:
    """Returns "5 pairs", "5 / 80 groups" or "5 / 3 groups, 3 paired"."""
    if row.pairs == row.observations == row.observations_other:
        return f"{row.pairs} pairs"
    paired = f", {row.pairs} paired" if row.pairs else ""
    return f"{row.observations} / {row.observations_other} {row.unit}s{paired}"


def _known(value: float, form: str) -> str:
    return NOT_KNOWN if math.isnan(value) else format(value, form)


def _p_value(value: float) -> str:
    return "0.000" if value < 0.0005 else _known(value, ".3f")
