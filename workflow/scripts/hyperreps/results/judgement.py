"""One judgement for all populations: above noise and averaging at equal distance?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..numbers.shapes import Float
from ..numbers.statistics import (
    DIFFERENCE,
    NOT_NEGATIVE,
    Ends,
    Estimate,
    Mean,
    Part,
    grouped_mean,
)
from ..settings.stages import SettingsError
from .audits import PANEL, OfAudits
from .result import Measured

CURVES = ("noise", "soup")
# taken over from novelty_summary()
KNOWN = ("accuracy", "new_and_good", "r2_held_out", "joint", "detectable")
ABOVE, BELOW, UNDECIDED = "above", "below", "undecided"


class Judged(OfAudits):
    """What is said of every population beside the curves of noise and of soups."""

    def frame(self) -> pd.DataFrame:
        """Returns what is said of every population.

        Returns:
            One row per zoo, population and measure: reference, n, groups (as in
            audits.novelty_summary()), best_of, value, ci_low, ci_high. Measures are:

            - those of KNOWN, as there;
            - distance: mean, aligned, to the nearest training network, divided by the
              median of held-out networks;
            - disagreement: of two networks of it, divided by that of two held-out ones;
            - ensemble: accuracy of ten that vote;
            - core_seconds: CPU time of drawing one;
            - above_noise and above_soup: its accuracy less that of the curve at its
              distance; see above_curve(). The points of its curve are chosen as it is,
              of as many: where there are not two of them, there is no such row.

        Raises:
            SettingsError: If a curve has too few points, or one that is not audited.
        """
        known = self.networks
        held_out = known[known["population"] == "held_out"]
        unit = held_out.groupby(PANEL)["aligned"].median().rename("unit")
        known = known.join(unit, on=PANEL)
        known["distance"] = known["aligned"] / known["unit"]
        # references are known in all coordinates, and once is enough
        keys = ["zoo", "population"]
        first = known.groupby(keys)["coordinates"].transform("first")
        zoos = known[known["coordinates"] == first].groupby("zoo", sort=False)
        rows = [row for _, networks in zoos for row in self._of_zoo(networks)]
        own = self.summary[self.summary["measure"].isin(KNOWN)]
        own = own.drop_duplicates([*keys, "measure"]).drop(columns="coordinates")
        found = pd.concat([own, pd.DataFrame(rows)])
        chosen = known.groupby("population")["best_of"].first()
        found["best_of"] = found["population"].map(chosen)
        return found.sort_values(
            keys[::-1],
            key=lambda names: pd.Index(known[names.name].unique()).get_indexer(names),
            ignore_index=True,
        )

    def _of_zoo(self, networks: pd.DataFrame) -> Iterator[dict[str, Any]]:
        """Yields the rows of a zoo that novelty_summary() has not."""
        level = self.sources.statistics.confidence
        members = dict(tuple(networks.groupby("population", sort=False)))
        curves = {name: self._points(name, members) for name in CURVES}
        apart = members["held_out"]["pair_disagreement"].mean()
        for name, part in members.items():
            about = part.iloc[0][
                ["zoo", "population", "reference", "best_of"]
            ].to_dict()
            best_of = about.pop("best_of")
            about |= {"n": len(part), "groups": part["group"].nunique()}
            pairs = part["pair_disagreement"] / apart
            # a network has its part in both ends of a pair (Hoeffding 1948)
            pairs = 2 * pairs - pairs.mean()
            groups = part["group"].to_numpy()
            for measure, values in (
                ("distance", part["distance"]),
                ("disagreement", pairs),
            ):
                mean = grouped_mean(values.to_numpy(np.float64), groups)
                limits = NOT_NEGATIVE
                found = Measured.of(measure, mean, confidence=level, limits=limits)
                yield about | found._asdict()
            # ensembles share their networks, and a drawing has one time
            for measure in ("ensemble", "core_seconds"):
                yield about | Measured(measure, float(part[measure].mean()))._asdict()
            for curve, points in curves.items():
                alike = [x for x in points.values() if x["best_of"].iloc[0] == best_of]
                if name in points or len(alike) < 2:
                    continue
                above, lead = f"above_{curve}", above_curve(part, alike)
                found = Measured.of(above, lead, confidence=level, limits=DIFFERENCE)
                yield about | found._asdict()

    def _points(
        self, curve: str, members: dict[str, pd.DataFrame]
    ) -> dict[str, pd.DataFrame]:
        """Returns the populations that are points of a curve, by their names."""
        names = getattr(self.sources, curve)
        missing = [name for name in names if name not in members]
        single = [
            x for x in names if not missing and members[x]["best_of"].iloc[0] == 1
        ]
        if len(single) < 2:
            problem = f"no audit of {missing[0]}" if missing else "no curve"
            raise SettingsError(
                f"--{curve}: {problem}; name two audited methods or more"
            )
        return {name: members[name] for name in names}


def above_curve(members: pd.DataFrame, curve: Sequence[pd.DataFrame]) -> Estimate:
    """Returns how far the mean accuracy of a population is above a curve.

    The curve goes straight from one population's mean to the next one's, by distance,
    and beyond its ends as high as there: what is farther than its last point has to be
    better than that. Its value is read at the mean distance of the population. Errors
    in distance count by the slope there. Points of a curve are made of the same pool,
    so that their errors add up as those of one; the population and the curve are taken
    for independent, which is on the safe side where they are not.

    Args:
        members: Networks: accuracy, distance and group.
        curve: The same of each of its points.
    """
    places = np.array([point["distance"].mean() for point in curve])
    order = np.argsort(places, kind="stable")
    places, curve = places[order], [curve[k] for k in order]
    heights = np.array([point["accuracy"].mean() for point in curve])
    at = float(members["distance"].mean())
    shares = np.array([np.interp(at, places, row) for row in np.eye(len(places))])
    slope = _slope(at, places, heights)
    own = _along(members, slope)
    means = [_along(point, slope) for point in curve]
    errors = [
        (share * math.sqrt(mean.variance), mean.parts[0].freedom)
        for share, mean in zip(shares, means, strict=True)
        if share and mean.parts
    ]
    parts = own.parts
    if own.parts and errors:
        error, freedom = sum(e for e, _ in errors), min(f for _, f in errors)
        parts += (Part(error**2, freedom),)
    return Estimate(own.value - float(shares @ heights), parts, own.count)


def _slope(
    at: float, places: Float[np.ndarray, points], heights: Float[np.ndarray, points]
) -> float:
    """Returns the slope of a curve at a place, 0 beyond its ends."""
    right = int(np.searchsorted(places, at))
    if right in (0, len(places)) or places[right] == places[right - 1]:
        return 0.0
    step = slice(right - 1, right + 1)
    return float(np.diff(heights[step])[0] / np.diff(places[step])[0])


def _along(networks: pd.DataFrame, slope: float) -> Mean:
    """Returns the mean accuracy; distances off the mean count by the curve's slope."""
    distance = networks["distance"].to_numpy(np.float64)
    accuracy = networks["accuracy"].to_numpy(np.float64)
    values = accuracy - slope * (distance - distance.mean())
    return grouped_mean(values, networks["group"].to_numpy())


def verdict(leads: Sequence[Ends]) -> str:
    """Says whether a population is above all curves, by the intervals of its leads.

    Returns:
        above: surely above each; below: surely below one; else undecided. Empty for
        none, or without intervals.
    """
    known = [ends for ends in leads if not math.isnan(ends[0])]
    if not known or len(known) < len(leads):
        return ""
    if any(high < 0 for _, high in known):
        return BELOW
    return ABOVE if all(low > 0 for low, _ in known) else UNDECIDED
