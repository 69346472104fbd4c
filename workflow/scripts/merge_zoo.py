"""Merges the shards of a zoo into one file and splits its models."""

import json
import logging
from pathlib import Path

import h5py
import numpy as np

from hyperreps.files.storage import DataFileError, add_array, created, opened, reserve
from hyperreps.networks.architectures import build
from hyperreps.running.commands import run
from hyperreps.settings.stages import Zoo
from hyperreps.zoo.population import all_diverged
from hyperreps.zoo.zoos import DIVERGED, assign_splits

SHARED = ("dataset", "architecture", "channels")


def main(
    *,
    shards: tuple[Path, ...],
    name: str,
    settings: Zoo,
    output: Path,
    variations: str = "{}",
) -> None:
    """Writes zoos/{zoo}.h5.

    Args:
        shards: Files of train_zoo.py, in the order of their seeds.
        name: Of the zoo.
        settings: Of the zoo.
        output: HDF5 file to write.
        variations: Of the settings, as JSON: lists of values by key of the recipe.
    """
    settings = Zoo(**settings.model_dump() | {"variations": json.loads(variations)})
    with opened(shards[0], kind="zoo_shard") as first:
        common = {key: first.attrs[key] for key in SHARED}
        shapes = {key: first[key].shape[1:] for key in _datasets(first)}
    network = build(str(common["architecture"]), channels=int(common["channels"]))
    attributes = {
        "kind": "zoo",
        "zoo": name,
        "settings": settings.model_dump(),
        "layout": {
            item.name: [item.start, item.bias.stop] for item in network.weighted
        },
        **common,
        "channels": network.channels,
    }
    with created(output, attributes=attributes) as file:
        for key, shape in shapes.items():
            kind = "i8" if key in ("seed", "diverged") else "f4"
            reserve(file, key, (settings.models, *shape), kind)
        start = 0
        for path in shards:
            start += _append(file, path, start, common, settings)
        if start != settings.models:
            raise DataFileError(f"shards hold {start} models, not {settings.models}")
        split = assign_splits(file["seed"][()].tolist(), fractions=settings.split)
        diverged = file["diverged"][()] >= 0
        train = split == "train"
        if diverged[train].all():
            raise all_diverged(f"{train.sum()} networks of split train")
        # so that no stage takes them for networks
        split = np.where(diverged, DIVERGED, split)
        add_array(file, "split", split)
        recipes = [settings.recipe_of(seed) for seed in file["seed"][()].tolist()]
        for key in settings.variations:
            add_array(file, f"recipe/{key}", [getattr(r, key) for r in recipes])
    counts = ", ".join(f"{(split == part).sum()} {part}" for part in np.unique(split))
    logging.info("%s: %d models (%s)", output, settings.models, counts)


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


def _datasets(shard: h5py.File) -> list[str]:
    parts = [f"{name}/{part}" for name in ("accuracy", "loss") for part in shard[name]]
    return ["weights", "seed", "diverged", *parts]


if __name__ == "__main__":
    run(main)
