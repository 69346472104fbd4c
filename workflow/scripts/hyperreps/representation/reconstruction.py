"""How well a hyper-representation gives networks back, layer by layer."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch
from tqdm import tqdm

from ..data.images import Images
from ..engines.interface import evaluate
from ..numbers.shapes import Float, Int
from ..settings.stages import Engine
from ..zoo.zoos import MODEL_SPLITS, ZooData, select_splits
from .autoencoder import HyperRepresentation

log = logging.getLogger(__name__)

HISTOGRAM_BINS = 40


def layer_sums(
    values: Float[np.ndarray, "*any parameters"], layers: Int[np.ndarray, "parameters"]
) -> Float[np.ndarray, "*any layers"]:
    """Returns the sum of the squares of each layer's entries.

    Args:
        values: Such as errors of reconstructed weights.
        layers: Which layer each entry belongs to, increasing from 0.
    """
    starts = np.searchsorted(layers, np.arange(layers[-1] + 1))
    return np.add.reduceat(np.square(values, dtype=np.float64), starts, axis=-1)


def layer_histograms(
    values: Float[np.ndarray, "rows parameters"],
    layers: Int[np.ndarray, "parameters"],
    edges: Float[np.ndarray, "layers edges"],
) -> Int[np.ndarray, "layers bins"]:
    """Counts the weights of each layer in bins; those beyond the ends count there."""
    return np.stack(
        [
            np.histogram(values[:, layers == layer].clip(ends[0], ends[-1]), ends)[0]
            for layer, ends in enumerate(edges)
        ]
    )


def split_histograms(
    values: Float[np.ndarray, "rows parameters"],
    split: np.ndarray,
    layers: Int[np.ndarray, "parameters"],
    edges: Float[np.ndarray, "layers edges"],
) -> Int[np.ndarray, "splits layers bins"]:
    """Counts as layer_histograms(), for the networks of each of MODEL_SPLITS."""
    return np.stack(
        [layer_histograms(values[split == s], layers, edges) for s in MODEL_SPLITS]
    )


def histogram_edges(
    values: Float[np.ndarray, "rows parameters"],
    layers: Int[np.ndarray, "parameters"],
    *,
    bins: int = HISTOGRAM_BINS,
) -> Float[np.ndarray, "layers edges"]:
    """Returns edges of equal bins that hold each layer's weights but 0.1 % a side."""
    quantiles = [
        np.quantile(values[:, layers == layer], [0.001, 0.999])
        for layer in range(layers[-1] + 1)
    ]
    return np.stack([np.linspace(low, high, bins + 1) for low, high in quantiles])


def compared(
    zoo: ZooData,
    models: Sequence[HyperRepresentation],
    images: Images,
    *,
    engine: Engine = "auto",
) -> dict[str, np.ndarray]:
    """Compares all networks of a zoo, at its window's last epoch, with reconstructions.

    Args:
        zoo: Where networks come from.
        models: One per seed of a variant.
        images: Test images, for the accuracy of the reconstructions.
        engine: What evaluates them.

    Returns:
        By network: model, split, accuracy/original, squared_deviation [., layers] from
        the mean training network; by seed and network: accuracy/reconstruction and
        squared_error [., ., layers]; layer_size; by split, layer and bin:
        histogram/original and histogram/reconstruction, of all seeds, whose bins are in
        histogram/edges; hyper_rep_seed.
    """
    threshold = models[0].settings.weight_threshold
    pool, split = select_splits(zoo, epochs="last", weight_threshold=threshold)
    layers = zoo.architecture.layer_index
    edges = histogram_edges(pool.weights, layers)
    rows = torch.from_numpy(pool.weights).to(images.pixels.device)
    accuracy, errors, counts = [], [], []
    for model in tqdm(models, desc="hyper-representations", disable=None):
        networks = model.map("decode", model.map("encode", rows))
        _, reached = evaluate(
            zoo.architecture,
            networks,
            images,
            activation=zoo.settings.recipe.activation,
            engine=engine,
        )
        accuracy.append(reached)
        reconstructed = networks.cpu().numpy()
        errors.append(layer_sums(reconstructed - pool.weights, layers))
        counts.append(split_histograms(reconstructed, split, layers, edges))
        held_out = reached[split == "test"].mean()
        log.info("seed %d: held-out accuracy %.4f", model.seed, held_out)
    deviation = pool.weights - models[0].mean.cpu().numpy()
    return {
        "model": pool.model,
        "split": split,
        "hyper_rep_seed": np.array([model.seed for model in models]),
        "accuracy/original": zoo.accuracy["test"][pool.model, -1],
        "accuracy/reconstruction": np.stack(accuracy),
        "squared_error": np.stack(errors),
        "squared_deviation": layer_sums(deviation, layers),
        "layer_size": np.bincount(layers),
        "histogram/edges": edges,
        "histogram/original": split_histograms(pool.weights, split, layers, edges),
        "histogram/reconstruction": np.sum(counts, axis=0),
    }
