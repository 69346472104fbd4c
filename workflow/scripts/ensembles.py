"""Evaluates random ensembles of the networks of one file."""

import logging
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch

from hyperreps.data.images import read_images
from hyperreps.files.storage import DataFileError, write_arrays
from hyperreps.numbers.seeds import derived_rng
from hyperreps.running.commands import UNPREFIXED, run
from hyperreps.running.devices import Machine
from hyperreps.zoo.ensembles import draw_members, member_probabilities, score_ensembles
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
    architecture = read_architecture(about, networks)
    count = weights.shape[1]
    fitting = [size for size in sizes if size <= count]
    if not fitting:
        raise DataFileError(f"{networks}: {count} networks, too few for sizes {sizes}")
    members = draw_members(
        count,
        ensembles=subsets,
        largest=fitting[-1],
        rng=derived_rng("ensembles", seed, zoo, method),
    )
    scores = []
    for epoch, rows in zip(epochs, weights, strict=True):
        probabilities = member_probabilities(
            architecture, torch.from_numpy(rows).to(place), test, activation=activation
        )
        labels = test.labels.cpu().numpy()
        scores.append(
            score_ensembles(probabilities, labels, members=members, sizes=fitting)
        )
        means = scores[-1]["accuracy"].mean(axis=0)
        logging.info("%s, epoch %d: accuracy by size %s", method, epoch, means.round(4))
    write_arrays(
        output,
        {
            "size": fitting,
            "epoch": epochs,
            "members": members,
            **{key: np.stack([part[key] for part in scores]) for key in scores[0]},
        },
        attributes={
            "kind": "ensembles",
            "zoo": zoo,
            "method": method,
            "networks": count,
        },
    )


if __name__ == "__main__":
    run(main)
