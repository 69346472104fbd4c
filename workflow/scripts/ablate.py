"""Measures what one variant of the hyper-representation can do."""

from pathlib import Path
from typing import Annotated

from hyperreps.data.images import read_images
from hyperreps.files.storage import write_arrays
from hyperreps.representation.autoencoder import load
from hyperreps.running.commands import UNPREFIXED, run
from hyperreps.running.devices import Machine
from hyperreps.sampling.ablation import measured, of_curves
from hyperreps.zoo.zoos import read_zoo


def main(
    *,
    zoo: Path,
    dataset: Path,
    hyper_reps: tuple[Path, ...],
    curves: tuple[Path, ...],
    variant: str,
    output: Path,
    samples: int = 50,
    seed: int = 0,
    machine: Annotated[Machine, UNPREFIXED] = Machine(),
) -> None:
    """Reconstructs and samples by all seeds of a variant, and evaluates what comes out.

    Args:
        zoo: zoos/{zoo}.h5, or its aligned form.
        dataset: Images for the accuracy.
        hyper_reps: Files of pretrain.py, one per seed.
        curves: Their training curves, in the same order.
        variant: Name of the hyper-representation.
        output: HDF5 file to write.
        samples: Networks of each population, per seed.
        seed: Base seed of the draws.
        machine: Where it computes.
    """
    place = machine.prepare()
    data = read_zoo(zoo)
    test = read_images(dataset).on(place)["test"]
    models = [load(path, device=place) for path in hyper_reps]
    arrays = measured(
        data,
        models,
        test,
        variant=variant,
        samples=samples,
        seed=seed,
        engine=machine.engine,
    )
    write_arrays(
        output,
        arrays | of_curves(curves),
        attributes={
            "kind": "ablation",
            "zoo": data.name,
            "variant": variant,
            "settings": models[0].settings.model_dump(),
        },
    )


if __name__ == "__main__":
    run(main)
