"""Is it new? Networks against those that a hyper-representation was trained on.

All networks, sampled or made as a reference, go through the same audit: how far each is
from the nearest training network, in weights as they are, in weights after the best
symmetry found (matching.py), and in answers (behaviour.py).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields

import numpy as np
import torch

from ..data.images import Images
from ..networks.architectures import Architecture
from ..numbers.shapes import Bool, Float, Int, UInt8
from ..symmetry.matching import (
    Matcher,
    aligned_distances,
    pair_distances,
    raw_distances,
)
from ..zoo.behaviour import disagreement, error_overlap, predictions
from ..zoo.zoos import Pool, ZooData, select


@dataclass(frozen=True)
class Corpus:
    """The training networks: all epochs of the zoo's window, finite weights.

    Attributes:
        weights: One network per row, epochs of a run in increasing order.
        model: Row of the zoo (the run) each belongs to.
        epoch: Number of its epoch.
        predictions: Classes it gives to the test images.
        labels: Right classes.
    """

    weights: Float[np.ndarray, "networks parameters"]
    model: Int[np.ndarray, networks]
    epoch: Int[np.ndarray, networks]
    predictions: UInt8[np.ndarray, "networks images"]
    labels: Int[np.ndarray, images]


@dataclass(frozen=True)
class Candidates:
    """Networks to audit.

    Attributes:
        weights: One network per row.
        sources: Runs each was made from; -1 for none.
        hidden: Training networks it is not compared with; None: compared with all.
    """

    weights: Float[np.ndarray, "models parameters"]
    sources: Int[np.ndarray, "models sources"]
    hidden: Bool[np.ndarray, "models networks"] | None = None


@dataclass(frozen=True)
class Nearness:
    """How near each network comes to some training networks; NaN where there are none.

    Each measure is that of the training network nearest by it.

    Attributes:
        raw: L2 distance of the weights as they are.
        aligned: L2 distance of the weights after the best symmetry found.
        bound: L2 distance that no symmetry can go below.
        disagreement: Share of images answered differently, in [0, 1].
        overlap: Intersection over union of the errors, in [0, 1]: the largest one.
    """

    raw: Float[np.ndarray, models]
    aligned: Float[np.ndarray, models]
    bound: Float[np.ndarray, models]
    disagreement: Float[np.ndarray, models]
    overlap: Float[np.ndarray, models]


@dataclass(frozen=True)
class Pairwise:
    """The measures of Nearness for every pair of network and training network."""

    raw: Float[np.ndarray, "models networks"]
    aligned: Float[np.ndarray, "models networks"]
    bound: Float[np.ndarray, "models networks"]
    disagreement: Float[np.ndarray, "models networks"]
    overlap: Float[np.ndarray, "models networks"]

    def nearest(self, shown: Bool[np.ndarray, "models networks"]) -> Nearness:
        """Returns the measures of the nearest among the training networks shown."""
        return Nearness(
            raw=_smallest(self.raw, shown),
            aligned=_smallest(self.aligned, shown),
            bound=_smallest(self.bound, shown),
            disagreement=_smallest(self.disagreement, shown),
            overlap=_largest(self.overlap, shown),
        )


def _smallest(
    values: Float[np.ndarray, "models networks"],
    shown: Bool[np.ndarray, "models networks"],
) -> Float[np.ndarray, models]:
    return _known(np.where(shown, values, np.inf).min(1))


def _largest(
    values: Float[np.ndarray, "models networks"],
    shown: Bool[np.ndarray, "models networks"],
) -> Float[np.ndarray, models]:
    return _known(np.where(shown, values, -np.inf).max(1))


def _known(values: Float[np.ndarray, models]) -> Float[np.ndarray, models]:
    """Returns NaN for what nothing was shown of."""
    return np.where(np.isinf(values), np.nan, values)


@dataclass(frozen=True)
class Nearest:
    """The training network that each network is nearest to when aligned.

    Attributes:
        model: Row of the zoo (the run) it belongs to.
        epoch: Number of its epoch.
        accuracy: On the images, in [0, 1].
        weights: Its own.
        matched: Those of the audited network, in its coordinates.
    """

    model: Int[np.ndarray, models]
    epoch: Int[np.ndarray, models]
    accuracy: Float[np.ndarray, models]
    weights: Float[np.ndarray, "models parameters"]
    matched: Float[np.ndarray, "models parameters"]


@dataclass(frozen=True)
class Audit:
    """What the audit found of each network.

    Attributes:
        all: Nearness among all training networks that are not hidden.
        same: Nearness among those of its source runs.
        other: Nearness among those of all other runs.
        nearest: The one it is nearest to.
        accuracy: On the images, in [0, 1].
        pair_distance: Mean L2 distance, aligned, to the other networks audited with it;
            NaN if it is alone.
        pair_disagreement: Mean share of images that it and another of them answer
            differently, in [0, 1]; NaN if it is alone.
    """

    all: Nearness
    same: Nearness
    other: Nearness
    nearest: Nearest
    accuracy: Float[np.ndarray, models]
    pair_distance: Float[np.ndarray, models]
    pair_disagreement: Float[np.ndarray, models]

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns everything by the names it has in files."""
        groups = {"": self.all, "same_": self.same, "other_": self.other}
        return {
            **{
                f"{prefix}{field.name}": getattr(nearness, field.name)
                for prefix, nearness in groups.items()
                for field in fields(nearness)
            },
            "nearest_model": self.nearest.model,
            "nearest_epoch": self.nearest.epoch,
            "nearest_accuracy": self.nearest.accuracy,
            "nearest_weights": self.nearest.weights,
            "matched_weights": self.nearest.matched,
            "accuracy": self.accuracy,
            "pair_distance": self.pair_distance,
            "pair_disagreement": self.pair_disagreement,
        }

    def log(self, name: str) -> None:
        """Logs medians in one line."""
        medians = {
            "accuracy": self.accuracy,
            **{field.name: getattr(self.all, field.name) for field in fields(self.all)},
        }
        numbers = ", ".join(f"{k} {np.median(v):.4g}" for k, v in medians.items())
        count = len(self.accuracy)
        logging.info("%s: %d networks, medians %s", name, count, numbers)


class Auditor:
    """Compares networks with the training networks.

    Args:
        corpus: The training networks.
        architecture: Of all networks.
        activation: Of all networks.
        images: Test images that answers are compared on, those of the corpus.
    """

    def __init__(
        self,
        corpus: Corpus,
        *,
        architecture: Architecture,
        activation: str,
        images: Images,
    ) -> None:
        self.corpus = corpus
        self.architecture = architecture
        self.activation = activation
        self.images = images
        self.matcher = Matcher(architecture, activation=activation)

    def __call__(self, candidates: Candidates) -> Audit:
        """Audits networks."""
        answers = predictions(
            self.architecture,
            torch.from_numpy(candidates.weights).to(self.images.pixels.device),
            self.images,
            activation=self.activation,
        )
        pairwise = self._pairwise(candidates.weights, answers)
        seen = np.ones(pairwise.aligned.shape, bool)
        if candidates.hidden is not None:
            seen = ~candidates.hidden
        model = self.corpus.model
        own = np.stack([np.isin(model, runs) for runs in candidates.sources])
        closest = np.where(seen, pairwise.aligned, np.inf).argmin(1)
        return Audit(
            all=pairwise.nearest(seen),
            same=pairwise.nearest(seen & own),
            other=pairwise.nearest(seen & ~own),
            nearest=self._nearest(candidates.weights, closest),
            accuracy=(answers == self.corpus.labels).mean(1),
            pair_distance=_mean_of_others(
                pair_distances(self.matcher, candidates.weights)
            ),
            pair_disagreement=_mean_of_others(disagreement(answers, answers)),
        )

    def _pairwise(
        self,
        weights: Float[np.ndarray, "models parameters"],
        answers: UInt8[np.ndarray, "models images"],
    ) -> Pairwise:
        corpus = self.corpus
        aligned, bound = aligned_distances(
            self.matcher, weights, corpus.weights, run=corpus.model
        )
        return Pairwise(
            raw=raw_distances(weights, corpus.weights),
            aligned=aligned,
            bound=bound,
            disagreement=disagreement(answers, corpus.predictions),
            overlap=error_overlap(answers, corpus.predictions, corpus.labels),
        )

    def _nearest(
        self,
        weights: Float[np.ndarray, "models parameters"],
        rows: Int[np.ndarray, models],
    ) -> Nearest:
        """Returns the training networks in these rows of the corpus."""
        corpus = self.corpus
        nearest = corpus.weights[rows]
        matched = self.matcher.match(*map(torch.from_numpy, (weights, nearest)))
        return Nearest(
            model=corpus.model[rows],
            epoch=corpus.epoch[rows],
            accuracy=(corpus.predictions[rows] == corpus.labels).mean(1),
            weights=nearest,
            matched=matched.numpy(),
        )


def _mean_of_others(
    pairs: Float[np.ndarray, "models models"],
) -> Float[np.ndarray, models]:
    """Returns the mean of each row without its diagonal, which is 0 or NaN."""
    if len(pairs) == 1:
        return np.full(1, np.nan)
    return np.nansum(pairs, axis=1) / (len(pairs) - 1)


def auditor_for(
    zoo: ZooData,
    images: Images,
    *,
    answers: UInt8[np.ndarray, "networks images"] | None = None,
) -> Auditor:
    """Returns the auditor of a zoo.

    Args:
        zoo: Its training networks are compared with.
        images: Test images that answers are compared on.
        answers: Of training_networks(zoo) to these images, if they are known.

    Raises:
        ValueError: If the answers are not those of so many networks and images.
    """
    activation = zoo.settings.recipe.activation
    pool = training_networks(zoo)
    if answers is None:
        logging.info("answers of %d training networks", len(pool.weights))
        weights = torch.from_numpy(pool.weights).to(images.pixels.device)
        answers = predictions(zoo.architecture, weights, images, activation=activation)
    wanted = (len(pool.weights), len(images.labels))
    if answers.shape != wanted:
        raise ValueError(
            f"answers of {answers.shape} networks and images, but there are {wanted}"
        )
    labels = images.labels.cpu().numpy()
    return Auditor(
        Corpus(pool.weights, pool.model, pool.epoch, answers, labels),
        architecture=zoo.architecture,
        activation=activation,
        images=images,
    )


def training_networks(zoo: ZooData) -> Pool:
    """Returns all networks that any hyper-representation of the zoo may have seen.

    Those above a weight_threshold are among them: variants may differ in it.
    """
    return select(zoo, split="train")
