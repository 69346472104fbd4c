"""The table of the audit: how new every population is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pandas as pd

from ..audits import PANEL, OfAudits, panel_name
from ..layout import Column, Layout, LongTable

# of the distance to unseen runs, what rounding leaves of none
COPY = 1e-4


class Novelty(OfAudits, LongTable):
    """Distances, verdicts and diversity: a row per population."""

    words: ClassVar = "novelty.yaml"
    keys: ClassVar = (*PANEL, "population")
    block: ClassVar = staticmethod(panel_name)
    columns: ClassVar = (
        Column("accuracy", "accuracy", ".1%"),
        Column("R2", "r2_held_out"),
        Column("training/unseen", "training_over_unseen"),
        Column("own source", "source_in_runs"),
        Column("in runs", "in_runs"),
        Column("in snapshots", "in_snapshots", ".1f", interval=False),
        Column("new by runs", "new_by_runs", ".0%"),
        Column("new by snapshots", "new_by_snapshots", ".0%", interval=False),
        Column("good", "good", ".0%", interval=False),
        Column("new and good", "new_and_good", ".0%"),
        Column("errors shared", "overlap", interval=False),
        Column("ZU", "z_u", ".1f", interval=False),
        Column("joint p", "joint", ".3f", interval=False),
        Column("would see", "detectable", ".1%", interval=False),
        Column("pairs L2", "pair_distance", ".1f", interval=False),
    )

    def frame(self) -> pd.DataFrame:
        """Returns what is said of every population."""
        return self.summary

    def measured(self, numbers: Mapping[str, Any], layout: Layout) -> dict[str, str]:
        """Returns the texts, and what a number proves or cannot say."""
        texts = super().measured(numbers, layout)
        if derives(numbers["training_over_unseen"]):
            texts["training/unseen"] += " derived"
        if numbers["nearer"].value in (0, 1):
            texts["ZU"] += " saturated"
        return texts


def derives(ratio: Any) -> bool:
    """Whether networks surely are nearer to training runs than to unseen ones.

    Args:
        ratio: Row of novelty_summary(). Exact copies have no interval, and the ratio 0.
    """
    return ratio.ci_high < 1 or ratio.value < COPY
