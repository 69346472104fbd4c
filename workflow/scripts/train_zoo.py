"""Trains a shard of a zoo: networks that differ in their seed only."""

from pathlib import Path
from typing import Annotated

import numpy as np

from hyperreps.data.images import read_images
from hyperreps.files.resuming import Pace, trained
from hyperreps.files.storage import write_arrays
from hyperreps.networks.architectures import build
from hyperreps.networks.initialisation import initial_weights
from hyperreps.running.commands import UNPREFIXED, run
from hyperreps.running.devices import Machine
from hyperreps.settings.stages import Recipe
from hyperreps.zoo.population import PopulationTraining


def main(
    *,
    dataset: Path,
    architecture: str,
    recipe: Recipe,
    first_seed: int,
    models: int,
    keep: tuple[int, ...] = (),
    last_epoch: int | None = None,
    complete: tuple[int, ...] = (),
    output: Path,
    machine: Annotated[Machine, UNPREFIXED] = Machine(),
    pace: Annotated[Pace, UNPREFIXED] = Pace(),
) -> None:
    """Trains networks with seeds first_seed, first_seed + 1, ... side by side.

    Args:
        dataset: Prepared images (prepare_dataset.py).
        architecture: A key of ARCHITECTURES.
        recipe: Initialisation and training.
        first_seed: Seed of the first network.
        models: Number of networks.
        keep: Epochs whose weights are kept, increasing; empty: all.
        last_epoch: After which networks are left as they are; none: the recipe's last.
        complete: Seeds of networks that are trained to the recipe's last epoch.
        output: HDF5 file to write. The state of an interrupted run lies beside it.
        machine: Where it computes.
        pace: Time budget and saving.
    """
    place = machine.prepare()
    images = read_images(dataset)
    network = build(architecture, channels=images.channels)
    seeds = range(first_seed, first_seed + models)
    last_epoch = recipe.epochs if last_epoch is None else last_epoch
    last_epochs = np.where(np.isin(seeds, complete), recipe.epochs, last_epoch)
    training = PopulationTraining(
        initial_weights(network, initialization=recipe.initialization, seeds=seeds),
        network,
        images=images.on(place),
        seeds=seeds,
        recipe=recipe,
        record=keep or range(recipe.epochs + 1),
        last_epochs=last_epochs,
        engine=machine.engine,
    )
    with trained(training, epochs=int(last_epochs.max()), output=output, pace=pace):
        write_arrays(
            output,
            {**training.arrays(), "seed": list(seeds)},
            attributes={
                "kind": "zoo_shard",
                "dataset": images.name,
                "architecture": network.name,
                "channels": network.channels,
                "recipe": recipe.model_dump(),
            },
        )


if __name__ == "__main__":
    run(main)
