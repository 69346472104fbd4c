"""How what learns of networks is stepped: Muon, and learning rates over time.

Muon makes the steps of the matrices inside a transformer orthogonal: Jordan et al.
2024, "Muon: an optimizer for hidden layers in neural networks"; scaled as Liu et al.
2025, "Muon is scalable for LLM training", section 2.2, so that the step size of AdamW
fits. torch.optim.Muon computes in bfloat16, one matrix at a time, which takes three
times a jump's step on a CPU without bfloat16 units; this one takes all matrices of a
shape at once, in float32.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ..numbers.shapes import Float

# of the quintic whose repetition brings singular values to about 1 (Jordan et al. 2024)
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
REPETITIONS = 5
# root mean square of a step of AdamW, about (Liu et al. 2025, section 2.2)
STEP = 0.2


class Muon(torch.optim.Optimizer):
    """Steps along the orthogonal matrices nearest to the mean gradients."""

    def __init__(
        self,
        matrices: Iterable[Tensor],
        *,
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        """Prepares the steps.

        Args:
            matrices: Parameters, all of two dimensions.
            lr: Step size, as AdamW's.
            momentum: Decay of the mean of gradients; Nesterov's form.
            weight_decay: Decoupled, times lr.
        """
        super().__init__(
            matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        )

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Takes one step; all matrices have gradients."""
        for group in self.param_groups:
            alike: dict[tuple[int, int], list[Tensor]] = defaultdict(list)
            for matrix in group["params"]:
                alike[min(matrix.shape), max(matrix.shape)].append(matrix)
            for (_, longer), matrices in alike.items():
                steps = orthogonal(
                    torch.stack([self._direction(m, group) for m in matrices])
                )
                length = group["lr"] * STEP * math.sqrt(longer)
                for matrix, step in zip(matrices, steps, strict=True):
                    matrix.mul_(1 - group["lr"] * group["weight_decay"])
                    matrix.sub_(_turned(step, matrix), alpha=length)

    def _direction(self, matrix: Tensor, group: dict) -> Tensor:
        """Moves the mean of gradients; returns where it will be, wide."""
        assert matrix.grad is not None
        state = self.state[matrix]
        if not state:
            state["mean"] = torch.zeros_like(matrix)
        state["mean"].lerp_(matrix.grad, 1 - group["momentum"])
        ahead = matrix.grad.lerp(state["mean"], group["momentum"])
        return _turned(ahead, matrix)


def _turned(x: Tensor, matrix: Tensor) -> Tensor:
    """Transposes where the matrix has more rows than columns, there and back."""
    rows, columns = matrix.shape
    return x.T if rows > columns else x


def orthogonal(
    matrices: Float[Tensor, "matrices rows columns"],
) -> Float[Tensor, "matrices rows columns"]:
    """Returns about U V^T of each U S V^T.

    Singular values come between about 0.7 and 1.2, but for those that are next to none
    of the largest.

    Args:
        matrices: With no more rows than columns.
    """
    a, b, c = COEFFICIENTS
    x = matrices / matrices.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(REPETITIONS):
        square = x @ x.mT
        x = torch.baddbmm(
            x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a
        )
    return x


def cosine_factor(step: int, steps: int, *, warm_up: float) -> float:
    """Returns the learning rate of a step, as a fraction of the largest.

    Linear from near 0 to 1 in the first steps, then half a cosine down to 0 (Loshchilov
    and Hutter 2017, without restarts).

    Args:
        step: From 0 on.
        steps: Of the whole training.
        warm_up: Fraction of them in which it rises.
    """
    rising = (step + 1) / (warm_up * steps)
    done = (step / steps - warm_up) / (1 - warm_up)
    return min(1.0, rising) * 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, done))))
