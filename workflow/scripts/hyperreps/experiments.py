"""Ensembles, reconstructions and probes of a run, summarised with their uncertainty.

Every summary is in long form, one number per row. Networks are crossed with
hyper-representations (statistics.crossed_estimate): an interval holds the luck of both.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError

from .evaluations import load_published, read_published
from .files.storage import read_arrays
from .numbers.statistics import SHARE, Ends, crossed_estimate, left_out_weights
from .representation.probes import SCORES
from .representation.reconstruction import explained_variance, mean_squared_error
from .settings.stages import SettingsError, Statistics, Strict
from .zoo.ensembles import METRICS

# networks that a hyper-representation was trained on, and those that nothing has seen
SEEN, HELD_OUT = "train", "test"
WHOLE = "all"
# what the quantities can be
LIMITS: dict[str, Ends] = {
    "r2": (-math.inf, 1.0),
    "mse": (0.0, math.inf),
    "tau": (-1.0, 1.0),
    "accuracy": SHARE,
}


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What the table and the figures of an experiment are made from.

    Attributes:
        inputs: HDF5 files of the stage of the experiment.
        published: YAML file of the published numbers.
        statistics: Of the confidence intervals.
        seed: Base seed of the maps.
    """

    inputs: tuple[Path, ...]
    published: Path
    statistics: Statistics
    seed: int = 0


def ensembles(experiment: Experiment) -> pd.DataFrame:
    """Summarises ensembles.

    Args:
        experiment: Files of kind ensembles; its confidence is the part of all ensembles
            between low and high. Nothing else is used: ensembles are drawn already,
            and the paper's numbers were not recovered.

    Returns:
        zoo, method, epoch, size, networks to choose from, ensembles drawn, metric, and
        over these ensembles mean, std (ddof 0), low and high.
    """
    tail = (1 - experiment.statistics.confidence) / 2
    rows: list[tuple[Any, ...]] = []
    for path in experiment.inputs:
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


def reconstruction(experiment: Experiment) -> pd.DataFrame:
    """Summarises reconstructions.

    Args:
        experiment: Files of kind reconstruction.

    Returns:
        zoo, variant, split of the networks, quantity (r2, mse; test accuracy: original,
        reconstruction), layer ("all" for the whole network), networks, hyper_reps,
        mean, std of accuracies over networks (ddof 0), ci_low, ci_high, published.
    """
    modes = load_published(experiment.published, table="reconstruction")
    paper = modes.set_index(["source", "method"])["value"].to_dict()
    rows: list[tuple[Any, ...]] = []
    for path in experiment.inputs:
        arrays, about = read_arrays(path, kind="reconstruction")
        zoo, variant = about["zoo"], about["variant"]
        for split in json.loads(about["splits"]):
            numbers = _reconstructed(arrays, about, split, experiment.statistics)
            for quantity, layer, networks, hyper_reps, *values in numbers:
                compared = {"original": quantity, "reconstruction": variant}
                beside = paper.get((zoo, compared.get(quantity)), math.nan)
                counts = networks, hyper_reps
                key = zoo, variant, split, quantity, layer
                rows.append((*key, *counts, *values, beside))
    columns = (
        "zoo variant split quantity layer networks hyper_reps mean std ci_low ci_high"
        " published"
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
    counts = int(chosen.sum()), len(error)
    for quantity, values in by_layer.items():
        for column, layer in enumerate([*json.loads(about["layers"]), WHOLE]):
            estimate, *interval = crossed_estimate(
                values[:, :, column],
                confidence=statistics.confidence,
                limits=LIMITS[quantity],
            )
            yield quantity, layer, *counts, estimate, math.nan, *interval
    for quantity in ("original", "reconstruction"):
        accuracy = np.atleast_2d(arrays[f"accuracy/{quantity}"])[:, chosen]
        accuracy = accuracy.astype(np.float64)
        estimate, *interval = crossed_estimate(
            weights @ accuracy.T, confidence=statistics.confidence, limits=SHARE
        )
        yield (
            *(quantity, WHOLE, counts[0], len(accuracy)),
            *(estimate, accuracy.std(), *interval),
        )


def properties(experiment: Experiment) -> pd.DataFrame:
    """Summarises linear probes on held-out networks.

    Args:
        experiment: Files of kind properties; a network goes with all its epochs.

    Returns:
        zoo, features, inputs (their number), property, metric (r2 and tau of numbers,
        accuracy of categories), networks, rows (networks x epochs), hyper_reps, mean,
        ci_low, ci_high, published.
    """
    paper = load_published_properties(experiment.published)
    statistics = experiment.statistics
    rows: list[tuple[Any, ...]] = []
    for path in experiment.inputs:
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


class PublishedProperties(Strict):
    """Published probes: zoo -> features -> property -> R2."""

    source: str
    r2: dict[
        str, dict[str, dict[str, Annotated[float, Field(le=1, allow_inf_nan=False)]]]
    ]


def load_published_properties(path: Path) -> dict[tuple[str, str, str, str], float]:
    """Reads the table properties of published.yaml.

    Returns:
        Number by zoo, features, property and metric.

    Raises:
        SettingsError: If the table is missing or cannot be read.
    """
    content = read_published(path)
    try:
        table = PublishedProperties.model_validate(content.get("properties"))
    except ValidationError as error:
        reason = " ".join(str(error).split())
        raise SettingsError(f"{path}: table properties: {reason}") from error
    return {
        (zoo, features, name, "r2"): value
        for zoo, by_features in table.r2.items()
        for features, by_name in by_features.items()
        for name, value in by_name.items()
    }
