"""Networks as files hold them: a zoo's own, finetuned ones, or samples."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..files.storage import DataFileError, opened, read_arrays
from ..numbers.shapes import Bool, Float, Int
from ..settings.stages import SettingsError
from .zoos import epoch_columns

log = logging.getLogger(__name__)

# a zoo's own networks: their split, and the best fraction by validation accuracy
ZOO_POPULATIONS = {"B_T": ("test", 1.0), "B_T30": ("train", 0.3)}
# attributes of samples, also where these are finetuned: seconds of CPU time for drawing
# all of them, and for learning what they are drawn from
DRAWING_TIME, LEARNING_TIME = "core_seconds", "core_seconds_learning"
# attributes of samples that stay when they are finetuned, and arrays that do
OF_SAMPLES = (
    *("source", "method", "settings", "architecture", "channels"),
    *(DRAWING_TIME, LEARNING_TIME),
)
ORIGINS = ("hyper_rep_seed", "source_model")
# of finetuned ones: for training one for an epoch
EPOCH_TIME = "core_seconds_epoch"


def read_networks(
    path: Path, *, kind: str, name: str, epochs: Sequence[int]
) -> tuple[Float[np.ndarray, "epochs models parameters"], dict[str, Any]]:
    """Reads a population of networks at some epochs of its training.

    Args:
        path: File of a zoo, of finetuned networks or of samples.
        kind: zoo, finetuned or samples.
        name: Of the population; in a zoo, a key of ZOO_POPULATIONS, whose best ones
            are chosen anew at each epoch.
        epochs: Wanted, increasing. Samples are known at epoch 0 only.

    Returns:
        Weights, without networks that are not finite, and the file's attributes.

    Raises:
        SettingsError: If later epochs of samples are wanted.
        DataFileError: If an epoch or a dataset is missing, or no network is left.
    """
    if kind == "zoo":
        weights, attributes = _zoo_networks(path, name, epochs)
    elif kind == "finetuned":
        arrays, attributes = read_arrays(path, "weights", "epochs", kind=kind)
        columns = epoch_columns(path, arrays["epochs"].tolist(), wanted=epochs)
        weights = arrays["weights"].swapaxes(0, 1)[columns]
        sound = sound_networks(path, kind=kind, networks=weights.shape[1])
        weights = weights[:, sound]
    else:
        if tuple(epochs) != (0,):
            raise SettingsError(
                f"{path}: samples have epoch 0 only, not {list(epochs)}"
            )
        arrays, attributes = read_arrays(path, "weights", kind=kind)
        weights = arrays["weights"][None]
    finite = np.isfinite(weights).all(axis=(0, 2))
    if not finite.any():
        raise DataFileError(f"{path}: no network is finite at all of {list(epochs)}")
    return weights[:, finite], attributes


def sound_networks(
    path: Path, *, kind: str, networks: int
) -> Bool[np.ndarray, networks]:
    """Tells which networks of a file did not diverge in training; logs the others.

    Args:
        path: File of samples, which were not trained, or of finetuned networks.
        kind: Of the file.
        networks: In it.
    """
    with opened(path, kind=kind) as file:
        trained = "diverged" in file
        sound = file["diverged"][()] < 0 if trained else np.ones(networks, dtype=bool)
    if not sound.all():
        lost = int((~sound).sum())
        log.info("%s: %d of %d diverged and are left out", path, lost, networks)
    return sound


def _zoo_networks(
    path: Path, name: str, epochs: Sequence[int]
) -> tuple[np.ndarray, dict[str, Any]]:
    part, top = ZOO_POPULATIONS[name]
    arrays, attributes = read_arrays(
        path, "split", "epochs", "accuracy/val", kind="zoo"
    )
    accuracy = arrays["accuracy/val"]
    models = np.flatnonzero(arrays["split"] == part)
    count = max(1, round(top * len(models)))
    weights = []
    with opened(path, kind="zoo") as file:
        columns = epoch_columns(path, arrays["epochs"].tolist(), wanted=epochs)
        for epoch, column in zip(epochs, columns, strict=True):
            # the first of equals, so that the number does not depend on ties
            ranking = np.argsort(-accuracy[models, epoch], kind="stable")
            best = np.sort(models[ranking[:count]])
            weights.append(file["weights"][best, column])
    return np.stack(weights), attributes


def sample_groups(
    seeds: Int[np.ndarray, "samples"], models: Int[np.ndarray, "samples ..."]
) -> np.ndarray:
    """Returns what each sample shares its luck with, as a name.

    That is the seed of its hyper-representation, else the zoo's model that it was made
    from, else the sample itself.
    """
    rows = np.arange(len(seeds))
    # drawn from several models at once, one per latent dimension: none to share
    single = models if models.ndim == 1 else np.full(len(seeds), -1)
    kinds = np.select([seeds >= 0, single >= 0], ["seed", "model"], "sample")
    numbers = np.select([seeds >= 0, single >= 0], [seeds, single], rows)
    names = [f"{k} {n}" for k, n in zip(kinds, numbers, strict=True)]
    return np.array(names, dtype=object)
