"""Tells whether results are as they were written, and mends what others did to them.

Programs that open an HDF5 file for writing may change its bytes and not what it holds.
Such a file is written anew, with the arrays and attributes that it was written with.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

import h5py

from hyperreps.files.storage import (
    DataFileError,
    OutputError,
    contents,
    intact,
    reading_from,
    sealed,
)
from hyperreps.running.commands import run


def main(*, files: tuple[Path, ...]) -> None:
    """Checks HDF5 files of a run, and seals again those that hold what they held.

    Args:
        files: To check; nothing is done to one that is whole or cannot be mended.
    """
    broken = []
    for path in files:
        try:
            logging.info("%s: %s", path, "whole" if whole(path) else seal(path))
        except DataFileError as error:
            broken.append(str(error))
    if broken:
        raise DataFileError("; ".join(broken))


def whole(path: Path) -> bool:
    """Tells whether not one bit has changed since a file was written."""
    with reading_from(path):
        return intact(path)


def seal(path: Path) -> str:
    """Writes what a file was written with anew; returns what was done.

    Raises:
        DataFileError: If any of that is missing or another than it was.
    """
    try:
        with reading_from(path), h5py.File(path, "r", locking=False) as file:
            recorded = json.loads(file.attrs["contents"])
            found = contents(file)
            lost = [name for name in recorded if found.get(name) != recorded[name]]
            if lost:
                raise DataFileError(
                    f"{path}: {', '.join(lost)} not as written; move the file away and"
                    " run again"
                )
            _copy(file, path, recorded)
    except OutputError:
        raise
    except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, DataFileError):
            raise
        raise DataFileError(
            f"{path}: damaged, not of this project, or of a version that did not record"
            f" its contents ({error}); move it away and run again"
        ) from error
    return "arrays and attributes are as they were written; sealed again"


def _copy(file: h5py.File, path: Path, recorded: dict[str, str]) -> None:
    with sealed(path) as target:
        for name in recorded:
            if name.startswith("@"):
                target.attrs[name[1:]] = file.attrs[name[1:]]
            else:
                file.copy(name, target, name)


if __name__ == "__main__":
    run(main)
