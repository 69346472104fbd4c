"""The generator of sampler gan: a small perceptron from noise to latent vectors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..files.tensors import read_tensors, write_tensors
from ..numbers.shapes import Float
from ..settings.stages import Gan


def perceptron(inputs: int, width: int, outputs: int) -> nn.Sequential:
    """Builds a perceptron with two hidden layers."""
    return nn.Sequential(
        nn.Linear(inputs, width),
        nn.LeakyReLU(0.2),
        nn.Linear(width, width),
        nn.LeakyReLU(0.2),
        nn.Linear(width, outputs),
    )


class Generator(nn.Module):
    """Noise to points: a perceptron on the scale of the data.

    Attributes:
        noise: Size of its input.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, settings: Gan, mean: Float[Tensor, "latent"], std: Float[Tensor, "latent"]
    ) -> None:
        """Builds an untrained generator of points with this mean and deviation."""
        super().__init__()
        self.settings, self.noise = settings, settings.noise
        self.register_buffer("mean", mean.clone())
        self.register_buffer("std", std.clone())
        self.network = perceptron(settings.noise, settings.width, len(mean))

    def forward(
        self, noise: Float[Tensor, "batch noise"]
    ) -> Float[Tensor, "batch latent"]:
        """Returns standardised points."""
        return self.network(noise)

    @torch.no_grad()
    def points(
        self, noise: Float[np.ndarray, "samples noise"]
    ) -> Float[np.ndarray, "samples latent"]:
        """Returns points in the units of the data."""
        inputs = torch.from_numpy(noise).to(self.mean.device)
        return (self(inputs) * self.std + self.mean).cpu().numpy()


def save(generator: Generator, path: Path, *, about: dict[str, str]) -> None:
    """Writes a generator as safetensors, its settings and what it is as metadata."""
    settings = generator.settings.model_dump_json()
    about = {"settings": settings, **about}
    write_tensors(path, generator.state_dict(), kind="gan", about=about)


def load(path: Path, *, device: torch.device) -> Generator:
    """Reads a generator.

    Raises:
        DataFileError: If the file is missing, damaged or of another kind.
    """
    tensors, about = read_tensors(path, kind="gan")
    settings = Gan(**json.loads(about["settings"]))
    generator = Generator(settings, tensors["mean"], tensors["std"])
    generator.load_state_dict(tensors)
    return generator.to(device)
