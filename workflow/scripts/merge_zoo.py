"""Merges the shards of a zoo into one file and splits its models."""

import logging
from pathlib import Path

import h5py
import numpy as np

from hyperreps.architectures import build
from hyperreps.commands import run
from hyperreps.settings import Zoo
from hyperreps.storage import DataFileError, created, opened
from hyperreps.zoos import assign_splits

SHARED = ("dataset", "architecture", "channels", "recipe")


def main(*, shards: tuple[Path, ...], name: str, settings: Zoo, output: Path) -> None:
    """Writes zoos/{zoo}.h5.

    Args:
        shards: Files of train_zoo.py, in the order of their seeds.
        name: Of the zoo.
        settings: Of the zoo.
        output: HDF5 file to write.
    """
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
        **{key: value for key, value in common.items() if key != "recipe"},
        "channels": network.channels,
    }
    with created(output, attributes=attributes) as file:
        for key, shape in shapes.items():
            kind = "i8" if key in ("seed", "diverged") else "f4"
            file.create_dataset(key, (settings.models, *shape), kind)
        start = 0
        for path in shards:
            start += _append(file, path, start, common)
        if start != settings.models:
            raise DataFileError(f"shards hold {start} models, not {settings.models}")
        split = assign_splits(file["seed"][()].tolist(), fractions=settings.split)
        file["split"] = split.astype("S")
        lost = int((file["diverged"][()] >= 0).sum())
    counts = ", ".join(f"{(split == part).sum()} {part}" for part in np.unique(split))
    logging.info(
        "%s: %d models (%s), %d diverged", output, settings.models, counts, lost
    )


def _append(file: h5py.File, path: Path, start: int, common: dict) -> int:
    """Copies a shard behind the models that are there; returns its size."""
    with opened(path, kind="zoo_shard") as shard:
        for key in SHARED:
            if shard.attrs[key] != common[key]:
                raise DataFileError(f"{path}: {key} differs; delete it and run again")
        count = len(shard["seed"])
        for key in _datasets(shard):
            file[key][start : start + count] = shard[key][()]
    return count


def _datasets(shard: h5py.File) -> list[str]:
    parts = [f"{name}/{part}" for name in ("accuracy", "loss") for part in shard[name]]
    return ["weights", "seed", "diverged", *parts]


if __name__ == "__main__":
    run(main)
