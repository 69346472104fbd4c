"""Brings all models of a zoo into the coordinates of one of them (weight matching)."""

import logging
from pathlib import Path

import numpy as np

from hyperreps.alignment import weight_matching
from hyperreps.commands import run
from hyperreps.storage import (
    add_array,
    created,
    dataset_names,
    opened,
    read_arrays,
    reserve,
)
from hyperreps.zoos import read_zoo


def main(*, zoo: Path, output: Path, seed: int = 0) -> None:
    """Writes a copy of a zoo whose models are permuted, their functions unchanged.

    The permutation is found at the last epoch of the zoo's window and applied to all
    epochs. The reference is the training model with the best validation accuracy.

    Args:
        zoo: zoos/{zoo}.h5.
        output: HDF5 file to write, of the same form.
        seed: Of the order in which axes are matched.
    """
    data = read_zoo(zoo)
    train = np.flatnonzero(data.split == "train")
    weights = data.weights[:, -1]
    index = weight_matching(
        weights,
        data.architecture,
        fit=train,
        reference=int(train[data.accuracy["val"][train, -1].argmax()]),
        seed=seed,
    )
    with opened(zoo, kind="zoo") as source:
        shape = source["weights"].shape
        others = [name for name in dataset_names(source) if name != "weights"]
    arrays, attributes = read_arrays(zoo, *others, kind="zoo")
    attributes["alignment"] = "weight_matching"
    with created(output, attributes=attributes) as file:
        for name, values in {**arrays, "permutation": index}.items():
            add_array(file, name, values)
        target = reserve(file, "weights", shape, "f4")
        for epoch in range(shape[1]):
            with opened(zoo, kind="zoo") as source:
                unaligned = source["weights"][:, epoch]
            target[:, epoch] = np.take_along_axis(unaligned, index, 1)
    spread = weights[train].var(0).sum()
    aligned = np.take_along_axis(weights, index, 1)[train].var(0).sum()
    logging.info("%s: variance across models %.4g -> %.4g", output, spread, aligned)


if __name__ == "__main__":
    run(main)
