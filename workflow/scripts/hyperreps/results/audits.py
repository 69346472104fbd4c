"""What the audits of a run say: verdicts, shares and their uncertainty."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd

from ..audit.verdicts import effective_number, placements, z_score
from ..files.storage import DataFileError, read_arrays
from ..numbers.shapes import Float
from ..numbers.statistics import (
    SHARE,
    UNKNOWN,
    Ends,
    Estimate,
    grouped_mean,
    mean_interval,
    median_interval,
    share_interval,
)
from ..settings.sections import Novelty
from ..settings.stages import Statistics
from .accuracies import display_name
from .result import Result

PANEL = ["zoo", "coordinates"]
# of one network; same_ and other_: among its source runs, among all other runs
DISTANCES = [
    f"{prefix}{name}"
    for prefix in ("", "same_", "other_")
    for name in ("raw", "aligned", "bound", "overlap", "disagreement")
]
MEANS = ["accuracy", "nearest_accuracy", "pair_distance", "pair_disagreement"]
COLUMNS = [*DISTANCES, *MEANS, "nearest_model", "nearest_epoch", "group"]
# what most networks of a reference are within
TAILS = (0.05, 0.95)


class OfAudits(Result):
    """A result that shows how new the networks of a run are."""

    needs: ClassVar = ("references", "audits")

    @cached_property
    def networks(self) -> pd.DataFrame:
        """What is known of every network; see read_audits()."""
        return read_audits(self.sources.references, self.sources.audits)

    @cached_property
    def summary(self) -> pd.DataFrame:
        """What is said of every population; see novelty_summary()."""
        return novelty_summary(
            self.networks,
            settings=self.sources.settings,
            statistics=self.sources.statistics,
        )

    def scale(self, panel: pd.DataFrame) -> Scale:
        """Returns units and limits of the networks of one panel."""
        return scale_of(panel, accuracy_bar=self.sources.settings.accuracy_bar)


def panel_name(zoo: str, coordinates: str) -> str:
    """Returns the heading of a panel: "MNIST" or "MNIST, aligned"."""
    aligned = "" if coordinates == "none" else ", aligned"
    return display_name(zoo, zoo) + aligned


def read_audits(references: Sequence[Path], audits: Sequence[Path]) -> pd.DataFrame:
    """Reads what audit_references.py and audit.py found.

    Args:
        references: Files of kind "novelty_references", one per zoo and coordinates.
        audits: Files of kind "novelty", in the order of the config.

    Returns:
        One row per network: zoo, coordinates, population, reference, sample, and
        COLUMNS; see audit.auditor.Audit.

    Raises:
        DataFileError: If a file is damaged, or a method has no references.
    """
    frames = []
    for path in references:
        arrays, attributes = read_arrays(path, kind="novelty_references")
        for name in json.loads(attributes["populations"]):
            found = {key: arrays[f"{name}/{key}"] for key in COLUMNS}
            frames.append(_frame(found, attributes, name, reference=True))
    known = {(f["zoo"].iloc[0], f["coordinates"].iloc[0]) for f in frames}
    for path in audits:
        arrays, attributes = read_arrays(path, *COLUMNS, kind="novelty")
        if (attributes["zoo"], attributes["coordinates"]) not in known:
            raise DataFileError(
                f"{path}: no references of zoo {attributes['zoo']!r} in coordinates"
                f" {attributes['coordinates']!r}; add their file"
            )
        frames.append(
            _frame(arrays, attributes, str(attributes["method"]), reference=False)
        )
    return pd.concat(frames, ignore_index=True)


def _frame(
    arrays: dict[str, np.ndarray],
    attributes: dict[str, Any],
    name: str,
    *,
    reference: bool,
) -> pd.DataFrame:
    about = {
        "zoo": str(attributes["zoo"]),
        "coordinates": str(attributes["coordinates"]),
        "population": name,
        "reference": reference,
        "sample": np.arange(len(arrays["raw"])),
    }
    return pd.DataFrame({**about, **{key: arrays[key] for key in COLUMNS}})


class Scale(NamedTuple):
    """What the references of a zoo set as units and limits.

    Attributes:
        unit: Median distance of a training network to the nearest of another run.
        copy: Networks nearer than this are copies: 95 % of training networks are as
            near to another epoch of their own run. NaN for a window of one epoch.
        new: Networks farther than this are as new as another run: 95 % of training
            networks are as far from all other runs.
        bar: Accuracy from which on a network is performant.
    """

    unit: float
    copy: float
    new: float
    bar: float


def scale_of(panel: pd.DataFrame, *, accuracy_bar: float) -> Scale:
    """Computes units and limits from the references of one zoo and its coordinates."""

    def values(population: str, column: str) -> Float[np.ndarray, networks]:
        return panel.loc[panel["population"] == population, column].to_numpy()

    alone = values("leave_one_out", "aligned")
    epochs = values("other_epoch", "aligned")
    return Scale(
        unit=float(np.median(alone)),
        copy=float(np.quantile(epochs, TAILS[1])) if len(epochs) else math.nan,
        new=float(np.quantile(alone, TAILS[0])),
        bar=accuracy_bar * float(np.median(values("held_out", "accuracy"))),
    )


def novelty_summary(
    frame: pd.DataFrame, *, settings: Novelty, statistics: Statistics
) -> pd.DataFrame:
    """Summarises every population of every zoo.

    Args:
        frame: As read_audits() returns it.
        settings: accuracy_bar and multiples are used.
        statistics: Of the confidence intervals. Limits and units, functions of the
            references, are taken as given; held-out networks are a sample too, where
            a population is compared with them.

    Returns:
        One row per zoo, coordinates, population and measure: reference, against (a
        reference or a multiple), n, groups (hyper-representations or runs that
        intervals rest on; 1: they hold for its networks only), value, ci_low, ci_high.
        Measures are: medians of the distances of audit.auditor.Audit; means of accuracy
        and of pair_distance and pair_disagreement; `relative`, the median distance in
        the unit of Scale; shares `copies`, `new`, `performant`, `novel_and_performant`
        against each multiple; `within_aligned` and `within_overlap`, the share between
        the 5 and 95 % quantile of a reference; `z_u` and `nearer` to training than
        held-out networks, and `alike`, the same of `overlap`; `effective_sources`.
    """
    rows: list[tuple[Any, ...]] = []
    key: Any
    for key, panel in frame.groupby(PANEL, sort=False):
        scale = scale_of(panel, accuracy_bar=settings.accuracy_bar)
        held_out = panel[panel["population"] == "held_out"]
        for name, members in panel.groupby("population", sort=False):
            about = (*key, name, members["reference"].iloc[0])
            counts = len(members), members["group"].nunique()
            shares = _indicators(members, panel, scale, settings)
            for measure, against, *numbers in itertools.chain(
                _typical(members, shares, scale.unit, statistics.confidence),
                _compared(members, held_out, statistics.confidence),
            ):
                rows.append((*about, measure, against, *counts, *numbers))
    columns = [*PANEL, "population", "reference", "measure", "against", "n", "groups"]
    return pd.DataFrame(rows, columns=[*columns, "value", "ci_low", "ci_high"])


# measure, what it is against, value, lower and upper end
Measured = tuple[str, str, float, float, float]


def _typical(
    members: pd.DataFrame,
    shares: dict[tuple[str, str], np.ndarray],
    unit: float,
    confidence: float,
) -> Iterator[Measured]:
    """Yields shares, means and medians over the networks of a population."""
    groups = members["group"].to_numpy()
    for (measure, against), values in shares.items():
        mean = grouped_mean(values.astype(np.float64), groups)
        yield measure, against, mean.value, *share_interval(mean, confidence=confidence)
    for name in MEANS:
        mean = grouped_mean(members[name].to_numpy(np.float64), groups)
        ends = mean_interval(mean, confidence=confidence, limits=_limits(name))
        yield name, "", mean.value, *ends
    medians = {name: members[name].to_numpy(np.float64) for name in DISTANCES}
    medians["relative"] = medians["aligned"] / unit
    for name, values in medians.items():
        ends = median_interval(
            values, groups, confidence=confidence, limits=_limits(name)
        )
        yield name, "", float(np.median(values)), *ends


def _limits(name: str) -> Ends:
    """Returns what a measure can be: distances have no upper end."""
    bounded = name.endswith(("accuracy", "overlap", "disagreement"))
    return SHARE if bounded else (0.0, math.inf)


def _compared(
    members: pd.DataFrame, held_out: pd.DataFrame, confidence: float
) -> Iterator[Measured]:
    """Yields how a population lies to training, compared with held-out networks."""
    sizes = len(members), len(held_out)
    # the nearest has the largest overlap
    for measure, name, sign in (("nearer", "aligned", 1), ("alike", "overlap", -1)):
        distances = [sign * x[name].to_numpy() for x in (members, held_out)]
        groups = [x["group"].to_numpy() for x in (members, held_out)]
        mean = nearer_mean(*distances, groups=groups)
        ends = share_interval(mean, confidence=confidence)
        if measure == "nearer":
            # falls where nearer rises
            value, low, high = (z_score(x, *sizes) for x in (mean.value, *ends[::-1]))
            yield "z_u", "held_out", value, low, high
        yield measure, "held_out", mean.value, *ends
    # which runs are the nearest is no mean: fewer would be found in a part
    number = effective_number(members["nearest_model"].to_numpy())
    yield "effective_sources", "", number, *UNKNOWN


def nearer_mean(
    some: Float[np.ndarray, models],
    others: Float[np.ndarray, others],
    *,
    groups: Sequence[np.ndarray],
) -> Estimate:
    """Returns novelty.nearer() with the variance that both samples give it.

    Source: DeLong, DeLong and Clarke-Pearson 1988: each sample's variance is that of
    its placements in the other.
    """
    placed = placements(some, others), 1 - placements(others, some)
    one, two = (grouped_mean(x, g) for x, g in zip(placed, groups, strict=True))
    return Estimate(
        one.value,
        one.parts + two.parts if one.parts and two.parts else (),
        min(one.count, two.count),
        one.independent + two.independent,
    )


def _indicators(
    members: pd.DataFrame, panel: pd.DataFrame, scale: Scale, settings: Novelty
) -> dict[tuple[str, str], np.ndarray]:
    """Returns what is true of each network, by the measure that is its share."""
    aligned = members["aligned"].to_numpy()
    performant = members["accuracy"].to_numpy() >= scale.bar
    copies = aligned <= scale.copy if math.isfinite(scale.copy) else aligned * math.nan
    found: dict[tuple[str, str], np.ndarray] = {
        ("copies", ""): copies,
        ("new", ""): aligned >= scale.new,
        ("performant", ""): performant,
    }
    for multiple in settings.multiples:
        both = performant & (aligned > multiple * scale.unit)
        found["novel_and_performant", f"{multiple:g}"] = both
    for name, other in panel[panel["reference"]].groupby("population", sort=False):
        for column in ("aligned", "overlap"):
            low, high = other[column].quantile(list(TAILS))
            inside = members[column].between(low, high).to_numpy()
            found[f"within_{column}", str(name)] = inside
    return found
