"""Draws new networks by one method and evaluates them untrained."""

import logging
import time
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch

from hyperreps.data.images import Images, read_images
from hyperreps.engines.interface import choose_engine, evaluate
from hyperreps.files.storage import write_arrays
from hyperreps.representation.autoencoder import load
from hyperreps.running.commands import UNPREFIXED, run
from hyperreps.running.devices import Machine
from hyperreps.sampling import gan, jump
from hyperreps.sampling.networks import best, draw_networks, in_architecture
from hyperreps.sampling.samplers import needs_generator
from hyperreps.settings.stages import Method, SettingsError
from hyperreps.zoo.launches import training_seconds
from hyperreps.zoo.zoos import ZooData, read_zoo

# networks of which the cost of training is measured
TIMED = 8


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
        generators: Files of train_gan.py for sampler gan, one per hyper-representation;
            for sampler jump those of train_jump.py, any number.
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
    models = [load(path, device=place) for path in hyper_reps]
    read = jump.load if method.sampler == "jump" else gan.load
    trained = [read(path, device=place) for path in generators]
    needed = needs_generator(method.sampler) * max(1, len(models))
    if method.sampler == "jump":
        needed = max(1, len(trained))
    if len(trained) != needed:
        raise SettingsError(
            f"--generators: sampler {method.sampler} needs {needed}, got {len(trained)}"
        )
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
    images = read_images(dataset).on(place)
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
    core_seconds = time.process_time() - started
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
            "core_seconds": core_seconds,
        },
    )
    logging.info("%.3f core-seconds a network", core_seconds / len(weights))
    if method.sampler == "jump":
        last = trained[0].settings.stations[-1]
        seconds = _trained_for(data, images["train"], epochs=last, machine=machine)
        logging.info("training one for %d epochs: %.1f core-seconds", last, seconds)


def _trained_for(
    data: ZooData, images: Images, *, epochs: int, machine: Machine
) -> float:
    """Returns the core-seconds that training a network of a zoo takes."""
    recipe = data.settings.recipe
    engine = choose_engine(
        machine.engine,
        data.architecture,
        activation=recipe.activation,
        device=images.labels.device,
        optimizer=recipe.optimizer,
    )
    weights = torch.from_numpy(data.weights[:TIMED, 0])
    return training_seconds(
        weights, images, engine=engine, recipe=recipe, epochs=epochs * recipe.passes
    )


if __name__ == "__main__":
    run(main)
