"""Small populations and images that several tests use, and the per-model oracle."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from hyperreps.data.images import Images
from hyperreps.networks.architectures import Architecture, build

# tests share their cores with other processes
torch.set_num_threads(1)

MODULES = {
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
}


@pytest.fixture
def cnn() -> Architecture:
    return build("cnn", channels=1)


def make_images(channels: int = 1, counts=(60, 30, 30), seed: int = 0) -> dict:
    """Random images whose mean depends on the label, so that there is some signal."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for split, count in zip(("train", "val", "test"), counts, strict=True):
        labels = rng.integers(0, 10, count).astype(np.uint8)
        noise = rng.integers(0, 120, (count, channels, 28, 28))
        arrays[f"{split}/images"] = (noise + 13 * labels[:, None, None, None]).astype(
            np.uint8
        )
        arrays[f"{split}/labels"] = labels
    return arrays


def on_cpu(arrays: dict, channels: int = 1) -> dict[str, Images]:
    return Images.by_split(
        arrays, mean=[0.4] * channels, std=[0.2] * channels, device=torch.device("cpu")
    )


def plain_model(row: torch.Tensor, *, channels: int, activation: str) -> nn.Sequential:
    """The zoo CNN written as an ordinary PyTorch module, independent of our engine."""
    act = MODULES[activation]
    model = nn.Sequential(
        *(nn.Conv2d(channels, 8, 5), nn.MaxPool2d(2), act()),
        *(nn.Conv2d(8, 6, 5), nn.MaxPool2d(2), act()),
        *(nn.Conv2d(6, 4, 2), act(), nn.Flatten()),
        *(nn.Linear(36, 20), act(), nn.Linear(20, 10)),
    )
    nn.utils.vector_to_parameters(row.clone(), model.parameters())
    return model
