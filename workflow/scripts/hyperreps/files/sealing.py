"""Whether results are as they were written, and mending what others did to them.

Programs that open an HDF5 file for writing may change its bytes and not what it holds.
Such a file is written anew, with the arrays and attributes that it was written with.
"""

from __future__ import annotations

import json
from pathlib import Path

import h5py

from .storage import (
    DataFileError,
    OutputError,
    contents,
    intact,
    reading_from,
    sealed,
)


def whole(path: Path) -> bool:
    """Tells whether not one bit has changed since a file was written."""
    with reading_from(path):
        return intact(path)


def seal(path: Path) -> None:
    """Writes what a file was written with anew.

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
    except (DataFileError, OutputError):
        raise
    except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise DataFileError(
            f"{path}: damaged, not of this project, or of a version that did not record"
            f" its contents ({error}); move it away and run again"
        ) from error


def _copy(file: h5py.File, path: Path, recorded: dict[str, str]) -> None:
    with sealed(path) as target:
        for name in recorded:
            if name.startswith("@"):
                target.attrs[name[1:]] = file.attrs[name[1:]]
            else:
                file.copy(name, target, name)
