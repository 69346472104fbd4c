"""The jump: from a fresh initialisation to a trained network, by flow matching.

Training maps initial weights to trained ones, and a zoo knows both for every network.
The flow goes from noise to the displacement (trained minus initial weights), given the
initialisation: what it makes is new as its initialisation is. A token is a neuron, and
neurons hear from the weights between them, so that a permutation of the neurons goes
through. Source: conditional flow matching (Lipman et al. 2023, Eq. 22 with straight
paths) for this map [ours].
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
import torch.nn.functional as F
from torch import Tensor, nn

from ..files.tensors import read_tensors
from ..networks.architectures import Architecture, build
from ..networks.initialisation import initial_weights
from ..numbers.seeds import derived_seed
from ..numbers.shapes import Float, Int
from ..representation.autoencoder import Block, normalization, write_model
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


class _Ends(nn.Module):
    """Which units the connections of a network join.

    A connection is what one unit gives to another: a kernel, or the weights of the
    pixels of one channel.

    Attributes:
        place: Where the tokens of each set of units lie.
        position: Of each token: one for all units that may change places, one for each
            that may not.
    """

    into: Tensor
    outof: Tensor
    mean_into: Tensor
    mean_outof: Tensor
    position: Tensor

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.place: dict[str, slice] = {}
        position: list[int] = []
        connections = sum(item.units * item.inputs for item in architecture.weighted)
        for item in architecture.weighted:
            names, sizes = item.ends, (item.units, item.inputs)
            for name, size in zip(names, sizes, strict=True):
                if name in self.place:
                    continue
                begin, number = len(position), max(position, default=-1) + 1
                self.place[name] = slice(begin, begin + size)
                alike = name in architecture.symmetric_axes
                position += [number + (0 if alike else k) for k in range(size)]
        into, outof = torch.zeros(2, connections, len(position))
        row = 0
        for item in architecture.weighted:
            units, inputs = (self.place[name].start for name in item.ends)
            for unit in range(item.units):
                for k in range(item.inputs):
                    into[row, units + unit] = outof[row, inputs + k] = 1
                    row += 1
        for name, ends in (("into", into), ("outof", outof)):
            self.register_buffer(name, ends, persistent=False)
            mean = ends.T / ends.sum(0).clamp(min=1)[:, None]
            self.register_buffer(f"mean_{name}", mean, persistent=False)
        self.register_buffer("position", torch.tensor(position), persistent=False)


class _Reading(nn.Module):
    """Weight vectors, seen in several ways at once, to connections and units."""

    def __init__(
        self, architecture: Architecture, ends: _Ends, settings: Jump, *, views: int
    ) -> None:
        super().__init__()
        self.items, self.place = architecture.weighted, ends.place
        self.position = nn.Parameter(
            0.02 * torch.randn(int(ends.position.max()) + 1, settings.width)
        )
        self.weights = nn.ModuleList(
            nn.Linear(views * item.block, settings.connection) for item in self.items
        )
        self.biases = nn.ModuleList(
            nn.Linear(views, settings.width) if item.layer.bias else nn.Identity()
            for item in self.items
        )

    def forward(
        self, views: Float[Tensor, "batch views parameters"], position: Tensor
    ) -> tuple[
        Float[Tensor, "batch connections size"], Float[Tensor, "batch tokens width"]
    ]:
        parts = []
        tokens = self.position[position].expand(len(views), -1, -1).clone()
        for item, weight, bias in zip(
            self.items, self.weights, self.biases, strict=True
        ):
            seen = views[:, :, item.weight].unflatten(2, (-1, item.block))
            parts.append(weight(seen.transpose(1, 2).flatten(2)))
            if item.layer.bias:
                own = bias(views[:, :, item.bias].transpose(1, 2))
                tokens[:, self.place[item.ends[0]]] += own
        return torch.cat(parts, 1), tokens


class _Hearing(nn.Module):
    """What connections hear from the units at their ends."""

    def __init__(self, settings: Jump) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(settings.width)
        self.ends = nn.Linear(settings.width, 2 * settings.connection)
        self.own = nn.Linear(settings.connection, settings.connection)

    def forward(
        self,
        connections: Float[Tensor, "batch connections size"],
        tokens: Float[Tensor, "batch tokens width"],
        ends: _Ends,
    ) -> Float[Tensor, "batch connections size"]:
        own = self.own(connections)
        into, outof = self.ends(self.norm(tokens)).chunk(2, dim=-1)
        kind = own.dtype
        return F.silu(own + ends.into.to(kind) @ into + ends.outof.to(kind) @ outof)


class _Messages(nn.Module):
    """What connections and the units at their ends tell one another."""

    def __init__(self, settings: Jump) -> None:
        super().__init__()
        size = settings.connection
        self.hearing = _Hearing(settings)
        self.units = nn.Linear(2 * size, settings.width)
        self.connections = nn.Linear(size, size)

    def forward(
        self,
        connections: Float[Tensor, "batch connections size"],
        tokens: Float[Tensor, "batch tokens width"],
        ends: _Ends,
    ) -> tuple[
        Float[Tensor, "batch connections size"], Float[Tensor, "batch tokens width"]
    ]:
        heard = self.hearing(connections, tokens, ends)
        kind = heard.dtype
        means = [m.to(kind) @ heard for m in (ends.mean_into, ends.mean_outof)]
        told = self.units(torch.cat(means, dim=-1))
        return connections + self.connections(heard), tokens + told


class _Writing(nn.Module):
    """Connections and units to a weight vector."""

    def __init__(self, architecture: Architecture, ends: _Ends, settings: Jump) -> None:
        super().__init__()
        self.items, self.place = architecture.weighted, ends.place
        self.lengths = [item.units * item.inputs for item in self.items]
        self.hearing = _Hearing(settings)
        self.norm = nn.LayerNorm(settings.width)
        self.weights = nn.ModuleList(
            nn.Linear(settings.connection, item.block) for item in self.items
        )
        self.biases = nn.ModuleList(
            nn.Linear(settings.width, 1) if item.layer.bias else nn.Identity()
            for item in self.items
        )

    def forward(
        self,
        connections: Float[Tensor, "batch connections size"],
        tokens: Float[Tensor, "batch tokens width"],
        ends: _Ends,
    ) -> Float[Tensor, "batch parameters"]:
        heard = self.hearing(connections, tokens, ends)
        tokens = self.norm(tokens)
        pieces = []
        for item, seen, weight, bias in zip(
            self.items,
            heard.split(self.lengths, dim=1),
            self.weights,
            self.biases,
            strict=True,
        ):
            pieces.append(weight(seen).flatten(1))
            if item.layer.bias:
                own = tokens[:, self.place[item.ends[0]]]
                pieces.append(bias(own).flatten(1))
        return torch.cat(pieces, dim=1)


class Velocity(nn.Module):
    """A transformer on units that hear from their connections: where the flow goes on.

    Whatever permutes the units of its input permutes its output (as in Kofinas et al.
    2024, "Graph neural networks for learning equivariant representations of neural
    networks"; the layout is ours).
    """

    waves: Tensor

    def __init__(self, architecture: Architecture, settings: Jump) -> None:
        """Builds an untrained network."""
        super().__init__()
        width, legs = settings.width, len(settings.stations) - 1
        self.ends = _Ends(architecture)
        self.reading = _Reading(architecture, self.ends, settings, views=3)
        self.leg = nn.Embedding(legs, width)
        self.condition = nn.Sequential(
            nn.Linear(4 * WAVES, width), nn.SiLU(), nn.Linear(width, width)
        )
        blocks = range(settings.blocks)
        self.messages = nn.ModuleList(_Messages(settings) for _ in blocks)
        self.blocks = nn.ModuleList(Block(settings) for _ in blocks)
        self.into = nn.ModuleList(nn.Linear(width, width) for _ in blocks)
        self.writing = _Writing(architecture, self.ends, settings)
        waves = torch.exp(torch.linspace(0, math.log(1000), WAVES))
        self.register_buffer("waves", waves, persistent=False)

    @property
    def hidden(self) -> list[Tensor]:
        """The matrices that neither read weights and conditions nor write weights."""
        inside = (self.messages, self.blocks, self.into, self.writing.hearing)
        found = [p for part in inside for p in part.parameters()]
        return [parameter for parameter in found if parameter.ndim == 2]

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
        connections, x = self.reading(views, self.ends.position)
        for messages, block, into in zip(
            self.messages, self.blocks, self.into, strict=True
        ):
            connections, x = messages(connections, x + into(code)[:, None], self.ends)
            x = block(x)
        return self.writing(connections, x, self.ends)


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
        shape = (len(self.start_mean), start.shape[1])
        # one by one: the last numbers of a draw depend on its length
        noise = torch.stack([torch.randn(shape, generator=rng) for _ in start])
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
    """Writes a jumper with its settings as safetensors metadata."""
    write_model(model, path, kind="jump", initialization=model.initialization)


def load(path: Path, *, device: torch.device) -> Jumper:
    """Reads a jumper, ready for use (evaluation mode).

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
    return model.eval().to(device)
