"""Linear probes: what weights, their statistics or latents tell about a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from sklearn.linear_model import Ridge, RidgeClassifier
from sklearn.preprocessing import StandardScaler

from ..networks.architectures import Architecture
from ..numbers.shapes import Float
from ..settings.stages import SettingsError
from ..zoo.zoos import Pool, ZooData, epoch_columns

# two per decade; the release has 1e-5 to 1e3, too little for thousands of inputs
ALPHAS = tuple(float(alpha) for alpha in np.logspace(-5, 6, 23))
PERCENTILES = (1, 25, 50, 75, 99)


@dataclass(frozen=True)
class Target:
    """A property of networks.

    Attributes:
        values: One per network: numbers or names.
        kind: number is judged by R2 and Kendall's tau, category by accuracy.
    """

    values: np.ndarray
    kind: Literal["number", "category"]


def targets(zoo: ZooData, pool: Pool) -> dict[str, Target]:
    """Returns the properties that are probed, one value per network of the pool.

    One more property is one more entry. What the zoo varies is among them.

    Raises:
        SettingsError: If a number is not finite.
    """
    column = epoch_columns(zoo.name, zoo.epochs.tolist(), wanted=pool.epoch.tolist())
    accuracy = {
        split: values[pool.model, column] for split, values in zoo.accuracy.items()
    }
    varied = {
        key: np.array([getattr(recipe, key) for recipe in zoo.recipes])[pool.model]
        for key in zoo.settings.variations
    }
    found = {
        "accuracy": Target(accuracy["test"], "number"),
        "epoch": Target(pool.epoch, "number"),
        "gap": Target(accuracy["train"] - accuracy["test"], "number"),
        **{
            key: Target(values, "category" if values.dtype.kind == "U" else "number")
            for key, values in varied.items()
        },
    }
    for name, target in found.items():
        if target.kind == "number" and not np.isfinite(target.values).all():
            raise SettingsError(
                f"zoo {zoo.name}: property {name} has values that are not finite"
            )
    return found


def layer_statistics(
    weights: Float[np.ndarray, "models parameters"], architecture: Architecture
) -> Float[np.ndarray, "models features"]:
    """Returns statistics of each layer: 70 features for a network of five layers.

    Of the weights and of the biases of every layer: mean, variance, and percentiles 1,
    25, 50, 75 and 99 (Unterthiner et al. 2020; LayerQuintiles in the release).
    """
    features = []
    for item in architecture.weighted:
        for part in (weights[:, item.weight], weights[:, item.bias]):
            if part.shape[1]:
                features += [part.mean(1), part.var(1)]
                features += [*np.percentile(part, PERCENTILES, axis=1)]
    return np.stack(features, axis=1)


@dataclass(frozen=True)
class Probe:
    """A fitted linear probe.

    Attributes:
        predicted: For every network.
        alpha: The penalty chosen.
    """

    predicted: np.ndarray
    alpha: float


def fit_probe(
    inputs: Float[np.ndarray, "models features"],
    target: Target,
    *,
    split: np.ndarray,
    alphas: Sequence[float] = ALPHAS,
) -> Probe:
    """Fits a ridge regression, or a ridge classifier for a category.

    Inputs are standardised on the training networks; the intercept is not penalised.

    Args:
        inputs: Features of all networks.
        target: What to predict.
        split: Per network: train fits, val chooses alpha by R2 (or accuracy), the
            others are only predicted.
        alphas: Penalties to choose from; of equal ones the first wins.
    """
    train, val = split == "train", split == "val"
    # small penalties need double precision
    exact = inputs.astype(np.float64)
    scaled = StandardScaler().fit(exact[train]).transform(exact)
    model = Ridge if target.kind == "number" else RidgeClassifier
    fitted = [model(alpha=a).fit(scaled[train], target.values[train]) for a in alphas]
    scores = [probe.score(scaled[val], target.values[val]) for probe in fitted]
    best = int(np.argmax(scores))
    return Probe(fitted[best].predict(scaled), alphas[best])
