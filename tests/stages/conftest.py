"""Images for stages that are called one by one."""

from pathlib import Path

import numpy as np
import pytest

from hyperreps.files.storage import write_arrays


@pytest.fixture
def images(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 80), ("val", 20), ("test", 20)):
        pixels = rng.integers(0, 256, (count, 1, 28, 28))
        arrays[f"{split}/images"] = pixels.astype(np.uint8)
        arrays[f"{split}/labels"] = rng.integers(0, 10, count).astype(np.uint8)
    attributes = {"kind": "dataset", "dataset": "toy", "mean": [0.5], "std": [0.3]}
    write_arrays(tmp_path / "toy.h5", arrays, attributes=attributes)
    return tmp_path / "toy.h5"
