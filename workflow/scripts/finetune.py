"""Trains sampled networks on the images of a target zoo, by the zoo's recipe."""

import json
from pathlib import Path

import torch

from hyperreps.commands import run
from hyperreps.devices import prepare_device
from hyperreps.population import Images, PopulationTraining
from hyperreps.resuming import input_digest, run_to_end
from hyperreps.seeds import derived_seed
from hyperreps.settings import Recipe
from hyperreps.storage import read_arrays, write_arrays
from hyperreps.zoos import read_architecture


def main(
    *,
    samples: Path,
    dataset: Path,
    target: str,
    recipe: Recipe,
    epochs: tuple[int, ...],
    output: Path,
    seed: int = 0,
    device: str = "auto",
    threads: int = 1,
    save_every: float = 60.0,
    minutes: float | None = None,
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
        device: auto, cpu or cuda.
        threads: CPU threads.
        save_every: Seconds between saved states.
        minutes: Time budget; exit code 75 says that it ended before the training.
    """
    place = prepare_device(device, threads=threads)
    sampled, origin = read_arrays(samples, kind="samples")
    images, attributes = read_arrays(dataset, kind="dataset")
    mean, std = (json.loads(attributes[key]) for key in ("mean", "std"))
    recipe = recipe.model_copy(update={"epochs": epochs[-1]})
    # the same for all methods, so that they are compared on equal batch orders
    seeds = [
        derived_seed("finetune", seed, target, k)
        for k in range(len(sampled["weights"]))
    ]
    training = PopulationTraining(
        torch.from_numpy(sampled["weights"]),
        read_architecture(origin, samples),
        images=Images.by_split(images, mean=mean, std=std, device=place),
        seeds=seeds,
        recipe=recipe,
        record=epochs,
    )
    state = output.with_suffix(".state")
    run_to_end(
        training,
        epochs=recipe.epochs,
        state=state,
        digest=input_digest(
            {**recipe.model_dump(), "epochs": epochs, "seeds": seeds},
            sampled["weights"],
            *images.values(),
        ),
        save_every=save_every,
        minutes=minutes,
    )
    write_arrays(
        output,
        {
            "weights": training.recorded,
            "epochs": list(epochs),
            **training.metrics(),
            **{key: sampled[key] for key in ("hyper_rep_seed", "source_model")},
        },
        attributes={
            "kind": "finetuned",
            "target": target,
            **{
                key: origin[key]
                for key in ("source", "method", "settings", "architecture", "channels")
            },
            "recipe": recipe.model_dump(),
        },
    )
    state.unlink(missing_ok=True)


if __name__ == "__main__":
    run(main)
