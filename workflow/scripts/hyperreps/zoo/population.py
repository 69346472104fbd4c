"""Training a population of networks from their seeds, resumable after every epoch.

Every model has its own initialisation and batch order, functions of its seed and the
epoch alone, so that it does not matter which models are trained together.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.images import SPLITS, Images
from ..engines.interface import Engine, choose_engine, evaluate_with
from ..networks.architectures import Architecture
from ..numbers.shapes import Float, Int
from ..settings.stages import Engine as EngineName
from ..settings.stages import Recipe
from .divergence import Divergence
from .launches import Launches, Trained
from .recording import Recorder


class PopulationTraining:
    """The training of a population, resumable after every epoch.

    Launches train, a Divergence judges and a Recorder keeps what is asked for. A model
    whose loss or weights are not finite, or with a weight beyond the recipe's
    weight_limit, has diverged: it stays as it was an epoch before and is marked.

    Attributes:
        epoch: Epochs done.
        models: Which models are in training; those that are not have reached their
            last epoch.
        launches: The networks and their optimisers.
        divergence: Which have diverged, and when.
        evaluated: Epochs with metrics on validation and test images.
        recorder: Metrics, and weights at the epochs asked for. On the training images
            metrics are running means over the epoch, as in the release; at epoch 0
            they are evaluated.
    """

    def __init__(
        self,
        weights: Float[Tensor, "models parameters"],
        architecture: Architecture,
        *,
        images: dict[str, Images],
        seeds: Sequence[int],
        recipe: Recipe,
        record: Sequence[int],
        last_epochs: Int[np.ndarray, models] | None = None,
        engine: EngineName = "auto",
    ) -> None:
        """Prepares the training; epoch 0 is evaluated and recorded.

        Args:
            weights: Where training starts; not changed.
            architecture: The network.
            images: By split: train, val and test.
            seeds: One per model, for its batch order.
            recipe: Optimiser and length; weights must already be initialised.
            record: Epochs whose weights are kept, increasing; networks are evaluated
                after these and after the recipe's evaluated_epochs.
            last_epochs: After which each model is left as it is; None: the recipe's.
            engine: A name that choose_engine knows.

        Raises:
            SettingsError: If the engine cannot train these networks.
        """
        self.images = images
        self.recipe = recipe
        self.architecture = architecture
        self.engine_name = engine
        device = images["train"].labels.device
        self.epoch = 0
        self._spent: list[float] = []
        self.seeds = torch.tensor(list(seeds), device=device)
        self.engine: Engine = choose_engine(
            engine,
            architecture,
            activation=recipe.activation,
            device=device,
            optimizer=recipe.optimizer,
        )
        self.launches = Launches(
            weights, engine=self.engine, recipe=recipe, device=device
        )
        count, parameters = weights.shape
        self.recorder = Recorder(count, parameters, epochs=recipe.epochs, kept=record)
        self.divergence = Divergence(count, limit=recipe.weight_limit)
        self.last_epochs = (
            np.full(count, recipe.epochs) if last_epochs is None else last_epochs
        )
        self.evaluated = {*recipe.evaluated_epochs, *record, *self.last_epochs}
        self.models = np.arange(count)
        self._evaluate(*SPLITS)
        loss = torch.from_numpy(self.recorder.loss["train"][:, 0])
        self.divergence.judge(self.weights, loss, epoch=0)

    @property
    def core_seconds(self) -> float:
        """CPU time of training one network for an epoch, evaluation aside.

        The mean of the epochs of this process; NaN before the first.
        """
        return float(np.mean(self._spent)) if self._spent else math.nan

    @property
    def weights(self) -> Float[Tensor, "models parameters"]:
        """The current weights of the models in training."""
        return self.launches.weights

    @property
    def diverged(self) -> Int[np.ndarray, models]:
        """Epoch in which each model diverged, -1 for never."""
        return self.divergence.epochs

    @property
    def recorded(self) -> Float[np.ndarray, "models recorded parameters"]:
        """The weights at the epochs asked for."""
        return self.recorder.weights

    @property
    def loss(self) -> dict[str, Float[np.ndarray, "models epochs"]]:
        """Mean cross-entropy by split; column k is epoch k."""
        return self.recorder.loss

    @property
    def accuracy(self) -> dict[str, Float[np.ndarray, "models epochs"]]:
        """Accuracy in [0, 1] by split; column k is epoch k."""
        return self.recorder.accuracy

    def inputs(self) -> tuple[dict[str, Any], list[np.ndarray]]:
        """Returns settings and arrays that its course depends on, before it begins."""
        settings = {
            **self.recipe.model_dump(),
            "architecture": self.architecture.name,
            "seeds": self.seeds.tolist(),
            "last_epochs": self.last_epochs.tolist(),
            "record": self.recorder.kept,
            "engine": self.engine_name,
        }
        images = [part for split in SPLITS for part in self.images[split]]
        return settings, [part.cpu().numpy() for part in (self.weights, *images)]

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns all that is recorded by the names it has in files."""
        return {
            "weights": self.recorded,
            "epochs": np.array(self.recorder.kept),
            "diverged": self.diverged,
            **self.recorder.metrics(),
        }

    def run_epoch(self) -> dict[str, float]:
        """Trains every model for one epoch; returns means over the models.

        Raises:
            SettingsError: If one model alone needs more memory than there is.
        """
        self.epoch += 1
        stays = self.last_epochs[self.models] >= self.epoch
        if not stays.all():
            self.launches.keep(stays)
            self.models = self.models[stays]
        if (self.diverged[self.models] >= 0).all():
            self.recorder.repeat("train", self.epoch, models=self.models)
        else:
            begun = time.process_time()
            for trained in self.launches.train_epoch(
                self.images["train"], seeds=self.seeds[self.models], epoch=self.epoch
            ):
                self._take(trained)
            self._spent.append((time.process_time() - begun) / len(self.models))
        if self.epoch in self.evaluated:
            self._evaluate("val", "test")
        return self._summary()

    def _take(self, trained: Trained) -> None:
        """Records what a launch did; diverged models go back to where they were."""
        count = trained.launch.models
        total = len(self.images["train"].labels) * self.recipe.passes
        loss, accuracy = ((x[:count] / total).float().cpu() for x in trained.sums)
        models = self.models[trained.models]
        diverged = self.divergence.judge(
            trained.weights, loss, epoch=self.epoch, models=models
        )
        trained.undo(diverged)
        self.recorder.write(
            "train",
            loss.numpy(),
            accuracy.numpy(),
            epoch=self.epoch,
            models=models,
            still=diverged,
        )

    def _evaluate(self, *splits: str) -> None:
        weights, epoch, models = self.weights, self.epoch, self.models
        for split in splits:
            metrics = evaluate_with(self.engine, weights, self.images[split])
            self.recorder.write(split, *metrics, epoch=epoch, models=models)
        self.recorder.keep(weights, epoch=epoch, models=models)

    def _summary(self) -> dict[str, float]:
        known = ("train",) if self.epoch not in self.evaluated else SPLITS
        summary = {
            f"{split} accuracy": float(
                self.recorder.accuracy[split][self.models, self.epoch].mean()
            )
            for split in known
        }
        count = self.divergence.count
        return summary | ({"diverged": count} if count else {})

    def state_dict(self) -> dict[str, Any]:
        """Returns all that load_state_dict needs to go on as if never stopped."""
        return {
            "epoch": self.epoch,
            "launches": self.launches.state_dict(),
            "diverged": torch.from_numpy(self.diverged),
            "recorder": self.recorder.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a state of the same training."""
        self.epoch = state["epoch"]
        self.launches.load_state_dict(state["launches"])
        self.models = np.flatnonzero(self.last_epochs >= self.epoch)
        self.diverged[:] = state["diverged"].numpy()
        self.recorder.load_state_dict(state["recorder"])
