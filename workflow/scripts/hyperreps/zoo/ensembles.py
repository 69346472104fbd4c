"""Ensembles: networks that vote by the mean of their class probabilities."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..data.images import Images
from ..engines.interface import class_scores
from ..networks.architectures import Architecture
from ..numbers.scores import METRICS
from ..numbers.shapes import Float, Int

log = logging.getLogger(__name__)

ECE_BINS = 15
# the smallest normal float32: a member that rules a class out does not cost infinity
SMALLEST = np.finfo(np.float32).tiny


def member_probabilities(
    architecture: Architecture,
    weights: Float[Tensor, "models parameters"],
    images: Images,
    *,
    activation: str,
) -> Float[np.ndarray, "models images classes"]:
    """Returns the class probabilities that every network gives every image."""
    scores = class_scores(architecture, weights, images, activation=activation)
    return np.concatenate([part.softmax(dim=2).cpu().numpy() for part in scores])


def draw_members(
    networks: int, *, ensembles: int, largest: int, rng: np.random.Generator
) -> Int[np.ndarray, "ensembles largest"]:
    """Draws random ensembles without replacement; the first k of a row are one of k.

    Every network comes first equally often, so that ensembles of size 1 have exactly
    the mean of all networks.

    Args:
        networks: How many there are to choose from.
        ensembles: Rows wanted; rounded up to a multiple of networks.
        largest: Size of the largest ensemble, at most networks.
        rng: Source of randomness.
    """
    if largest > networks:
        raise ValueError(f"largest must be at most {networks} networks, got {largest}")
    rows = np.arange(-(-ensembles // networks) * networks)
    keys = rng.random((len(rows), networks))
    keys[rows, rows % networks] = -1
    return keys.argsort(axis=1)[:, :largest]


def score_ensembles(
    probabilities: Float[np.ndarray, "models images classes"],
    labels: Int[np.ndarray, "images"],
    *,
    members: Int[np.ndarray, "ensembles largest"],
    sizes: Sequence[int],
) -> dict[str, Float[np.ndarray, "ensembles sizes"]]:
    """Scores the ensembles of draw_members() at some sizes.

    Args:
        probabilities: Of every network.
        labels: Classes of the images.
        members: Rows of probabilities, the first k of which are the ensemble of size k.
        sizes: Increasing, up to the largest.

    Returns:
        accuracy; nll: mean negative log-likelihood in nats; ece: as
        expected_calibration_error(); disagreement: fraction of images that two members
        classify differently, mean over the pairs, NaN at size 1.
    """
    scores = {name: np.full((len(members), len(sizes)), np.nan) for name in METRICS}
    differing = pairwise_disagreement(probabilities)
    drawn = tqdm(members, desc="ensembles", disable=None)
    for row, order in enumerate(drawn):
        votes = np.zeros(probabilities.shape[1:])
        for column, size in enumerate(sizes):
            done = sizes[column - 1] if column else 0
            votes += probabilities[order[done:size]].sum(axis=0, dtype=np.float64)
            mean = votes / size
            chosen = order[:size]
            values = {
                "accuracy": float((mean.argmax(axis=1) == labels).mean()),
                "nll": negative_log_likelihood(mean, labels),
                "ece": expected_calibration_error(mean, labels),
            }
            if size > 1:
                pairs = differing[np.ix_(chosen, chosen)].sum()
                values["disagreement"] = pairs / (size * (size - 1))
            for name, value in values.items():
                scores[name][row, column] = value
    return scores


def scored(
    weights: Float[np.ndarray, "epochs models parameters"],
    architecture: Architecture,
    images: Images,
    *,
    activation: str,
    sizes: Sequence[int],
    subsets: int,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Scores random ensembles of a population, the same ones at each of its epochs.

    Args:
        weights: The population.
        architecture: Of the networks.
        images: Test images.
        activation: Of the networks.
        sizes: Networks per ensemble, increasing; larger ones than the population are
            left out.
        subsets: Random ensembles of each size, at least.
        rng: Source of randomness.

    Returns:
        size; members [ensembles, largest size]; and of score_ensembles() [epochs,
        ensembles, sizes].

    Raises:
        ValueError: If the population is too small for all sizes.
    """
    count = weights.shape[1]
    fitting = [size for size in sizes if size <= count]
    if not fitting:
        raise ValueError(f"{count} networks, too few for sizes {tuple(sizes)}")
    members = draw_members(count, ensembles=subsets, largest=fitting[-1], rng=rng)
    labels = images.labels.cpu().numpy()
    scores = []
    for networks in weights:
        rows = torch.from_numpy(networks).to(images.pixels.device)
        probabilities = member_probabilities(
            architecture, rows, images, activation=activation
        )
        scores.append(
            score_ensembles(probabilities, labels, members=members, sizes=fitting)
        )
        means = scores[-1]["accuracy"].mean(axis=0)
        log.info("accuracy by size: %s", means.round(4))
    return {
        "size": np.array(fitting),
        "members": members,
        **{key: np.stack([part[key] for part in scores]) for key in scores[0]},
    }


def negative_log_likelihood(
    probabilities: Float[np.ndarray, "images classes"],
    labels: Int[np.ndarray, "images"],
) -> float:
    """Returns the mean of -log p(label) in nats, of probabilities of at least 1e-38."""
    right = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(right, SMALLEST)).mean())


def expected_calibration_error(
    probabilities: Float[np.ndarray, "images classes"],
    labels: Int[np.ndarray, "images"],
    *,
    bins: int = ECE_BINS,
) -> float:
    """Returns the expected calibration error (Guo et al. 2017, Eq. 3).

    sum_b n_b / n |accuracy_b - confidence_b| over bins of equal width of the largest
    probability; a bin holds its upper edge.
    """
    confidence = probabilities.max(axis=1)
    gap = (probabilities.argmax(axis=1) == labels) - confidence
    index = np.ceil(confidence * bins).astype(np.int64) - 1
    sums = np.bincount(index.clip(0, bins - 1), weights=gap, minlength=bins)
    return float(np.abs(sums).sum() / len(labels))


def pairwise_disagreement(
    probabilities: Float[np.ndarray, "models images classes"],
) -> Float[np.ndarray, "models models"]:
    """Returns the fraction of images that each two networks classify differently."""
    predicted = probabilities.argmax(axis=2)
    return np.stack([(predicted != row).mean(axis=1) for row in predicted])
