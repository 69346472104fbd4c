"""Trains a jump: from a fresh initialisation to a trained network of a zoo."""

import logging
from pathlib import Path
from typing import Annotated

import numpy as np
import torch

from hyperreps.files.resuming import Pace, trained
from hyperreps.files.storage import write_rows
from hyperreps.running.commands import UNPREFIXED, run
from hyperreps.running.devices import Machine
from hyperreps.sampling.jump import load, save
from hyperreps.sampling.jump_training import JumpTraining
from hyperreps.settings.stages import Jump
from hyperreps.zoo.zoos import read_settings, read_zoo


def main(
    *,
    zoo: Path,
    settings: Jump,
    seed: int,
    output: Path,
    pretrained: Path | None = None,
    machine: Annotated[Machine, UNPREFIXED] = Machine(),
    pace: Annotated[Pace, UNPREFIXED] = Pace(),
) -> None:
    """Trains one jump with one seed.

    Args:
        zoo: zoos/{zoo}.h5, with weights at all stations.
        settings: Of the jump and its training.
        seed: Of initialisation, order, permutations and noise.
        output: Safetensors file to write; the training curve lies beside it as .csv,
            the state of an interrupted run as .state.
        pretrained: File of a jump on another zoo that it starts from.
        machine: Where it computes.
        pace: Time budget and saving.
    """
    place = machine.prepare()
    stations = settings.stations_of(read_settings(zoo))
    settings = settings.model_copy(update={"stations": stations})
    data = read_zoo(zoo, epochs=stations)
    rows = {name: np.flatnonzero(data.split == name) for name in ("train", "val")}
    rows["train"] = rows["train"][settings.learned]
    weights = {name: data.weights[own] for name, own in rows.items()}
    accuracy = {name: data.accuracy["val"][own] for name, own in rows.items()}
    logging.info("%d networks, %d held out", *map(len, weights.values()))

    def there(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(place)

    training = JumpTraining(
        there(weights["train"]),
        there(accuracy["train"]),
        there(weights["val"]),
        there(accuracy["val"]),
        data.architecture,
        settings=settings,
        initialization=data.settings.recipe.initialization,
        zoo=data.name,
        seed=seed,
        pretrained=load(pretrained, device=place) if pretrained else None,
    )
    with trained(
        training,
        epochs=settings.epochs,
        output=output,
        pace=pace,
        ended=lambda: training.ended,
    ):
        write_rows(output.with_suffix(".csv"), training.curve)
        save(training.result, output)


if __name__ == "__main__":
    run(main)
