"""Trains sampled networks on the images of a target zoo, by the zoo's recipe."""

from pathlib import Path
from typing import Annotated

import torch

from hyperreps.data.images import read_images
from hyperreps.files.resuming import Pace, trained
from hyperreps.files.storage import read_arrays, write_arrays
from hyperreps.numbers.seeds import derived_seed
from hyperreps.running.commands import UNPREFIXED, run
from hyperreps.running.devices import Machine
from hyperreps.settings.stages import Recipe
from hyperreps.zoo.members import EPOCH_TIME, OF_SAMPLES, ORIGINS
from hyperreps.zoo.population import PopulationTraining
from hyperreps.zoo.zoos import all_diverged, read_architecture


def main(
    *,
    samples: Path,
    dataset: Path,
    target: str,
    recipe: Recipe,
    epochs: tuple[int, ...],
    output: Path,
    seed: int = 0,
    machine: Annotated[Machine, UNPREFIXED] = Machine(),
    pace: Annotated[Pace, UNPREFIXED] = Pace(),
) -> None:
    """Finetunes all samples of a method, each with its own batch order.

    Args:
        samples: samples/{source}/{method}.h5.
        dataset: Prepared images of the target.
        target: Name of the target zoo.
        recipe: Of the target zoo; its number of epochs is replaced by the last of
            epochs, its initialisation is not used.
        epochs: Epochs whose weights are kept, increasing.
        output: HDF5 file to write. The state of an interrupted run lies beside it.
        seed: Base seed of the batch orders.
        machine: Where it computes.
        pace: Time budget and saving.
    """
    place = machine.prepare()
    sampled, origin = read_arrays(samples, kind="samples")
    recipe = recipe.model_copy(update={"epochs": epochs[-1]})
    # the same for all methods, so that they are compared on equal batch orders
    rows = range(len(sampled["weights"]))
    seeds = [derived_seed("finetune", seed, target, row) for row in rows]
    training = PopulationTraining(
        torch.from_numpy(sampled["weights"]),
        read_architecture(origin, samples),
        images=read_images(dataset).on(place),
        seeds=seeds,
        recipe=recipe,
        record=epochs,
        engine=machine.engine,
    )
    with trained(training, epochs=recipe.epochs, output=output, pace=pace):
        if training.divergence.all:
            raise all_diverged(f"{len(training.diverged)} networks")
        write_arrays(
            output,
            training.arrays() | {key: sampled[key] for key in ORIGINS},
            attributes={
                "kind": "finetuned",
                "target": target,
                **{key: origin[key] for key in OF_SAMPLES if key in origin},
                EPOCH_TIME: training.core_seconds,
                "recipe": recipe.model_dump(),
            },
        )


if __name__ == "__main__":
    run(main)
