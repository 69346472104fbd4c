"""Is it new? Networks against those that a hyper-representation was trained on.

All networks, sampled or made as a reference, go through the same audit: how far each is
from the nearest training network, in weights as they are, in weights after the best
symmetry found (matching.py), and in answers (behaviour.py).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..data.images import Images
from ..engines.interface import class_scores
from ..files.storage import DataFileError
from ..numbers.seeds import derived_rng
from ..numbers.shapes import Bool, Float, Int, UInt8
from ..symmetry.matching import (
    Matcher,
    aligned_distances,
    matched_distances,
    pair_distances,
    raw_distances,
)
from ..zoo.behaviour import disagreement, error_overlap, predictions
from ..zoo.ensembles import draw_members
from ..zoo.zoos import Pool, ZooData, select
from .memory import Memory, by_run, memory

# networks of an ensemble
VOTERS = 10


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

    @classmethod
    def of_samples(cls, arrays: dict[str, np.ndarray], path: Path) -> Candidates:
        """Returns samples as networks to audit.

        Args:
            arrays: weights and source_model of a file of samples.
            path: Of the file.

        Raises:
            DataFileError: If a network has weights that are not finite.
        """
        weights, models = arrays["weights"], arrays["source_model"]
        broken = ~np.isfinite(weights).all(1)
        if broken.any():
            raise DataFileError(
                f"{path}: network {broken.argmax()} has weights that are not finite"
            )
        return cls(weights, models.reshape(len(models), -1))

    @property
    def source(self) -> Int[np.ndarray, models]:
        """The run each was made from; -1 where that is none, or several."""
        several = self.sources.shape[1] > 1
        return np.full(len(self.weights), -1) if several else self.sources[:, 0]


@dataclass(frozen=True)
class Nearness:
    """How near each network comes to the training networks that are not hidden.

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
class Nearest:
    """The training network that each network is nearest to when aligned.

    Attributes:
        model: Row of the zoo (the run) it belongs to.
        epoch: Number of its epoch.
        weights: Its own.
        matched: Those of the audited network, in its coordinates.
    """

    model: Int[np.ndarray, models]
    epoch: Int[np.ndarray, models]
    weights: Float[np.ndarray, "models parameters"]
    matched: Float[np.ndarray, "models parameters"]


@dataclass(frozen=True)
class Audit:
    """What the audit found of each network.

    Attributes:
        nearness: To the training networks that are not hidden.
        nearest: The one it is nearest to.
        source: L2 distance, aligned, to the run it was made from; NaN without one.
        memory: How near it is to as many training as unseen runs.
        accuracy: On the images, in [0, 1].
        pair_distance: Mean L2 distance, aligned, to the other networks audited with it;
            NaN if it is alone.
        pair_disagreement: Mean share of images answered differently by these; NaN if it
            is alone.
        ensemble: Accuracy of VOTERS random ones of them, itself the first, by the mean
            of their class probabilities; NaN if there are fewer.
    """

    nearness: Nearness
    nearest: Nearest
    source: Float[np.ndarray, models]
    memory: Memory
    accuracy: Float[np.ndarray, models]
    pair_distance: Float[np.ndarray, models]
    pair_disagreement: Float[np.ndarray, models]
    ensemble: Float[np.ndarray, models]

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns everything by the names it has in files."""
        return {
            **{f.name: getattr(self.nearness, f.name) for f in fields(Nearness)},
            "nearest_model": self.nearest.model,
            "nearest_epoch": self.nearest.epoch,
            "nearest_weights": self.nearest.weights,
            "matched_weights": self.nearest.matched,
            "source": self.source,
            **self.memory._asdict(),
            "accuracy": self.accuracy,
            "pair_distance": self.pair_distance,
            "pair_disagreement": self.pair_disagreement,
            "ensemble": self.ensemble,
        }

    def log(self, name: str) -> None:
        """Logs medians in one line."""
        medians = {
            "accuracy": self.accuracy,
            **{f.name: getattr(self.nearness, f.name) for f in fields(Nearness)},
        }
        numbers = ", ".join(f"{k} {np.median(v):.4g}" for k, v in medians.items())
        count = len(self.accuracy)
        logging.info("%s: %d networks, medians %s", name, count, numbers)


class Auditor:
    """Compares networks with the training networks, and with unseen ones.

    Args:
        corpus: The training networks.
        unseen: Networks of runs that nothing was made from.
        zoo: Where sources lie.
        images: Test images that answers are compared on, those of the corpus.
    """

    def __init__(
        self, corpus: Corpus, unseen: Pool, *, zoo: ZooData, images: Images
    ) -> None:
        self.corpus = corpus
        self.unseen = unseen
        self.zoo = zoo
        self.images = images
        self.activation = zoo.settings.recipe.activation
        self.matcher = Matcher(zoo.architecture, activation=self.activation)

    def __call__(self, candidates: Candidates) -> Audit:
        """Audits networks."""
        corpus, weights = self.corpus, candidates.weights
        scores = self._scores(weights)
        answers = scores.argmax(2).byte().numpy()
        shown = np.ones((len(weights), len(corpus.weights)), bool)
        if candidates.hidden is not None:
            shown = ~candidates.hidden
        aligned, bound = aligned_distances(
            self.matcher, weights, corpus.weights, run=corpus.model
        )
        aligned = np.where(shown, aligned, np.inf)
        overlap = error_overlap(answers, corpus.predictions, corpus.labels)
        apart = disagreement(answers, corpus.predictions)
        return Audit(
            nearness=Nearness(
                raw=_smallest(raw_distances(weights, corpus.weights), shown),
                aligned=aligned.min(1),
                bound=_smallest(bound, shown),
                disagreement=_smallest(apart, shown),
                overlap=-_smallest(-overlap, shown),
            ),
            nearest=self._nearest(weights, aligned.argmin(1)),
            source=self._source_distances(candidates),
            memory=self._memory(candidates, aligned),
            accuracy=(answers == corpus.labels).mean(1),
            pair_distance=_mean_of_others(pair_distances(self.matcher, weights)),
            pair_disagreement=_mean_of_others(disagreement(answers, answers)),
            ensemble=self._ensembles(scores.softmax(2).numpy()),
        )

    def _scores(
        self, weights: Float[np.ndarray, "models parameters"]
    ) -> Float[Tensor, "models images classes"]:
        """Returns the class scores that networks give the images, on the CPU."""
        rows = torch.from_numpy(weights).to(self.images.pixels.device)
        scores = class_scores(
            self.zoo.architecture, rows, self.images, activation=self.activation
        )
        return torch.cat([part.cpu() for part in scores])

    def _ensembles(
        self, probabilities: Float[np.ndarray, "models images classes"]
    ) -> Float[np.ndarray, models]:
        """Returns the accuracy of an ensemble that each network is the first of."""
        count = len(probabilities)
        if count < VOTERS:
            return np.full(count, np.nan)
        rng = derived_rng("ensembles of an audit", count)
        members = draw_members(count, ensembles=count, largest=VOTERS, rng=rng)
        votes = np.stack([probabilities[rows].mean(0).argmax(1) for rows in members])
        return (votes == self.corpus.labels).mean(1)

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
            weights=nearest,
            matched=matched.numpy(),
        )

    def _source_distances(self, candidates: Candidates) -> Float[np.ndarray, models]:
        """Returns distances to the nearest epoch of the own source."""
        known = np.flatnonzero(candidates.source >= 0)
        found = np.full(len(candidates.weights), np.nan)
        if not len(known):
            return found
        runs = self.zoo.weights[candidates.source[known]]
        found[known] = np.min(
            [
                matched_distances(self.matcher, candidates.weights[known], goals)
                for goals in runs.swapaxes(0, 1)
            ],
            axis=0,
        )
        return found

    def _memory(
        self, candidates: Candidates, aligned: Float[np.ndarray, "models networks"]
    ) -> Memory:
        unseen = self.unseen
        distances, _ = aligned_distances(
            self.matcher, candidates.weights, unseen.weights, run=unseen.model
        )
        runs, training = by_run(aligned, self.corpus.model)
        own = candidates.source[:, None] == runs
        return memory(training, by_run(distances, unseen.model)[1], own=own)


def _smallest(
    values: Float[np.ndarray, "models networks"],
    shown: Bool[np.ndarray, "models networks"],
) -> Float[np.ndarray, models]:
    return np.where(shown, values, np.inf).min(1)


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
    pool = training_networks(zoo)
    if answers is None:
        logging.info("answers of %d training networks", len(pool.weights))
        weights = torch.from_numpy(pool.weights).to(images.pixels.device)
        activation = zoo.settings.recipe.activation
        answers = predictions(zoo.architecture, weights, images, activation=activation)
    wanted = (len(pool.weights), len(images.labels))
    if answers.shape != wanted:
        raise ValueError(
            f"answers of {answers.shape} networks and images, but there are {wanted}"
        )
    labels = images.labels.cpu().numpy()
    corpus = Corpus(pool.weights, pool.model, pool.epoch, answers, labels)
    # held out like the test split, which references and reconstructions are made from
    return Auditor(corpus, select(zoo, split="val"), zoo=zoo, images=images)


def training_networks(zoo: ZooData) -> Pool:
    """Returns all networks that any hyper-representation of the zoo may have seen.

    Those above a weight_threshold are among them: variants may differ in it.
    """
    return select(zoo, split="train")
