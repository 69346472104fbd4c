"""Turns networks that were trained elsewhere into a zoo file."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import numpy as np
import torch

from hyperreps.data.images import read_images
from hyperreps.data.npz import read_npz
from hyperreps.engines.interface import evaluate
from hyperreps.files.places import data_folder, expanded
from hyperreps.files.storage import DataFileError, write_arrays
from hyperreps.networks.architectures import Architecture, build
from hyperreps.running.commands import UNPREFIXED, run
from hyperreps.running.devices import Machine
from hyperreps.settings.limits import MOST
from hyperreps.settings.stages import Zoo
from hyperreps.zoo.zoos import assign_splits, epoch_columns


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
            it. ~ and $NAME are replaced.
        images: Evaluate on the first so many images of each split; none: on all.
        machine: Where it computes.
    """
    place = machine.prepare()
    file = read_images(dataset)
    network = build(settings.architecture, channels=file.channels)
    weights_file = expanded(settings.weights, key=f"zoos.{name}.weights")
    path = data_folder(data_dir) / weights_file
    weights, epochs, seeds = _read(path, settings, network)
    rows = torch.from_numpy(weights).flatten(0, 1).to(place)
    measured, labels = {}, {}
    for split, part in file.on(place).items():
        logging.info("evaluating %d networks on %s images", len(rows), split)
        part = part.first(images) if images else part
        labels[split] = part.labels.cpu().numpy()
        loss, accuracy = evaluate(
            network,
            rows,
            part,
            activation=settings.recipe.activation,
            engine=machine.engine,
        )
        measured[f"loss/{split}"] = loss.reshape(weights.shape[:2])
        measured[f"accuracy/{split}"] = accuracy.reshape(weights.shape[:2])
    _report(path, epochs, measured["accuracy/test"], labels["test"])
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
    names = ("weights", "epochs", "seeds")
    arrays = read_npz(path, names=names, origin=str(path), exact=False)
    weights, epochs, seeds = arrays.values()
    for name, array, kind, axes in (
        ("weights", weights, "f", 3),
        ("epochs", epochs, "iu", 1),
        ("seeds", seeds, "iu", 1),
    ):
        if array.dtype.kind not in kind or array.ndim != axes:
            raise DataFileError(
                f"{path}: {name} is {array.dtype} {array.shape}; it must have {axes}"
                f" axes and hold {'real' if kind == 'f' else 'whole'} numbers"
            )
    wanted = (settings.models, len(epochs), network.parameters)
    if weights.shape != wanted or seeds.shape != wanted[:1]:
        raise DataFileError(
            f"{path}: weights {weights.shape} and seeds {seeds.shape}, but models ="
            f" {settings.models}, {len(epochs)} epochs and {network.parameters}"
            f" parameters of {network.name} need {wanted}"
        )
    if len(np.unique(seeds)) < len(seeds) or sorted(set(epochs)) != list(epochs):
        raise DataFileError(f"{path}: seeds must differ and epochs increase")
    if min(seeds) < 0 or max(seeds) >= 2**31 or min(epochs) < 0 or max(epochs) > MOST:
        raise DataFileError(
            f"{path}: seeds must be 0..{2**31 - 1} and epochs 0..{MOST}, not"
            f" {min(seeds)}..{max(seeds)} and {min(epochs)}..{max(epochs)}"
        )
    # float32 is what networks have, and what is too large for it is infinite there
    with np.errstate(over="ignore"):
        weights = weights.astype(np.float32)
    broken = np.flatnonzero(~np.isfinite(weights).all(axis=(1, 2)))
    if len(broken):
        raise DataFileError(
            f"{path}: weights of {len(broken)} models are not finite, of seed"
            f" {seeds[broken[0]]} first; leave them out"
        )
    first, last = settings.window
    epoch_columns(path, epochs.tolist(), wanted=range(first, last + 1))
    return weights, epochs.astype(np.int64), seeds.astype(np.int64)


def _report(
    path: Path,
    epochs: np.ndarray,
    accuracy: np.ndarray,
    labels: np.ndarray,
) -> None:
    """Logs the median of accuracy [models, epochs]; warns if it is at chance.

    Chance is what one answer to all images reaches, the share of the largest class, and
    three standard errors of that share: networks that do not look at the images differ
    so much by their luck. Untrained epochs may be at chance; if all are, the weights
    are probably not where the architecture looks for them.
    """
    medians = np.median(accuracy, axis=0)
    for epoch, median in zip(epochs, medians, strict=True):
        logging.info("epoch %d: median test accuracy %.4f", epoch, median)
    share = np.bincount(labels).max() / len(labels)
    chance = share + 3 * np.sqrt(share * (1 - share) / len(labels))
    if medians.max() <= chance:
        logging.warning(
            "%s: the networks are at chance at all epochs (median test accuracy at most"
            " %.4f, the largest class has %.4f); is the order of columns that of"
            " docs/data_format.md: layer by layer, weight row-major, then bias?",
            path,
            medians.max(),
            share,
        )


if __name__ == "__main__":
    run(main)
