"""Turns networks that were trained elsewhere into a zoo file."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import numpy as np
import torch

from hyperreps.data.images import read_images
from hyperreps.engines.interface import evaluate
from hyperreps.files.places import data_folder, expanded
from hyperreps.files.storage import write_arrays
from hyperreps.networks.architectures import build
from hyperreps.running.commands import UNPREFIXED, run
from hyperreps.running.devices import Machine
from hyperreps.settings.stages import Zoo
from hyperreps.zoo.imported import log_medians, read_imported
from hyperreps.zoo.zoos import assign_splits, split_counts, zoo_attributes


def main(
    *,
    dataset: Path,
    name: str,
    settings: Zoo,
    output: Path,
    data_dir: Path = Path("data"),
    count: int | None = None,
    machine: Annotated[Machine, UNPREFIXED] = Machine(),
) -> None:
    """Writes zoos/{zoo}.h5 with the epochs of the npz file; others are not known.

    The file has weights [models, epochs, parameters] in the vector order of
    docs/data_format.md, epochs [epochs], increasing, and seeds [models], all different.

    Args:
        dataset: Prepared images, on which the networks are evaluated.
        name: Of the zoo.
        settings: Of the zoo; its weights name the file.
        output: HDF5 file to write.
        data_dir: Folder of the file. The environment variable HYPERREPS_DATA overrides
            it. ~ and $NAME are replaced.
        count: Evaluate on the first so many images of each split; none: on all.
        machine: Where it computes.
    """
    place = machine.prepare()
    file = read_images(dataset)
    network = build(settings.architecture, channels=file.channels)
    weights_file = expanded(settings.weights, key=f"zoos.{name}.weights")
    path = data_folder(data_dir) / weights_file
    weights, epochs, seeds = read_imported(path, settings, network)
    rows = torch.from_numpy(weights).flatten(0, 1).to(place)
    measured, labels = {}, {}
    for split, part in file.on(place).items():
        logging.info("evaluating %d networks on %s images", len(rows), split)
        part = part.first(count) if count else part
        labels[split] = part.labels.cpu().numpy()
        loss, accuracy = evaluate(
            network,
            rows,
            part,
            activation=settings.recipe.activation,
            engine=machine.engine,
        )
        for kind, values in (("loss", loss), ("accuracy", accuracy)):
            known = np.full((len(seeds), epochs[-1] + 1), np.nan, np.float32)
            known[:, epochs] = values.reshape(weights.shape[:2])
            measured[f"{kind}/{split}"] = known
    log_medians(path, epochs, measured["accuracy/test"][:, epochs], labels["test"])
    split = assign_splits(seeds.tolist(), fractions=settings.split)
    write_arrays(
        output,
        {
            "weights": weights,
            "epochs": epochs,
            "seed": seeds,
            "split": split,
            "diverged": np.full(len(seeds), -1),
            **measured,
        },
        attributes=zoo_attributes(name, settings, network, dataset=file.name),
    )
    logging.info("%s: %d models (%s)", output, len(split), split_counts(split))


if __name__ == "__main__":
    run(main)
