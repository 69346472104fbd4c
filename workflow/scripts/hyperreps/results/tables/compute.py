"""The table of finetuned networks beside training from scratch, at equal compute."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar

import pandas as pd

from ...audit.significance import (
    accuracy_of,
    detectable_difference,
    difference_interval,
    mean_difference,
)
from ...numbers.statistics import UNKNOWN, Ends, mean_interval
from ...settings.stages import SettingsError
from ..accuracies import BASELINE, OfAccuracies, display_name
from ..layout import Column, Layout, LongTable, Row

KEYS = ["source", "epoch", "method"]


class EqualCompute(OfAccuracies, LongTable):
    """Accuracies after finetuning, and of B_T after as much compute in all."""

    needs: ClassVar = ("zoos", "finetuned")
    words: ClassVar = "compute.yaml"
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
            - scratch and as_long: that of B_T after as many epochs, and after as much
              compute, or at its last epoch where that is earlier; trained, the epochs
              of the latter;
            - ahead: accuracy less as_long, and detectable, the difference that would
              have been seen (see significance.detectable_difference());
            - those of accuracies.costs_of().

        Raises:
            SettingsError: If no network has one of the epochs.
        """
        known = dict(tuple(self.networks.groupby(KEYS, sort=False)))
        scratch = self.networks[self.networks["method"].eq(BASELINE)]
        last = scratch.groupby("source")["epoch"].max()
        rows: list[dict[str, Any]] = []
        for (source, epoch, method), members in known.items():
            if method == BASELINE or epoch not in self.sources.epochs:
                continue
            cost = members["cost"].iloc[0]
            needed = epoch + cost["epochs"]
            trained = math.nan
            if math.isfinite(needed):
                trained = min(math.ceil(needed), int(last[source]))
            about = {"source": source, "epoch": epoch, "method": method}
            about["trivial"] = members["trivial"].iloc[0]
            about |= {"n": len(members), "groups": members["group"].nunique()}
            found = _beside(
                members,
                scratch=known.get((source, epoch, BASELINE)),
                as_long=known.get((source, trained, BASELINE)),
                confidence=self.sources.statistics.confidence,
            )
            counted = {"trained": float(trained), **cost}
            found |= {name: (value, UNKNOWN) for name, value in counted.items()}
            for measure, (value, ends) in found.items():
                low, high = ends
                numbers = {"value": value, "ci_low": low, "ci_high": high}
                rows.append({**about, "measure": measure, **numbers})
        if not rows:
            raise SettingsError(
                f"epochs: no network has one of {list(self.sources.epochs)}"
            )
        return pd.DataFrame(rows).sort_values(
            ["source", "epoch"], kind="stable", ignore_index=True
        )

    def rows(self, frame: pd.DataFrame, layout: Layout) -> Iterator[Row]:
        """Yields a row per method, a block per zoo and epoch."""
        key: Any
        for key, part in frame.groupby(KEYS, sort=False):
            source, epoch, method = key
            first = part.iloc[0]
            name = layout.name(method) + layout.trivial * bool(first["trivial"])
            numbers = {row.measure: row for row in part.itertuples()}
            texts = {
                "n (groups)": f"{first['n']} ({first['groups']})",
                **self.measured(numbers, layout),
            }
            needed, trained = (numbers[key].value for key in ("epochs", "trained"))
            if epoch + needed > trained:
                texts["as long"] += f" ({trained:.0f} of {math.ceil(epoch + needed)})"
            title = f"{display_name(source)}, epoch {epoch}"
            yield layout.heading(title), name, texts


def _beside(
    members: pd.DataFrame,
    *,
    scratch: pd.DataFrame | None,
    as_long: pd.DataFrame | None,
    confidence: float,
) -> dict[str, tuple[float, Ends]]:
    """Returns the measures of accuracy: values, and the ends of their intervals."""
    found: dict[str, tuple[float, Ends]] = {}
    means = {}
    for name, rows in (
        ("accuracy", members),
        ("scratch", scratch),
        ("as_long", as_long),
    ):
        found[name] = math.nan, UNKNOWN
        if rows is not None:
            means[name] = mean = accuracy_of(rows, "a" if rows is members else "b")
            found[name] = mean.value, mean_interval(mean, confidence=confidence)
    found["ahead"] = found["detectable"] = math.nan, UNKNOWN
    if "as_long" in means:
        pair = means["accuracy"], means["as_long"]
        ahead = mean_difference(*pair)
        ends = difference_interval(*pair, confidence=confidence)
        seen = detectable_difference(ahead, confidence=confidence)
        found["ahead"], found["detectable"] = (ahead.value, ends), (seen, UNKNOWN)
    return found
