"""From a zoo to sampled networks: a pool, its points, new points, their weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch

from ..networks.architectures import Architecture, build
from ..networks.initialisation import initial_weights
from ..networks.transplant import transplant
from ..numbers.seeds import derived_rng, derived_seed
from ..numbers.shapes import Float, Int
from ..representation.autoencoder import HyperRepresentation
from ..representation.latents import pool_points
from ..settings.stages import Method, SettingsError
from ..zoo.zoos import ZooData
from . import gan, jump
from .gan import Generator
from .jump import Jumper
from .samplers import draw, needs_generator

Arrays = dict[str, np.ndarray]


def read_generators(
    paths: Sequence[Path], method: Method, *, spaces: int, device: torch.device
) -> list[Generator | Jumper]:
    """Reads what a method draws from, beside hyper-representations.

    Args:
        paths: Files of train_gan.py, one per hyper-representation, or of train_jump.py.
        method: Its sampler says which.
        spaces: Hyper-representations.
        device: Where to.

    Raises:
        SettingsError: If there are not as many as the sampler needs.
        DataFileError: If a file is missing, damaged or of another kind.
    """
    jumps = method.sampler == "jump"
    read: Callable[..., Generator | Jumper] = jump.load if jumps else gan.load
    wanted = max(1, len(paths) if jumps else spaces) * needs_generator(method.sampler)
    if len(paths) != wanted:
        raise SettingsError(
            f"--generators: sampler {method.sampler} needs {wanted}, got {len(paths)}"
        )
    return [read(path, device=device) for path in paths]


def draw_networks(
    zoo: ZooData,
    method: Method,
    models: Iterable[HyperRepresentation],
    *,
    generators: Iterable[Generator | Jumper] = (),
    weight_threshold: float = np.inf,
    seeds: tuple[int | str, ...],
) -> Arrays:
    """Draws the samples of a method, one hyper-representation after another.

    They are best_of times as many as its samples; see best().

    Args:
        zoo: Where the pool comes from.
        method: Pool and sampler.
        models: In whose latent spaces is sampled; none: in weight space.
        generators: For sampler gan, one per hyper-representation; for jump, any number.
        weight_threshold: As in pool_points().
        seeds: What the draws depend on, beside the seed of the hyper-representation.

    Returns:
        weights [samples, parameters], latents [samples, latent] where there are any,
        and for each sample the seed of its hyper-representation or jump, and the
        model and epoch that it was drawn from, -1 for none.
    """
    spaces: list[HyperRepresentation | None] = [*models] or [None]
    drawn = [
        _draw(
            zoo,
            method,
            model,
            generator=generator,
            weight_threshold=weight_threshold,
            seeds=seeds,
        )
        for model, generator in zip_longest(spaces, generators)
    ]
    return {key: np.concatenate([part[key] for part in drawn]) for key in drawn[0]}


def _draw(
    zoo: ZooData,
    method: Method,
    model: HyperRepresentation | None,
    *,
    generator: Generator | Jumper | None,
    weight_threshold: float,
    seeds: tuple[int | str, ...],
) -> Arrays:
    """Draws the samples of one hyper-representation, or those in weight space."""
    pool, points = pool_points(zoo, method, model, weight_threshold=weight_threshold)
    source = generator if isinstance(generator, Jumper) else model
    seed = source.seed if source else -1
    drawn = draw(
        method.sampler,
        points,
        count=method.samples * method.best_of,
        rng=derived_rng("sample", *seeds, seed),
        options=method.options,
        generator=generator,
    )
    arrays = {
        "source_model": np.where(drawn.rows < 0, -1, pool.model[drawn.rows]),
        "source_epoch": np.where(drawn.rows < 0, -1, pool.epoch[drawn.rows]),
        "hyper_rep_seed": np.full(len(drawn.points), seed),
        "weights": drawn.points,
    }
    if model:
        latents = torch.from_numpy(drawn.points).to(model.mean.device)
        arrays["latents"] = drawn.points
        arrays["weights"] = model.map("decode", latents).cpu().numpy()
    return arrays


def best(
    seeds: Int[np.ndarray, samples],
    accuracy: Float[np.ndarray, samples],
    *,
    best_of: int,
) -> Int[np.ndarray, kept]:
    """Returns the rows of the best samples, one in best_of, in the order of drawing.

    Each hyper-representation keeps as many as the others do, one at least.

    Args:
        seeds: Of the hyper-representation that each sample is from.
        accuracy: On the validation images: never on what networks are judged by.
        best_of: Samples of which one is kept.
    """
    kept = []
    for seed in np.unique(seeds):
        own = np.flatnonzero(seeds == seed)
        ranking = own[np.argsort(-accuracy[own], kind="stable")]
        kept.append(ranking[: max(1, len(own) // best_of)])
    return np.sort(np.concatenate(kept))


def in_architecture(
    weights: Float[np.ndarray, "samples parameters"], zoo: ZooData, method: Method
) -> tuple[Architecture, Float[np.ndarray, "samples target_parameters"]]:
    """Returns samples of a zoo as networks of the architecture that a method names.

    The k-th sample of every method starts with the same random layers.
    """
    if not method.architecture:
        return zoo.architecture, weights
    target = build(method.architecture, channels=zoo.architecture.channels)
    start = initial_weights(
        target,
        initialization=zoo.settings.recipe.initialization,
        seeds=[derived_seed("transplant", zoo.name, k) for k in range(len(weights))],
    )
    rows = torch.from_numpy(weights)
    moved = transplant(
        rows, zoo.architecture, target, how=method.transplant, start=start
    )
    return target, moved.numpy()
