"""Tells whether results are as they were written, and mends what others did to them."""

from __future__ import annotations

import logging
from pathlib import Path

from hyperreps.files.sealing import seal, whole
from hyperreps.files.storage import DataFileError
from hyperreps.running.commands import run


def main(*, files: tuple[Path, ...]) -> None:
    """Checks HDF5 files of a run, and seals again those that hold what they held.

    Args:
        files: To check; nothing is done to one that is whole or cannot be mended.
    """
    broken = []
    for path in files:
        try:
            if whole(path):
                logging.info("%s: whole", path)
                continue
            seal(path)
            logging.info(
                "%s: arrays and attributes are as they were written; sealed again", path
            )
        except DataFileError as error:
            broken.append(str(error))
    if broken:
        raise DataFileError("; ".join(broken))


if __name__ == "__main__":
    run(main)
