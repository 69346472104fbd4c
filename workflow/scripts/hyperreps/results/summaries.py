"""What the stages of a run found, summarised with its uncertainty.

These are ensembles, reconstructions, probes and ablations. Every summary is in long
form, one number per row. Networks are crossed with hyper-representations
(statistics.crossed_estimate): an interval holds the luck of both.
"""

from __future__ import annotations

import json
import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from ..files.storage import read_arrays
from ..numbers.scores import (
    METRICS,
    SCORES,
    explained_variance,
    mean_squared_error,
)
from ..numbers.statistics import (
    NOT_NEGATIVE,
    R_SQUARED,
    SHARE,
    crossed_estimate,
    grouped_mean,
    left_out_weights,
    mean_interval,
)
from ..settings.stages import HyperRep
from .published import load_published, load_published_properties
from .result import Result

# networks that a hyper-representation was trained on, and those that nothing has seen
SEEN, HELD_OUT = "train", "test"
WHOLE = "all"
SCORE_NAMES = {"r2": "R²", "tau": "Kendall's tau", "accuracy": "accuracy"}
# what the quantities can be
LIMITS = {
    "r2": R_SQUARED,
    "mse": NOT_NEGATIVE,
    "tau": (-1.0, 1.0),
    "accuracy": SHARE,
    "distance": NOT_NEGATIVE,
    "core_seconds": NOT_NEGATIVE,
}
# settings that are no change: which trainings there are, and what a machine is best at
ASIDE = ("seeds", "precision")

# arrays and attributes of a file
File = tuple[dict[str, np.ndarray], dict[str, Any]]


class OfStage(Result):
    """A result that shows what the stage of an experiment found.

    Attributes:
        stage: Kind of its files.
        fields: Columns of its frame.
    """

    needs: ClassVar[tuple[str, ...]] = ("inputs",)
    stage: ClassVar[str]
    fields: ClassVar[str]

    def frame(self) -> pd.DataFrame:
        """Returns the summary of its files."""
        files = (read_arrays(path, kind=self.stage) for path in self.sources.inputs)
        return pd.DataFrame(self.summaries(files), columns=self.fields.split())

    @abstractmethod
    def summaries(self, files: Iterable[File]) -> Iterator[tuple[Any, ...]]:
        """Yields the rows of the frame."""

    def crossed(self, quantity: str, values: np.ndarray) -> tuple[float, float, float]:
        """Returns mean and interval; see statistics.crossed_estimate()."""
        level, limits = self.sources.statistics.confidence, LIMITS.get(quantity, SHARE)
        return crossed_estimate(values, confidence=level, limits=limits)


class OfEnsembles(OfStage):
    """A result of ensembles.

    Its rows are zoo, method, epoch, size, networks to choose from, ensembles drawn,
    metric, and over these ensembles mean, std (ddof 0), and the quantiles low and high:
    the level is the part of them that is between.
    """

    stage: ClassVar = "ensembles"
    fields: ClassVar = (
        "zoo method epoch size networks ensembles metric mean std low high"
    )

    def summaries(self, files: Iterable[File]) -> Iterator[tuple[Any, ...]]:
        """Yields a row per epoch, size and metric that is known."""
        tail = (1 - self.sources.statistics.confidence) / 2
        for arrays, about in files:
            name = about["zoo"], about["method"]
            for metric in METRICS:
                for epoch, by_size in zip(arrays["epoch"], arrays[metric], strict=True):
                    for size, values in zip(arrays["size"], by_size.T, strict=True):
                        if math.isnan(mean := values.mean()):
                            continue
                        counts = int(size), int(about["networks"]), len(values)
                        ends = np.quantile(values, [tail, 1 - tail])
                        key = *name, int(epoch), *counts, metric
                        yield *key, mean, values.std(), *ends


class OfReconstructions(OfStage):
    """A result of reconstructed networks.

    Its rows are zoo, variant, split of the networks, quantity (r2, mse; test accuracy:
    original, reconstruction), layer ("all" for the whole network), networks,
    hyper_reps, mean, std of accuracies over networks (ddof 0), ci_low, ci_high,
    published.
    """

    needs: ClassVar = ("inputs", "published")
    stage: ClassVar = "reconstruction"
    fields: ClassVar = (
        "zoo variant split quantity layer networks hyper_reps mean std ci_low ci_high"
        " published"
    )

    def summaries(self, files: Iterable[File]) -> Iterator[tuple[Any, ...]]:
        """Yields a row per split, quantity and layer."""
        modes = load_published(self.sources.published, table="reconstruction")
        paper = modes.set_index(["source", "method"])["value"].to_dict()
        for arrays, about in files:
            zoo, variant = about["zoo"], about["variant"]
            compared = {"original": "original", "reconstruction": variant}
            for split in json.loads(about["splits"]):
                chosen = arrays["split"] == split
                for quantity, layer, values, std in _reconstructed(
                    arrays, json.loads(about["layers"]), chosen
                ):
                    mean, *ends = self.crossed(quantity, values)
                    key = zoo, variant, split, quantity, layer
                    counts = int(chosen.sum()), values.shape[1]
                    beside = paper.get((zoo, compared.get(quantity)), math.nan)
                    yield *key, *counts, mean, std, *ends, beside


def _reconstructed(
    arrays: dict[str, np.ndarray], layers: list[str], chosen: np.ndarray
) -> Iterator[tuple[str, str, np.ndarray, float]]:
    """Yields quantity, layer, values for crossed() and std, for the chosen networks."""
    weights = left_out_weights(arrays["model"][chosen])
    error = arrays["squared_error"][:, chosen]
    by_layer = {
        "r2": explained_variance(error, arrays["squared_deviation"][chosen], weights),
        "mse": mean_squared_error(error, arrays["layer_size"], weights),
    }
    for quantity, values in by_layer.items():
        for column, layer in enumerate([*layers, WHOLE]):
            yield quantity, layer, values[:, :, column], math.nan
    for quantity in ("original", "reconstruction"):
        accuracy = np.atleast_2d(arrays[f"accuracy/{quantity}"])[:, chosen]
        accuracy = accuracy.astype(np.float64)
        yield quantity, WHOLE, weights @ accuracy.T, accuracy.std()


class OfProbes(OfStage):
    """A result of linear probes on held-out networks, each with all its epochs.

    Its rows are zoo, features, inputs (their number), property, metric (r2 and tau of
    numbers, accuracy of categories), networks, rows (networks x epochs), hyper_reps,
    mean, ci_low, ci_high, published.
    """

    needs: ClassVar = ("inputs", "published")
    stage: ClassVar = "properties"
    fields: ClassVar = (
        "zoo features inputs property metric networks rows hyper_reps mean ci_low"
        " ci_high published"
    )

    def summaries(self, files: Iterable[File]) -> Iterator[tuple[Any, ...]]:
        """Yields a row per property and metric."""
        paper = load_published_properties(self.sources.published)
        for arrays, about in files:
            name = about["zoo"], about["features"]
            held_out = arrays["split"] == HELD_OUT
            models = arrays["model"][held_out]
            weights = left_out_weights(models)
            for target, kind in json.loads(about["kinds"]).items():
                truth = arrays[f"truth/{target}"][held_out]
                predicted = arrays[f"predicted/{target}"][:, held_out]
                counts = len(set(models)), len(models), len(predicted)
                for metric, score in SCORES[kind].items():
                    values = [score(truth, guess, weights) for guess in predicted]
                    estimate = self.crossed(metric, np.stack(values, axis=1))
                    beside = paper.get((*name, target, metric), math.nan)
                    key = *name, int(about["inputs"]), target, metric
                    yield *key, *counts, *estimate, beside


class OfAblations(OfStage):
    """A result of variants side by side.

    Its rows are zoo, variant, changed (settings that differ from those of the zoo's
    first variant, with spaces between), permutations (none, all, or how many), latent,
    epochs, quantity, networks, hyper_reps, mean, std (ddof 0), ci_low, ci_high.
    Quantities: r2_* of networks as they were shown in training, and of training and
    held_out ones as they are; accuracy_* of training, held_out, released and
    independent ones, and distance_* of those that have one source, as a part of that
    between independent runs; core_seconds.
    """

    stage: ClassVar = "ablation"
    fields: ClassVar = (
        "zoo variant changed permutations latent epochs quantity networks hyper_reps"
        " mean std ci_low ci_high"
    )

    def summaries(self, files: Iterable[File]) -> Iterator[tuple[Any, ...]]:
        """Yields a row per quantity; seeds are the groups."""
        level = self.sources.statistics.confidence
        first: dict[str, HyperRep] = {}
        for arrays, about in files:
            settings = HyperRep.model_validate_json(about["settings"])
            base = first.setdefault(about["zoo"], settings)
            name = about["zoo"], about["variant"], changes(settings, base)
            drawn = settings.permutations if settings.permutation else "none"
            key = *name, str(drawn), settings.latent, settings.epochs
            seeds = arrays["hyper_rep_seed"]
            for quantity, values in arrays.items():
                kind = quantity.partition("/")[0]
                if kind not in LIMITS:
                    continue
                if kind == "distance":
                    values = values / arrays["independent_distance"]
                by_seed = values.astype(np.float64).reshape(len(seeds), -1)
                mean = grouped_mean(by_seed.ravel(), seeds.repeat(by_seed.shape[1]))
                ends = mean_interval(mean, confidence=level, limits=LIMITS[kind])
                counts = quantity.replace("/", "_"), by_seed.size, len(seeds)
                yield *key, *counts, mean.value, by_seed.std(), *ends


def changes(settings: HyperRep, base: HyperRep) -> str:
    """Returns the keys that differ between two variants, with spaces between."""
    one, two = (variant.model_dump(exclude=set(ASIDE)) for variant in (settings, base))
    return " ".join(key for key in one if one[key] != two[key])
