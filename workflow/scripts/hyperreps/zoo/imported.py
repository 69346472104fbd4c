"""Networks that were trained elsewhere: read from where they lie, and judged.

A source hands out one network after the other; an npz file is one, a folder another.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch

from ..data.images import Images
from ..data.npz import read_npz
from ..engines.interface import evaluate
from ..files.storage import DataFileError
from ..networks.architectures import Architecture
from ..numbers.shapes import Float, Int
from ..settings.limits import MOST
from ..settings.stages import Engine, Zoo
from .folder_source import FolderSource
from .folders import networks_digest
from .zoos import epoch_columns

log = logging.getLogger(__name__)

ARRAYS = ("weights", "epochs", "seeds")
# by which a recorded accuracy may differ: other hardware, not other images
TOLERANCE = 0.002


class Imported(NamedTuple):
    """Networks that were trained elsewhere.

    Attributes:
        weights: In the vector order of docs/data_format.md.
        epochs: Of weights, increasing.
        seeds: Per model, all different.
        accuracy: On test images, as the source says; NaN where it does not.
        about: What they were read from: form, and sha256 of the files.
    """

    weights: Float[np.ndarray, "models epochs parameters"]
    epochs: Int[np.ndarray, epochs]
    seeds: Int[np.ndarray, models]
    accuracy: Float[np.ndarray, "models epochs"]
    about: dict[str, str]

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns the networks by the names they have in the file of a zoo."""
        return {
            "weights": self.weights,
            "epochs": self.epochs,
            "seed": self.seeds,
            "diverged": np.full(len(self.seeds), -1),
        }


class Source(Protocol):
    """Where networks are read from, one after the other.

    Attributes:
        form: What it is, in a word or two.
        epochs: Of every network, increasing.
        seeds: Per network.
        accuracy: As in Imported.
    """

    form: str
    epochs: Int[np.ndarray, epochs]
    seeds: Int[np.ndarray, models]
    accuracy: Float[np.ndarray, "models epochs"]

    def read(self, model: int) -> Float[np.ndarray, "epochs parameters"]:
        """Returns the weights of a network.

        Raises:
            DataFileError: If its file is damaged or holds another network.
        """
        ...


def read_imported(path: Path, settings: Zoo, network: Architecture) -> Imported:
    """Reads the networks of an npz file or of a folder.

    Args:
        path: The file or folder (docs/own_zoo.md).
        settings: Of the zoo that they become.
        network: What they are.

    Raises:
        DataFileError: In one line that says which file is wrong, in what.
    """
    if not path.exists():
        raise DataFileError(f"{path}: no such file or folder; put it there")
    kind = FolderSource if path.is_dir() else NpzSource
    source: Source = kind(path, settings, network)
    epochs, seeds = source.epochs, source.seeds
    _check_numbers(path, epochs, seeds)
    first, last = settings.window
    epoch_columns(path, epochs.tolist(), wanted=range(first, last + 1))
    weights = np.empty((len(seeds), len(epochs), network.parameters), np.float32)
    for model in range(len(seeds)):
        # what is too large for float32, which networks have, is infinite there
        with np.errstate(over="ignore"):
            weights[model] = source.read(model)
    broken = np.flatnonzero(~np.isfinite(weights).all(axis=(1, 2)))
    if len(broken):
        raise DataFileError(
            f"{path}: weights of {len(broken)} models are not finite, of seed"
            f" {seeds[broken[0]]} first; leave them out"
        )
    about = {"form": source.form, "sha256": networks_digest(path, settings)}
    return Imported(
        weights,
        epochs.astype(np.int64),
        seeds.astype(np.int64),
        source.accuracy.astype(np.float32),
        about,
    )


def _check_numbers(path: Path, epochs: np.ndarray, seeds: np.ndarray) -> None:
    if len(np.unique(seeds)) < len(seeds) or sorted(set(epochs)) != list(epochs):
        raise DataFileError(f"{path}: seeds must differ and epochs increase")
    if min(seeds) < 0 or max(seeds) >= 2**31 or min(epochs) < 0 or max(epochs) > MOST:
        raise DataFileError(
            f"{path}: seeds must be 0..{2**31 - 1} and epochs 0..{MOST}, not"
            f" {min(seeds)}..{max(seeds)} and {min(epochs)}..{max(epochs)}"
        )


class NpzSource:
    """An npz file with weights [models, epochs, parameters], epochs and seeds."""

    form = "npz"

    def __init__(self, path: Path, settings: Zoo, network: Architecture) -> None:
        """Reads the file; its arrays must fit one another and the settings."""
        arrays = read_npz(path, names=ARRAYS, origin=str(path), exact=False)
        self.weights, self.epochs, self.seeds = arrays.values()
        for name, array in arrays.items():
            kind, axes = ("f", 3) if name == "weights" else ("iu", 1)
            if array.dtype.kind not in kind or array.ndim != axes:
                raise DataFileError(
                    f"{path}: {name} is {array.dtype} {array.shape}; it must have"
                    f" {axes} axes and hold {'real' if kind == 'f' else 'whole'}"
                    " numbers"
                )
        wanted = (settings.models, len(self.epochs), network.parameters)
        if self.weights.shape != wanted or self.seeds.shape != wanted[:1]:
            raise DataFileError(
                f"{path}: weights {self.weights.shape} and seeds {self.seeds.shape},"
                f" but models = {settings.models}, {wanted[1]} epochs and {wanted[2]}"
                f" parameters of {network.name} need {wanted}"
            )
        self.accuracy = np.full(wanted[:2], np.nan)

    def read(self, model: int) -> Float[np.ndarray, "epochs parameters"]:
        """Returns the weights of a network."""
        return self.weights[model]


def log_recorded(
    path: Path,
    imported: Imported,
    accuracy: Float[np.ndarray, "models epochs"],
) -> None:
    """Logs by how much accuracies differ from those that a source recorded.

    Warns if one does by more than TOLERANCE, and says which.
    """
    difference = np.abs(accuracy - imported.accuracy)
    known = np.isfinite(difference)
    if not known.any():
        return
    log.info(
        "%s: %d of %d test accuracies are recorded; ours differ by %.4f at most",
        path,
        known.sum(),
        known.size,
        difference[known].max(),
    )
    other = known & (difference > TOLERANCE)
    if other.any():
        model, column = np.unravel_index(np.nanargmax(difference), difference.shape)
        log.warning(
            "%s: %d of %d test accuracies differ by more than %g from those recorded;"
            " most that of seed %d at epoch %d, recorded %.4f, ours %.4f; are images,"
            " their preparation and the activation those of its training?",
            path,
            other.sum(),
            known.sum(),
            TOLERANCE,
            imported.seeds[model],
            imported.epochs[column],
            imported.accuracy[model, column],
            accuracy[model, column],
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


def evaluated(
    imported: Imported,
    network: Architecture,
    images: Mapping[str, Images],
    *,
    path: Path,
    activation: str,
    engine: Engine = "auto",
) -> dict[str, Float[np.ndarray, "models epochs"]]:
    """Returns loss and accuracy of networks by the names that they have in files.

    Column k is epoch k, as of a zoo that was trained here; NaN where no weights are.
    Warns of networks that are at chance, or not as good as their source says.

    Args:
        imported: The networks.
        network: What they are.
        images: By split.
        path: They were read from.
        activation: Of the networks.
        engine: What evaluates them.
    """
    rows = torch.from_numpy(imported.weights).flatten(0, 1)
    models, last = len(imported.seeds), imported.epochs[-1]
    measured = {}
    for split, part in images.items():
        log.info("evaluating %d networks on %s images", len(rows), split)
        found = evaluate(
            network,
            rows.to(part.pixels.device),
            part,
            activation=activation,
            engine=engine,
        )
        for kind, values in zip(("loss", "accuracy"), found, strict=True):
            known = np.full((models, last + 1), np.nan, np.float32)
            known[:, imported.epochs] = values.reshape(models, -1)
            measured[f"{kind}/{split}"] = known
    accuracy = measured["accuracy/test"][:, imported.epochs]
    log_medians(path, imported.epochs, accuracy, images["test"].labels.cpu().numpy())
    log_recorded(path, imported, accuracy)
    return measured
