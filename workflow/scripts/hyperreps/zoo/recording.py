"""What is kept of a training: loss and accuracy of its epochs, weights of some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.images import SPLITS
from ..numbers.shapes import Bool, Float, Int


class Recorder:
    """Metrics of a population, and its weights at epochs asked for.

    Column k of a metric is epoch k, NaN if that is not evaluated.

    Attributes:
        kept: Epochs whose weights are kept, increasing.
        weights: float32 [models, kept epochs, parameters]; NaN before their epoch and
            after a network's last, like loss and accuracy.
        loss: Mean cross-entropy by split of the images, float32 [models, epochs + 1].
        accuracy: In [0, 1] by split of the images, float32 [models, epochs + 1].
    """

    def __init__(
        self, models: int, parameters: int, *, epochs: int, kept: Sequence[int]
    ) -> None:
        """Makes room for epochs 0 to `epochs` of so many networks."""
        self.kept = list(kept)
        shape = (models, len(self.kept), parameters)
        self.weights = np.full(shape, np.nan, np.float32)
        self.loss, self.accuracy = (
            {split: _unknown(models, epochs) for split in SPLITS} for _ in range(2)
        )

    def keep(
        self,
        weights: Float[Tensor, "models parameters"],
        *,
        epoch: int,
        models: Int[np.ndarray, models],
    ) -> None:
        """Keeps weights of networks, if they are asked for at this epoch."""
        if epoch in self.kept:
            self.weights[models, self.kept.index(epoch)] = weights.cpu().numpy()

    def write(
        self,
        split: str,
        loss: Float[np.ndarray, models],
        accuracy: Float[np.ndarray, models],
        *,
        epoch: int,
        models: Int[np.ndarray, models],
        still: Bool[np.ndarray, models] | None = None,
    ) -> None:
        """Writes the metrics of an epoch.

        Args:
            split: Of the images.
            loss: Mean over the images.
            accuracy: In [0, 1].
            epoch: Where to.
            models: Which of the population they are.
            still: Networks that keep the metrics of the epoch before; None: none.
        """
        for by_split, measured in ((self.loss, loss), (self.accuracy, accuracy)):
            values = by_split[split]
            if still is not None:
                measured = np.where(still, values[models, epoch - 1], measured)
            values[models, epoch] = measured

    def repeat(
        self, split: str, epoch: int, *, models: Int[np.ndarray, models]
    ) -> None:
        """Writes the metrics of networks of the epoch before once more."""
        for by_split in (self.loss, self.accuracy):
            values = by_split[split]
            values[models, epoch] = values[models, epoch - 1]

    def metrics(self) -> dict[str, Float[np.ndarray, "models epochs"]]:
        """Returns loss and accuracy by the names they have in files."""
        return {
            f"{name}/{split}": values
            for name, by_split in (("loss", self.loss), ("accuracy", self.accuracy))
            for split, values in by_split.items()
        }

    def state_dict(self) -> dict[str, Any]:
        """Returns all that is recorded so far."""
        arrays = {"weights": self.weights, **self.metrics()}
        return {name: torch.from_numpy(values) for name, values in arrays.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over the record of the same training, in place."""
        for name, values in {"weights": self.weights, **self.metrics()}.items():
            values[:] = state[name].numpy()


def _unknown(models: int, epochs: int) -> Float[np.ndarray, "models epochs"]:
    return np.full((models, epochs + 1), np.nan, np.float32)
