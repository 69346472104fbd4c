"""Evaluates random ensembles of the networks of one file."""

from pathlib import Path
from typing import Annotated, Literal

from hyperreps.data.images import read_images
from hyperreps.files.storage import DataFileError, write_arrays
from hyperreps.numbers.seeds import derived_rng
from hyperreps.running.commands import UNPREFIXED, run
from hyperreps.running.devices import Machine
from hyperreps.zoo.ensembles import scored
from hyperreps.zoo.members import read_networks
from hyperreps.zoo.zoos import read_architecture


def main(
    *,
    networks: Path,
    kind: Literal["zoo", "finetuned", "samples"],
    method: str,
    zoo: str,
    dataset: Path,
    activation: str,
    sizes: tuple[int, ...],
    epochs: tuple[int, ...],
    output: Path,
    subsets: int = 200,
    seed: int = 0,
    machine: Annotated[Machine, UNPREFIXED] = Machine(),
) -> None:
    """Scores ensembles of several sizes at several epochs on the test images.

    Args:
        networks: File of a zoo, of finetuned networks, or of samples.
        kind: What the file holds.
        method: Name of the population: a method, or of a zoo's own networks B_T (its
            test split) or B_T30 (the best 30 % of its train split by validation
            accuracy at the epoch).
        zoo: Name of the zoo.
        dataset: Prepared images (prepare_dataset.py).
        activation: Of the networks.
        sizes: Networks per ensemble, increasing; larger ones than the population are
            left out.
        epochs: Epochs wanted; of samples 0 only.
        output: HDF5 file to write.
        subsets: Random ensembles of each size, at least.
        seed: Base seed of the draws.
        machine: Where it computes.
    """
    place = machine.prepare()
    test = read_images(dataset).on(place)["test"]
    weights, about = read_networks(networks, kind=kind, name=method, epochs=epochs)
    try:
        scores = scored(
            weights,
            read_architecture(about, networks),
            test,
            activation=activation,
            sizes=sizes,
            subsets=subsets,
            rng=derived_rng("ensembles", seed, zoo, method),
        )
    except ValueError as error:
        raise DataFileError(f"{networks}: {error}") from error
    write_arrays(
        output,
        {"epoch": epochs, **scores},
        attributes={
            "kind": "ensembles",
            "zoo": zoo,
            "method": method,
            "networks": weights.shape[1],
        },
    )


if __name__ == "__main__":
    run(main)
