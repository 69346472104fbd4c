"""Launches: the networks of a population that are trained together.

How many go together is a matter of memory alone; results do not depend on it.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..data.images import Images
from ..engines.interface import Engine, Sums, choose_engine, padded
from ..networks.architectures import Architecture
from ..numbers.randomness import batch_order
from ..numbers.shapes import Bool, Float, Int
from ..settings.stages import Engine as EngineName
from ..settings.stages import Recipe, SettingsError

log = logging.getLogger(__name__)

# networks and images of which the cost of training is measured
TIMED_NETWORKS, TIMED_IMAGES = 8, 1000


class Launch(NamedTuple):
    """Models that are trained together: their weights and the optimiser of these.

    Rows beyond the number of models are padding.
    """

    rows: Float[Tensor, "padded parameters"]
    optimizer: torch.optim.Optimizer
    models: int


class Trained(NamedTuple):
    """A launch after an epoch.

    Attributes:
        launch: The networks.
        before: Their rows as they were before the epoch.
        models: Which of the population they are.
        sums: Loss and correct answers over the epoch, of the padding too.
    """

    launch: Launch
    before: Float[Tensor, "padded parameters"]
    models: slice
    sums: Sums

    @property
    def weights(self) -> Float[Tensor, "models parameters"]:
        """The weights after the epoch, without padding."""
        return self.launch.rows.detach()[: self.launch.models]

    def undo(self, chosen: Bool[np.ndarray, models]) -> None:
        """Puts chosen models back to where they were; padding is the first model."""
        rows, count = self.launch.rows.detach(), self.launch.models
        index = torch.from_numpy(chosen).to(rows.device)
        rows[:count][index] = self.before[:count][index]
        if count < len(rows):
            rows[count:] = rows[:1]


class Launches:
    """A population in launches, each as large as memory allows.

    One that runs out of memory in training is halved, and stays so.

    Attributes:
        parts: The launches, in the order of the population.
    """

    def __init__(
        self,
        weights: Float[Tensor, "models parameters"],
        *,
        engine: Engine,
        recipe: Recipe,
        device: torch.device,
    ) -> None:
        """Copies the weights to the device, a launch at a time.

        Args:
            weights: Where training starts; not changed.
            engine: What trains them.
            recipe: Optimiser and batch size.
            device: Where.
        """
        self.engine = engine
        self.recipe = recipe
        self.device = device
        size = engine.launch_size(device, batch_size=recipe.batch_size)
        self.parts = [
            self._launch(padded(engine, rows), models=len(rows))
            for rows in weights.to(device).split(size)
        ]

    @property
    def weights(self) -> Float[Tensor, "models parameters"]:
        """The current weights, without padding."""
        return torch.cat([x.rows.detach()[: x.models] for x in self.parts])

    def train_epoch(
        self, images: Images, *, seeds: Int[Tensor, models], epoch: int
    ) -> Iterator[Trained]:
        """Trains every model for one epoch; yields each launch when it is done.

        Args:
            images: What is trained on.
            seeds: One per model, for its batch order.
            epoch: From 1 on.

        Raises:
            SettingsError: If one model alone needs more memory than there is.
        """
        waiting, self.parts = self.parts[::-1], []
        start = 0
        while waiting:
            launch = waiting.pop()
            before = copy.deepcopy(
                (launch.rows.detach(), launch.optimizer.state_dict())
            )
            models = slice(start, start + launch.models)
            try:
                sums = self._train(launch, images, seeds[models], epoch)
            except torch.OutOfMemoryError:
                # the memory of the attempt is free again only behind this block
                sums = None
            if sums is None:
                waiting += self._halves(*before, models=launch.models)[::-1]
                continue
            self.parts.append(launch)
            start = models.stop
            yield Trained(launch, before[0], models, sums)

    def keep(self, stays: Bool[np.ndarray, models]) -> None:
        """Goes on with some of the models, in launches as large as there were.

        Args:
            stays: Of all models, those that are trained on.
        """
        size = max(launch.models for launch in self.parts)
        rows = self.weights
        state = _joined(
            [
                _part(launch.optimizer.state_dict(), torch.arange(launch.models))
                for launch in self.parts
            ]
        )
        self.parts = [
            self._of(rows, state, index)
            for index in torch.from_numpy(np.flatnonzero(stays)).split(size)
            if len(index)
        ]

    def _of(
        self, rows: Tensor, optimizer_state: dict[str, Any], index: Int[Tensor, models]
    ) -> Launch:
        """Returns a launch of some rows, with their part of the optimiser's state."""
        part = padded(self.engine, rows[index])
        state = _part(optimizer_state, index.expand(len(part)))
        return self._launch(part, models=len(index), optimizer_state=state)

    def _train(
        self, launch: Launch, images: Images, seeds: Int[Tensor, models], epoch: int
    ) -> Sums:
        passes = self.recipe.passes
        done = [
            self.engine.train_epoch(
                launch.rows,
                launch.optimizer,
                images,
                order=order.expand(len(launch.rows), -1),
                recipe=self.recipe,
            )
            for order in (
                batch_order(seeds, epoch=number, count=len(images.labels))
                for number in range((epoch - 1) * passes + 1, epoch * passes + 1)
            )
        ]
        return Sums(*(sum(parts[1:], parts[0]) for parts in zip(*done, strict=True)))

    def _launch(
        self,
        rows: Float[Tensor, "padded parameters"],
        *,
        models: int,
        optimizer_state: dict[str, Any] | None = None,
    ) -> Launch:
        leaf = rows.to(self.device).clone().requires_grad_()
        optimizer = self.engine.optimizer(leaf, self.recipe)
        if optimizer_state is not None:
            optimizer.load_state_dict(optimizer_state)
        return Launch(leaf, optimizer, models)

    def _halves(
        self, rows: Tensor, optimizer_state: dict[str, Any], *, models: int
    ) -> list[Launch]:
        if models == 1:
            raise SettingsError(
                "out of memory with one model; lower recipe.batch_size or use device"
                " cpu"
            )
        half = -(-models // 2)
        log.info("out of memory; training %d models at a time", half)
        return [
            self._of(rows, optimizer_state, index)
            for index in torch.arange(models).split(half)
        ]

    def state_dict(self) -> list[dict[str, Any]]:
        """Returns weights and optimiser of every launch."""
        return [
            {
                "rows": launch.rows.detach(),
                "models": launch.models,
                "optimizer_state": launch.optimizer.state_dict(),
            }
            for launch in self.parts
        ]

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        """Takes over launches of the same population."""
        self.parts = [self._launch(**saved) for saved in state]


def _part(
    optimizer_state: dict[str, Any], models: Int[Tensor, models]
) -> dict[str, Any]:
    """Returns the state of the optimiser of some models of a launch."""
    state = {
        key: {
            # each launch counts its own steps
            name: value[models] if value.dim() else value.clone()
            for name, value in values.items()
        }
        for key, values in optimizer_state["state"].items()
    }
    return {**optimizer_state, "state": state}


def _joined(states: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the state of one optimiser for the models of several."""
    parts = [saved["state"] for saved in states]
    state = {
        key: {
            name: torch.cat([part[key][name] for part in parts])
            if value.dim()
            else value
            for name, value in values.items()
        }
        for key, values in parts[0].items()
    }
    return {**states[0], "state": state}


def training_seconds(
    weights: Float[Tensor, "models parameters"],
    architecture: Architecture,
    images: Images,
    *,
    recipe: Recipe,
    engine: EngineName,
) -> float:
    """Returns the CPU time of training one network for an epoch.

    Measured on a few networks and images, after a first round that starts the engine.

    Args:
        weights: Networks, of which the first are trained together; not changed.
        architecture: Of them.
        images: What is trained on.
        recipe: Of their training.
        engine: A name that choose_engine knows.
    """
    networks, part = weights[:TIMED_NETWORKS], images.first(TIMED_IMAGES)
    device = part.labels.device
    chosen = choose_engine(
        engine,
        architecture,
        activation=recipe.activation,
        device=device,
        optimizer=recipe.optimizer,
    )
    trained = Launches(networks, engine=chosen, recipe=recipe, device=device)
    seeds = torch.arange(len(networks), device=device)
    for epoch in (1, 2):
        begun = time.process_time()
        for _ in trained.train_epoch(part, seeds=seeds, epoch=epoch):
            pass
        spent = time.process_time() - begun
    return spent * len(images.labels) / len(part.labels) / len(networks)
