"""Draws new networks by one method and evaluates them untrained."""

import logging
import math
import time
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch

from hyperreps.data.images import read_images
from hyperreps.engines.interface import evaluate
from hyperreps.files.storage import write_arrays
from hyperreps.representation.autoencoder import load
from hyperreps.representation.curves import core_seconds_of
from hyperreps.running.commands import UNPREFIXED, run
from hyperreps.running.devices import Machine
from hyperreps.sampling.networks import (
    best,
    draw_networks,
    in_architecture,
    read_generators,
)
from hyperreps.settings.stages import Method
from hyperreps.zoo.launches import training_seconds
from hyperreps.zoo.members import DRAWING_TIME, LEARNING_TIME
from hyperreps.zoo.zoos import read_zoo


def main(
    *,
    zoo: Path,
    dataset: Path,
    hyper_reps: tuple[Path, ...] = (),
    generators: tuple[Path, ...] = (),
    curves: tuple[Path, ...] = (),
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
        generators: Files of train_gan.py for sampler gan, one per hyper-representation;
            for sampler jump those of train_jump.py, any number.
        curves: Training curves of what is drawn from, which say what learning it took;
            of a GAN that is not known.
        method: Pool and sampler.
        name: Of the method.
        output: HDF5 file to write.
        seed: Base seed of the draws.
        weight_threshold: In weight space, networks with a larger absolute weight are
            left out of the pool; a hyper-representation has its own threshold.
        machine: Where it computes.
    """
    place = machine.prepare()
    data, images = read_zoo(zoo), read_images(dataset).on(place)
    models = [load(path, device=place) for path in hyper_reps]
    trained = read_generators(generators, method, spaces=len(models), device=place)
    started = time.process_time()
    arrays = draw_networks(
        data,
        method,
        models,
        generators=trained,
        weight_threshold=weight_threshold,
        seeds=(seed, data.name, name),
    )
    network, arrays["weights"] = in_architecture(arrays["weights"], data, method)
    scores = partial(
        evaluate,
        network,
        activation=data.settings.recipe.activation,
        engine=machine.engine,
    )
    weights = torch.from_numpy(arrays["weights"]).to(place)
    if method.best_of > 1:
        _, accuracy = scores(weights, images["val"])
        kept = best(arrays["hyper_rep_seed"], accuracy, best_of=method.best_of)
        arrays = {key: values[kept] for key, values in arrays.items()}
        weights = weights[kept]
    drawing = time.process_time() - started
    for split in ("val", "test"):
        arrays[f"loss/{split}"], arrays[f"accuracy/{split}"] = scores(
            weights, images[split]
        )
    accuracy = arrays["accuracy/test"]
    logging.info(
        "%s: %d samples, test accuracy %.4f +- %.4f",
        name,
        len(accuracy),
        accuracy.mean(),
        accuracy.std(),
    )
    learning = math.nan if method.sampler == "gan" else core_seconds_of(curves)
    logging.info(
        "core-seconds a network: drawing %.3f, learning %.3f",
        drawing / len(weights),
        learning / len(weights),
    )
    if method.sampler == "jump":
        recipe, last = data.settings.recipe, trained[0].settings.stations[-1]
        epoch = training_seconds(
            weights, network, images["train"], recipe=recipe, engine=machine.engine
        )
        logging.info("training one for %d epochs: %.1f", last, last * epoch)
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
            DRAWING_TIME: drawing,
            LEARNING_TIME: learning,
        },
    )


if __name__ == "__main__":
    run(main)
