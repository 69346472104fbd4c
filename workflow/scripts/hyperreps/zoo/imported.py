"""Networks that were trained elsewhere: read from an npz file, and judged."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..data.npz import read_npz
from ..files.storage import DataFileError
from ..networks.architectures import Architecture
from ..numbers.shapes import Float, Int
from ..settings.limits import MOST
from ..settings.stages import Zoo
from .zoos import epoch_columns

log = logging.getLogger(__name__)


class Imported(NamedTuple):
    """What the npz file holds.

    Attributes:
        weights: In the vector order of docs/data_format.md.
        epochs: Of weights, increasing.
        seeds: Per model, all different.
    """

    weights: Float[np.ndarray, "models epochs parameters"]
    epochs: Int[np.ndarray, epochs]
    seeds: Int[np.ndarray, models]


def read_imported(path: Path, settings: Zoo, network: Architecture) -> Imported:
    """Reads the networks of an npz file.

    Args:
        path: With weights, epochs and seeds.
        settings: Of the zoo that they become.
        network: What they are.

    Raises:
        DataFileError: In one line that says what is wrong with the file.
    """
    if not path.is_file():
        raise DataFileError(f"{path}: no such file; put it there")
    arrays = read_npz(path, names=Imported._fields, origin=str(path), exact=False)
    weights, epochs, seeds = arrays.values()
    _check_kinds(path, arrays)
    _check_sizes(path, arrays, settings, network)
    _check_numbers(path, epochs, seeds)
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
    return Imported(weights, epochs.astype(np.int64), seeds.astype(np.int64))


def _check_kinds(path: Path, arrays: dict[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        kind, axes = ("f", 3) if name == "weights" else ("iu", 1)
        if array.dtype.kind not in kind or array.ndim != axes:
            raise DataFileError(
                f"{path}: {name} is {array.dtype} {array.shape}; it must have {axes}"
                f" axes and hold {'real' if kind == 'f' else 'whole'} numbers"
            )


def _check_sizes(
    path: Path, arrays: dict[str, np.ndarray], settings: Zoo, network: Architecture
) -> None:
    weights, epochs, seeds = (array.shape for array in arrays.values())
    wanted = (settings.models, *epochs, network.parameters)
    if weights != wanted or seeds != wanted[:1]:
        raise DataFileError(
            f"{path}: weights {weights} and seeds {seeds}, but models ="
            f" {settings.models}, {epochs[0]} epochs and {network.parameters}"
            f" parameters of {network.name} need {wanted}"
        )


def _check_numbers(path: Path, epochs: np.ndarray, seeds: np.ndarray) -> None:
    if len(np.unique(seeds)) < len(seeds) or sorted(set(epochs)) != list(epochs):
        raise DataFileError(f"{path}: seeds must differ and epochs increase")
    if min(seeds) < 0 or max(seeds) >= 2**31 or min(epochs) < 0 or max(epochs) > MOST:
        raise DataFileError(
            f"{path}: seeds must be 0..{2**31 - 1} and epochs 0..{MOST}, not"
            f" {min(seeds)}..{max(seeds)} and {min(epochs)}..{max(epochs)}"
        )


def log_medians(
    path: Path,
    epochs: Int[np.ndarray, epochs],
    accuracy: Float[np.ndarray, "models epochs"],
    labels: Int[np.ndarray, images],
) -> None:
    """Logs the median accuracy of each epoch; warns if all are at chance.

    Chance is what one answer to all images reaches, the share of the largest class, and
    three standard errors of that share: networks that do not look at the images differ
    so much by their luck. Untrained epochs may be at chance; if all are, the weights
    are probably not where the architecture looks for them.
    """
    medians = np.median(accuracy, axis=0)
    for epoch, median in zip(epochs, medians, strict=True):
        log.info("epoch %d: median test accuracy %.4f", epoch, median)
    share = np.bincount(labels).max() / len(labels)
    chance = share + 3 * np.sqrt(share * (1 - share) / len(labels))
    if medians.max() <= chance:
        log.warning(
            "%s: the networks are at chance at all epochs (median test accuracy at most"
            " %.4f, the largest class has %.4f); is the order of columns that of"
            " docs/data_format.md: layer by layer, weight row-major, then bias?",
            path,
            medians.max(),
            share,
        )
