"""Brings all models of a zoo into the coordinates of one of them (weight matching)."""

import logging
from pathlib import Path

import numpy as np

from hyperreps.files.storage import (
    add_array,
    created,
    dataset_names,
    opened,
    read_arrays,
    reserve,
)
from hyperreps.running.commands import run
from hyperreps.symmetry.alignment import weight_matching
from hyperreps.symmetry.permutations import ODD_ACTIVATIONS
from hyperreps.zoo.zoos import read_zoo


def main(*, zoo: Path, output: Path) -> None:
    """Writes a copy of a zoo whose models are moved, their functions unchanged.

    Units are permuted and, in models whose activation is odd, flipped in sign. What
    does it is found at the last epoch of the zoo's window and applied to all epochs.
    The reference is the training model with the best validation accuracy, of those that
    cannot be flipped if there are any: they decide about the signs of the others.

    Args:
        zoo: zoos/{zoo}.h5.
        output: HDF5 file to write, of the same form.
    """
    data = read_zoo(zoo)
    train = np.flatnonzero(data.split == "train")
    weights = data.weights[:, -1]
    activations = np.array([recipe.activation for recipe in data.recipes])
    fixed = train[~np.isin(activations[train], ODD_ACTIVATIONS)]
    candidates = fixed if len(fixed) else train
    best = data.accuracy["val"][candidates, -1].argmax()
    found = weight_matching(
        weights,
        data.architecture,
        activations=activations.tolist(),
        fit=train,
        reference=int(candidates[best]),
    )
    index, sign = (part.numpy() for part in found)
    with opened(zoo, kind="zoo") as source:
        shape = source["weights"].shape
        others = [name for name in dataset_names(source) if name != "weights"]
    arrays, attributes = read_arrays(zoo, *others, kind="zoo")
    attributes["alignment"] = "weight_matching"
    with created(output, attributes=attributes) as file:
        arrays |= {"permutation": index, "sign": sign.astype(np.int8)}
        for name, values in arrays.items():
            add_array(file, name, values)
        target = reserve(file, "weights", shape, "f4")
        for epoch in range(shape[1]):
            with opened(zoo, kind="zoo") as source:
                unaligned = source["weights"][:, epoch]
            target[:, epoch] = np.take_along_axis(unaligned, index, 1) * sign
    spread = weights[train].var(0).sum()
    aligned = (np.take_along_axis(weights, index, 1) * sign)[train].var(0).sum()
    logging.info("%s: variance across models %.4g -> %.4g", output, spread, aligned)


if __name__ == "__main__":
    run(main)
