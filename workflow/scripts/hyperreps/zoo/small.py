"""A small real zoo that comes with the library, and images to evaluate it on.

What it is and how it was made: mnist/README.md beside this file.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from ..data.images import SPLITS, Images
from ..data.npz import read_npz
from ..files.storage import DataFileError, reading_from
from ..networks.architectures import build
from ..settings.stages import Recipe, Zoo
from .imported import read_imported
from .zoos import ZooData, assign_splits

FOLDER = Path(__file__).with_name("mnist")
NETWORKS = FOLDER / "networks.npz"
IMAGES = FOLDER / "images.npz"
DIGESTS = FOLDER / "sha256.txt"
# zoo mnist of config/config.yaml, its first models at the last epoch of its window
SETTINGS = Zoo(
    dataset="mnist",
    models=180,
    window=(25, 25),
    recipe=Recipe(
        initialization="uniform",
        activation="tanh",
        learning_rate=0.0003,
        batch_size=10,
        epochs=50,
        evaluate_every=5,
    ),
)


def small_zoo() -> tuple[ZooData, Images]:
    """Returns 180 networks trained on MNIST, and 1,000 of its test images.

    Accuracies of the zoo are those of its float16 weights on all images of a split.

    Raises:
        DataFileError: If a file is missing or is not as it was shipped.
    """
    _check_digests()
    network = build(SETTINGS.architecture, channels=1)
    found = read_imported(NETWORKS, SETTINGS, network)
    names = tuple(f"accuracy_{split}" for split in SPLITS)
    accuracy = read_npz(NETWORKS, names=names, origin=str(NETWORKS), exact=False)
    zoo = ZooData(
        name="mnist",
        weights=found.weights,
        epochs=found.epochs,
        accuracy={split: accuracy[f"accuracy_{split}"] for split in SPLITS},
        seed=found.seeds,
        split=assign_splits(found.seeds.tolist(), fractions=SETTINGS.split),
        architecture=network,
        settings=SETTINGS,
    )
    return zoo, _images()


def _images() -> Images:
    arrays = read_npz(IMAGES, names=Images._fields, origin=str(IMAGES), exact=True)
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return Images(**tensors | {"labels": tensors["labels"].long()})


def _check_digests() -> None:
    """Compares the files with their digests, in the form of sha256sum."""
    for line in DIGESTS.read_text(encoding="utf-8").splitlines():
        digest, name = line.split()
        with reading_from(FOLDER / name):
            content = (FOLDER / name).read_bytes()
        if hashlib.sha256(content).hexdigest() != digest:
            raise DataFileError(
                f"{FOLDER / name}: not as it was shipped; install the project again"
            )
