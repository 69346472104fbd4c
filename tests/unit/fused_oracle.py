"""What both fused kernels are compared with: networks as PyTorch modules.

Data is a dictionary of what a kernel takes: arrays or tensors.
"""

from __future__ import annotations

from functools import cache
from itertools import product
from pathlib import Path
from typing import get_args

import numpy as np
import torch
import torch.nn.functional as F
import yaml
from scipy.special import expit, ndtr
from torch import Tensor, nn

from hyperreps.data.datasets import load_images, normalization, prepare
from hyperreps.networks.architectures import Architecture, build
from hyperreps.settings.stages import INITIALIZATIONS, Dataset, Recipe

from .modules import ordinary

CONFIG = Path(__file__).parents[2] / "config"

RECIPE = Recipe(
    initialization="kaiming_uniform",
    activation="tanh",
    learning_rate=3e-3,
    weight_decay=1e-2,
    batch_size=7,
    epochs=1,
)


def _density(x):
    return np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


# value, and the terms of the slope
EXACT = {
    "tanh": lambda x: (np.tanh(x), [np.cosh(x) ** -2]),
    "relu": lambda x: (np.where(x > 0, x, 0), [np.where(x > 0, 1, 0)]),
    "leaky_relu": lambda x: (np.where(x > 0, x, x / 100), [np.where(x > 0, 1, 0.01)]),
    "sigmoid": lambda x: (expit(x), [expit(x) * expit(-x)]),
    "silu": lambda x: (x * expit(x), [expit(x), x * expit(x) * expit(-x)]),
    "gelu": lambda x: (x * ndtr(x), [ndtr(x), x * _density(x)]),
}


def tails() -> np.ndarray:
    """Returns where activations are tested: both signs, from 1e-6 to 40."""
    sizes = np.geomspace(1e-6, 40, 4096, dtype=np.float32)
    return np.concatenate([-sizes, sizes])


def assert_activation(
    activation: str, x: np.ndarray, values: np.ndarray, slopes: np.ndarray
) -> None:
    """Values are right relative to their size, slopes to that of their terms."""
    value, terms = EXACT[activation](x.astype(np.float64))
    # what is smaller may be 0
    least = 1e-36
    error = np.abs(values - value)
    assert (error <= 2e-5 * np.abs(value) + least).all()
    error = np.abs(slopes - np.sum(terms, axis=0))
    assert (error <= 2e-5 * np.sum(np.abs(terms), axis=0) + least).all()
    if activation == "tanh":
        assert (np.abs(values[np.abs(x) > 9.02]) == 1).all()


def _recipes() -> dict[str, Recipe]:
    """Returns the recipes of the configs' zoos and all pairs of two settings."""
    found = {}
    for name in ("config", "demo"):
        config = yaml.safe_load((CONFIG / f"{name}.yaml").read_text(encoding="utf-8"))
        zoos = config["zoos"].items()
        found |= {zoo: Recipe(**entry["recipe"]) for zoo, entry in zoos}
    activations = get_args(Recipe.model_fields["activation"].annotation)
    for initialization, activation in product(INITIALIZATIONS, activations):
        changes = {"initialization": initialization, "activation": activation}
        changes |= {"learning_rate": 1e-3, "batch_size": 10}
        found[f"{initialization}-{activation}"] = RECIPE.model_copy(update=changes)
    return found


RECIPES = _recipes()


@cache
def digits(channels: int, architecture: str = "cnn") -> dict:
    """Returns real images: scikit-learn's digits as the project prepares them.

    The second and third channel are the first, dimmed and inverted.
    """
    settings = Dataset(source="digits", validation=200)
    raw, _ = load_images(settings, data_dir=Path())
    arrays = prepare(raw, settings)
    ink = arrays["train/images"]
    pixels = np.concatenate([ink, ink // 2, 255 - ink], axis=1)[:, :channels]
    mean, std = normalization(pixels, settings)
    return {
        "architecture": build(architecture, channels=channels),
        "pixels": np.ascontiguousarray(pixels),
        "labels": arrays["train/labels"],
        "mean": mean,
        "std": std,
    }


def decided(
    row: np.ndarray | Tensor, data: dict, index: np.ndarray, *, activation: str
) -> np.ndarray:
    """Returns the images of an index for which rounding turns no choice around.

    No maximum of a window moves, no argument of a ReLU changes its sign. Windows that
    are exactly alike, black ones, do not count. All images, if there are
    too few of these: what is before a pooling of equals has next to no gradient.
    """
    model = module(row, data, activation=activation).double()
    x, _ = batch(data, index)
    kept = torch.ones(len(x), dtype=torch.bool)

    def look(layer: nn.Module, inputs: tuple[Tensor]) -> None:
        (values,) = inputs
        if isinstance(layer, nn.MaxPool2d):
            planes = values.flatten(0, 1)[:, None]
            windows = F.unfold(planes, layer.kernel_size, stride=layer.stride)
            first, second = windows.topk(2, dim=1).values.unbind(1)
            gaps = (first - second).view(len(values), -1)
        else:
            gaps = values.abs().flatten(1)
        gaps = gaps / values.abs().flatten(1).amax(1)[:, None]
        kept.logical_and_(((gaps > 1e-6) | (gaps < 1e-12)).all(1))

    for layer in model.modules():
        if isinstance(layer, nn.MaxPool2d | nn.ReLU | nn.LeakyReLU):
            layer.register_forward_pre_hook(look)
    with torch.no_grad():
        model(x)
    return index[kept.numpy()] if kept.sum() > 20 else index


def assert_layers_agree(
    found: np.ndarray | Tensor,
    row: np.ndarray | Tensor,
    data: dict,
    index: np.ndarray | Tensor,
    *,
    activation: str,
) -> None:
    """Each layer's gradient is that of float64 but for the rounding of float32.

    A probability is wrong by a float32's share of its score, and U(0, 1) without
    bounded units gives scores of thousands. What is below Adam's epsilon, 1e-8,
    may have cancelled. Where units are so saturated that PyTorch's float32 is far off,
    twice its error is allowed, too.
    """
    expected = gradient(row, data, index, activation=activation)[2]
    model = module(row, data, activation=activation).double()
    with torch.no_grad():
        largest = float(model(batch(data, index)[0]).abs().max())
    noise = torch.randn(len(row), generator=torch.Generator().manual_seed(0))
    near = torch.as_tensor(row).double() * (1 + 2**-23 * noise.double())
    rounded = gradient(near, data, index, activation=activation)[2]
    plain = gradient(row, data, index, activation=activation, dtype=torch.float32)[2]
    for item in data["architecture"].weighted:
        own, theirs, moved, float32 = (
            torch.as_tensor(x)[item.whole] for x in (found, expected, rounded, plain)
        )
        limit = (1e-4 + 5e-7 * largest) * float(theirs.norm()) + 1e-8
        limit += 4 * distance(moved, theirs) + 2 * distance(float32, theirs)
        assert distance(own, theirs) < limit, item.name


def module(row: np.ndarray | Tensor, data: dict, *, activation: str) -> nn.Module:
    network: Architecture = data["architecture"]
    return ordinary(torch.as_tensor(row), network, activation=activation)


def batch(data: dict, index: np.ndarray | Tensor) -> tuple[Tensor, Tensor]:
    """Returns normalised images in float64 and their classes."""
    chosen = torch.as_tensor(index).long()
    pixels, labels = (torch.as_tensor(data[k])[chosen] for k in ("pixels", "labels"))
    mean, std = (
        torch.as_tensor(data[k]).double()[:, None, None] for k in ("mean", "std")
    )
    return (pixels.double() / 255 - mean) / std, labels.long()


def gradient(
    row: np.ndarray | Tensor,
    data: dict,
    index: np.ndarray | Tensor,
    *,
    activation: str,
    dtype: torch.dtype = torch.float64,
) -> tuple[float, int, Tensor]:
    """Returns summed loss, hits and gradient of the mean loss, computed in a dtype."""
    model = module(row, data, activation=activation).to(dtype)
    images, labels = batch(data, index)
    scores = model(images.to(dtype))
    loss = F.cross_entropy(scores, labels)
    loss.backward()
    found = torch.cat([p.grad.flatten() for p in model.parameters()]).double()
    hits = int((scores.argmax(1) == labels).sum())
    return float(loss.detach()) * len(index), hits, found


def epoch(
    row: np.ndarray | Tensor, data: dict, order: np.ndarray | Tensor, *, recipe: Recipe
) -> tuple[Tensor, Tensor, Tensor, float]:
    """Returns weights, both moments and summed loss after torch.optim.Adam.

    In float64: where tanh saturates, PyTorch's float32 is a thousandth of the way off.
    """
    model = module(row, data, activation=recipe.activation).double()
    optimizer = torch.optim.Adam(
        model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    total = 0.0
    for index in torch.as_tensor(order).long().split(recipe.batch_size):
        images, labels = batch(data, index)
        value = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        total += float(value.detach()) * len(index)
    weights = nn.utils.parameters_to_vector(model.parameters()).detach()
    moments = [
        torch.cat([optimizer.state[p][name].flatten() for p in model.parameters()])
        for name in ("exp_avg", "exp_avg_sq")
    ]
    return weights, *moments, total


def distance(one: np.ndarray | Tensor, other: np.ndarray | Tensor) -> float:
    """Returns the Euclidean distance in float64."""
    return float((torch.as_tensor(one).double() - torch.as_tensor(other)).norm())
