"""The table of finetuned networks beside training from scratch, at equal compute."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pandas as pd

from ...audit.significance import (
    accuracy_of,
    detectable_difference,
    difference_interval,
    mean_difference,
)
from ...settings.stages import SettingsError
from ..accuracies import BASELINE, OfAccuracies, display_name
from ..layout import Column, Layout, LongTable
from ..result import Measured


class EqualCompute(OfAccuracies, LongTable):
    """Accuracies after finetuning, and of B_T after as much compute in all."""

    needs: ClassVar = ("zoos", "finetuned")
    words: ClassVar = "compute.yaml"
    keys: ClassVar = ("source", "epoch", "method")
    block: ClassVar = staticmethod(lambda zoo, e: f"{display_name(zoo)}, epoch {e}")
    columns: ClassVar = (
        Column("accuracy", "accuracy", ".1%"),
        Column("scratch", "scratch", ".1%"),
        Column("as long", "as_long", ".1%"),
        Column("ahead", "ahead", "+.1%"),
        Column("would see", "detectable", ".1%", interval=False),
        Column("drawing", "drawing", interval=False),
        Column("learning", "learning", interval=False),
        Column("as epochs", "epochs", ".1f", interval=False),
    )

    def frame(self) -> pd.DataFrame:
        """Returns what is said of every method at every epoch.

        Returns:
            One row per source, epoch, method and measure: trivial, n and groups (of
            the method's networks), value, ci_low, ci_high. Measures are:

            - accuracy;
            - scratch and as_long: that of B_T after as many epochs, and at the first
              evaluated one with as much compute, or at its last where that is earlier;
              trained, the epochs of the latter;
            - ahead: accuracy less as_long, and detectable, the difference that would
              have been seen (see significance.detectable_difference());
            - those of accuracies.costs_of().

        Raises:
            SettingsError: If no network has one of the epochs.
        """
        known = dict(tuple(self.networks.groupby([*self.keys], sort=False)))
        scratch = self.networks[self.networks["method"].eq(BASELINE)]
        evaluated = scratch.groupby("source")["epoch"].unique()
        rows: list[dict[str, Any]] = []
        for (source, epoch, method), members in known.items():
            if method == BASELINE or epoch not in self.sources.epochs:
                continue
            cost = members["cost"].iloc[0]
            trained = math.nan
            if math.isfinite(needed := epoch + cost["epochs"]):
                there = evaluated[source]
                trained = float(there[there >= needed].min(initial=there.max()))
            about = {"source": source, "epoch": epoch, "method": method}
            about["trivial"] = members["trivial"].iloc[0]
            about |= {"n": len(members), "groups": members["group"].nunique()}
            found = _beside(
                members,
                scratch=known.get((source, epoch, BASELINE)),
                as_long=known.get((source, trained, BASELINE)),
                confidence=self.sources.statistics.confidence,
            )
            counted = {"trained": trained, **cost}
            both = (*found, *(Measured(*pair) for pair in counted.items()))
            rows += [about | measured._asdict() for measured in both]
        if not rows:
            raise SettingsError(
                f"epochs: no network has one of {list(self.sources.epochs)}"
            )
        return pd.DataFrame(rows).sort_values(
            ["source", "epoch"], kind="stable", ignore_index=True
        )

    def measured(self, numbers: Mapping[str, Any], layout: Layout) -> dict[str, str]:
        """Returns the texts, and for how long a zoo was trained that is too short."""
        texts = super().measured(numbers, layout)
        needed = numbers["epochs"].epoch + numbers["epochs"].value
        trained = numbers["trained"].value
        if needed > trained:
            texts["as long"] += f" ({trained:.0f} of {math.ceil(needed)})"
        return texts


def _beside(
    members: pd.DataFrame,
    *,
    scratch: pd.DataFrame | None,
    as_long: pd.DataFrame | None,
    confidence: float,
) -> Iterator[Measured]:
    """Yields the measures of accuracy."""
    ours = accuracy_of(members, "a")
    theirs = {
        name: None if rows is None else accuracy_of(rows, "b")
        for name, rows in (("scratch", scratch), ("as_long", as_long))
    }
    for name, mean in {"accuracy": ours, **theirs}.items():
        if mean is None:
            yield Measured(name, math.nan)
        else:
            yield Measured.of(name, mean, confidence=confidence)
    if (beside := theirs["as_long"]) is None:
        yield from (Measured(name, math.nan) for name in ("ahead", "detectable"))
        return
    ahead = mean_difference(ours, beside)
    ends = difference_interval(ours, beside, confidence=confidence)
    yield Measured("ahead", ahead.value, *ends)
    seen = detectable_difference(ahead, confidence=confidence)
    yield Measured("detectable", seen)
