"""Draws new networks by one method and evaluates them untrained."""

from pathlib import Path
from typing import Annotated

import numpy as np

from hyperreps.data.images import read_images
from hyperreps.representation.autoencoder import load
from hyperreps.representation.curves import core_seconds_of
from hyperreps.running.commands import UNPREFIXED, run
from hyperreps.running.devices import Machine
from hyperreps.sampling.networks import draw_samples, log_samples, read_generators
from hyperreps.settings.stages import Method
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
        curves: Training curves of what is drawn from, which say what learning it took.
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
    samples = draw_samples(
        data,
        method,
        models,
        images,
        generators=trained,
        weight_threshold=weight_threshold,
        seeds=(seed, data.name, name),
        engine=machine.engine,
    )
    learning = core_seconds_of(curves)
    log_samples(
        samples,
        name,
        data,
        images["train"],
        learning=learning,
        generators=trained,
        engine=machine.engine,
    )
    samples.write(output, data, method, name=name, learning=learning)


if __name__ == "__main__":
    run(main)
