"""What networks answer, compared: blind to every symmetry of the weights."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..data.images import Images
from ..engines.interface import class_scores
from ..networks.architectures import CLASSES, Architecture
from ..numbers.shapes import Float, Int, UInt8


def predictions(
    architecture: Architecture,
    weights: Float[Tensor, "models parameters"],
    images: Images,
    *,
    activation: str,
) -> UInt8[np.ndarray, "models images"]:
    """Returns the class that each model gives to each image.

    Args:
        architecture: The network.
        weights: One model per row, on the device of the images.
        images: As many as wanted.
        activation: A key of ACTIVATIONS.
    """
    scores = class_scores(architecture, weights, images, activation=activation)
    return torch.cat([x.argmax(2).byte().cpu() for x in scores]).numpy()


def error_overlap(
    some: UInt8[np.ndarray, "models images"],
    others: UInt8[np.ndarray, "others images"],
    labels: Int[np.ndarray, images],
) -> Float[np.ndarray, "models others"]:
    """Intersection over union of the images that two networks get wrong.

    1 for the same errors; two networks without any count as the same.

    Source: the similarity of Zeng et al. 2025, arXiv 2506.07998.
    """
    wrong, wrong_too = ((x != labels).astype(np.float32) for x in (some, others))
    both = wrong @ wrong_too.T
    either = wrong.sum(1)[:, None] + wrong_too.sum(1) - both
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)


def disagreement(
    some: UInt8[np.ndarray, "models images"],
    others: UInt8[np.ndarray, "others images"],
) -> Float[np.ndarray, "models others"]:
    """Share of images that two networks give different classes to."""
    same = np.zeros((len(some), len(others)))
    for label in range(CLASSES):
        one, two = ((x == label).astype(np.float32) for x in (some, others))
        same += one @ two.T
    return 1 - same / some.shape[1]
