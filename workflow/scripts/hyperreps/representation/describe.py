"""What a hyper-representation of a run was trained on, and how well it reconstructs."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..files.storage import DataFileError, read_arrays
from ..files.tensors import read_tensors
from ..numbers.shapes import Float, Int
from ..settings.stages import SettingsError, Zoo
from .curves import R2_HELD_OUT, R2_TRAINING, read_curve

# R2 by what its errors are measured in: as the networks are, or in units of the layers
UNITS = {
    "held_out": {"plain": "r2_held_out", "by layer": R2_HELD_OUT},
    "training": {"plain": "r2_train", "by layer": R2_TRAINING},
}


def describe(path: Path, *, zoo: str, file: Path | None) -> dict[str, Any]:
    """Returns what is known of the training of a hyper-representation, for JSON.

    Args:
        path: Its file; the training curve lies beside it.
        zoo: Name of the zoo that it was trained on.
        file: Of that zoo; None: where a run of the workflow has it.

    Raises:
        DataFileError: If the curve or the zoo is missing or damaged.
        SettingsError: If the file is another zoo's.
    """
    last = read_curve(path.with_suffix(".csv")).iloc[-1]
    file = file or path.parents[2] / "zoos" / f"{zoo}.h5"
    if not file.exists():
        raise DataFileError(f"{file}: no such file; name it by --zoo")
    arrays, attributes = read_arrays(file, "split", kind="zoo")
    if attributes["zoo"] != zoo:
        raise SettingsError(
            f"--zoo: {file} is {attributes['zoo']!r}, but {path} was trained on {zoo!r}"
        )
    settings = Zoo(**json.loads(attributes["settings"]))
    return {
        "dataset": attributes["dataset"],
        "networks": int((arrays["split"] == "train").sum()),
        "held_out": int((arrays["split"] == "val").sum()),
        "window": settings.window,
        # of what is varied, all values
        "recipe": settings.recipe.model_dump() | settings.variations,
        "epochs": int(last["epoch"]),
        "r2": {
            which: {unit: float(last[column]) for unit, column in columns.items()}
            for which, columns in UNITS.items()
        },
    }


def learned(
    hyper_reps: Sequence[Path],
    curves: Sequence[Path],
    *,
    seeds: Int[np.ndarray, samples],
) -> dict[str, Float[np.ndarray, samples]]:
    """Returns what the hyper-representation of each sample has learned, and its size.

    Args:
        hyper_reps: Files of pretrain.py.
        curves: Their training curves, in the same order.
        seeds: Of the hyper-representation of each sample, -1 for none.

    Returns:
        r2_train and r2_held_out at the end, in units of the layers, latent size and
        epochs of training; NaN without a hyper-representation.

    Raises:
        DataFileError: If a file is missing or damaged.
    """
    names = ("r2_train", "r2_held_out", "latent", "epochs")
    found = {name: np.full(len(seeds), math.nan) for name in names}
    for path, curve in zip(hyper_reps, curves, strict=True):
        _, about = read_tensors(path, kind="hyper_rep")
        settings = json.loads(about["settings"])
        last = read_curve(curve, needed=(R2_TRAINING, R2_HELD_OUT)).iloc[-1]
        sizes = settings["latent"], settings["epochs"]
        values = last[R2_TRAINING], last[R2_HELD_OUT], *sizes
        own = seeds == int(about["seed"])
        for name, value in zip(names, values, strict=True):
            found[name][own] = value
    return found
