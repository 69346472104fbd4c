"""Arrays from npz files that others wrote: nothing is unpickled or believed unseen."""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from ..files.storage import DataFileError
from .official_files import LARGEST_RATIO, reading

HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # those that numpy writes


def read_npz(
    file: Path | io.BytesIO, *, names: tuple[str, ...], origin: str, exact: bool
) -> dict[str, np.ndarray]:
    """Reads an npz file.

    Args:
        file: The file, or its content.
        names: Of the arrays it must hold.
        origin: Its name, for messages.
        exact: Refuse a file with more arrays, which would not be read.

    Returns:
        Arrays by name.

    Raises:
        DataFileError: If it is damaged, promises more than it has, holds objects that
            would have to be unpickled, or other arrays.
    """
    with (
        reading(origin, "npz file of plain arrays"),
        zipfile.ZipFile(file) as archive,
    ):
        entries = {e.filename.removesuffix(".npy"): e for e in archive.infolist()}
        if not entries.keys() >= set(names) or (exact and len(entries) > len(names)):
            found = ", ".join(sorted(entries)) or "nothing"
            only = " and no more" if exact else ""
            raise DataFileError(
                f"{origin}: holds {found}; it must hold {', '.join(names)}{only}"
            )
        return {name: _array(archive, entries[name]) for name in names}


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    """Reads an array of which the header agrees with the size of the entry."""
    if entry.compress_type not in METHODS:
        raise ValueError(f"{entry.filename} is compressed in a way numpy does not")
    if entry.file_size > LARGEST_RATIO * entry.compress_size:
        raise ValueError(f"{entry.filename} promises more than it can hold")
    with archive.open(entry) as file:
        shape, _, dtype = HEADERS[npy.read_magic(file)](file)
        if dtype.hasobject:
            raise ValueError(f"{entry.filename} holds Python objects")
        if math.prod(shape) * dtype.itemsize != entry.file_size - file.tell():
            raise ValueError(f"{entry.filename} has not the size of {shape} {dtype}")
        file.seek(0)
        array = npy.read_array(file, allow_pickle=False)
        file.read(1)  # the end: the checksum is compared there
        return array
