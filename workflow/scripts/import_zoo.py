"""Turns networks that were trained elsewhere into a zoo file."""

from __future__ import annotations

import logging
import os
import zipfile
from pathlib import Path
from typing import Annotated

import numpy as np
import torch

from hyperreps.architectures import Architecture, build
from hyperreps.commands import UNPREFIXED, run
from hyperreps.devices import Machine
from hyperreps.engines import evaluate
from hyperreps.images import read_images
from hyperreps.settings import SettingsError, Zoo
from hyperreps.storage import DataFileError, write_arrays
from hyperreps.zoos import assign_splits


def main(
    *,
    dataset: Path,
    name: str,
    settings: Zoo,
    output: Path,
    data_dir: Path = Path("data"),
    images: int | None = None,
    machine: Annotated[Machine, UNPREFIXED] = Machine(),
) -> None:
    """Writes zoos/{zoo}.h5 with the epochs of the npz file.

    The file has weights [models, epochs, parameters] in the vector order of
    docs/data_format.md, epochs [epochs], increasing, and seeds [models], all different.

    Args:
        dataset: Prepared images, on which the networks are evaluated.
        name: Of the zoo.
        settings: Of the zoo; its weights name the file.
        output: HDF5 file to write.
        data_dir: Folder of the file. The environment variable HYPERREPS_DATA overrides
            it.
        images: Evaluate on the first so many images of each split; none: on all.
        machine: Where it computes.
    """
    place = machine.prepare()
    file = read_images(dataset)
    network = build(settings.architecture, channels=file.channels)
    path = Path(os.environ.get("HYPERREPS_DATA") or data_dir) / settings.weights
    weights, epochs, seeds = _read(path, settings, network)
    rows = torch.from_numpy(weights).flatten(0, 1).to(place)
    measured = {}
    for split, part in file.on(place).items():
        logging.info("evaluating %d networks on %s images", len(rows), split)
        loss, accuracy = evaluate(
            network,
            rows,
            part.first(images) if images else part,
            activation=settings.recipe.activation,
            engine=machine.engine,
        )
        measured[f"loss/{split}"] = loss.reshape(weights.shape[:2])
        measured[f"accuracy/{split}"] = accuracy.reshape(weights.shape[:2])
    split = assign_splits(seeds.tolist(), fractions=settings.split)
    write_arrays(
        output,
        {
            "weights": weights,
            "epochs": epochs,
            "seed": seeds,
            "split": split,
            "diverged": np.full(len(seeds), -1),
            **measured,
        },
        attributes={
            "kind": "zoo",
            "zoo": name,
            "settings": settings.model_dump(),
            "dataset": file.name,
            "architecture": network.name,
            "channels": network.channels,
            "layout": {w.name: [w.start, w.bias.stop] for w in network.weighted},
        },
    )
    counts = ", ".join(f"{(split == part).sum()} {part}" for part in np.unique(split))
    logging.info("%s: %d models (%s)", output, len(weights), counts)


def _read(
    path: Path, settings: Zoo, network: Architecture
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns weights, epochs and seeds, or says what is wrong with the file."""
    if not path.is_file():
        raise DataFileError(f"{path}: no such file; put it there")
    try:
        with np.load(path) as content:
            weights, epochs, seeds = (
                content[k] for k in ("weights", "epochs", "seeds")
            )
    except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise DataFileError(
            f"{path}: {error}; it needs weights, epochs, seeds"
        ) from error
    wanted = (settings.models, len(epochs), network.parameters)
    if weights.shape != wanted or seeds.shape != wanted[:1]:
        raise DataFileError(
            f"{path}: weights {weights.shape} and seeds {seeds.shape}, but models ="
            f" {settings.models}, {len(epochs)} epochs and {network.parameters}"
            f" parameters of {network.name} need {wanted}"
        )
    if len(np.unique(seeds)) < len(seeds) or (np.diff(epochs) <= 0).any():
        raise DataFileError(f"{path}: seeds must differ and epochs increase")
    first, last = settings.window
    if missing := set(range(first, last + 1)) - set(epochs.tolist()):
        raise SettingsError(
            f"zoos: window {first}..{last}: {path} has no epoch {min(missing)}"
        )
    return weights.astype(np.float32), epochs.astype(np.int64), seeds.astype(np.int64)


if __name__ == "__main__":
    run(main)
