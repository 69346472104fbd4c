"""The generator of sampler gan: a small perceptron from noise to latent vectors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialized
from torch import Tensor, nn

from .settings import Gan
from .shapes import Float
from .storage import DataFileError, provenance, replacing


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
    metadata = {
        "kind": "gan",
        "settings": generator.settings.model_dump_json(),
        **about,
        **provenance(),
    }
    tensors = {k: v.cpu().contiguous() for k, v in generator.state_dict().items()}
    with replacing(path) as temporary:
        temporary.write_bytes(serialized(tensors, metadata=metadata))


def load(path: Path, *, device: torch.device) -> Generator:
    """Reads a generator.

    Raises:
        DataFileError: If the file is missing, damaged or of another kind.
    """
    if not path.exists():
        raise DataFileError(f"{path}: no such file; run the stage train_gan first")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in list(file.keys())}
        if metadata.get("kind") != "gan":
            raise DataFileError(f"{path}: is not a generator of train_gan.py")
        settings = Gan(**json.loads(metadata["settings"]))
        generator = Generator(settings, tensors["mean"], tensors["std"])
        generator.load_state_dict(tensors)
    except (SafetensorError, KeyError, RuntimeError) as error:
        raise DataFileError(
            f"{path}: damaged ({error}); delete it and run again"
        ) from error
    return generator.to(device)
