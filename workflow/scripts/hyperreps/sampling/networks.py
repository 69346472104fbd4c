"""From a zoo to sampled networks: a pool, its points, new points, their weights."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ..data.images import Images
from ..engines.interface import evaluate
from ..files.storage import write_arrays
from ..networks.architectures import Architecture, build
from ..networks.initialisation import initial_weights
from ..networks.transplant import transplant
from ..numbers.seeds import derived_rng, derived_seed
from ..numbers.shapes import Float, Int
from ..representation.autoencoder import HyperRepresentation
from ..representation.latents import pool_points
from ..settings.stages import Engine as EngineName
from ..settings.stages import Method, SettingsError
from ..zoo.launches import training_seconds
from ..zoo.members import DRAWING_TIME, LEARNING_TIME
from ..zoo.zoos import ZooData
from . import gan, jump
from .gan import Generator
from .jump import Jumper
from .samplers import draw, needs_generator

log = logging.getLogger(__name__)

Arrays = dict[str, np.ndarray]


class Samples(NamedTuple):
    """The samples of a method, evaluated untrained.

    Attributes:
        arrays: Of draw_networks(), and loss and accuracy by split of the images.
        architecture: Of the networks.
        core_seconds: CPU time of drawing all of them, and those not kept.
    """

    arrays: Arrays
    architecture: Architecture
    core_seconds: float

    def write(
        self, path: Path, zoo: ZooData, method: Method, *, name: str, learning: float
    ) -> None:
        """Writes samples/{zoo}/{method}.h5.

        Args:
            path: Of the file.
            zoo: Where the pool comes from.
            method: Pool and sampler.
            name: Of the method.
            learning: CPU time of learning what they were drawn from, in seconds.
        """
        attributes = {
            "kind": "samples",
            "source": zoo.name,
            "method": name,
            "settings": method.model_dump(),
            "architecture": self.architecture.name,
            "channels": self.architecture.channels,
            "dataset": zoo.settings.dataset,
            DRAWING_TIME: self.core_seconds,
            LEARNING_TIME: learning,
        }
        write_arrays(path, self.arrays, attributes=attributes)


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


def draw_samples(
    zoo: ZooData,
    method: Method,
    models: Iterable[HyperRepresentation],
    images: Mapping[str, Images],
    *,
    generators: Iterable[Generator | Jumper] = (),
    weight_threshold: float = np.inf,
    seeds: tuple[int | str, ...],
    engine: EngineName = "auto",
) -> Samples:
    """Draws the samples of a method, keeps the best where it says so, and evaluates.

    Args:
        zoo: As in draw_networks(), which draws them.
        method: Pool and sampler.
        models: In whose latent spaces is sampled; none: in weight space.
        images: By split: val, which the best are chosen on, and test.
        generators: As in draw_networks().
        weight_threshold: As in pool_points().
        seeds: What the draws depend on, beside the seed of the hyper-representation.
        engine: What evaluates them.
    """
    started = time.process_time()
    arrays = draw_networks(
        zoo,
        method,
        models,
        generators=generators,
        weight_threshold=weight_threshold,
        seeds=seeds,
    )
    network, arrays["weights"] = in_architecture(arrays["weights"], zoo, method)
    activation = zoo.settings.recipe.activation
    scores = partial(evaluate, network, activation=activation, engine=engine)
    weights = torch.from_numpy(arrays["weights"]).to(images["val"].pixels.device)
    if method.best_of > 1:
        _, accuracy = scores(weights, images["val"])
        kept = best(arrays["hyper_rep_seed"], accuracy, best_of=method.best_of)
        arrays = {key: values[kept] for key, values in arrays.items()}
        weights = weights[kept]
    spent = time.process_time() - started
    for split in ("val", "test"):
        found = scores(weights, images[split])
        arrays[f"loss/{split}"], arrays[f"accuracy/{split}"] = found
    return Samples(arrays, network, spent)


def log_samples(
    samples: Samples,
    name: str,
    zoo: ZooData,
    images: Images,
    *,
    learning: float,
    generators: Iterable[Generator | Jumper] = (),
    engine: EngineName = "auto",
) -> None:
    """Logs accuracy, what a network took, and beside a jump what training it would.

    Args:
        samples: Drawn networks.
        name: Of the method.
        zoo: By whose recipe they would be trained.
        images: They would be trained on.
        learning: CPU time of learning what they were drawn from, in seconds.
        generators: What they were drawn from.
        engine: What would train them.
    """
    accuracy = samples.arrays["accuracy/test"]
    count = len(accuracy)
    log.info(
        "%s: %d samples, test accuracy %.4f +- %.4f",
        *(name, count, accuracy.mean(), accuracy.std()),
    )
    log.info(
        "core-seconds a network: drawing %.3f, learning %.3f",
        samples.core_seconds / count,
        learning / count,
    )
    jumps = [each for each in generators if isinstance(each, Jumper)]
    if not jumps:
        return
    epoch = training_seconds(
        torch.from_numpy(samples.arrays["weights"]).to(images.pixels.device),
        samples.architecture,
        images,
        recipe=zoo.settings.recipe,
        engine=engine,
    )
    last = jumps[0].settings.stations[-1]
    log.info("training one for %d epochs: %.1f", last, last * epoch)


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
