"""Zoos as data: reading them, splitting their models, selecting pools of weights."""

from __future__ import annotations

import json
import logging
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..files.storage import DataFileError, opened, read_arrays
from ..networks.architectures import Architecture, build
from ..numbers.seeds import derived_seed
from ..numbers.shapes import Float, Int
from ..settings.stages import Method, Recipe, SettingsError, Zoo, split_sizes

log = logging.getLogger(__name__)

MODEL_SPLITS = ("train", "val", "test")
# what stands for the split of a model whose training diverged: it is in none
DIVERGED = "diverged"


def assign_splits(seeds: Sequence[int], *, fractions: Sequence[float]) -> np.ndarray:
    """Assigns each model to train, val or test by its seed, whatever the file order.

    Args:
        seeds: One per model, at least 3.
        fractions: Of train, val and test; each gets at least one model.

    Returns:
        Names of splits, one per model.
    """
    count = len(seeds)
    train, val, test = split_sizes(count, fractions)
    ranking = np.argsort([derived_seed("split", int(seed)) for seed in seeds])
    names = np.empty(count, dtype="<U5")
    names[ranking] = ["train"] * train + ["val"] * val + ["test"] * test
    return names


def complete_seeds(settings: Zoo, *, first: int, last: int) -> list[int]:
    """Returns the seeds of the models that are trained longer than all others.

    They are the test split, whose accuracy is compared at all epochs of the recipe.

    Args:
        settings: Of the zoo.
        first: Seed from which on they are wanted.
        last: The last seed that is.
    """
    if settings.last_epoch == settings.recipe.epochs:
        return []
    seeds = _test_seeds(settings.first_seed, settings.models, settings.split)
    return seeds[bisect_left(seeds, first) : bisect_right(seeds, last)]


@cache
def _test_seeds(first: int, models: int, fractions: tuple[float, ...]) -> list[int]:
    """Returns the seeds of the test split, increasing."""
    split = assign_splits(range(first, first + models), fractions=fractions)
    return [first + int(row) for row in np.flatnonzero(split == "test")]


def all_diverged(networks: str) -> SettingsError:
    """Returns the error of a population without a network that can be used."""
    return SettingsError(
        f"all {networks} have diverged: weights or losses are not finite, or"
        " beyond recipe.weight_limit; lower recipe.learning_rate"
    )


def split_counts(split: np.ndarray) -> str:
    """Returns "15 test, 70 train, 15 val", for logs."""
    return ", ".join(f"{(split == part).sum()} {part}" for part in np.unique(split))


def zoo_attributes(
    name: str, settings: Zoo, network: Architecture, *, dataset: str
) -> dict[str, Any]:
    """Returns the attributes of a zoo's file, as docs/data_format.md describes them."""
    return {
        "kind": "zoo",
        "zoo": name,
        "settings": settings.model_dump(),
        "layout": {
            item.name: [item.start, item.bias.stop] for item in network.weighted
        },
        "dataset": dataset,
        "architecture": network.name,
        "channels": network.channels,
    }


@dataclass(frozen=True)
class ZooData:
    """A zoo in memory.

    Attributes:
        name: Of the zoo.
        weights: All models at some epochs.
        epochs: Of weights; those of the zoo's window if no others were asked for.
        accuracy: By image split, at the same epochs.
        seed: Per model.
        split: Per model: train, val or test of the hyper-representation, or diverged.
        architecture: Of all models.
        settings: The zoo's settings.
    """

    name: str
    weights: Float[np.ndarray, "models epochs parameters"]
    epochs: Int[np.ndarray, epochs]
    accuracy: dict[str, Float[np.ndarray, "models epochs"]]
    seed: Int[np.ndarray, models]
    split: np.ndarray
    architecture: Architecture
    settings: Zoo

    @property
    def recipes(self) -> list[Recipe]:
        """The recipe of each model."""
        return [self.settings.recipe_of(int(seed)) for seed in self.seed]


def read_zoo(path: Path, *, epochs: Sequence[int] = ()) -> ZooData:
    """Reads zoos/{zoo}.h5 or an aligned zoo.

    Args:
        path: Of the file.
        epochs: Wanted, increasing; none: those of the zoo's window.

    Raises:
        DataFileError: If the file is missing, damaged or holds something else.
    """
    names = [f"accuracy/{split}" for split in MODEL_SPLITS]
    arrays, attributes = read_arrays(
        path, "seed", "split", "epochs", *names, kind="zoo"
    )
    settings = Zoo(**json.loads(attributes["settings"]))
    first, last = settings.window
    epochs = list(epochs or range(first, last + 1))
    with opened(path, kind="zoo") as file:
        columns = epoch_columns(
            path,
            arrays["epochs"].tolist(),
            wanted=epochs,
            remedy=f"; add them to zoos.{attributes['zoo']}.keep and run again",
        )
        weights = file["weights"][:, columns]
    if lost := int((arrays["split"] == DIVERGED).sum()):
        total = len(arrays["split"])
        log.info("%s: %d of %d networks diverged and are left out", path, lost, total)
    architecture = read_architecture(attributes, path)
    if weights.ndim != 3 or weights.shape[2] != architecture.parameters:
        raise DataFileError(
            f"{path}: weights have shape {weights.shape}, but {architecture.name} has"
            f" {architecture.parameters} parameters; move the file away and run again"
        )
    return ZooData(
        name=str(attributes["zoo"]),
        weights=weights,
        epochs=np.array(epochs),
        accuracy={
            split: arrays[f"accuracy/{split}"][:, epochs] for split in MODEL_SPLITS
        },
        seed=arrays["seed"],
        split=arrays["split"],
        architecture=architecture,
        settings=settings,
    )


def read_settings(path: Path) -> Zoo:
    """Reads the settings of zoos/{zoo}.h5 or of an aligned zoo.

    Raises:
        DataFileError: If the file is missing, damaged or holds something else.
    """
    with opened(path, kind="zoo") as file:
        return Zoo(**json.loads(file.attrs["settings"]))


def epoch_columns(
    where: Path | str,
    recorded: Sequence[int],
    *,
    wanted: Sequence[int],
    remedy: str = "",
) -> list[int]:
    """Returns the columns in which weights of some epochs lie.

    Files have weights of some epochs only; loss and accuracy have a column per epoch.

    Args:
        where: File or zoo, for the error.
        recorded: Epoch of each column, increasing.
        wanted: Epochs, some perhaps more than once.
        remedy: Behind the error.

    Raises:
        DataFileError: If an epoch is not there.
    """
    column = {epoch: index for index, epoch in enumerate(recorded)}
    if missing := set(wanted) - column.keys():
        raise DataFileError(
            f"{where}: no epoch {_listed(missing)}; wanted are {_listed(wanted)}, there"
            f" are {_listed(column)}{remedy}"
        )
    return [column[epoch] for epoch in wanted]


def _listed(epochs: Iterable[int]) -> str:
    """Returns "0, 1, 21..25"."""
    runs: list[list[int]] = []
    for epoch in sorted(set(epochs)):
        if runs and epoch == runs[-1][-1] + 1:
            runs[-1].append(epoch)
        else:
            runs.append([epoch])
    return ", ".join(
        f"{run[0]}..{run[-1]}" if len(run) > 2 else ", ".join(map(str, run))
        for run in runs
    )


def read_architecture(attributes: dict[str, Any], path: Path) -> Architecture:
    """Builds the architecture that a file's attributes name.

    Raises:
        DataFileError: If it is not registered.
    """
    try:
        return build(
            str(attributes["architecture"]), channels=int(attributes["channels"])
        )
    except (KeyError, ValueError) as error:
        raise DataFileError(f"{path}: {error}") from error


@dataclass(frozen=True)
class Pool:
    """Weights that a sampler or the hyper-representation may see.

    Attributes:
        weights: One network per row.
        model: Row of the zoo that each comes from.
        epoch: Its epoch.
    """

    weights: Float[np.ndarray, "pool parameters"]
    model: Int[np.ndarray, pool]
    epoch: Int[np.ndarray, pool]


def select(
    zoo: ZooData,
    *,
    split: str,
    epochs: str = "window",
    top: float = 1.0,
    bottom: float = 1.0,
    select_on: str = "val",
    weight_threshold: float = np.inf,
) -> Pool:
    """Selects networks of a zoo.

    Args:
        zoo: Where from.
        split: Models: train, val or test.
        epochs: "window": all of the zoo's window; "last": its last.
        top: Fraction of all selected networks with the best accuracy that is kept.
        bottom: Fraction of those with the worst that is kept.
        select_on: Images whose accuracy ranks them: val, or test as in the release.
        weight_threshold: Networks with a larger absolute weight are left out, as are
            those with a weight that is not finite.

    Raises:
        SettingsError: If no network is left.
    """
    models = np.flatnonzero(zoo.split == split)
    columns = np.arange(len(zoo.epochs))[-1 if epochs == "last" else 0 :]
    model, column = (x.ravel() for x in np.meshgrid(models, columns, indexing="ij"))
    weights = zoo.weights[model, column]
    # without a second copy of them; NaN compares false, so broken networks go as well
    largest = np.maximum(weights.max(1, initial=0), -weights.min(1, initial=0))
    keep = np.isfinite(largest) & (largest <= weight_threshold)
    if not keep.all():
        weights, model, column = weights[keep], model[keep], column[keep]
    if not len(weights):
        raise SettingsError(
            f"zoo {zoo.name}: no network of split {split!r} is left; every one has"
            " diverged or has a weight that is not finite or above weight_threshold"
            f" ({weight_threshold:g})"
        )
    accuracy = zoo.accuracy[select_on][model, column]
    low, high = np.quantile(accuracy, [1 - top, bottom])
    kept = (accuracy >= low) & (accuracy <= high)
    if not kept.all():
        weights, model, column = weights[kept], model[kept], column[kept]
    return Pool(weights, model, zoo.epochs[column])


def select_for(zoo: ZooData, method: Method, *, weight_threshold: float) -> Pool:
    """Selects the pool of a method."""
    return select(
        zoo,
        split=method.split,
        epochs=method.epochs,
        top=method.top,
        bottom=method.bottom,
        select_on=method.select_on,
        weight_threshold=weight_threshold,
    )


def select_splits(
    zoo: ZooData, *, epochs: str, weight_threshold: float
) -> tuple[Pool, np.ndarray]:
    """Selects the networks of all splits, one split after another.

    Args:
        zoo: Where from.
        epochs: As in select().
        weight_threshold: As in select().

    Returns:
        The networks, and the split of each.
    """
    pools = [
        select(zoo, split=split, epochs=epochs, weight_threshold=weight_threshold)
        for split in MODEL_SPLITS
    ]
    sizes = [len(pool.model) for pool in pools]
    columns = (
        np.concatenate([getattr(pool, name) for pool in pools])
        for name in ("weights", "model", "epoch")
    )
    return Pool(*columns), np.repeat(MODEL_SPLITS, sizes)
