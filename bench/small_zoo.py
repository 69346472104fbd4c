"""Makes the small zoo that comes with the library, from a run of the paper's zoo.

    snakemake zoos --configfile config/reference.yaml
    python bench/small_zoo.py --zoo results/mnist_stl10/zoos/mnist.h5 \
        --dataset results/mnist_stl10/datasets/mnist.h5

The first 180 networks at the last epoch of the window, in float16, the accuracies that
these have, and every tenth test image.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import torch
import tyro

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

from hyperreps.data.images import ImageFile, read_images
from hyperreps.engines.interface import evaluate
from hyperreps.files.storage import DataFileError, replacing
from hyperreps.running.devices import Machine
from hyperreps.zoo.small import DIGESTS, FOLDER, IMAGES, NETWORKS, SETTINGS
from hyperreps.zoo.zoos import ZooData, read_zoo

# images: 1 in so many of the test images
EVERY = 10
# largest change of an accuracy by float16 that is rounding: 1 image in 500
TOLERANCE = 0.002


def main(zoo: Path, dataset: Path, output: Path = FOLDER) -> None:
    """Writes the networks, the images and their digests.

    Args:
        zoo: zoos/mnist.h5.
        dataset: Its images.
        output: Folder to write to.
    """
    data, file = read_zoo(zoo), read_images(dataset)
    test = file.on(torch.device("cpu"))["test"]
    write(output / NETWORKS.name, networks(data, file))
    write(
        output / IMAGES.name,
        {
            "pixels": test.pixels[::EVERY].numpy(),
            "labels": test.labels[::EVERY].numpy().astype(np.uint8),
            "mean": test.mean.numpy(),
            "std": test.std.numpy(),
        },
    )
    lines = [
        f"{hashlib.sha256((output / name).read_bytes()).hexdigest()}  {name}\n"
        for name in (IMAGES.name, NETWORKS.name)
    ]
    (output / DIGESTS.name).write_text("".join(lines), encoding="utf-8")


def networks(zoo: ZooData, file: ImageFile) -> dict[str, np.ndarray]:
    """Returns the arrays of the npz file.

    Raises:
        DataFileError: If the zoo is another, or its accuracies are not those of its
            networks.
    """
    first, last = SETTINGS.first_seed, SETTINGS.first_seed + SETTINGS.models - 1
    rows = np.flatnonzero((zoo.seed >= first) & (zoo.seed <= last))
    if len(rows) < SETTINGS.models or zoo.settings.recipe != SETTINGS.recipe:
        raise DataFileError(
            f"{zoo.name}: needs seeds {first}..{last} and the recipe of zoo mnist"
        )
    weights = zoo.weights[rows, -1].astype(np.float16)
    found: dict[str, np.ndarray] = {}
    for split, images in file.on(Machine(device="cpu").prepare()).items():
        _, accuracy = evaluate(
            zoo.architecture,
            torch.from_numpy(weights.astype(np.float32)),
            images,
            activation=SETTINGS.recipe.activation,
        )
        found[f"accuracy_{split}"] = accuracy[:, None]
        # recorded of training images are means over the epoch
        if split != "train":
            change = np.abs(accuracy - zoo.accuracy[split][rows, -1])
            print(f"{split}: accuracies change by {change.max():.4f} at most")
            if change.max() > TOLERANCE:
                raise DataFileError(
                    f"{zoo.name}: accuracies change by more than {TOLERANCE}; is the"
                    " dataset its own?"
                )
    return {
        "weights": weights[:, None],
        "epochs": zoo.epochs[-1:],
        "seeds": zoo.seed[rows],
        **found,
    }


def write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes an npz file."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    tyro.cli(main)
