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
from hyperreps.zoo.imported import log_medians, log_recorded, read_imported
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
    """Writes zoos/{zoo}.h5 with the epochs that were read; others are not known.

    docs/own_zoo.md describes what is read: an npz file, or a folder of networks.

    Args:
        dataset: Prepared images, on which the networks are evaluated.
        name: Of the zoo.
        settings: Of the zoo; its weights name the file or folder.
        output: HDF5 file to write.
        data_dir: Folder it is in. The environment variable HYPERREPS_DATA overrides
            it. ~ and $NAME are replaced.
        count: Evaluate on the first so many images of each split; none: on all.
        machine: Where it computes.
    """
    place = machine.prepare()
    file = read_images(dataset)
    network = build(settings.architecture, channels=file.channels)
    weights_file = expanded(settings.weights, key=f"zoos.{name}.weights")
    path = data_folder(data_dir) / weights_file
    imported = read_imported(path, settings, network)
    weights, epochs, seeds = imported.weights, imported.epochs, imported.seeds
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
    accuracy = measured["accuracy/test"][:, epochs]
    log_medians(path, epochs, accuracy, labels["test"])
    log_recorded(path, imported, accuracy)
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
        attributes={
            **zoo_attributes(name, settings, network, dataset=file.name),
            "imported": imported.about,
        },
    )
    logging.info("%s: %d models (%s)", output, len(split), split_counts(split))


if __name__ == "__main__":
    run(main)
