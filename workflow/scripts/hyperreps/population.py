"""Training and evaluating many small networks side by side, as one matrix of weights.

The networks of a launch become the groups of grouped convolutions in channels_last
layout, the fastest way in plain PyTorch on a CPU. Every model has its own
initialisation and batch order, functions of its seed and the epoch alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .architectures import Activation, Architecture, Convolution, Linear, MaxPool
from .randomness import batch_order
from .settings import Recipe
from .shapes import Float, Int, UInt8

INITIAL_BIAS = 0.01
SPLITS = ("train", "val", "test")
# Models per launch on a CPU: the fastest of 1, 8, 16, 32 and 50.
CPU_LAUNCH = 16
EVALUATION_BATCH = 100

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "gelu": F.gelu,
}


class Images(NamedTuple):
    """A set of images on a device.

    Attributes:
        pixels: Raw intensities.
        labels: Classes.
        mean: Of the pixels in [0, 1], per channel, subtracted in the batch.
        std: Of the pixels in [0, 1], per channel.
    """

    pixels: UInt8[Tensor, "images channels height width"]
    labels: Int[Tensor, images]
    mean: Float[Tensor, channels]
    std: Float[Tensor, channels]

    @classmethod
    def by_split(
        cls,
        arrays: Mapping[str, np.ndarray],
        *,
        mean: Sequence[float],
        std: Sequence[float],
        device: torch.device,
    ) -> dict[str, Images]:
        """Returns the images of each split of a dataset file, on a device."""
        return {
            split: cls(
                torch.from_numpy(arrays[f"{split}/images"]).to(device),
                torch.from_numpy(arrays[f"{split}/labels"]).long().to(device),
                torch.tensor(mean, device=device),
                torch.tensor(std, device=device),
            )
            for split in SPLITS
        }

    def normalized(
        self, index: Int[Tensor, ...] | slice
    ) -> Float[Tensor, "... channels height width"]:
        """Returns the indexed images as float, shifted and scaled."""
        pixels = self.pixels[index].float() / 255
        return (pixels - self.mean[:, None, None]) / self.std[:, None, None]


def initial_weights(
    architecture: Architecture, *, initialization: str, seeds: Iterable[int]
) -> Float[Tensor, "models parameters"]:
    """Draws the weights of untrained networks; all biases are 0.01.

    Args:
        architecture: The network.
        initialization: As in settings.Recipe; "uniform" is U(0, 1), as in the release.
        seeds: One per model; each model depends on its own seed only.
    """
    rows = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        row = torch.full((architecture.parameters,), INITIAL_BIAS)
        for name, shape in architecture.shapes().items():
            layer, kind = name.split(".")
            if kind == "weight":
                item = next(w for w in architecture.weighted if w.name == layer)
                drawn = _draw(initialization, shape, item.fan_in, generator)
                row[item.weight] = drawn.flatten()
        rows.append(row)
    return torch.stack(rows)


def _draw(
    name: str, shape: tuple[int, ...], fan_in: int, generator: torch.Generator
) -> Tensor:
    weight = torch.empty(shape)
    if name == "uniform":
        return weight.uniform_(0, 1, generator=generator)
    if name == "uniform_fan_in":
        return weight.uniform_(0, fan_in**-0.5, generator=generator)
    if name == "normal":
        return weight.normal_(0, 1, generator=generator)
    initialize = getattr(torch.nn.init, f"{name}_")
    return initialize(weight, generator=generator)


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
    models = len(weights)
    items = architecture.weighted
    sizes = [s.stop - s.start for item in items for s in (item.weight, item.bias)]
    pieces = iter(weights.split(sizes, dim=1))
    remaining = iter(items)
    shared = images.shape[1] == architecture.channels
    x = images.to(memory_format=torch.channels_last)
    for layer in architecture.layers:
        if isinstance(layer, MaxPool):
            x = F.max_pool2d(x, layer.size)
        elif isinstance(layer, Activation):
            x = ACTIVATIONS[activation](x)
        else:
            item = next(remaining)
            weight, bias = next(pieces), next(pieces)
            if isinstance(layer, Convolution):
                shape = (models * item.units, item.inputs, layer.kernel, layer.kernel)
                x = F.conv2d(
                    x,
                    weight.reshape(shape),
                    bias.flatten() if layer.bias else None,
                    groups=1 if shared else models,
                )
                shared = False
            else:
                x = _linear(x, weight, bias, layer, shared=shared)
                shared = False
    return x


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
def evaluate(
    architecture: Architecture,
    weights: Float[Tensor, "models parameters"],
    images: Images,
    *,
    activation: str,
) -> tuple[Float[np.ndarray, models], Float[np.ndarray, models]]:
    """Returns the mean cross-entropy and the accuracy in [0, 1] of every model."""
    losses, accuracies = [], []
    for rows in weights.split(_launch_size(weights)):
        padded = _padded(rows)
        loss = torch.zeros(len(padded), dtype=torch.float64, device=weights.device)
        correct = torch.zeros_like(loss)
        for start in range(0, len(images.labels), EVALUATION_BATCH):
            batch = slice(start, start + EVALUATION_BATCH)
            scores = forward(
                architecture, padded, images.normalized(batch), activation=activation
            )
            batch_loss, batch_correct = _score(scores, images.labels[batch])
            loss += batch_loss
            correct += batch_correct
        losses.append(loss[: len(rows)] / len(images.labels))
        accuracies.append(correct[: len(rows)] / len(images.labels))
    return _numpy(torch.cat(losses)), _numpy(torch.cat(accuracies))


def _score(
    scores: Float[Tensor, "models batch classes"], labels: Int[Tensor, "*any batch"]
) -> tuple[Float[Tensor, models], Int[Tensor, models]]:
    """Returns the summed cross-entropy and the number of correct answers per model."""
    labels = labels.expand(scores.shape[:2])
    loss = F.cross_entropy(
        scores.flatten(0, 1), labels.flatten(), reduction="none"
    ).view_as(labels)
    return loss.sum(1), (scores.argmax(2) == labels).sum(1)


def _numpy(values: Tensor) -> np.ndarray:
    return values.float().cpu().numpy()


def _launch_size(weights: Tensor) -> int:
    return CPU_LAUNCH if weights.device.type == "cpu" else len(weights)


def _padded(rows: Tensor) -> Tensor:
    """Returns rows with a lone model doubled.

    Convolutions in one group take another path than grouped ones; with two groups or
    more a model gets the same bits whatever its company.
    """
    return rows.repeat(2, 1) if len(rows) == 1 else rows


class PopulationTraining:
    """The training of a population, resumable after every epoch.

    Attributes:
        epoch: Epochs done.
        weights: [models, parameters], the current weights.
        recorded: float32 [models, recorded epochs, parameters].
        loss: Mean cross-entropy by split, float32 [models, epochs + 1].
        accuracy: Accuracy in [0, 1] by split, float32 [models, epochs + 1]. On the
            training images both are running means over the epoch, as in the release;
            at epoch 0 they are evaluated.
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
    ) -> None:
        """Prepares the training; epoch 0 is evaluated and recorded.

        Args:
            weights: Where training starts; not changed.
            architecture: The network.
            images: By split: train, val and test.
            seeds: One per model, for its batch order.
            recipe: Optimiser and length; weights must already be initialised.
            record: Epochs whose weights are kept, increasing.
        """
        self.architecture = architecture
        self.images = images
        self.recipe = recipe
        self.record = list(record)
        device = images["train"].labels.device
        self.epoch = 0
        self.seeds = torch.tensor(list(seeds), device=device)
        start = weights.to(device)
        self.launches = [
            _padded(rows).clone().requires_grad_()
            for rows in start.split(_launch_size(start))
        ]
        self.optimizers = [_optimizer(rows, recipe) for rows in self.launches]
        models = len(weights)
        shape = (models, recipe.epochs + 1)
        self.recorded = np.full(
            (models, len(self.record), architecture.parameters), np.nan, np.float32
        )
        self.loss = {split: np.full(shape, np.nan, np.float32) for split in SPLITS}
        self.accuracy = {split: np.full(shape, np.nan, np.float32) for split in SPLITS}
        self._evaluate(*SPLITS)

    @property
    def weights(self) -> Float[Tensor, "models parameters"]:
        """The current weights, without padding."""
        return torch.cat([rows.detach() for rows in self.launches])[: len(self.seeds)]

    def metrics(self) -> dict[str, Float[np.ndarray, "models epochs"]]:
        """Returns loss and accuracy by the names they have in files."""
        return {
            f"{name}/{split}": values
            for name, by_split in (("loss", self.loss), ("accuracy", self.accuracy))
            for split, values in by_split.items()
        }

    def run_epoch(self) -> dict[str, float]:
        """Trains every model for one epoch; returns means over the models."""
        self.epoch += 1
        start = 0
        for rows, optimizer in zip(self.launches, self.optimizers, strict=True):
            seeds = self.seeds[start : start + len(rows)]
            loss, correct = self._train_epoch(rows, optimizer, seeds)
            models = slice(start, start + len(seeds))
            total = len(self.images["train"].labels)
            self.loss["train"][models, self.epoch] = _numpy(loss / total)[: len(seeds)]
            accuracy = _numpy(correct / total)[: len(seeds)]
            self.accuracy["train"][models, self.epoch] = accuracy
            start += len(rows)
        self._evaluate("val", "test")
        return {
            f"{split} accuracy": float(self.accuracy[split][:, self.epoch].mean())
            for split in SPLITS
        }

    def _train_epoch(
        self, rows: Tensor, optimizer: torch.optim.Optimizer, seeds: Tensor
    ) -> tuple[Tensor, Tensor]:
        train = self.images["train"]
        order = batch_order(seeds, epoch=self.epoch, images=len(train.labels))
        order = order.expand(len(rows), -1)
        loss = torch.zeros(len(rows), dtype=torch.float64, device=rows.device)
        correct = torch.zeros_like(loss)
        for index in order.split(self.recipe.batch_size, dim=1):
            # models innermost among the planes of an image: [batch, models * channels]
            images = train.normalized(index.T).flatten(1, 2)
            scores = forward(
                self.architecture, rows, images, activation=self.recipe.activation
            )
            batch_loss, batch_correct = _score(scores, train.labels[index])
            optimizer.zero_grad()
            (batch_loss.sum() / index.shape[1]).backward()
            optimizer.step()
            loss += batch_loss.detach()
            correct += batch_correct
        return loss, correct

    def _evaluate(self, *splits: str) -> None:
        weights = self.weights
        for split in splits:
            loss, accuracy = evaluate(
                self.architecture,
                weights,
                self.images[split],
                activation=self.recipe.activation,
            )
            self.loss[split][:, self.epoch] = loss
            self.accuracy[split][:, self.epoch] = accuracy
        if self.epoch in self.record:
            self.recorded[:, self.record.index(self.epoch)] = weights.cpu().numpy()

    def state_dict(self) -> dict[str, Any]:
        """Returns all that load_state_dict needs to go on as if never stopped."""
        return {
            "epoch": self.epoch,
            "launches": [rows.detach() for rows in self.launches],
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "recorded": torch.from_numpy(self.recorded),
            "metrics": {k: torch.from_numpy(v) for k, v in self.metrics().items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a state of the same training."""
        self.epoch = state["epoch"]
        with torch.no_grad():
            for rows, saved in zip(self.launches, state["launches"], strict=True):
                rows.copy_(saved)
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.recorded[:] = state["recorded"].numpy()
        for name, values in self.metrics().items():
            values[:] = state["metrics"][name].numpy()


def _optimizer(weights: Tensor, recipe: Recipe) -> torch.optim.Optimizer:
    common: dict[str, Any] = {
        "lr": recipe.learning_rate,
        "weight_decay": recipe.weight_decay,
    }
    if recipe.optimizer == "adam":
        return torch.optim.Adam([weights], fused=True, **common)
    common["momentum"] = recipe.momentum
    if recipe.optimizer == "sgd":
        return torch.optim.SGD([weights], fused=True, **common)
    return torch.optim.RMSprop([weights], **common)
