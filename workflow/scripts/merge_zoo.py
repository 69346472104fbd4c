"""Merges the shards of a zoo into one file and splits its models."""

import json
import logging
from pathlib import Path

from hyperreps.running.commands import run
from hyperreps.settings.stages import Zoo
from hyperreps.zoo.shards import merge_shards
from hyperreps.zoo.zoos import split_counts


def main(
    *,
    shards: tuple[Path, ...],
    name: str,
    settings: Zoo,
    output: Path,
    variations: str = "{}",
) -> None:
    """Writes zoos/{zoo}.h5.

    Args:
        shards: Files of train_zoo.py, in the order of their seeds.
        name: Of the zoo.
        settings: Of the zoo.
        output: HDF5 file to write.
        variations: Of the settings, as JSON: lists of values by key of the recipe.
    """
    settings = Zoo(**settings.model_dump() | {"variations": json.loads(variations)})
    split = merge_shards(shards, output, name=name, settings=settings)
    logging.info("%s: %d models (%s)", output, len(split), split_counts(split))


if __name__ == "__main__":
    run(main)
