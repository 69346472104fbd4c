"""Networks whose training diverged: found, marked, and what to say of them."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ..numbers.shapes import Bool, Float, Int


class Divergence:
    """Which networks have diverged, and in which epoch.

    A network has diverged when its loss or one of its weights is not finite, or a
    weight is beyond the limit; it is not looked at again.

    Attributes:
        epochs: In which each diverged; -1 for never.
        limit: Largest absolute weight that is allowed.
    """

    def __init__(self, models: int, *, limit: float) -> None:
        """Counts all models as sound."""
        self.epochs: Int[np.ndarray, models] = np.full(models, -1)
        self.limit = limit

    def judge(
        self,
        weights: Float[Tensor, "models parameters"],
        loss: Float[Tensor, models],
        *,
        epoch: int,
        models: Int[np.ndarray, models] | slice = slice(None),
    ) -> Bool[np.ndarray, models]:
        """Marks the networks that have diverged; returns all that have by now.

        Args:
            weights: After the epoch.
            loss: Of the epoch, on the CPU.
            epoch: What newly diverged ones are marked with.
            models: Which of the population they are.
        """
        # written so that NaN counts as broken
        small = weights.abs().amax(1) <= self.limit
        broken = ~(small & loss.isfinite().to(weights.device)).cpu().numpy()
        known = self.epochs[models] >= 0
        self.epochs[models] = np.where(broken & ~known, epoch, self.epochs[models])
        return broken | known

    @property
    def count(self) -> int:
        """How many have diverged."""
        return int((self.epochs >= 0).sum())

    @property
    def all(self) -> bool:
        """Whether no network is left to train."""
        return self.count == len(self.epochs)
