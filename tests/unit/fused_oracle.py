"""What both fused kernels are compared with: the zoo's CNN as a PyTorch module.

Data is a dictionary of what a kernel takes: arrays or tensors.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hyperreps.settings import Recipe

from .conftest import plain_model

RECIPE = Recipe(
    initialization="kaiming_uniform",
    activation="tanh",
    learning_rate=3e-3,
    weight_decay=1e-2,
    batch_size=7,
    epochs=1,
)


def module(row: np.ndarray | Tensor, data: dict, *, activation: str) -> nn.Sequential:
    channels = data["architecture"].channels
    return plain_model(torch.as_tensor(row), channels=channels, activation=activation)


def batch(data: dict, index: np.ndarray | Tensor) -> tuple[Tensor, Tensor]:
    """Returns normalised images in float64 and their classes."""
    chosen = torch.as_tensor(index).long()
    pixels, labels = (torch.as_tensor(data[k])[chosen] for k in ("pixels", "labels"))
    mean, std = (
        torch.as_tensor(data[k]).double()[:, None, None] for k in ("mean", "std")
    )
    return (pixels.double() / 255 - mean) / std, labels.long()


def gradient(
    row: np.ndarray | Tensor, data: dict, index: np.ndarray | Tensor, *, activation: str
) -> tuple[float, int, Tensor]:
    """Returns summed loss, hits and gradient of the mean loss, in float64."""
    model = module(row, data, activation=activation).double()
    images, labels = batch(data, index)
    scores = model(images)
    loss = F.cross_entropy(scores, labels)
    loss.backward()
    found = torch.cat([p.grad.flatten() for p in model.parameters()])
    hits = int((scores.argmax(1) == labels).sum())
    return float(loss.detach()) * len(index), hits, found


def epoch(
    row: np.ndarray | Tensor, data: dict, order: np.ndarray | Tensor, *, recipe: Recipe
) -> tuple[Tensor, Tensor, Tensor, float]:
    """Returns weights, both moments and summed loss after torch.optim.Adam."""
    model = module(row, data, activation=recipe.activation)
    optimizer = torch.optim.Adam(
        model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    total = 0.0
    for index in torch.as_tensor(order).long().split(recipe.batch_size):
        images, labels = batch(data, index)
        value = F.cross_entropy(model(images.float()), labels)
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
