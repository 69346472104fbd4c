"""What a configuration takes on CPUs, from counted work and measured speeds.

The speeds are the tables that the benchmarks wrote to docs/measurements. No torch in
here: the Snakefile prints the estimate.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from .architectures import Architecture, build
from .configuration import Settings
from .settings import HyperRep, Recipe
from .sources import SOURCES


class Cost(NamedTuple):
    """What one stage takes.

    Attributes:
        stage: Rule of the workflow.
        core_hours: On a CPU like the one that was measured.
        complete: Whether all image sets are of known size; others are left out.
    """

    stage: str
    core_hours: float
    complete: bool


class Speeds:
    """Measured speeds of one core."""

    def __init__(self, folder: Path) -> None:
        """Reads the tables of the benchmarks in a folder."""
        self.folder = folder

    def samples_per_second(self, table: str, *, case: str) -> float:
        """Returns the speed of the last line of a case with one thread."""
        return float(self._row(table, case)["samples_per_s"])

    def flop_per_second(self, table: str, *, case: str) -> float:
        """Returns the arithmetic of the last line of a case with one thread."""
        return 1e9 * float(self._row(table, case)["gflop_per_s"])

    def _row(self, table: str, case: str) -> dict[str, str]:
        with open(self.folder / f"{table}.csv", newline="", encoding="utf-8") as file:
            rows = [
                row
                for row in csv.DictReader(file)
                if (row["case"], row["threads"]) == (case, "1")
            ]
        return rows[-1]


def autoencoder_multiplications(architecture: Architecture, settings: HyperRep) -> int:
    """Counts fused multiply-adds of encoding and decoding one network once."""
    tokens = sum(item.units for item in architecture.weighted)
    width, latent = settings.width, settings.latent
    token_maps = sum(
        item.units * (item.fan_in + item.layer.bias) * width
        for item in architecture.weighted
    )
    total = 2 * token_maps + latent * tokens * width
    by_token = settings.compression == "token"
    total += latent * width * (1 if by_token else tokens)
    for length in (tokens + by_token, tokens):
        per_token = 4 * width**2 + 2 * width * settings.feedforward
        attention = 2 * length**2 * width
        total += settings.blocks * (length * per_token + attention)
    return total


def estimate(settings: Settings, speeds: Speeds) -> list[Cost]:
    """Estimates the stages that take long: zoos, pretraining, finetuning.

    Args:
        settings: The configuration.
        speeds: Of one core.
    """
    return [
        _total("train_zoo", _zoos(settings, speeds)),
        _total("pretrain", _pretrainings(settings, speeds)),
        _total("finetune", _finetunings(settings, speeds)),
    ]


def _total(stage: str, parts: Iterable[float]) -> Cost:
    seconds = list(parts)
    known = [x for x in seconds if not math.isnan(x)]
    return Cost(stage, sum(known) / 3600, len(known) == len(seconds))


def _zoos(settings: Settings, speeds: Speeds) -> Iterable[float]:
    tables = settings.comparisons.values()
    pairs = [pair for table in tables for pair in table.populations]
    for name in {zoo for pair in pairs for zoo in pair}:
        zoo = settings.zoos[name]
        for recipe in zoo.recipes:
            one = _training(settings, speeds, name, recipe, zoo.architecture)
            yield one * zoo.models / len(zoo.recipes)


def _finetunings(settings: Settings, speeds: Speeds) -> Iterable[float]:
    jobs = {
        (*pair, name)
        for table in settings.comparisons.values()
        if table.finetunes
        for pair in table.populations
        for name in table.methods
    }
    for source, target, name in jobs:
        method = settings.methods[name]
        architecture = method.architecture or settings.zoos[source].architecture
        recipe, epochs = settings.finetuning(source, target, name)
        recipe = recipe.model_copy(update={"epochs": epochs[-1]})
        one = _training(settings, speeds, target, recipe, architecture)
        yield one * method.samples * _seeds(settings, source, method.hyper_rep)


def _seeds(settings: Settings, zoo: str, variant: str) -> int:
    return len(settings.variant(variant, zoo=zoo).seeds) if variant else 1


def _training(
    settings: Settings, speeds: Speeds, zoo: str, recipe: Recipe, architecture: str
) -> float:
    """Returns seconds that one network takes; NaN if only a file tells its images."""
    dataset = settings.datasets[settings.zoos[zoo].dataset]
    source = SOURCES[dataset.source]
    if not source.channels:
        return math.nan
    channels = 1 if dataset.grayscale else source.channels
    fused = architecture == "cnn" and recipe.optimizer == "adam"
    case = "fused" if fused else "grouped"
    train, test = source.images
    trained = recipe.epochs * (train - dataset.validation)
    evaluated = (recipe.epochs + 1) * (dataset.validation + test)
    return trained / speeds.samples_per_second(
        f"zoo_{channels}", case=case
    ) + evaluated / speeds.samples_per_second(f"evaluation_{channels}", case=case)


def _pretrainings(settings: Settings, speeds: Speeds) -> Iterable[float]:
    used = {
        (source, settings.methods[name].hyper_rep)
        for table in settings.comparisons.values()
        for source, _ in table.populations
        for name in table.methods + table.references
    }
    for zoo_name, variant in used:
        if not variant:
            continue
        zoo, model = settings.zoos[zoo_name], settings.variant(variant, zoo=zoo_name)
        first, last = zoo.window
        networks = zoo.models * zoo.split[0] * (last - first + 1)
        views = 2 if model.contrast_weight else 1
        channels = SOURCES[settings.datasets[zoo.dataset].source].channels or 1
        multiplications = autoencoder_multiplications(
            build(zoo.architecture, channels=channels), model
        )
        # the backward pass is twice the forward pass
        flop = 2 * 3 * multiplications * views * networks * model.epochs
        seconds = flop / speeds.flop_per_second("autoencoder", case="ours")
        yield seconds * len(model.seeds)
