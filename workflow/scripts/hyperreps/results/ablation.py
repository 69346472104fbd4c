"""The ablation of a run, summarised: what every variant can do, and what it changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from ..files.storage import read_arrays
from ..numbers.statistics import (
    NOT_NEGATIVE,
    R_SQUARED,
    SHARE,
    grouped_mean,
    mean_interval,
)
from ..settings.stages import HyperRep, Statistics
from .stages import OfStage

# settings that are no change: which trainings there are, and what a machine is best at
ASIDE = ("seeds", "precision")
LIMITS = {
    "r2": R_SQUARED,
    "accuracy": SHARE,
    "distance": NOT_NEGATIVE,
    "core_seconds": NOT_NEGATIVE,
}


class OfAblations(OfStage):
    """A result of variants side by side."""

    def frame(self) -> pd.DataFrame:
        """Returns their summary.

        Returns:
            zoo, variant, changed (settings that differ from those of the zoo's first
            variant, with spaces between), permutations (none, all, or how many),
            latent, epochs, quantity, networks, hyper_reps, mean, std (ddof 0), ci_low,
            ci_high. Quantities: r2_* of networks as they were shown in training, and of
            training and held_out ones as they are; accuracy_* of training, held_out,
            released and independent ones, and distance_* of those that have one source,
            as a part of that between independent runs; core_seconds.
        """
        first: dict[str, HyperRep] = {}
        rows: list[tuple[Any, ...]] = []
        for path in self.sources.inputs:
            arrays, about = read_arrays(path, kind="ablation")
            settings = HyperRep.model_validate_json(about["settings"])
            base = first.setdefault(about["zoo"], settings)
            name = about["zoo"], about["variant"], changes(settings, base)
            drawn = settings.permutations if settings.permutation else "none"
            about_it = (*name, str(drawn), settings.latent, settings.epochs)
            for numbers in _summaries(arrays, self.sources.statistics):
                rows.append((*about_it, *numbers))
        columns = (
            "zoo variant changed permutations latent epochs quantity networks"
            " hyper_reps mean std ci_low ci_high"
        )
        return pd.DataFrame(rows, columns=columns.split())


def changes(settings: HyperRep, base: HyperRep) -> str:
    """Returns the keys that differ between two variants, with spaces between."""
    one, two = (variant.model_dump(exclude=set(ASIDE)) for variant in (settings, base))
    return " ".join(key for key in one if one[key] != two[key])


def _summaries(
    arrays: dict[str, np.ndarray], statistics: Statistics
) -> Iterator[tuple[Any, ...]]:
    """Yields quantity, counts, mean, std and interval: seeds are the groups."""
    seeds = arrays["hyper_rep_seed"]
    for key, values in arrays.items():
        kind, _, population = key.partition("/")
        if kind not in LIMITS:
            continue
        if kind == "distance":
            values = values / arrays["independent_distance"]
        by_seed = values.astype(np.float64).reshape(len(seeds), -1)
        mean = grouped_mean(by_seed.ravel(), seeds.repeat(by_seed.shape[1]))
        interval = mean_interval(
            mean, confidence=statistics.confidence, limits=LIMITS[kind]
        )
        counts = by_seed.size, len(seeds)
        quantity = f"{kind}_{population}".removesuffix("_")
        yield quantity, *counts, mean.value, by_seed.std(), *interval
