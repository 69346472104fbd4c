"""Training a population of networks from their seeds, resumable after every epoch.

Every model has its own initialisation and batch order, functions of its seed and the
epoch alone, so that it does not matter which models are trained together.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..data.images import SPLITS, Images
from ..engines.interface import Engine, Sums, choose_engine, evaluate_with, padded
from ..networks.architectures import Architecture
from ..numbers.randomness import batch_order
from ..numbers.shapes import Float, Int
from ..settings.stages import Engine as EngineName
from ..settings.stages import Recipe, SettingsError

log = logging.getLogger(__name__)


class Launch(NamedTuple):
    """Models that are trained together: their weights and the optimiser of these.

    Rows beyond the number of models are padding.
    """

    rows: Float[Tensor, "padded parameters"]
    optimizer: torch.optim.Optimizer
    models: int


class PopulationTraining:
    """The training of a population, resumable after every epoch.

    A model whose loss or weights are not finite, or with a weight beyond the recipe's
    weight_limit, has diverged: it stays as it was an epoch before and is marked.

    Attributes:
        epoch: Epochs done.
        weights: [models, parameters], the current weights.
        recorded: float32 [models, recorded epochs, parameters].
        loss: Mean cross-entropy by split, float32 [models, epochs + 1].
        accuracy: Accuracy in [0, 1] by split, float32 [models, epochs + 1]. On the
            training images both are running means over the epoch, as in the release;
            at epoch 0 they are evaluated.
        diverged: Epoch in which a model diverged, -1 for never: int64 [models].
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
        engine: EngineName = "auto",
    ) -> None:
        """Prepares the training; epoch 0 is evaluated and recorded.

        Args:
            weights: Where training starts; not changed.
            architecture: The network.
            images: By split: train, val and test.
            seeds: One per model, for its batch order.
            recipe: Optimiser and length; weights must already be initialised.
            record: Epochs whose weights are kept, increasing.
            engine: A name that choose_engine knows.

        Raises:
            SettingsError: If the engine cannot train these networks.
        """
        self.images = images
        self.recipe = recipe
        self.record = list(record)
        device = images["train"].labels.device
        self.epoch = 0
        self.seeds = torch.tensor(list(seeds), device=device)
        self.engine: Engine = choose_engine(
            engine,
            architecture,
            activation=recipe.activation,
            device=device,
            optimizer=recipe.optimizer,
        )
        size = self.engine.launch_size(device, batch_size=recipe.batch_size)
        self.launches = [
            self._launch(padded(self.engine, rows), models=len(rows))
            for rows in weights.to(device).split(size)
        ]
        models = len(weights)
        shape = (models, recipe.epochs + 1)
        self.recorded = np.full(
            (models, len(self.record), architecture.parameters), np.nan, np.float32
        )
        self.loss = {split: np.full(shape, np.nan, np.float32) for split in SPLITS}
        self.accuracy = {split: np.full(shape, np.nan, np.float32) for split in SPLITS}
        self._evaluate(*SPLITS)
        broken = self._broken(self.weights, torch.from_numpy(self.loss["train"][:, 0]))
        self.diverged = np.where(broken.cpu().numpy(), 0, -1)

    def _launch(
        self,
        rows: Tensor,
        *,
        models: int,
        optimizer_state: dict[str, Any] | None = None,
    ) -> Launch:
        leaf = rows.to(self.seeds.device).clone().requires_grad_()
        optimizer = self.engine.optimizer(leaf, self.recipe)
        if optimizer_state is not None:
            optimizer.load_state_dict(optimizer_state)
        return Launch(leaf, optimizer, models)

    @property
    def weights(self) -> Float[Tensor, "models parameters"]:
        """The current weights, without padding."""
        return torch.cat([x.rows.detach()[: x.models] for x in self.launches])

    def metrics(self) -> dict[str, Float[np.ndarray, "models epochs"]]:
        """Returns loss and accuracy by the names they have in files."""
        return {
            f"{name}/{split}": values
            for name, by_split in (("loss", self.loss), ("accuracy", self.accuracy))
            for split, values in by_split.items()
        }

    def run_epoch(self) -> dict[str, float]:
        """Trains every model for one epoch; returns means over the models.

        Raises:
            SettingsError: If one model alone needs more memory than there is.
        """
        self.epoch += 1
        if (self.diverged >= 0).all():
            self._stand_still()
            return self._summary()
        waiting, self.launches = self.launches[::-1], []
        start = 0
        while waiting:
            launch = waiting.pop()
            before = copy.deepcopy(
                (launch.rows.detach(), launch.optimizer.state_dict())
            )
            stop = start + launch.models
            try:
                sums = self._train(launch, self.seeds[start:stop])
            except torch.OutOfMemoryError:
                # the memory of the attempt is free again only behind this block
                sums = None
            if sums is None:
                waiting += self._halves(*before, models=launch.models)[::-1]
                continue
            self._take(launch, before[0], sums, slice(start, stop))
            self.launches.append(launch)
            start = stop
        self._evaluate("val", "test")
        return self._summary()

    def _train(self, launch: Launch, seeds: Int[Tensor, models]) -> Sums:
        train = self.images["train"]
        order = batch_order(seeds, epoch=self.epoch, images=len(train.labels))
        return self.engine.train_epoch(
            launch.rows,
            launch.optimizer,
            train,
            order=order.expand(len(launch.rows), -1),
            recipe=self.recipe,
        )

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
        halves = []
        for index in torch.arange(models).split(half):
            part = padded(self.engine, rows[index])
            state = _part(optimizer_state, index.expand(len(part)))
            launch = self._launch(part, models=len(index), optimizer_state=state)
            halves.append(launch)
        return halves

    def _take(self, launch: Launch, before: Tensor, sums: Sums, models: slice) -> None:
        """Records what a launch did; diverged models go back to where they were."""
        count = launch.models
        total = len(self.images["train"].labels)
        loss = (sums.loss[:count] / total).float().cpu()
        rows = launch.rows.detach()
        broken = self._broken(rows[:count], loss)
        known = self.diverged[models] >= 0
        new = broken.cpu().numpy() & ~known
        self.diverged[models][new] = self.epoch
        frozen = torch.from_numpy(new | known).to(rows.device)
        rows[:count][frozen] = before[:count][frozen]
        if count < len(rows):
            rows[count:] = rows[:1]
        kept = new | known
        for values, measured in (
            (self.loss["train"], loss),
            (self.accuracy["train"], (sums.correct[:count] / total).float().cpu()),
        ):
            previous = values[models, self.epoch - 1]
            values[models, self.epoch] = np.where(kept, previous, measured.numpy())

    def _stand_still(self) -> None:
        for values in self.metrics().values():
            values[:, self.epoch] = values[:, self.epoch - 1]
        if self.epoch in self.record:
            index = self.record.index(self.epoch)
            self.recorded[:, index] = self.weights.cpu().numpy()

    def _broken(
        self, rows: Float[Tensor, "models parameters"], loss: Float[Tensor, models]
    ) -> Tensor:
        # written so that NaN counts as broken
        small = rows.abs().amax(1) <= self.recipe.weight_limit
        return ~(small & loss.isfinite().to(rows.device))

    def _summary(self) -> dict[str, float]:
        count = int((self.diverged >= 0).sum())
        summary = {
            f"{split} accuracy": float(self.accuracy[split][:, self.epoch].mean())
            for split in SPLITS
        }
        return summary | ({"diverged": count} if count else {})

    def _evaluate(self, *splits: str) -> None:
        weights = self.weights
        for split in splits:
            loss, accuracy = evaluate_with(self.engine, weights, self.images[split])
            self.loss[split][:, self.epoch] = loss
            self.accuracy[split][:, self.epoch] = accuracy
        if self.epoch in self.record:
            self.recorded[:, self.record.index(self.epoch)] = weights.cpu().numpy()

    def state_dict(self) -> dict[str, Any]:
        """Returns all that load_state_dict needs to go on as if never stopped."""
        return {
            "epoch": self.epoch,
            "launches": [
                {
                    "rows": launch.rows.detach(),
                    "models": launch.models,
                    "optimizer_state": launch.optimizer.state_dict(),
                }
                for launch in self.launches
            ],
            "recorded": torch.from_numpy(self.recorded),
            "diverged": torch.from_numpy(self.diverged),
            "metrics": {k: torch.from_numpy(v) for k, v in self.metrics().items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a state of the same training."""
        self.epoch = state["epoch"]
        self.launches = [self._launch(**saved) for saved in state["launches"]]
        self.recorded[:] = state["recorded"].numpy()
        self.diverged[:] = state["diverged"].numpy()
        for name, values in self.metrics().items():
            values[:] = state["metrics"][name].numpy()


def all_diverged(networks: str) -> SettingsError:
    """Returns the error of a population without a network that can be used."""
    return SettingsError(
        f"all {networks} have diverged: weights or losses are not finite, or"
        " beyond recipe.weight_limit; lower recipe.learning_rate"
    )


def _part(
    optimizer_state: dict[str, Any], models: Int[Tensor, models]
) -> dict[str, Any]:
    """Returns the state of the optimiser of some models of a launch."""
    state = {
        key: {
            name: value[models] if torch.is_tensor(value) and value.dim() else value
            for name, value in values.items()
        }
        for key, values in optimizer_state["state"].items()
    }
    return {**optimizer_state, "state": state}
