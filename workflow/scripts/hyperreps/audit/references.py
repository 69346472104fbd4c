"""References of the audit: networks whose novelty is known, to read the others by."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from ..networks.initialisation import initial_weights
from ..numbers.seeds import derived_rng, derived_seed
from ..numbers.shapes import Float, Int
from ..settings.sections import Novelty
from ..symmetry.matching import Matcher
from ..symmetry.permutations import random_symmetries
from ..zoo.zoos import Pool, ZooData, select
from .auditor import Candidates, training_networks

# fraction of the training networks that references are made from, as in S_KDE30
TOP = 0.3


def references(
    zoo: ZooData, settings: Novelty, *, seed: int, weight_threshold: float = np.inf
) -> Iterator[tuple[str, Candidates]]:
    """Yields networks whose novelty is known, to read the others by, with their name.

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
    yield "held_out", Candidates(held_out.weights, _none(len(held_out.weights)))
    corpus = training_networks(zoo)
    rng = derived_rng("novelty", seed, zoo.name)
    last = _picked(select(zoo, split="train", epochs="last"), settings.networks, rng)
    own = corpus.model == last.model[:, None]
    itself = own & (corpus.epoch == last.epoch[:, None])
    sources = last.model[:, None]
    # these were made from nothing but themselves
    none = _none(len(last.weights))
    yield "leave_one_out", Candidates(last.weights, none, hidden=own)
    if len(zoo.epochs) > 1:
        yield "other_epoch", Candidates(last.weights, none, hidden=~own | itself)
    yield "permuted_copy", Candidates(_changed(zoo, last.weights, seed), sources)
    best = select(zoo, split="train", top=TOP, weight_threshold=weight_threshold)
    for sigma in settings.noise:
        some = _rows(best, settings.networks, rng)
        noise = sigma * rng.standard_normal((len(some), best.weights.shape[1]))
        noisy = (best.weights[some] + noise).astype(np.float32)
        yield f"noise_{sigma:g}", Candidates(noisy, best.model[some, None])
    for name, size in (("interpolation", 2), (f"soup_{settings.soup}", settings.soup)):
        if size <= len(np.unique(best.model)):
            yield name, _soups(zoo, best, settings.networks, size, rng)
    untrained = initial_weights(
        zoo.architecture,
        initialization=zoo.settings.recipe.initialization,
        seeds=[derived_seed("novelty", seed, k) for k in range(settings.networks)],
    )
    yield "random_init", Candidates(untrained.numpy(), _none(settings.networks))


def _none(count: int) -> Int[np.ndarray, "models 1"]:
    """Returns the sources of networks that have none."""
    return np.full((count, 1), -1)


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
    rng = torch.Generator().manual_seed(derived_seed("copies", seed, zoo.name))
    changes = random_symmetries(
        zoo.architecture,
        len(weights),
        activation=zoo.settings.recipe.activation,
        rng=rng,
    )
    return changes.of(torch.from_numpy(weights)).numpy()


def _soups(
    zoo: ZooData, pool: Pool, count: int, size: int, rng: np.random.Generator
) -> Candidates:
    """Means of networks of different runs, each matched to the first of its soup."""
    matcher = Matcher(zoo.architecture, activation=zoo.settings.recipe.activation)
    weights, sources = [], []
    for _ in range(count):
        runs = rng.choice(np.unique(pool.model), size, replace=False)
        rows = [rng.choice(np.flatnonzero(pool.model == run)) for run in runs]
        parts = torch.from_numpy(pool.weights[rows])
        weights.append(matcher.match(parts, parts[:1]).mean(0))
        sources.append(runs)
    return Candidates(torch.stack(weights).numpy(), np.stack(sources))
