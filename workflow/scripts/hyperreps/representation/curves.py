"""Training curves, as pretrain.py and train_jump.py write them."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pandas as pd

from ..files.storage import DataFileError, reading_from

# columns: R2 in units of the layers, of the networks it was trained on and of others
R2_TRAINING, R2_HELD_OUT = "r2_scaled_train", "r2_scaled_held_out"


def read_curve(path: Path, *, needed: Sequence[str] = (R2_HELD_OUT,)) -> pd.DataFrame:
    """Reads a training curve.

    Args:
        path: CSV file.
        needed: Columns of numbers that it must have.

    Returns:
        One row per epoch; R2 is known at some, and at the last.

    Raises:
        DataFileError: If the file is missing or damaged.
    """
    with reading_from(path):
        content = path.read_bytes()
    try:
        curve = pd.read_csv(BytesIO(content), dtype=dict.fromkeys(needed, float))
        curve[[*needed]].iloc[-1]
    except (LookupError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DataFileError(
            f"{path}: no training curve ({reason}); move it and its model away and run"
            " again"
        ) from error
    return curve


def read_curves(paths: Sequence[Path]) -> pd.DataFrame:
    """Reads training curves of a run.

    Args:
        paths: CSV files, named ZOO/VARIANT_seedSEED.csv.

    Returns:
        One row per hyper-representation and epoch: zoo, variant, seed, and the columns
        of the curves; no row if there is none.

    Raises:
        DataFileError: If a file is missing or damaged.
    """
    frames = []
    for path in paths:
        curve = read_curve(path)
        variant, _, seed = path.stem.rpartition("_seed")
        for name, value in (("seed", int(seed)), ("variant", variant)):
            curve.insert(0, name, value)
        curve.insert(0, "zoo", path.parent.name)
        frames.append(curve)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def core_seconds_of(paths: Sequence[Path]) -> float:
    """Returns the CPU time of trainings, in seconds: of all epochs of all curves.

    Raises:
        DataFileError: If a file is missing or damaged.
    """
    name = "core_seconds"
    return float(sum(read_curve(path, needed=(name,))[name].sum() for path in paths))
