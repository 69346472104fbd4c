"""Files of zoos and finetuned networks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from hyperreps.files.storage import write_arrays


def zoo_file(folder: Path, *, name: str = "mnist", split: str = "test") -> Path:
    """Writes a zoo of three models and two epochs; the last two make up a split."""
    accuracy = np.array([[0.1, 0.9], [0.1, 0.5], [0.2, 0.7]], np.float32)
    arrays = {
        "accuracy/test": accuracy,
        "split": np.array(["train", split, split], "S"),
    }
    path = folder / f"zoos/{name}.h5"
    write_arrays(path, arrays, attributes={"kind": "zoo", "zoo": name})
    return path


def finetuned_file(folder: Path, accuracy: list, **changes: object) -> Path:
    """Writes a finetuned population in weight space; changes replace its parts."""
    count = len(accuracy)
    arrays = {
        "accuracy/test": np.array(accuracy, np.float32),
        "hyper_rep_seed": changes.get("hyper_rep_seed", np.full(count, -1)),
        "source_model": changes.get("source_model", np.full(count, -1)),
        "diverged": changes.get("diverged", np.full(count, -1)),
    }
    settings = {"sampler": "kde", **changes.get("settings", {})}
    attributes = {
        "kind": "finetuned",
        "source": "mnist",
        "target": changes.get("target", "mnist"),
        "method": changes.get("method", "S_KDE30"),
        "settings": json.dumps(settings),
        **changes.get("attributes", {}),
    }
    path = folder / attributes["target"] / f"{attributes['method']}.h5"
    write_arrays(path, arrays, attributes=attributes)
    return path
