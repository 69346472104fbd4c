"""Turns networks that were trained elsewhere into a zoo file."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

from hyperreps.data.images import read_images
from hyperreps.files.places import data_folder, expanded
from hyperreps.files.storage import write_arrays
from hyperreps.networks.architectures import build
from hyperreps.running.commands import UNPREFIXED, run
from hyperreps.running.devices import Machine
from hyperreps.settings.stages import Zoo
from hyperreps.zoo.imported import evaluated, read_imported
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
    images = file.on(place)
    if count:
        images = {split: part.first(count) for split, part in images.items()}
    measured = evaluated(
        imported,
        network,
        images,
        path=path,
        activation=settings.recipe.activation,
        engine=machine.engine,
    )
    split = assign_splits(imported.seeds.tolist(), fractions=settings.split)
    write_arrays(
        output,
        {**imported.arrays(), "split": split, **measured},
        attributes={
            **zoo_attributes(name, settings, network, dataset=file.name),
            "imported": imported.about,
        },
    )
    logging.info("%s: %d models (%s)", output, len(split), split_counts(split))


if __name__ == "__main__":
    run(main)
