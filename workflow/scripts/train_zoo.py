"""Trains a shard of a zoo: networks that differ in their seed only."""

from pathlib import Path
from typing import Annotated

from hyperreps.data.images import read_images
from hyperreps.files.resuming import Pace, input_digest, run_to_end
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
        output: HDF5 file to write. The state of an interrupted run lies beside it.
        machine: Where it computes.
        pace: Time budget and saving; exit code 75 says that the budget ended before
            the training.
    """
    place = machine.prepare()
    images = read_images(dataset)
    network = build(architecture, channels=images.channels)
    seeds = range(first_seed, first_seed + models)
    training = PopulationTraining(
        initial_weights(network, initialization=recipe.initialization, seeds=seeds),
        network,
        images=images.on(place),
        seeds=seeds,
        recipe=recipe,
        record=range(recipe.epochs + 1),
        engine=machine.engine,
    )
    settings = {
        "dataset": images.name,
        "architecture": network.name,
        "channels": network.channels,
        "recipe": recipe.model_dump(),
    }
    state = output.with_suffix(".state")
    run_to_end(
        training,
        epochs=recipe.epochs,
        state=state,
        digest=input_digest(
            {
                **settings,
                "seeds": [*seeds],
                "mean": images.mean,
                "std": images.std,
                "engine": machine.engine,
            },
            *images.arrays.values(),
        ),
        pace=pace,
    )
    write_arrays(
        output,
        {
            "weights": training.recorded,
            "seed": list(seeds),
            "diverged": training.diverged,
            **training.metrics(),
        },
        attributes={"kind": "zoo_shard", **settings},
    )
    state.unlink(missing_ok=True)


if __name__ == "__main__":
    run(main)
