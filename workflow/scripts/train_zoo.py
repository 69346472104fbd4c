"""Trains a shard of a zoo: networks that differ in their seed only."""

import json
from pathlib import Path

from hyperreps.architectures import build
from hyperreps.commands import run
from hyperreps.devices import prepare_device
from hyperreps.population import Images, PopulationTraining, initial_weights
from hyperreps.resuming import input_digest, run_to_end
from hyperreps.settings import Recipe
from hyperreps.storage import read_arrays, write_arrays


def main(
    *,
    dataset: Path,
    architecture: str,
    recipe: Recipe,
    first_seed: int,
    models: int,
    output: Path,
    device: str = "auto",
    threads: int = 1,
    save_every: float = 60.0,
    minutes: float | None = None,
) -> None:
    """Trains networks with seeds first_seed, first_seed + 1, ... side by side.

    Args:
        dataset: Prepared images (prepare_dataset.py).
        architecture: A key of ARCHITECTURES.
        recipe: Initialisation and training.
        first_seed: Seed of the first network.
        models: Number of networks.
        output: HDF5 file to write. The state of an interrupted run lies beside it.
        device: auto, cpu or cuda.
        threads: CPU threads.
        save_every: Seconds between saved states.
        minutes: Time budget; exit code 75 says that it ended before the training.
    """
    place = prepare_device(device, threads=threads)
    arrays, attributes = read_arrays(dataset, kind="dataset")
    mean, std = (json.loads(attributes[name]) for name in ("mean", "std"))
    network = build(architecture, channels=len(mean))
    seeds = range(first_seed, first_seed + models)
    training = PopulationTraining(
        initial_weights(network, initialization=recipe.initialization, seeds=seeds),
        network,
        images=Images.by_split(arrays, mean=mean, std=std, device=place),
        seeds=seeds,
        recipe=recipe,
        record=range(recipe.epochs + 1),
    )
    settings = {
        "dataset": str(attributes["dataset"]),
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
            {**settings, "seeds": [*seeds], "mean": mean, "std": std},
            *arrays.values(),
        ),
        save_every=save_every,
        minutes=minutes,
    )
    write_arrays(
        output,
        {"weights": training.recorded, "seed": list(seeds), **training.metrics()},
        attributes={"kind": "zoo_shard", **settings},
    )
    state.unlink(missing_ok=True)


if __name__ == "__main__":
    run(main)
