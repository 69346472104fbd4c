"""The table of the judgement: every population beside noise and soups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ..judgement import CURVES, Judged, verdict
from ..layout import Column, Layout, LongTable


class Judgement(Judged, LongTable):
    """Accuracy at distance, and the verdict: a row per population."""

    words: ClassVar = "judgement.yaml"
    keys: ClassVar = ("zoo", "population")
    columns: ClassVar = (
        Column("accuracy", "accuracy", ".1%"),
        Column("distance", "distance"),
        Column("over noise", "above_noise", "+.1%"),
        Column("over soup", "above_soup", "+.1%"),
        Column("new and good", "new_and_good", ".0%"),
        Column("disagreement", "disagreement"),
        Column("ten vote", "ensemble", ".1%", interval=False),
        Column("joint p", "joint", ".3f", interval=False),
        Column("would see", "detectable", ".1%", interval=False),
        Column("R2", "r2_held_out", interval=False),
        Column("core-seconds", "core_seconds", ".3f", interval=False),
    )

    def measured(self, numbers: Mapping[str, Any], layout: Layout) -> dict[str, str]:
        """Returns the texts and the verdict; points of a curve have none."""
        texts = super().measured(numbers, layout)
        known = [numbers.get(f"above_{curve}") for curve in CURVES]
        leads = [(row.ci_low, row.ci_high) for row in known if row is not None]
        name = numbers["accuracy"].population
        on_curve = any(name in getattr(self.sources, curve) for curve in CURVES)
        known_all = len(leads) == len(CURVES)
        texts["verdict"] = "curve" if on_curve else verdict(leads if known_all else ())
        return texts
