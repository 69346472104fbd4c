"""The shards in which the networks of a zoo are trained, merged into its file."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np

from ..files.storage import DataFileError, add_array, created, opened, reserve
from ..networks.architectures import build
from ..settings.stages import Zoo
from .zoos import DIVERGED, all_diverged, assign_splits, zoo_attributes

SHARED = ("dataset", "architecture", "channels")


def merge_shards(
    shards: tuple[Path, ...], output: Path, *, name: str, settings: Zoo
) -> np.ndarray:
    """Writes the file of a zoo, one shard after another.

    Args:
        shards: Files of train_zoo.py, in the order of their seeds.
        output: HDF5 file to write.
        name: Of the zoo.
        settings: Of the zoo.

    Returns:
        The split of each model, or diverged.

    Raises:
        DataFileError: If a shard is of another zoo, or models are missing.
        SettingsError: If all networks of split train have diverged.
    """
    with opened(shards[0], kind="zoo_shard") as first:
        common = {key: first.attrs[key] for key in SHARED}
        shapes = {key: first[key].shape[1:] for key in _datasets(first)}
        epochs = first["epochs"][()]
    network = build(str(common["architecture"]), channels=int(common["channels"]))
    attributes = zoo_attributes(name, settings, network, dataset=common["dataset"])
    with created(output, attributes=attributes) as file:
        for key, shape in shapes.items():
            kind = "i8" if key in ("seed", "diverged") else "f4"
            reserve(file, key, (settings.models, *shape), kind)
        start = 0
        for path in shards:
            start += _append(file, path, start, common, settings)
        if start != settings.models:
            raise DataFileError(f"shards hold {start} models, not {settings.models}")
        seeds = file["seed"][()].tolist()
        split = _splits(seeds, file["diverged"][()] >= 0, settings)
        add_array(file, "split", split)
        add_array(file, "epochs", epochs)
        recipes = [settings.recipe_of(seed) for seed in seeds]
        for key in settings.variations:
            add_array(file, f"recipe/{key}", [getattr(r, key) for r in recipes])
    return split


def _append(
    file: h5py.File, path: Path, start: int, common: dict, settings: Zoo
) -> int:
    """Copies a shard behind the models that are there; returns its size."""
    with opened(path, kind="zoo_shard") as shard:
        recipe = settings.recipe_of(settings.first_seed + start).model_dump()
        expected = {**common, "recipe": json.dumps(recipe)}
        for key, value in expected.items():
            if shard.attrs[key] != value:
                raise DataFileError(
                    f"{path}: {key} differs; move it away and run again"
                )
        arrays = {key: shard[key][()] for key in _datasets(shard)}
    count = len(arrays["seed"])
    for key, values in arrays.items():
        file[key][start : start + count] = values
    return count


def _splits(seeds: list[int], diverged: np.ndarray, settings: Zoo) -> np.ndarray:
    """Returns the split of each model; none for those that are no networks."""
    split = assign_splits(seeds, fractions=settings.split)
    train = split == "train"
    if diverged[train].all():
        raise all_diverged(f"{train.sum()} networks of split train")
    return np.where(diverged, DIVERGED, split)


def _datasets(shard: h5py.File) -> list[str]:
    parts = [f"{name}/{part}" for name in ("accuracy", "loss") for part in shard[name]]
    return ["weights", "seed", "diverged", *parts]
