"""Trains the generator of one method with sampler gan, in one latent space."""

import logging
from pathlib import Path
from typing import Annotated

import torch

from hyperreps.files.resuming import Pace, trained
from hyperreps.files.storage import write_rows
from hyperreps.numbers.seeds import derived_seed
from hyperreps.representation.autoencoder import load
from hyperreps.representation.latents import pool_points
from hyperreps.running.commands import UNPREFIXED, run
from hyperreps.running.devices import Machine
from hyperreps.sampling.gan import save
from hyperreps.sampling.gan_training import GanTraining
from hyperreps.settings.stages import Gan, Method
from hyperreps.zoo.zoos import read_zoo


def main(
    *,
    zoo: Path,
    hyper_rep: Path,
    method: Method,
    name: str,
    settings: Gan,
    output: Path,
    seed: int = 0,
    machine: Annotated[Machine, UNPREFIXED] = Machine(),
    pace: Annotated[Pace, UNPREFIXED] = Pace(),
) -> None:
    """Trains a generator of latent vectors like those of a method's pool.

    Args:
        zoo: zoos/{zoo}.h5, or its aligned form.
        hyper_rep: File of pretrain.py that encodes the pool.
        method: Its pool.
        name: Of the method.
        settings: Of the generator and its training.
        output: Safetensors file to write; the training curve lies beside it as .csv,
            the state of an interrupted run as .state.
        seed: Base seed of the training.
        machine: Where it computes.
        pace: Time budget and saving.
    """
    place = machine.prepare()
    data = read_zoo(zoo)
    model = load(hyper_rep, device=place)
    _, points = pool_points(data, method, model)
    logging.info("%d points of %d dimensions", *points.shape)
    own_seed = derived_seed("gan", seed, data.name, name, model.seed)
    training = GanTraining(
        torch.from_numpy(points).to(place), settings=settings, seed=own_seed
    )
    with trained(training, epochs=settings.epochs, output=output, pace=pace):
        about = {"zoo": data.name, "method": name, "hyper_rep_seed": str(model.seed)}
        write_rows(output.with_suffix(".csv"), training.curve)
        save(training.result, output, about=about)


if __name__ == "__main__":
    run(main)
