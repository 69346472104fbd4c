"""The jump: from a fresh initialisation to a trained network, by flow matching.

Training maps initial weights to trained ones, and a zoo knows both for every network.
The flow goes from noise to the displacement (trained minus initial weights), given the
initialisation: what it makes is new as its initialisation is. A token is a neuron: the
weights that come in and its bias, and the weights that go out. Source: conditional flow
matching (Lipman et al. 2023, Eq. 22 with straight paths) for this map [ours].
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..files.tensors import read_tensors, write_tensors
from ..networks.architectures import Architecture, build
from ..networks.initialisation import initial_weights
from ..numbers.seeds import derived_seed
from ..numbers.shapes import Float, Int
from ..representation.autoencoder import Block, Detokenizer, normalization
from ..settings.stages import Jump

# of sines and cosines of a condition in [0, 1]
WAVES = 32


class Leg(NamedTuple):
    """Statistics of the networks between two stations, each [legs, parameters].

    Attributes:
        start_mean, start_std: Of weights at its start.
        move_mean, move_std: Of displacements.
        end_mean, end_std: Of weights at its end.
    """

    start_mean: Tensor
    start_std: Tensor
    move_mean: Tensor
    move_std: Tensor
    end_mean: Tensor
    end_std: Tensor


def leg_statistics(
    weights: Float[Tensor, "models stations parameters"], architecture: Architecture
) -> Leg:
    """Measures means over all permutations of neurons, and deviations of layers."""

    def measured(rows: Tensor) -> tuple[Tensor, Tensor]:
        found = normalization(rows, architecture, centering=False, inputs="layer")
        own = normalization(
            rows - found.shift, architecture, centering=False, inputs="layer"
        )
        return found.shift, own.layer_std

    pieces = []
    for k in range(weights.shape[1] - 1):
        start, end = weights[:, k], weights[:, k + 1]
        pieces.append((*measured(start), *measured(end - start), *measured(end)))
    return Leg(*(torch.stack(part) for part in zip(*pieces, strict=True)))


class _Neurons(nn.Module):
    """Weight vectors, seen in several ways at once, to one token per neuron."""

    def __init__(self, architecture: Architecture, width: int, *, views: int) -> None:
        super().__init__()
        self.indices = neuron_indices(architecture)
        for k, index in enumerate(self.indices):
            self.register_buffer(f"index{k}", index, persistent=False)
        self.maps = nn.ModuleList(
            nn.Linear(views * index.shape[1], width) for index in self.indices
        )

    def forward(
        self, views: Float[Tensor, "batch views parameters"]
    ) -> Float[Tensor, "batch tokens width"]:
        parts = []
        for k, layer in enumerate(self.maps):
            seen = views[:, :, getattr(self, f"index{k}")]
            parts.append(layer(seen.transpose(1, 2).flatten(2)))
        return torch.cat(parts, dim=1)


def neuron_indices(architecture: Architecture) -> list[Int[Tensor, "units entries"]]:
    """Returns, by layer, which entries of the vector concern each of its neurons.

    Its incoming weights, its bias, and what it gives to every layer that follows.
    """
    found = []
    for item in architecture.weighted:
        entries = torch.arange(item.weight.start, item.weight.stop)
        columns = [entries.view(item.units, -1)]
        if item.layer.bias:
            columns.append(torch.arange(item.bias.start, item.bias.stop)[:, None])
        for other in architecture.weighted:
            if item.units_axis and other.inputs_axis == item.units_axis:
                entries = torch.arange(other.weight.start, other.weight.stop)
                given = entries.view(other.units, other.inputs, other.block)
                columns.append(given.transpose(0, 1).flatten(1))
        found.append(torch.cat(columns, dim=1))
    return found


class Velocity(nn.Module):
    """A transformer on neurons: the direction in which the flow goes on."""

    waves: Tensor

    def __init__(self, architecture: Architecture, settings: Jump) -> None:
        """Builds an untrained network."""
        super().__init__()
        width, legs = settings.width, len(settings.stations) - 1
        tokens = sum(item.units for item in architecture.weighted)
        self.neurons = _Neurons(architecture, width, views=3)
        self.position = nn.Parameter(0.02 * torch.randn(tokens, width))
        self.leg = nn.Embedding(legs, width)
        self.condition = nn.Sequential(
            nn.Linear(4 * WAVES, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.blocks = nn.ModuleList(Block(settings) for _ in range(settings.blocks))
        self.into = nn.ModuleList(nn.Linear(width, width) for _ in self.blocks)
        self.norm = nn.LayerNorm(width)
        self.detokenizer = Detokenizer(architecture, width)
        waves = torch.exp(torch.linspace(0, math.log(1000), WAVES))
        self.register_buffer("waves", waves, persistent=False)

    def forward(
        self,
        views: Float[Tensor, "batch views parameters"],
        time: Float[Tensor, "batch"],
        rank: Float[Tensor, "batch"],
        leg: Int[Tensor, "batch"],
    ) -> Float[Tensor, "batch parameters"]:
        """Returns velocities in units of the displacement.

        Args:
            views: Where the flow is, the start, and the network so far, each in its own
                units.
            time: Of the flow, 0 to 1.
            rank: Share of the training networks that are less accurate.
            leg: From which station to the next.
        """
        angles = torch.stack([time, rank], 1)[:, :, None] * self.waves
        seen = torch.cat([angles.sin(), angles.cos()], 2).flatten(1)
        code = self.condition(seen.to(views.dtype)) + self.leg(leg)
        x = self.neurons(views) + self.position + code[:, None]
        for block, into in zip(self.blocks, self.into, strict=True):
            x = block(x + into(code)[:, None])
        return self.detokenizer(self.norm(x))


class Jumper(nn.Module):
    """A velocity with the statistics of the networks it was trained on.

    Attributes:
        seed: Of its training.
        zoo: Name of the zoo.
    """

    start_mean: Tensor
    start_std: Tensor
    move_mean: Tensor
    move_std: Tensor
    end_mean: Tensor
    end_std: Tensor

    def __init__(
        self,
        architecture: Architecture,
        settings: Jump,
        statistics: Leg,
        *,
        initialization: str,
        zoo: str,
        seed: int,
    ) -> None:
        """Builds an untrained one.

        Args:
            architecture: Of the networks.
            settings: Its shape and training.
            statistics: As leg_statistics() measures them.
            initialization: How networks of the zoo start.
            zoo: Name of the zoo.
            seed: Of the training.
        """
        super().__init__()
        self.architecture, self.settings = architecture, settings
        self.initialization, self.zoo, self.seed = initialization, zoo, seed
        for name, value in statistics._asdict().items():
            self.register_buffer(name, value.clone())
        self.velocity = Velocity(architecture, settings)

    def views(self, state: Tensor, start: Tensor, leg: Tensor) -> Tensor:
        """Returns what the velocity sees of a flow: [batch, views, parameters]."""
        so_far = start + self.displacement(state, leg)
        return torch.stack(
            [
                state,
                (start - self.start_mean[leg]) / self.start_std[leg],
                (so_far - self.end_mean[leg]) / self.end_std[leg],
            ],
            dim=1,
        )

    def displacement(self, state: Tensor, leg: Tensor) -> Tensor:
        """Returns what a state at time 1 means, in units of weights."""
        return state * self.move_std[leg] + self.move_mean[leg]

    @torch.no_grad()
    def jump(
        self,
        start: Float[Tensor, "models parameters"],
        *,
        rank: float,
        spread: float,
        steps: int,
        rng: torch.Generator,
        batch: int = 256,
    ) -> Float[Tensor, "models parameters"]:
        """Takes networks from the first station to the last, by Euler's method.

        Args:
            start: Fresh initialisations.
            rank: Accuracy that is asked for, as the share of training networks below.
            spread: Standard deviation of the noise that each flow starts from.
            steps: Of each leg.
            rng: Of that noise, on the CPU: that of a network does not depend on the
                batch, nor on how many are taken after it.
            batch: Networks at a time.
        """
        models, parameters = start.shape
        noise = torch.randn(models, len(self.start_mean), parameters, generator=rng)
        parts = zip(start.split(batch), noise.split(batch), strict=True)
        move = partial(self._jump, rank=rank, spread=spread, steps=steps)
        return torch.cat([move(*part) for part in parts])

    def _jump(
        self,
        weights: Float[Tensor, "models parameters"],
        noise: Float[Tensor, "models legs parameters"],
        *,
        rank: float,
        spread: float,
        steps: int,
    ) -> Float[Tensor, "models parameters"]:
        ranks = torch.full((len(weights),), rank, device=weights.device)
        for number, begin in enumerate(noise.unbind(1)):
            leg = torch.full((len(weights),), number, device=weights.device)
            state = spread * begin.to(weights.device)
            for k in range(steps):
                time = torch.full_like(ranks, k / steps)
                views = self.views(state, weights, leg)
                state = state + self.velocity(views, time, ranks, leg) / steps
            weights = weights + self.displacement(state, leg)
        return weights

    def fresh(
        self, count: int, *, seeds: Sequence[int | str]
    ) -> Float[Tensor, "count parameters"]:
        """Draws initialisations as the zoo's, of seeds that none of its networks has.

        Args:
            count: Networks.
            seeds: What they depend on; the k-th depends on nothing else.
        """
        drawn = [derived_seed("jump", *seeds, k) for k in range(count)]
        weights = initial_weights(
            self.architecture, initialization=self.initialization, seeds=drawn
        )
        return weights.to(self.start_mean.device)

    def points(
        self,
        count: int,
        *,
        rank: float,
        spread: float,
        steps: int,
        rng: np.random.Generator,
    ) -> Float[np.ndarray, "count parameters"]:
        """Draws networks, as jump() of fresh() initialisations."""
        seed = int(rng.integers(2**62))
        weights = self.jump(
            self.fresh(count, seeds=(self.zoo, seed)),
            rank=rank,
            spread=spread,
            steps=steps,
            rng=torch.Generator().manual_seed(seed),
        )
        return weights.cpu().numpy()


def save(model: Jumper, path: Path) -> None:
    """Writes a jumper as safetensors, its settings and what it is as metadata."""
    about = {
        "architecture": model.architecture.name,
        "channels": str(model.architecture.channels),
        "settings": model.settings.model_dump_json(),
        "initialization": model.initialization,
        "zoo": model.zoo,
        "seed": str(model.seed),
    }
    write_tensors(path, model.state_dict(), kind="jump", about=about)


def load(path: Path, *, device: torch.device) -> Jumper:
    """Reads a jumper, ready for use.

    Raises:
        DataFileError: If the file is missing, damaged or of another kind.
    """
    tensors, about = read_tensors(path, kind="jump")
    model = Jumper(
        build(about["architecture"], channels=int(about["channels"])),
        Jump(**json.loads(about["settings"])),
        Leg(*(tensors[name] for name in Leg._fields)),
        initialization=about["initialization"],
        zoo=about["zoo"],
        seed=int(about["seed"]),
    )
    model.load_state_dict(tensors)
    return model.to(device).eval()
