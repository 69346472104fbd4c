"""The losses of the hyper-representation and its measure of quality."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..numbers.shapes import Float, Int
from ..settings.stages import SettingsError


class DivergedError(SettingsError):
    """A training whose losses or weights are no longer finite."""


def require_finite(
    losses: Iterable[float], model: nn.Module, *, about: str, remedy: str
) -> None:
    """Stops a training that has diverged, before its state or model is written.

    Args:
        losses: Of an epoch.
        model: What is trained; its last step is in no loss yet.
        about: What is trained, and the epoch.
        remedy: What to do.

    Raises:
        DivergedError: If a loss or a weight is not finite.
    """
    weights = all(bool(part.isfinite().all()) for part in model.parameters())
    if weights and all(map(math.isfinite, losses)):
        return
    what = "its weights are not finite" if not weights else "its loss is not finite"
    raise DivergedError(f"{about}: {what}; {remedy}")


def reconstruction_loss(
    output: Float[Tensor, "batch parameters"],
    target: Float[Tensor, "batch parameters"],
    *,
    std: Float[Tensor, parameters] | None,
) -> Float[Tensor, ""]:
    """Mean squared error, with or without layer-wise loss normalisation.

    1/(M N) sum_i sum_l |w^_i(l) - w_i(l)|^2 / sigma_l^2 for M networks of N parameters
    (Schuerholt et al. 2022; the layer means cancel). Predicting the mean of centred
    weights gives 1.

    Args:
        output: Reconstructed weights.
        target: Weights to reconstruct.
        std: Standard deviation of each coordinate's layer; None: plain squared error.
    """
    error = output.float() - target
    return (error if std is None else error / std).square().mean()


def nt_xent(
    projections: Float[Tensor, "views size"], *, temperature: float
) -> Float[Tensor, ""]:
    """Normalised temperature-scaled cross entropy (SimCLR, Chen et al. 2020, Eq. 1).

    Args:
        projections: Two views per model: the first half and the second half of the rows
            belong together, in order.
        temperature: Divides the cosine similarities.
    """
    normed = F.normalize(projections.float(), dim=1)
    similarity = normed @ normed.T / temperature
    similarity = similarity.masked_fill(
        torch.eye(len(normed), dtype=torch.bool, device=normed.device), -torch.inf
    )
    half = len(normed) // 2
    partner = torch.arange(len(normed), device=normed.device).roll(half)
    return F.cross_entropy(similarity, partner)


def r_squared(
    output: Float[Tensor, "batch parameters"],
    target: Float[Tensor, "batch parameters"],
    *,
    mean: Float[Tensor, parameters],
    layers: Int[Tensor, parameters],
) -> Float[Tensor, layers]:
    """Explained variance of each layer, against predicting the training mean.

    Args:
        output: Reconstructed weights.
        target: Weights to reconstruct.
        mean: Mean of the training weights per coordinate.
        layers: Which layer each coordinate belongs to.

    Returns:
        1 - SSE / SSE of the mean, per layer; 1 is perfect, 0 is the mean.
    """

    def per_layer(error: Tensor) -> Tensor:
        sums = error.double().square().sum(0)
        return sums.new_zeros(int(layers.max()) + 1).index_add_(0, layers, sums)

    return 1 - per_layer(output - target) / per_layer(target - mean)
