"""Is it new? Networks against those that a hyper-representation was trained on.

Every population, sampled or made as a reference, goes through the same audit: how far
each network is from the nearest training network, in weights as they are, in weights
after the best symmetry found (matching.py), and in answers (behaviour.py).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from ..data.images import Images
from ..networks.architectures import Architecture
from ..networks.initialisation import initial_weights
from ..numbers.seeds import derived_seed, numpy_generator
from ..numbers.shapes import Bool, Float, Int, UInt8
from ..settings.sections import Novelty
from ..symmetry.matching import (
    Matcher,
    aligned_distances,
    pair_distances,
    raw_distances,
)
from ..symmetry.permutations import random_symmetries
from ..zoo.behaviour import disagreement, error_overlap, predictions
from ..zoo.zoos import Pool, ZooData, select

# fraction of the training networks that references are made from, as in S_KDE30
TOP = 0.3


@dataclass(frozen=True)
class Corpus:
    """The training networks: all epochs of the zoo's window, finite weights.

    Attributes:
        weights: One network per row, epochs of a run in increasing order.
        model: Row of the zoo (the run) each belongs to.
        epoch: Its epoch.
        predictions: Its answers to the test images.
        labels: Right answers.
    """

    weights: Float[np.ndarray, "networks parameters"]
    model: Int[np.ndarray, networks]
    epoch: Int[np.ndarray, networks]
    predictions: UInt8[np.ndarray, "networks images"]
    labels: Int[np.ndarray, images]


@dataclass(frozen=True)
class Population:
    """Networks to audit.

    Attributes:
        weights: One network per row.
        sources: Runs each was made from; -1 for none.
        hidden: Training networks it is not compared with; None: compared with all.
    """

    weights: Float[np.ndarray, "models parameters"]
    sources: Int[np.ndarray, "models sources"]
    hidden: Bool[np.ndarray, "models networks"] | None = None


class Auditor:
    """Compares populations with the training networks.

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

    def __call__(self, population: Population) -> dict[str, np.ndarray]:
        """Audits a population.

        Returns:
            One value per network. `raw`, `aligned`: L2 distance to the nearest training
            network, as it is and after the best symmetry found; `bound`: what no
            symmetry can go below; `overlap`: largest intersection over union of errors;
            `disagreement`: smallest share of images answered differently; each also
            with `same_` (nearest among the epochs of its source runs) and `other_`
            (among all other runs), NaN where there are none. `nearest_model` and
            `nearest_epoch`, by `aligned`, `nearest_accuracy` and `nearest_weights` of
            that network, and `matched_weights`, the network in its coordinates;
            `accuracy` on the images; `pair_distance` and `pair_disagreement`: mean over
            the other networks of the population.
        """
        corpus = self.corpus
        answers = predictions(
            self.architecture,
            torch.from_numpy(population.weights).to(self.images.pixels.device),
            self.images,
            activation=self.activation,
        )
        aligned, bound = aligned_distances(
            self.matcher, population.weights, corpus.weights, run=corpus.model
        )
        measures = {
            "raw": raw_distances(population.weights, corpus.weights),
            "aligned": aligned,
            "bound": bound,
            "disagreement": disagreement(answers, corpus.predictions),
            # turned round: the nearest network has the largest
            "overlap": -error_overlap(answers, corpus.predictions, corpus.labels),
        }
        seen = np.ones(aligned.shape, bool)
        if population.hidden is not None:
            seen = ~population.hidden
        own = np.stack([np.isin(corpus.model, runs) for runs in population.sources])
        groups = {"": seen, "same_": seen & own, "other_": seen & ~own}
        found = {
            f"{prefix}{name}": _smallest(values, shown)
            for prefix, shown in groups.items()
            for name, values in measures.items()
        }
        for prefix in groups:
            found[f"{prefix}overlap"] *= -1
        nearest = np.where(seen, aligned, np.inf).argmin(1)
        right = corpus.predictions[nearest] == corpus.labels
        weights = (population.weights, corpus.weights[nearest])
        matched = self.matcher.match(*map(torch.from_numpy, weights))
        return found | {
            "nearest_model": corpus.model[nearest],
            "nearest_epoch": corpus.epoch[nearest],
            "nearest_accuracy": right.mean(1),
            "nearest_weights": corpus.weights[nearest],
            "matched_weights": matched.numpy(),
            "accuracy": (answers == corpus.labels).mean(1),
            **self._pairs(population.weights, answers),
        }

    def _pairs(self, weights: np.ndarray, answers: np.ndarray) -> dict[str, np.ndarray]:
        others = max(len(weights) - 1, 1)
        alone = np.nan if len(weights) == 1 else 0.0
        distances = np.nansum(pair_distances(self.matcher, weights), axis=1)
        return {
            "pair_distance": distances / others + alone,
            "pair_disagreement": disagreement(answers, answers).sum(1) / others + alone,
        }


def _smallest(
    values: Float[np.ndarray, "models networks"],
    shown: Bool[np.ndarray, "models networks"],
) -> Float[np.ndarray, models]:
    smallest = np.where(shown, values, np.inf).min(1)
    return np.where(np.isinf(smallest), np.nan, smallest)


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


def references(
    zoo: ZooData, settings: Novelty, *, seed: int, weight_threshold: float = np.inf
) -> Iterator[tuple[str, Population]]:
    """Yields populations whose novelty is known, to read the others by.

    held_out: test split, last epoch of the window. leave_one_out: training networks
    against the other runs. other_epoch: training networks against the other epochs of
    their own run. permuted_copy: training networks, units permuted and flipped.
    random_init: untrained. noise, interpolation (the mean of two), soup (the mean of
    several, matched to the first): made from the best 30 % of the training networks by
    validation accuracy.

    Args:
        zoo: Where the networks come from.
        settings: Number of networks, noise, size of the soups.
        seed: Base seed.
        weight_threshold: As in select(), of the networks that others are made from.
    """
    held_out = select(zoo, split="test", epochs="last")
    yield "held_out", Population(held_out.weights, held_out.model[:, None])
    corpus = training_networks(zoo)
    rng = numpy_generator("novelty", seed, zoo.name)
    last = _picked(select(zoo, split="train", epochs="last"), settings.networks, rng)
    own = corpus.model == last.model[:, None]
    itself = own & (corpus.epoch == last.epoch[:, None])
    sources = last.model[:, None]
    yield "leave_one_out", Population(last.weights, sources, hidden=own)
    if len(zoo.epochs) > 1:
        yield "other_epoch", Population(last.weights, sources, hidden=~own | itself)
    yield "permuted_copy", Population(_changed(zoo, last.weights, seed), sources)
    best = select(zoo, split="train", top=TOP, weight_threshold=weight_threshold)
    for sigma in settings.noise:
        some = _rows(best, settings.networks, rng)
        noise = sigma * rng.standard_normal((len(some), best.weights.shape[1]))
        noisy = (best.weights[some] + noise).astype(np.float32)
        yield f"noise_{sigma:g}", Population(noisy, best.model[some, None])
    for name, size in (("interpolation", 2), (f"soup_{settings.soup}", settings.soup)):
        if size <= len(np.unique(best.model)):
            yield name, _soups(zoo, best, settings.networks, size, rng)
    untrained = initial_weights(
        zoo.architecture,
        initialization=zoo.settings.recipe.initialization,
        seeds=[derived_seed("novelty", seed, k) for k in range(settings.networks)],
    )
    none = np.full((settings.networks, 1), -1)
    yield "random_init", Population(untrained.numpy(), none)


def _rows(pool: Pool, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draws rows of a pool, no more often than needed."""
    return rng.choice(len(pool.weights), count, replace=count > len(pool.weights))


def _picked(pool: Pool, count: int, rng: np.random.Generator) -> Pool:
    """Returns a random part of a pool, in its order."""
    rows = np.arange(len(pool.weights))
    if count < len(rows):
        rows = np.sort(rng.choice(rows, count, replace=False))
    return Pool(pool.weights[rows], pool.model[rows], pool.epoch[rows])


def _changed(
    zoo: ZooData, weights: Float[np.ndarray, "models parameters"], seed: int
) -> Float[np.ndarray, "models parameters"]:
    """Returns the same functions: units permuted and, where that is one, flipped."""
    generator = torch.Generator().manual_seed(derived_seed("copies", seed, zoo.name))
    changes = random_symmetries(
        zoo.architecture,
        len(weights),
        activation=zoo.settings.recipe.activation,
        generator=generator,
    )
    return changes.of(torch.from_numpy(weights)).numpy()


def _soups(
    zoo: ZooData, pool: Pool, count: int, size: int, rng: np.random.Generator
) -> Population:
    """Means of networks of different runs, each matched to the first of its soup."""
    matcher = Matcher(zoo.architecture, activation=zoo.settings.recipe.activation)
    weights, sources = [], []
    for _ in range(count):
        runs = rng.choice(np.unique(pool.model), size, replace=False)
        rows = [rng.choice(np.flatnonzero(pool.model == run)) for run in runs]
        parts = torch.from_numpy(pool.weights[rows])
        weights.append(matcher.match(parts, parts[:1].expand(size, -1)).mean(0))
        sources.append(runs)
    return Population(torch.stack(weights).numpy(), np.stack(sources))


def z_u(
    distances: Float[np.ndarray, models], held_out: Float[np.ndarray, others]
) -> float:
    """Data-copying statistic: how much nearer to training than held-out networks.

    The z-score of the Mann-Whitney U of distances to the nearest training network:
    about N(0, 1) for samples that are distributed as held-out networks are, far below 0
    for copies, far above 0 for samples that are unlike any. It grows with the number of
    networks; nearer() does not.

    Source: Z_U of Meehan, Chaudhuri and Dasgupta 2020.
    """
    return z_score(nearer(distances, held_out), len(distances), len(held_out))


def z_score(nearer: float, models: int, others: int) -> float:
    """Returns Z_U of a share nearer(); where that is 0 or 1 the scale ends."""
    pairs = models * others
    return (0.5 - nearer) * pairs / math.sqrt(pairs * (models + others + 1) / 12)


def nearer(
    distances: Float[np.ndarray, models], held_out: Float[np.ndarray, others]
) -> float:
    """Probability that a network is nearer to training than a held-out one.

    0.5 for samples distributed as held-out networks; ties count half.
    """
    return float(placements(distances, held_out).mean())


def placements(
    values: Float[np.ndarray, models], others: Float[np.ndarray, others]
) -> Float[np.ndarray, models]:
    """Returns for each value the share of the others above it; ties count half."""
    ordered = np.sort(others)
    above = len(ordered) - np.searchsorted(ordered, values, side="right")
    ties = len(ordered) - above - np.searchsorted(ordered, values, side="left")
    return (above + ties / 2) / len(ordered)


def effective_number(models: Int[np.ndarray, networks]) -> float:
    """Exponential of the entropy of how often each run is the nearest."""
    share = np.unique(models, return_counts=True)[1] / len(models)
    return float(np.exp(-(share * np.log(share)).sum()))


def log_audit(name: str, found: Mapping[str, np.ndarray]) -> None:
    """Logs the medians of an audit in one line."""
    numbers = ", ".join(
        f"{key} {np.median(found[key]):.4g}"
        for key in ("accuracy", "raw", "aligned", "bound", "overlap", "disagreement")
    )
    logging.info("%s: %d networks, medians %s", name, len(found["raw"]), numbers)
