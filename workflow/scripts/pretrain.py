"""Trains a hyper-representation on the weights of a zoo."""

import logging
from pathlib import Path
from typing import Annotated

import torch

from hyperreps.files.resuming import Pace, trained
from hyperreps.files.storage import write_rows
from hyperreps.representation.autoencoder import save
from hyperreps.representation.pretraining import Pretraining
from hyperreps.running.commands import UNPREFIXED, run
from hyperreps.running.devices import Machine
from hyperreps.settings.stages import HyperRep
from hyperreps.zoo.zoos import read_zoo, select


def main(
    *,
    zoo: Path,
    settings: HyperRep,
    seed: int,
    output: Path,
    compiled: bool = False,
    machine: Annotated[Machine, UNPREFIXED] = Machine(),
    pace: Annotated[Pace, UNPREFIXED] = Pace(),
) -> None:
    """Trains one hyper-representation with one seed.

    Args:
        zoo: zoos/{zoo}.h5, or its aligned form.
        settings: Of the model and its training.
        seed: Of initialisation, order, augmentation and dropout.
        output: Safetensors file to write; the training curve lies beside it as .csv,
            the state of an interrupted run as .state.
        compiled: Whether torch.compile fuses the operations of a step.
        machine: Where it computes.
        pace: Time budget and saving.
    """
    place = machine.prepare()
    data = read_zoo(zoo)
    threshold = settings.weight_threshold
    train = select(data, split="train", weight_threshold=threshold)
    held_out = select(data, split="val", epochs="last", weight_threshold=threshold)
    logging.info("%d samples of %d models", len(train.weights), len(set(train.model)))
    training = Pretraining(
        torch.from_numpy(train.weights).to(place),
        torch.from_numpy(held_out.weights).to(place),
        data.architecture,
        settings=settings,
        seed=seed,
        zoo=data.name,
        compiled=compiled,
    )
    with trained(training, epochs=settings.epochs, output=output, pace=pace):
        write_rows(output.with_suffix(".csv"), training.timed_curve())
        save(training.model, output)


if __name__ == "__main__":
    run(main)
