"""Draws new networks by one method and evaluates them untrained."""

import logging
from itertools import zip_longest
from pathlib import Path
from typing import Annotated

import numpy as np
import torch

from hyperreps.data.images import read_images
from hyperreps.engines.interface import evaluate
from hyperreps.files.storage import write_arrays
from hyperreps.networks.architectures import Architecture, build
from hyperreps.networks.initialisation import initial_weights
from hyperreps.networks.transplant import transplant
from hyperreps.numbers.seeds import derived_seed, numpy_generator
from hyperreps.representation.autoencoder import HyperRepresentation, load
from hyperreps.representation.latents import pool_points
from hyperreps.running.commands import UNPREFIXED, run
from hyperreps.running.devices import Machine
from hyperreps.sampling import gan
from hyperreps.sampling.samplers import draw, needs_generator
from hyperreps.settings.stages import Method, SettingsError
from hyperreps.zoo.zoos import Pool, ZooData, read_zoo

Arrays = dict[str, np.ndarray]


def main(
    *,
    zoo: Path,
    dataset: Path,
    hyper_reps: tuple[Path, ...] = (),
    generators: tuple[Path, ...] = (),
    method: Method,
    name: str,
    output: Path,
    seed: int = 0,
    weight_threshold: float = np.inf,
    machine: Annotated[Machine, UNPREFIXED] = Machine(),
) -> None:
    """Samples from the latent space of each hyper-representation, or in weight space.

    Args:
        zoo: zoos/{zoo}.h5, or its aligned form.
        dataset: Images for the accuracy at epoch 0.
        hyper_reps: Files of pretrain.py, one per seed; none: weight space.
        generators: Files of train_gan.py for sampler gan, one per hyper-representation.
        method: Pool and sampler.
        name: Of the method.
        output: HDF5 file to write.
        seed: Base seed of the draws.
        weight_threshold: In weight space, networks with a larger absolute weight are
            left out of the pool; a hyper-representation has its own threshold.
        machine: Where it computes.
    """
    place = machine.prepare()
    data = read_zoo(zoo)
    models = [load(path, device=place) for path in hyper_reps] or [None]
    trained = [gan.load(path, device=place) for path in generators]
    if len(trained) != needs_generator(method.sampler) * len(models):
        raise SettingsError(
            f"--generators: sampler {method.sampler} needs"
            f" {needs_generator(method.sampler) * len(models)}, got {len(trained)}"
        )
    seeds = (seed, data.name, name)
    drawn = [
        _draw(
            *pool_points(data, method, model, weight_threshold=weight_threshold),
            method=method,
            model=model,
            seeds=seeds,
            generator=generator,
        )
        for model, generator in zip_longest(models, trained)
    ]
    arrays = {key: np.concatenate([part[key] for part in drawn]) for key in drawn[0]}
    network = data.architecture
    if method.architecture:
        network = build(method.architecture, channels=network.channels)
        arrays["weights"] = _transplanted(arrays["weights"], data, network, method)
    weights = torch.from_numpy(arrays["weights"]).to(place)
    images = read_images(dataset).on(place)
    for split in ("val", "test"):
        arrays[f"loss/{split}"], arrays[f"accuracy/{split}"] = evaluate(
            network,
            weights,
            images[split],
            activation=data.settings.recipe.activation,
            engine=machine.engine,
        )
    accuracy = arrays["accuracy/test"]
    logging.info(
        "%s: %d samples, test accuracy %.4f +- %.4f",
        name,
        len(accuracy),
        accuracy.mean(),
        accuracy.std(),
    )
    write_arrays(
        output,
        arrays,
        attributes={
            "kind": "samples",
            "source": data.name,
            "method": name,
            "settings": method.model_dump(),
            "architecture": network.name,
            "channels": network.channels,
            "dataset": data.settings.dataset,
        },
    )


def _draw(
    pool: Pool,
    points: np.ndarray,
    *,
    method: Method,
    model: HyperRepresentation | None,
    seeds: tuple[int | str, ...],
    generator: gan.Generator | None,
) -> Arrays:
    """Draws the samples of one hyper-representation, or those in weight space."""
    seed = model.seed if model else -1
    drawn = draw(
        method.sampler,
        points,
        count=method.samples,
        rng=numpy_generator("sample", *seeds, seed),
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


def _transplanted(
    weights: np.ndarray,
    data: ZooData,
    network: Architecture,
    method: Method,
) -> np.ndarray:
    """Returns samples as networks of another architecture.

    The k-th sample of every method starts with the same random layers.
    """
    start = initial_weights(
        network,
        initialization=data.settings.recipe.initialization,
        seeds=[derived_seed("transplant", data.name, k) for k in range(len(weights))],
    )
    rows = torch.from_numpy(weights)
    return transplant(
        rows, data.architecture, network, how=method.transplant, start=start
    ).numpy()


if __name__ == "__main__":
    run(main)
