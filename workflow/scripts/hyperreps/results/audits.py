"""What the audits of a run say: verdicts, shares and their uncertainty."""

from __future__ import annotations

import functools
import itertools
import json
import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import h5py
import numpy as np
import pandas as pd

from ..audit.memory import Memory, training_over_unseen
from ..audit.two_samples import detectable_shift, energy_test
from ..audit.verdicts import placements, z_score
from ..files.storage import DataFileError, opened, plain
from ..numbers.seeds import derived_rng
from ..numbers.shapes import Float
from ..numbers.statistics import (
    NOT_NEGATIVE,
    R_SQUARED,
    SHARE,
    Estimate,
    grouped_mean,
    median_interval,
    share_interval,
)
from ..settings.stages import Statistics
from ..zoo.members import DRAWING_TIME
from .accuracies import display_name
from .result import Measured, Result

PANEL = ["zoo", "coordinates"]
# of one network: medians over a population are shown of the first, means of the second
DISTANCES = ["raw", "aligned", "bound", "overlap", "disagreement", "source"]
MEANS = ["accuracy", "pair_distance"]
# of the hyper-representation: R2 of training and of held-out networks, in units of the
# layers, its size and its epochs of training
LEARNED = ["r2_train", "r2_held_out", "latent", "epochs"]
COLUMNS = [*DISTANCES, *MEANS, *Memory._fields, "group"]
# what the judgement shows besides; audits of before have none
JUDGED = ["pair_disagreement", "ensemble"]
# what is compared jointly with held-out networks
JOINT = ["accuracy", "overlap", "aligned"]
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
        return novelty_summary(self.networks, statistics=self.sources.statistics)


def panel_name(zoo: str, coordinates: str = "none") -> str:
    """Returns the heading of a panel: "MNIST" or "MNIST, aligned"."""
    aligned = "" if coordinates == "none" else ", aligned"
    return display_name(zoo) + aligned


def read_audits(references: Sequence[Path], audits: Sequence[Path]) -> pd.DataFrame:
    """Reads what audit_references.py and audit.py found.

    Args:
        references: Files of kind "novelty_references", one per zoo and coordinates.
        audits: Files of kind "novelty", in the order of the config.

    Returns:
        One row per network: COLUMNS, see audit.auditor.Audit; LEARNED, NaN where no
        hyper-representation made it, and JUDGED, NaN where it is not known; zoo,
        coordinates, form (how the sampler draws), population, reference, sample,
        best_of (of how many it was the best one), and core_seconds, the CPU time of its
        drawing, NaN where it is not known.

    Raises:
        DataFileError: If a file is damaged, or a method has no references.
    """
    frames = [
        frame for path in references for frame in _frames(path, "novelty_references")
    ]
    known = {tuple(frame.loc[0, PANEL]) for frame in frames}
    for path in audits:
        (frame,) = _frames(path, "novelty")
        zoo, coordinates = frame.loc[0, PANEL]
        if (zoo, coordinates) not in known:
            raise DataFileError(
                f"{path}: no references of zoo {zoo!r} in coordinates {coordinates!r};"
                " add their file"
            )
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def populations(file: h5py.File) -> dict[str, h5py.Group]:
    """Returns where a file of the audit has each population, by its name."""
    if "method" in file.attrs:
        return {str(file.attrs["method"]): file}
    return {name: file[name] for name in json.loads(file.attrs["populations"])}


def _frames(path: Path, kind: str) -> Iterator[pd.DataFrame]:
    """Yields the rows of each population of a file."""
    with opened(path, kind=kind) as file:
        about = {name: str(file.attrs[name]) for name in PANEL}
        about["form"] = str(file.attrs.get("form", ""))
        took = file.attrs.get(DRAWING_TIME, math.nan)
        chosen = int(file.attrs.get("best_of", 1))
        for name, found in populations(file).items():
            networks: dict[str, Any] = {key: plain(found[key][()]) for key in COLUMNS}
            for key in (*LEARNED, *JUDGED):
                networks[key] = found[key][()] if key in found else math.nan
            frame = pd.DataFrame(networks)
            yield frame.assign(
                **about,
                population=name,
                reference=kind == "novelty_references",
                sample=frame.index,
                best_of=chosen,
                core_seconds=took / len(frame),
            )


class Scale(NamedTuple):
    """What the references of a zoo set as units and limits.

    Two rulers: distances between runs, and between snapshots of one run.

    Attributes:
        run: Median distance of a training network to the nearest of another run.
        snapshot: Median distance of a training network to the nearest other epoch of
            its own run. NaN for a window of one epoch.
        new: By the first ruler: 95 % of training networks are at least as far from all
            other runs.
        changed: By the second: 95 % of training networks are at most as far from
            another epoch of their own run. NaN for a window of one epoch.
        good: Accuracy that 95 % of held-out networks reach.
    """

    run: float
    snapshot: float
    new: float
    changed: float
    good: float


def scale_of(panel: pd.DataFrame) -> Scale:
    """Computes units and limits from the references of one zoo and its coordinates."""

    def values(population: str, column: str) -> Float[np.ndarray, networks]:
        return panel.loc[panel["population"] == population, column].to_numpy()

    alone = values("leave_one_out", "aligned")
    epochs = values("other_epoch", "aligned")
    return Scale(
        run=float(np.median(alone)),
        snapshot=float(np.median(epochs)) if len(epochs) else math.nan,
        new=float(np.quantile(alone, TAILS[0])),
        changed=float(np.quantile(epochs, TAILS[1])) if len(epochs) else math.nan,
        good=float(np.quantile(values("held_out", "accuracy"), TAILS[0])),
    )


def novelty_summary(frame: pd.DataFrame, *, statistics: Statistics) -> pd.DataFrame:
    """Summarises every population of every zoo.

    Args:
        frame: As read_audits() returns it.
        statistics: Of the confidence intervals. Limits and units, functions of the
            references, are taken as given; held-out and unseen networks are samples
            too, where a population is compared with them.

    Returns:
        One row per zoo, coordinates, population and measure: reference, n, groups
        (hyper-representations or runs that intervals rest on; 1: they hold for its
        networks only), value, ci_low, ci_high. Measures are:

        - means of accuracy, pair_distance, r2_train and r2_held_out;
        - medians of the distances of audit.auditor.Audit; `in_runs` and `in_snapshots`,
          the aligned distance in units of Scale, and `source_in_runs`;
        - shares `new_by_runs`, `new_by_snapshots`, `good` and `new_and_good`;
        - `training_over_unseen`: see audit.memory, and the two means it is made of;
        - `z_u` and `nearer`: to training than held-out networks are;
        - `joint`, the p value of JOINT against held-out networks, and `detectable`, the
          difference in accuracy that this test would have found.
    """
    rows: list[tuple[Any, ...]] = []
    key: Any
    for key, panel in frame.groupby(PANEL, sort=False):
        scale = scale_of(panel)
        held_out = panel[panel["population"] == "held_out"]
        for name, members in panel.groupby("population", sort=False):
            about = (*key, name, members["reference"].iloc[0])
            counts = len(members), members["group"].nunique()
            level = statistics.confidence
            for measure, *numbers in itertools.chain(
                _typical(members, scale, level),
                _compared(members, held_out, level),
                _joint(members, held_out, level),
            ):
                rows.append((*about, measure, *counts, *numbers))
    columns = [*PANEL, "population", "reference", "measure", "n", "groups"]
    return pd.DataFrame(rows, columns=[*columns, "value", "ci_low", "ci_high"])


def _typical(members: pd.DataFrame, scale: Scale, level: float) -> Iterator[Measured]:
    """Yields shares, means and medians over the networks of a population."""
    groups = members["group"].to_numpy()
    for name, true in _indicators(members, scale).items():
        share = grouped_mean(true.astype(np.float64), groups)
        ends = share_interval(share, confidence=level)
        yield Measured(name, share.value, *ends)
    limits = {"accuracy": SHARE, "pair_distance": NOT_NEGATIVE}
    for name in (*MEANS, "r2_train", "r2_held_out"):
        mean = grouped_mean(members[name].to_numpy(np.float64), groups)
        ends = limits.get(name, R_SQUARED)
        yield Measured.of(name, mean, confidence=level, limits=ends)
    medians = {name: members[name].to_numpy(np.float64) for name in DISTANCES}
    medians["in_runs"] = medians["aligned"] / scale.run
    medians["in_snapshots"] = medians["aligned"] / scale.snapshot
    medians["source_in_runs"] = medians["source"] / scale.run
    for name, values in medians.items():
        ends = SHARE if name in ("overlap", "disagreement") else NOT_NEGATIVE
        interval = median_interval(values, groups, confidence=level, limits=ends)
        yield Measured(name, float(np.median(values)), *interval)


def _indicators(members: pd.DataFrame, scale: Scale) -> dict[str, np.ndarray]:
    """Returns what is true of each network, by the measure that is its share."""
    aligned = members["aligned"].to_numpy()
    new = aligned >= scale.new
    good = members["accuracy"].to_numpy() >= scale.good
    known = not math.isnan(scale.changed)
    return {
        "new_by_runs": new,
        "new_by_snapshots": aligned > scale.changed if known else aligned * math.nan,
        "good": good,
        "new_and_good": new & good,
    }


def _compared(
    members: pd.DataFrame, held_out: pd.DataFrame, level: float
) -> Iterator[Measured]:
    """Yields how a population lies to training, compared with networks unseen."""
    found = Memory(*(members[name].to_numpy() for name in Memory._fields))
    ratio = training_over_unseen(found, members["group"].to_numpy())
    limits = NOT_NEGATIVE
    yield Measured.of("training_over_unseen", ratio, confidence=level, limits=limits)
    for name in ("equal_training", "unseen"):
        yield Measured(name, float(members[name].mean()))
    pair = members, held_out
    mean = nearer_mean(
        *(x["aligned"].to_numpy() for x in pair),
        groups=[x["group"].to_numpy() for x in pair],
    )
    ends = share_interval(mean, confidence=level)
    # falls where nearer rises
    sizes = len(members), len(held_out)
    yield Measured("z_u", *(z_score(x, *sizes) for x in (mean.value, *ends[::-1])))
    yield Measured("nearer", mean.value, *ends)


def _joint(
    members: pd.DataFrame, held_out: pd.DataFrame, level: float
) -> Iterator[Measured]:
    """Yields the test of JOINT against held-out networks, and what it can see."""
    name = str(members["population"].iloc[0])
    some, others = (x[JOINT].to_numpy(np.float64) for x in (members, held_out))
    if name == "held_out" or not np.isfinite(some).all():
        return
    groups = members["group"].to_numpy()
    rng = derived_rng("joint", str(members["zoo"].iloc[0]), name)
    yield Measured("joint", energy_test(some, others, groups=groups, rng=rng))
    count = len(np.unique(groups))
    # twice the median of several draws
    level = (1 - level) / (1 if count == len(groups) else 2)
    yield Measured("detectable", _detectable(others.tobytes(), count, level))


@functools.cache
def _detectable(others: bytes, groups: int, level: float) -> float:
    """See detectable_shift(); populations of as many groups share it."""
    features = np.frombuffer(others).reshape(-1, len(JOINT))
    rng = derived_rng("detectable", groups)
    return detectable_shift(features, groups=groups, level=level, rng=rng)


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
