"""Many networks side by side in PyTorch, as the groups of grouped convolutions.

Any declared architecture, any device; the loop engine is one network at a time.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.images import Images
from ..networks.architectures import (
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
from ..numbers.shapes import Float, Int
from ..settings.stages import Recipe

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


class Sums(NamedTuple):
    """What each network of a launch did on a set of images, summed over the images."""

    loss: Float[Tensor, models]
    correct: Int[Tensor, models]


@contextmanager
def exact_convolutions() -> Iterator[None]:
    """Keeps convolutions on a GPU in float32.

    PyTorch's default there is TF32, whose mantissa has 10 bits: after an epoch such
    networks are some percent of their way apart from those of other engines.
    """
    settings = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before = settings.fp32_precision
    settings.fp32_precision = "ieee"
    try:
        yield
    finally:
        settings.fp32_precision = before


@exact_convolutions()
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
        count = max(batch_size, EVALUATION_BATCH)
        return 4 * (5 * self.architecture.parameters + 3 * count * per_image)

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

    @exact_convolutions()
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
        for batch, scores in self._scored(rows, images):
            sums = _score(scores, images.labels[batch])
            loss += sums.loss
            correct += sums.correct
        return Sums(loss, correct)

    @torch.no_grad()
    def class_scores(
        self, rows: Float[Tensor, "models parameters"], images: Images
    ) -> Float[Tensor, "models images classes"]:
        """Returns the scores of a launch; see Engine."""
        return torch.cat([scores for _, scores in self._scored(rows, images)], dim=1)

    def _scored(
        self, rows: Float[Tensor, "models parameters"], images: Images
    ) -> Iterator[tuple[slice, Float[Tensor, "models batch classes"]]]:
        """Yields which images, and their scores."""
        for start in range(0, len(images.labels), EVALUATION_BATCH):
            batch = slice(start, start + EVALUATION_BATCH)
            x = images.normalized(batch)
            yield (
                batch,
                forward(self.architecture, rows, x, activation=self.activation),
            )
