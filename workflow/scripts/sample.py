"""Draws new networks by one method and evaluates them untrained."""

import logging
from pathlib import Path
from typing import Annotated

import numpy as np
import torch

from hyperreps.autoencoder import HyperRepresentation, load
from hyperreps.commands import UNPREFIXED, run
from hyperreps.devices import Machine
from hyperreps.engines import evaluate
from hyperreps.images import read_images
from hyperreps.sampling import draw
from hyperreps.seeds import numpy_generator
from hyperreps.settings import Method
from hyperreps.storage import write_arrays
from hyperreps.zoos import ZooData, read_zoo, select_for

Arrays = dict[str, np.ndarray]


def main(
    *,
    zoo: Path,
    dataset: Path,
    hyper_reps: tuple[Path, ...] = (),
    method: Method,
    name: str,
    output: Path,
    seed: int = 0,
    machine: Annotated[Machine, UNPREFIXED] = Machine(),
) -> None:
    """Samples from the latent space of each hyper-representation, or in weight space.

    Args:
        zoo: zoos/{zoo}.h5, or its aligned form.
        dataset: Images for the accuracy at epoch 0.
        hyper_reps: Files of pretrain.py, one per seed; none: weight space.
        method: Pool and sampler.
        name: Of the method.
        output: HDF5 file to write.
        seed: Base seed of the draws.
        machine: Where it computes.
    """
    place = machine.prepare()
    data = read_zoo(zoo)
    models = [load(path, device=place) for path in hyper_reps] or [None]
    drawn = [_draw(data, method, model, (seed, data.name, name)) for model in models]
    arrays = {key: np.concatenate([part[key] for part in drawn]) for key in drawn[0]}
    weights = torch.from_numpy(arrays["weights"]).to(place)
    images = read_images(dataset).on(place)
    for split in ("val", "test"):
        arrays[f"loss/{split}"], arrays[f"accuracy/{split}"] = evaluate(
            data.architecture,
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
            "architecture": data.architecture.name,
            "channels": data.architecture.channels,
            "dataset": data.settings.dataset,
        },
    )


def _draw(
    data: ZooData,
    method: Method,
    model: HyperRepresentation | None,
    seeds: tuple[int | str, ...],
) -> Arrays:
    """Draws the samples of one hyper-representation, or those in weight space."""
    threshold = model.settings.weight_threshold if model else np.inf
    pool = select_for(data, method, weight_threshold=threshold)
    seed = model.seed if model else -1
    rng = numpy_generator("sample", *seeds, seed)
    points = pool.weights
    if model:
        rows = torch.from_numpy(points).to(model.mean.device)
        points = model.map("encode", rows).cpu().numpy()
    drawn = draw(
        method.sampler, points, count=method.samples, rng=rng, options=method.options
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


if __name__ == "__main__":
    run(main)
