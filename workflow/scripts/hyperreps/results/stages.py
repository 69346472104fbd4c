"""Ensembles, reconstructions and probes of a run, summarised with their uncertainty.

Every summary is in long form, one number per row. Networks are crossed with
hyper-representations (statistics.crossed_estimate): an interval holds the luck of both.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from ..files.storage import read_arrays
from ..numbers.statistics import (
    NOT_NEGATIVE,
    R_SQUARED,
    SHARE,
    crossed_estimate,
    left_out_weights,
)
from ..representation.probes import SCORES
from ..representation.reconstruction import explained_variance, mean_squared_error
from ..settings.stages import Statistics
from ..zoo.ensembles import METRICS
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
}


class OfStage(Result):
    """A result that shows what the stage of an experiment found."""

    needs: ClassVar[tuple[str, ...]] = ("inputs",)


class OfEnsembles(OfStage):
    """A result of ensembles; the level is the part of them between low and high."""

    def frame(self) -> pd.DataFrame:
        """Returns their summary.

        Returns:
            zoo, method, epoch, size, networks to choose from, ensembles drawn, metric,
            and over these ensembles mean, std (ddof 0), low and high.
        """
        tail = (1 - self.sources.statistics.confidence) / 2
        rows: list[tuple[Any, ...]] = []
        for path in self.sources.inputs:
            arrays, about = read_arrays(path, kind="ensembles")
            name = about["zoo"], about["method"]
            for metric in METRICS:
                for epoch, by_size in zip(arrays["epoch"], arrays[metric], strict=True):
                    for size, values in zip(arrays["size"], by_size.T, strict=True):
                        counts = int(size), int(about["networks"]), len(values)
                        ends = np.quantile(values, [tail, 1 - tail])
                        numbers = values.mean(), values.std(), *ends
                        rows.append((*name, int(epoch), *counts, metric, *numbers))
        columns = "zoo method epoch size networks ensembles metric mean std low high"
        frame = pd.DataFrame(rows, columns=columns.split())
        return frame.dropna(subset="mean", ignore_index=True)


class OfReconstructions(OfStage):
    """A result of reconstructed networks."""

    needs: ClassVar = ("inputs", "published")

    def frame(self) -> pd.DataFrame:
        """Returns their summary.

        Returns:
            zoo, variant, split of the networks, quantity (r2, mse; test accuracy:
            original, reconstruction), layer ("all" for the whole network), networks,
            hyper_reps, mean, std of accuracies over networks (ddof 0), ci_low, ci_high,
            published.
        """
        modes = load_published(self.sources.published, table="reconstruction")
        paper = modes.set_index(["source", "method"])["value"].to_dict()
        rows: list[tuple[Any, ...]] = []
        for path in self.sources.inputs:
            arrays, about = read_arrays(path, kind="reconstruction")
            zoo, variant = about["zoo"], about["variant"]
            for split in json.loads(about["splits"]):
                numbers = _reconstructed(arrays, about, split, self.sources.statistics)
                for quantity, layer, networks, hyper_reps, *values in numbers:
                    compared = {"original": quantity, "reconstruction": variant}
                    beside = paper.get((zoo, compared.get(quantity)), math.nan)
                    counts = networks, hyper_reps
                    key = zoo, variant, split, quantity, layer
                    rows.append((*key, *counts, *values, beside))
        columns = (
            "zoo variant split quantity layer networks hyper_reps mean std ci_low"
            " ci_high published"
        )
        return pd.DataFrame(rows, columns=columns.split())


def _reconstructed(
    arrays: dict[str, np.ndarray],
    about: dict[str, Any],
    split: str,
    statistics: Statistics,
) -> Iterator[tuple[Any, ...]]:
    """Yields quantity, layer, counts, mean, std and interval for one split."""
    chosen = arrays["split"] == split
    weights = left_out_weights(arrays["model"][chosen])
    error = arrays["squared_error"][:, chosen]
    by_layer = {
        "r2": explained_variance(error, arrays["squared_deviation"][chosen], weights),
        "mse": mean_squared_error(error, arrays["layer_size"], weights),
    }
    measured: list[tuple[str, str, np.ndarray, float]] = [
        (quantity, layer, values[:, :, column], math.nan)
        for quantity, values in by_layer.items()
        for column, layer in enumerate([*json.loads(about["layers"]), WHOLE])
    ]
    for quantity in ("original", "reconstruction"):
        accuracy = np.atleast_2d(arrays[f"accuracy/{quantity}"])[:, chosen]
        accuracy = accuracy.astype(np.float64)
        measured.append((quantity, WHOLE, weights @ accuracy.T, accuracy.std()))
    for quantity, layer, values, std in measured:
        estimate, *interval = crossed_estimate(
            values,
            confidence=statistics.confidence,
            limits=LIMITS.get(quantity, SHARE),
        )
        counts = int(chosen.sum()), values.shape[1]
        yield quantity, layer, *counts, estimate, std, *interval


class OfProbes(OfStage):
    """A result of linear probes on held-out networks, each with all its epochs."""

    needs: ClassVar = ("inputs", "published")

    def frame(self) -> pd.DataFrame:
        """Returns their summary.

        Returns:
            zoo, features, inputs (their number), property, metric (r2 and tau of
            numbers, accuracy of categories), networks, rows (networks x epochs),
            hyper_reps, mean, ci_low, ci_high, published.
        """
        paper = load_published_properties(self.sources.published)
        statistics = self.sources.statistics
        rows: list[tuple[Any, ...]] = []
        for path in self.sources.inputs:
            arrays, about = read_arrays(path, kind="properties")
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
                    estimate = crossed_estimate(
                        np.stack(values, axis=1),
                        confidence=statistics.confidence,
                        limits=LIMITS[metric],
                    )
                    beside = paper.get((*name, target, metric), math.nan)
                    key = (*name, int(about["inputs"]), target, metric)
                    rows.append((*key, *counts, *estimate, beside))
        columns = (
            "zoo features inputs property metric networks rows hyper_reps mean ci_low"
            " ci_high published"
        )
        return pd.DataFrame(rows, columns=columns.split())
