"""Engines: what trains and evaluates many small networks side by side.

A population is a matrix of weights, one network per row. An engine takes some of its
rows at a time, a launch:

* fused: the zoo's CNN, one loop per network that leaves nothing to overhead, on a CPU
  (fused.py) or a GPU (fused_cuda.py).
* grouped: any declared architecture on any device; the networks of a launch become the
  groups of grouped convolutions in channels_last layout, the fastest way in plain
  PyTorch on a CPU.
* loop: grouped with one network per launch: ordinary PyTorch, for comparison.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from . import fused, fused_cuda
from .architectures import (
    Activation,
    Architecture,
    Convolution,
    Crop,
    Layer,
    Linear,
    MaxPool,
    Residual,
    Subsample,
    Weighted,
)
from .images import Images
from .settings import Engine as EngineName
from .settings import Recipe, SettingsError
from .shapes import Float, Int

log = logging.getLogger(__name__)

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "gelu": F.gelu,
}
EVALUATION_BATCH = 100
# Share of a GPU's free memory that a launch may be planned to fill.
MEMORY_SHARE = 0.5
# Memory of a network's batch order while it is sorted: five arrays of int64, for image
# sets as large as any of the paper's.
ORDER_BYTES = 5 * 8 * 100_000


class Sums(NamedTuple):
    """What each network of a launch did on a set of images, summed over the images."""

    loss: Float[Tensor, models]
    correct: Int[Tensor, models]


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
        if reason is None and name == "auto" and kind is FusedCudaEngine:
            reason = "never run on a GPU so far; ask for it by name"
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


def forward(
    architecture: Architecture,
    weights: Float[Tensor, "models parameters"],
    images: Float[Tensor, "batch planes height width"],
    *,
    activation: str,
) -> Float[Tensor, "models batch classes"]:
    """Computes the class scores of every model.

    Args:
        architecture: The network.
        weights: One model per row.
        images: Either one batch that all models share (planes = channels), or one batch
            per model, side by side in the planes (planes = models * channels).
        activation: A key of ACTIVATIONS.
    """
    items = architecture.weighted
    sizes = [s.stop - s.start for item in items for s in (item.weight, item.bias)]
    pieces = weights.split(sizes, dim=1)
    parameters = zip(items, pieces[::2], pieces[1::2], strict=True)
    run = _Forward(parameters, activation=activation)
    x = images.to(memory_format=torch.channels_last)
    return run.through(architecture.layers, x)


class _Forward:
    """Takes feature maps through layers; the parameters come in vector order."""

    def __init__(
        self,
        parameters: Iterator[tuple[Weighted, Tensor, Tensor]],
        *,
        activation: str,
    ) -> None:
        self.parameters = parameters
        self.activation = ACTIVATIONS[activation]

    def through(self, layers: Iterable[Layer], x: Tensor) -> Tensor:
        """Returns the output of the last layer."""
        for layer in layers:
            x = self._layer(layer, x)
        return x

    def _layer(self, layer: Layer, x: Tensor) -> Tensor:
        if isinstance(layer, MaxPool):
            return F.max_pool2d(x, layer.size, layer.stride)
        if isinstance(layer, Activation):
            return self.activation(x)
        if isinstance(layer, Crop):
            inside = slice(layer.border, -layer.border)
            return x[:, :, inside, inside]
        if isinstance(layer, Subsample):
            return x[:, :, :: layer.stride, :: layer.stride]
        if isinstance(layer, Residual):
            return self.through(layer.body, x) + self.through(layer.shortcut, x)
        item, weight, bias = next(self.parameters)
        models = len(weight)
        # images that all models share have no planes of their own yet
        shared = item.inputs_axis is None and x.shape[1] == item.inputs
        if isinstance(layer, Convolution):
            return F.conv2d(
                x,
                weight.reshape(-1, item.inputs, layer.kernel, layer.kernel),
                bias.flatten() if layer.bias else None,
                groups=1 if shared else models,
            )
        return _linear(x, weight, bias, layer, shared=shared)


def _linear(
    x: Tensor, weight: Tensor, bias: Tensor, layer: Linear, *, shared: bool
) -> Tensor:
    models = len(weight)
    if x.dim() == 4:
        x = x.reshape(len(x), 1 if shared else models, -1).transpose(0, 1)
        x = x.expand(models, -1, -1)
    weight = weight.view(models, layer.features, -1).transpose(1, 2)
    return torch.baddbmm(bias[:, None], x, weight) if layer.bias else x.bmm(weight)


@torch.no_grad()
def class_scores(
    architecture: Architecture,
    weights: Float[Tensor, "models parameters"],
    images: Images,
    *,
    activation: str,
) -> Iterator[Float[Tensor, "launch images classes"]]:
    """Yields the scores of all images, for some models after the other.

    Args: as for evaluate().
    """
    for rows in weights.split(TorchEngine.groups):
        batches = [
            forward(
                architecture,
                rows,
                images.normalized(slice(start, start + EVALUATION_BATCH)),
                activation=activation,
            )
            for start in range(0, len(images.labels), EVALUATION_BATCH)
        ]
        yield torch.cat(batches, dim=1)


def _score(
    scores: Float[Tensor, "models batch classes"], labels: Int[Tensor, "*any batch"]
) -> Sums:
    """Returns the summed cross-entropy and the number of correct answers per model."""
    labels = labels.expand(scores.shape[:2])
    loss = F.cross_entropy(
        scores.flatten(0, 1), labels.flatten(), reduction="none"
    ).view_as(labels)
    return Sums(loss.sum(1), (scores.argmax(2) == labels).sum(1))


class _Step:
    """A training step on fixed buffers, so that a GPU can replay it as one graph."""

    def __init__(
        self,
        engine: TorchEngine,
        rows: Tensor,
        optimizer: torch.optim.Optimizer,
        images: Images,
        *,
        batch_size: int,
    ) -> None:
        models, device = len(rows), rows.device
        self.engine, self.rows, self.optimizer = engine, rows, optimizer
        self.images = images
        self.index = torch.zeros(models, batch_size, dtype=torch.int64, device=device)
        self.loss = torch.zeros(models, dtype=torch.float64, device=device)
        self.correct = torch.zeros(models, dtype=torch.int64, device=device)
        self.run = self._run

    def __call__(self, index: Int[Tensor, "models batch"]) -> None:
        """Trains on the indexed images."""
        self.index.copy_(index)
        self.run()

    def __iter__(self) -> Iterator[Tensor]:
        """Yields the sums over all steps."""
        yield from (self.loss, self.correct)

    def _run(self) -> None:
        engine, index = self.engine, self.index
        # models innermost among the planes of an image: [batch, models * channels]
        batch = self.images.normalized(index.T).flatten(1, 2)
        scores = forward(
            engine.architecture, self.rows, batch, activation=engine.activation
        )
        sums = _score(scores, self.images.labels[index])
        self.optimizer.zero_grad()
        (sums.loss.sum() / index.shape[1]).backward()
        self.optimizer.step()
        self.loss += sums.loss.detach()
        self.correct += sums.correct

    def capture(self) -> None:
        """Records the step as a CUDA graph; weights and optimiser stay as they are."""
        known = copy.deepcopy(self.optimizer.state.get(self.rows, {}))
        weights = self.rows.detach().clone()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            # the first runs choose algorithms and make the optimiser's state
            for _ in range(3):
                self._run()
        torch.cuda.current_stream().wait_stream(stream)
        with torch.no_grad():
            self.rows.copy_(weights)
            for name, value in self.optimizer.state[self.rows].items():
                if torch.is_tensor(value):
                    value.copy_(known.get(name, torch.zeros_like(value)))
        self.loss.zero_()
        self.correct.zero_()
        self.optimizer.zero_grad()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._run()
        self.run = graph.replay


class TorchEngine:
    """Any declared architecture, as grouped convolutions or one network at a time."""

    # Fastest of 1, 8, 16, 32 and 50 on a CPU.
    groups = 16

    def __init__(
        self,
        architecture: Architecture,
        activation: str,
        *,
        name: str = "grouped",
    ) -> None:
        """Describes the networks; name is grouped or loop."""
        self.name = name
        self.architecture = architecture
        self.activation = activation

    def launch_size(self, device: torch.device, *, batch_size: int) -> int:
        """Returns 1 (loop), 16 on a CPU, or what fits a GPU's free memory."""
        if self.name == "loop":
            return 1
        if device.type == "cpu":
            return self.groups
        free, _ = torch.cuda.mem_get_info(device)
        return max(1, int(MEMORY_SHARE * free / self.bytes_per_model(batch_size)))

    def bytes_per_model(self, batch_size: int) -> int:
        """Returns the memory of a network in training, roughly.

        Weights, gradient, two moments and a copy; feature maps of the larger of a
        training and an evaluation batch, their gradients and as much work space.
        """
        per_image = sum(self.architecture.feature_sizes)
        images = max(batch_size, EVALUATION_BATCH)
        return 4 * (5 * self.architecture.parameters + 3 * images * per_image)

    def optimizer(self, rows: Tensor, recipe: Recipe) -> torch.optim.Optimizer:
        """Returns the recipe's optimiser, one fused update for the whole launch."""
        common: dict[str, Any] = {
            "lr": recipe.learning_rate,
            "weight_decay": recipe.weight_decay,
        }
        # with the number of steps on the device, for the graph
        capturable = rows.is_cuda
        if recipe.optimizer == "adam":
            return torch.optim.Adam([rows], fused=True, capturable=capturable, **common)
        common["momentum"] = recipe.momentum
        if recipe.optimizer == "sgd":
            return torch.optim.SGD([rows], fused=True, **common)
        return torch.optim.RMSprop([rows], capturable=capturable, **common)

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
        size = min(recipe.batch_size, order.shape[1])
        steps = {
            width: _Step(self, rows, optimizer, images, batch_size=width)
            for width in {size, order.shape[1] % size} - {0}
        }
        if rows.is_cuda:
            steps[size].capture()
        for index in order.split(size, dim=1):
            steps[index.shape[1]](index)
        return Sums(*(sum(parts) for parts in zip(*steps.values(), strict=True)))

    @torch.no_grad()
    def evaluate(
        self, rows: Float[Tensor, "models parameters"], images: Images
    ) -> Sums:
        """Evaluates a launch; see Engine."""
        loss = torch.zeros(len(rows), dtype=torch.float64, device=rows.device)
        correct = torch.zeros(len(rows), dtype=torch.int64, device=rows.device)
        for start in range(0, len(images.labels), EVALUATION_BATCH):
            batch = slice(start, start + EVALUATION_BATCH)
            x = images.normalized(batch)
            scores = forward(self.architecture, rows, x, activation=self.activation)
            sums = _score(scores, images.labels[batch])
            loss += sums.loss
            correct += sums.correct
        return Sums(loss, correct)


class FusedEngine:
    """The zoo's CNN on a CPU, trained with Adam; see fused.py."""

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
        loss, correct = self.kernel.evaluate(
            self._view(rows.detach().contiguous()),
            activation=self.activation,
            **self._arguments(images),
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
    """The zoo's CNN on a GPU, trained with Adam; see fused_cuda.py."""

    kernel = fused_cuda
    unsupported_here = staticmethod(fused_cuda.unsupported_here)

    def launch_size(self, device: torch.device, *, batch_size: int) -> int:
        """Returns how many networks the batch orders of an epoch leave room for."""
        free, _ = torch.cuda.mem_get_info(device)
        return max(1, int(MEMORY_SHARE * free / ORDER_BYTES))

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
    device = weights.device
    chosen = choose_engine(engine, architecture, activation=activation, device=device)
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
