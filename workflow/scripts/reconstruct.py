"""Compares the networks of a zoo with their reconstructions."""

from pathlib import Path
from typing import Annotated

from hyperreps.data.images import read_images
from hyperreps.files.storage import write_arrays
from hyperreps.representation.autoencoder import load
from hyperreps.representation.reconstruction import compared
from hyperreps.running.commands import UNPREFIXED, run
from hyperreps.running.devices import Machine
from hyperreps.zoo.zoos import MODEL_SPLITS, read_zoo


def main(
    *,
    zoo: Path,
    dataset: Path,
    hyper_reps: tuple[Path, ...],
    variant: str,
    output: Path,
    machine: Annotated[Machine, UNPREFIXED] = Machine(),
) -> None:
    """Reconstructs all networks of a zoo at the last epoch of its window.

    Args:
        zoo: zoos/{zoo}.h5, or its aligned form.
        dataset: Images for the accuracy of the reconstructions.
        hyper_reps: Files of pretrain.py, one per seed.
        variant: Name of the hyper-representation.
        output: HDF5 file to write.
        machine: Where it computes.
    """
    place = machine.prepare()
    data = read_zoo(zoo)
    test = read_images(dataset).on(place)["test"]
    models = [load(path, device=place) for path in hyper_reps]
    write_arrays(
        output,
        compared(data, models, test, engine=machine.engine),
        attributes={
            "kind": "reconstruction",
            "zoo": data.name,
            "variant": variant,
            "layers": [item.name for item in data.architecture.weighted],
            "splits": MODEL_SPLITS,
            "loss_normalization": models[0].settings.loss_normalization,
        },
    )


if __name__ == "__main__":
    run(main)
