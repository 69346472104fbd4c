"""Prepares an image set: official files to 28 x 28 images with a validation split."""

from __future__ import annotations

import logging
from pathlib import Path

from hyperreps.data.datasets import load_images, normalization, prepare
from hyperreps.files.places import data_folder
from hyperreps.files.storage import write_arrays
from hyperreps.running.commands import run
from hyperreps.settings.stages import Dataset, SettingsError


def main(
    *, settings: Dataset, name: str, data_dir: Path = Path("data"), output: Path
) -> None:
    """Prepares an image set.

    Args:
        settings: Where the images come from and how they become 28 x 28.
        name: The image set's key in the configuration.
        data_dir: Folder of the official files; what is missing is downloaded there. The
            environment variable HYPERREPS_DATA overrides it. ~ and $NAME are replaced.
        output: HDF5 file to write.
    """
    data_dir = data_folder(data_dir)
    try:
        raw, sha256 = load_images(settings, data_dir=data_dir)
        arrays = prepare(raw, settings)
        mean, std = normalization(arrays["train/images"], settings)
    except SettingsError as error:
        raise SettingsError(f"datasets.{name}.{error}") from error
    attributes = {
        "kind": "dataset",
        "dataset": name,
        "source": settings.source,
        "sha256": sha256,
        "settings": settings.model_dump(),
        "mean": mean,
        "std": std,
    }
    write_arrays(output, arrays, attributes=attributes)
    logging.info(
        "%s: %d train, %d val and %d test images of %d channel(s), mean %s, std %s",
        output,
        *(len(arrays[f"{part}/labels"]) for part in ("train", "val", "test")),
        len(mean),
        " ".join(f"{value:.4f}" for value in mean),
        " ".join(f"{value:.4f}" for value in std),
    )


if __name__ == "__main__":
    run(main)
