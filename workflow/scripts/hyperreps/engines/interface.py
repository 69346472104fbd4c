"""Engines: what trains and evaluates many small networks side by side.

A population is a matrix of weights, one network per row. An engine takes some of its
rows at a time, a launch:

* fused: one loop per network that leaves nothing to overhead, for the declared
  architectures on a CPU (fused/), for the zoo's CNN on a GPU (cuda/).
* grouped: any declared architecture on any device; the networks of a launch become the
  groups of grouped convolutions in channels_last layout, the fastest way in plain
  PyTorch on a CPU.
* loop: grouped with one network per launch: ordinary PyTorch, for comparison.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import cache
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..data.images import Images
from ..networks.architectures import CLASSES, Architecture
from ..numbers.shapes import Float, Int
from ..settings.stages import Engine as EngineName
from ..settings.stages import Recipe, SettingsError
from .cuda import engine as fused_cuda
from .fused import engine as fused
from .grouped import MEMORY_SHARE, Sums, TorchEngine

log = logging.getLogger(__name__)

# Networks times images that plain PyTorch is through with, on a CPU, before the fused
# kernel is loaded, as jobs of small configurations have them.
FEW_EVALUATIONS = 100_000
# Memory of a network's batch order while it is sorted: five arrays of int64, for image
# sets as large as any of the paper's.
ORDER_BYTES = 5 * 8 * 100_000


@runtime_checkable
class Engine(Protocol):
    """Trains and evaluates launches of networks of one architecture."""

    name: str

    def launch_size(self, device: torch.device, *, batch_size: int) -> int:
        """Returns how many networks to take at a time."""
        ...

    def optimizer(self, rows: Tensor, recipe: Recipe) -> torch.optim.Optimizer:
        """Returns the optimiser of a launch."""
        ...

    def train_epoch(
        self,
        rows: Float[Tensor, "models parameters"],
        optimizer: torch.optim.Optimizer,
        images: Images,
        *,
        order: Int[Tensor, "models samples"],
        recipe: Recipe,
    ) -> Sums:
        """Trains a launch in place.

        Returns:
            Loss and correct answers of each batch before its step.
        """
        ...

    def evaluate(
        self, rows: Float[Tensor, "models parameters"], images: Images
    ) -> Sums:
        """Evaluates a launch on all images."""
        ...

    def class_scores(
        self, rows: Float[Tensor, "models parameters"], images: Images
    ) -> Float[Tensor, "models images classes"]:
        """Returns the scores that a launch gives all images."""
        ...


def choose_engine(
    name: EngineName,
    architecture: Architecture,
    *,
    activation: str,
    device: torch.device,
    optimizer: str = "adam",
) -> Engine:
    """Returns an engine; auto is the fastest that can do the work, with a log line.

    Raises:
        SettingsError: If the engine cannot do the work.
    """
    if name in ("auto", "fused"):
        kind = FusedCudaEngine if device.type == "cuda" else FusedEngine
        reason = kind.unsupported_here(architecture, activation, optimizer)
        if reason is None:
            _say("fused", "")
            return kind(architecture, activation)
        if name == "fused":
            raise SettingsError(f"engine fused: {reason}; or use auto")
        name = "grouped"
        _say(name, f" (not fused: {reason})")
    return TorchEngine(architecture, activation, name=name)


@cache
def _say(name: str, reason: str) -> None:
    log.info("engine: %s%s", name, reason)


class FusedEngine:
    """Small networks on a CPU, trained with Adam; see fused/."""

    name = "fused"
    kernel: ModuleType = fused
    unsupported_here = staticmethod(fused.unsupported_here)

    def __init__(self, architecture: Architecture, activation: str) -> None:
        """Describes the networks."""
        self.architecture = architecture
        self.activation = activation

    def launch_size(self, device: torch.device, *, batch_size: int) -> int:
        """Returns a number that keeps all cores busy and the batch orders small."""
        return 64

    def optimizer(self, rows: Tensor, recipe: Recipe) -> torch.optim.Optimizer:
        """Returns PyTorch's Adam, whose state the kernel works on."""
        optimizer = torch.optim.Adam(
            [rows], lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        optimizer.state[rows] = {
            "step": torch.tensor(0.0),
            "exp_avg": torch.zeros_like(rows, requires_grad=False),
            "exp_avg_sq": torch.zeros_like(rows, requires_grad=False),
        }
        return optimizer

    def train_epoch(
        self,
        rows: Float[Tensor, "models parameters"],
        optimizer: torch.optim.Optimizer,
        images: Images,
        *,
        order: Int[Tensor, "models samples"],
        recipe: Recipe,
    ) -> Sums:
        """Trains a launch in place; see Engine."""
        state = optimizer.state[rows]
        tensors = (rows.detach(), state["exp_avg"], state["exp_avg_sq"])
        loss, correct = self.kernel.train_epoch(
            *map(self._view, tensors),
            int(state["step"]),
            recipe=recipe,
            order=self._view(order.int().contiguous()),
            **self._arguments(images),
        )
        state["step"] += -(-order.shape[1] // recipe.batch_size)
        return Sums(torch.as_tensor(loss), torch.as_tensor(correct))

    def evaluate(
        self, rows: Float[Tensor, "models parameters"], images: Images
    ) -> Sums:
        """Evaluates a launch; see Engine."""
        return self._evaluate(rows, images)

    def class_scores(
        self, rows: Float[Tensor, "models parameters"], images: Images
    ) -> Float[Tensor, "models images classes"]:
        """Returns the scores of a launch; see Engine."""
        scores = torch.empty(len(rows), len(images.labels), CLASSES)
        self._evaluate(rows, images, scores=scores.numpy())
        return scores

    def _evaluate(self, rows: Tensor, images: Images, **scores: Any) -> Sums:
        loss, correct = self.kernel.evaluate(
            self._view(rows.detach().contiguous()),
            activation=self.activation,
            **self._arguments(images),
            **scores,
        )
        return Sums(torch.as_tensor(loss), torch.as_tensor(correct))

    def _view(self, tensor: Tensor) -> Any:
        """Returns a tensor as the kernel takes it, without a copy."""
        return tensor.numpy()

    def _arguments(self, images: Images) -> dict[str, Any]:
        return {
            "architecture": self.architecture,
            "pixels": self._view(images.pixels),
            "labels": self._view(images.labels.to(torch.uint8)),
            "mean": self._view(images.mean),
            "std": self._view(images.std),
            # what devices.py set for this process
            "threads": torch.get_num_threads(),
        }


class FusedCudaEngine(FusedEngine):
    """The zoo's CNN on a GPU, trained with Adam; see cuda/."""

    kernel = fused_cuda
    unsupported_here = staticmethod(fused_cuda.unsupported_here)

    def launch_size(self, device: torch.device, *, batch_size: int) -> int:
        """Returns how many networks the batch orders of an epoch leave room for."""
        free, _ = torch.cuda.mem_get_info(device)
        return max(1, int(MEMORY_SHARE * free / ORDER_BYTES))

    def class_scores(
        self, rows: Float[Tensor, "models parameters"], images: Images
    ) -> Float[Tensor, "models images classes"]:
        """Returns the scores of a launch in plain PyTorch; the kernel keeps sums."""
        plain = TorchEngine(self.architecture, self.activation)
        return plain.class_scores(padded(plain, rows), images)[: len(rows)]

    def _view(self, tensor: Tensor) -> Any:
        return tensor

    def _arguments(self, images: Images) -> dict[str, Any]:
        arguments = super()._arguments(images)
        del arguments["threads"]
        return arguments


def evaluate(
    architecture: Architecture,
    weights: Float[Tensor, "models parameters"],
    images: Images,
    *,
    activation: str,
    engine: EngineName = "auto",
) -> tuple[Float[np.ndarray, models], Float[np.ndarray, models]]:
    """Returns the mean cross-entropy and the accuracy in [0, 1] of every model.

    Args:
        architecture: The network.
        weights: One model per row, on the device of the images.
        images: What they are evaluated on.
        activation: A key of ACTIVATIONS.
        engine: A name that choose_engine knows.
    """
    chosen = _engine_of(engine, architecture, weights, images, activation=activation)
    return evaluate_with(chosen, weights, images)


def evaluate_with(
    engine: Engine, weights: Float[Tensor, "models parameters"], images: Images
) -> tuple[Float[np.ndarray, models], Float[np.ndarray, models]]:
    """Returns mean cross-entropy and accuracy in [0, 1], as evaluate()."""
    size = engine.launch_size(weights.device, batch_size=1)
    parts = [_evaluate(engine, rows, images) for rows in weights.split(size)]
    loss, correct = (
        torch.cat(sums).cpu().double() for sums in zip(*parts, strict=True)
    )
    count = len(images.labels)
    return (loss / count).float().numpy(), (correct / count).float().numpy()


def class_scores(
    architecture: Architecture,
    weights: Float[Tensor, "models parameters"],
    images: Images,
    *,
    activation: str,
) -> Iterator[Float[Tensor, "launch images classes"]]:
    """Yields the scores of all images, for some models after the other.

    Args: as for evaluate(). There is a bar on terminals.
    """
    engine = _engine_of("auto", architecture, weights, images, activation=activation)
    launches = weights.split(TorchEngine.groups)
    for rows in tqdm(launches, desc="answers", disable=None):
        yield engine.class_scores(padded(engine, rows), images)[: len(rows)]


def _engine_of(
    name: EngineName,
    architecture: Architecture,
    weights: Tensor,
    images: Images,
    *,
    activation: str,
) -> Engine:
    """Returns the engine that evaluates networks once."""
    device = weights.device
    few = len(weights) * len(images.labels) < FEW_EVALUATIONS
    if name == "auto" and device.type == "cpu" and few:
        name = "grouped"
    return choose_engine(name, architecture, activation=activation, device=device)


def _evaluate(engine: Engine, rows: Tensor, images: Images) -> Sums:
    count = len(rows)
    try:
        loss, correct = engine.evaluate(padded(engine, rows), images)
        return Sums(loss[:count], correct[:count])
    except torch.OutOfMemoryError:
        if count == 1:
            raise
        log.info("out of memory; evaluating %d models at a time", -(-count // 2))
        halves = [_evaluate(engine, half, images) for half in rows.chunk(2)]
        return Sums(*map(torch.cat, zip(*halves, strict=True)))


def padded(
    engine: Engine, rows: Float[Tensor, "models parameters"]
) -> Float[Tensor, "padded parameters"]:
    """Returns the rows of a launch, a lone one doubled for grouped convolutions.

    Convolutions in one group take another path than grouped ones; with two groups or
    more a model gets the same bits whatever its company.
    """
    return rows.repeat(2, 1) if len(rows) == 1 and engine.name == "grouped" else rows
