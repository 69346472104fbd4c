"""Images on a device: raw intensities, normalised in the batch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..files.storage import read_arrays
from ..numbers.shapes import Float, Int, UInt8

SPLITS = ("train", "val", "test")


class Images(NamedTuple):
    """A set of images on a device.

    Attributes:
        pixels: Raw intensities.
        labels: Classes.
        mean: Of the pixels in [0, 1], per channel, subtracted in the batch.
        std: Of the pixels in [0, 1], per channel.
    """

    pixels: UInt8[Tensor, "images channels height width"]
    labels: Int[Tensor, images]
    mean: Float[Tensor, channels]
    std: Float[Tensor, channels]

    @classmethod
    def by_split(
        cls,
        arrays: Mapping[str, np.ndarray],
        *,
        mean: Sequence[float],
        std: Sequence[float],
        device: torch.device,
    ) -> dict[str, Images]:
        """Returns the images of each split of a dataset file, on a device."""
        return {
            split: cls(
                torch.from_numpy(arrays[f"{split}/images"]).to(device),
                torch.from_numpy(arrays[f"{split}/labels"]).long().to(device),
                torch.tensor(mean, device=device),
                torch.tensor(std, device=device),
            )
            for split in SPLITS
        }

    def first(self, count: int) -> Images:
        """Returns so many images from the first on, or all if there are fewer."""
        return self._replace(pixels=self.pixels[:count], labels=self.labels[:count])

    def normalized(
        self, index: Int[Tensor, ...] | slice
    ) -> Float[Tensor, "... channels height width"]:
        """Returns the indexed images as float, shifted and scaled."""
        pixels = self.pixels[index].float() / 255
        return (pixels - self.mean[:, None, None]) / self.std[:, None, None]


@dataclass(frozen=True)
class ImageFile:
    """A prepared set of images in memory.

    Attributes:
        name: Of the dataset.
        mean: Of the pixels in [0, 1], per channel.
        std: Of the pixels in [0, 1], per channel.
        arrays: "train/images", "train/labels" and so on.
    """

    name: str
    mean: list[float]
    std: list[float]
    arrays: dict[str, np.ndarray]

    @property
    def channels(self) -> int:
        """Of the images."""
        return len(self.mean)

    def on(self, device: torch.device) -> dict[str, Images]:
        """Returns the images of each split on a device."""
        return Images.by_split(self.arrays, mean=self.mean, std=self.std, device=device)


def read_images(path: Path) -> ImageFile:
    """Reads a file of prepare_dataset.py.

    Raises:
        DataFileError: If the file is missing, damaged or holds something else.
    """
    arrays, attributes = read_arrays(path, kind="dataset")
    mean, std = (json.loads(attributes[key]) for key in ("mean", "std"))
    return ImageFile(str(attributes["dataset"]), mean, std, arrays)
