"""HDF5 files that explain themselves, written whole or not at all, and resume states.

docs/data_format.md describes every file of a run.
"""

from __future__ import annotations

import csv
import errno
import glob
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np

from .provenance import provenance

CHUNK = 2**20  # bytes, about
# stands in an attribute: what is behind the end, HDF5 cuts when it opens for writing
MARK = b"sha256 of the file without these digits: "
DIGITS = 2 * hashlib.sha256().digest_size
SEALS = ("checksum", "contents")  # attributes that created() adds


class DataFileError(ValueError):
    """A file that is missing, damaged or not what was expected; names the file."""


class OutputError(OSError):
    """A file that cannot be written; names the file and the reason."""


# what its user can mend
_CANNOT_WRITE = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
    *(errno.EROFS, errno.EACCES, errno.EPERM),
}

_LOCKED = "another program has it locked; end that and run again"
_FAILING = "its disk or network fails; mend that and run again"
_FORBIDDEN = "get the permission to read it and run again"
_HANDLES = "raise the limit (ulimit -n) and run again"
# what mends it where a file cannot be read, which may be whole
_READING = {
    errno.ENOMEM: "give the job more memory and run again",
    **dict.fromkeys((errno.EACCES, errno.EPERM), _FORBIDDEN),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), _HANDLES),
    **dict.fromkeys((errno.EAGAIN, errno.EBUSY, errno.ENOLCK), _LOCKED),
    **dict.fromkeys((errno.EIO, errno.ESTALE, errno.ETIMEDOUT), _FAILING),
}


@contextmanager
def reading_from(path: Path | str) -> Iterator[None]:
    """Names the reason and the remedy where the system keeps a file from being read.

    What is wrong with bytes that were read is left to the caller.

    Raises:
        DataFileError: If the file is missing, forbidden or locked, its disk fails, or
            there are no handles or no memory left.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise DataFileError(
            f"{path}: no such file; run the stage that makes it"
        ) from error
    except (OSError, MemoryError) as error:
        number = error.errno if isinstance(error, OSError) else errno.ENOMEM
        # parsers of files raise OSErrors too: without number, or for a bad position
        if number in (None, errno.EINVAL):
            raise
        remedy = _READING.get(number, "mend that and run again")
        raise DataFileError(
            f"{path}: cannot be read ({os.strerror(number).lower()}); {remedy}"
        ) from error


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Names the reason where the system keeps a file from being written.

    Raises:
        OutputError: If the disk is full or may not be written to.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _CANNOT_WRITE:
            raise
        reason = os.strerror(error.errno).lower()
        raise OutputError(
            f"{path}: cannot be written ({reason}); mend that and run again"
        ) from error


def _temporary(path: Path) -> Path:
    """Returns the name under which this process writes a file or folder."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def _leftovers(path: Path) -> Iterator[Path]:
    """Returns what killed jobs left under such names."""
    return path.parent.glob(f".{glob.escape(path.name)}.*.tmp")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary name beside path and renames it to path on success.

    A reader never sees half a file, and a failed run leaves an older file as it was.

    Raises:
        OutputError: If the disk is full or may not be written to.
    """
    temporary = _temporary(path)
    with writing_to(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            for leftover in _leftovers(path):
                leftover.unlink(missing_ok=True)
            yield temporary
            with open(temporary, "rb") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def read_text(path: Path) -> str:
    """Reads a text."""
    with reading_from(path):
        return path.read_text(encoding="utf-8")


def write_text(path: Path, text: str) -> None:
    """Writes a text whole or not at all, as replacing() does."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes a CSV file whose columns are the keys of the last row."""
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[-1]))
        writer.writeheader()
        writer.writerows(rows)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yields a new folder that takes the name path on success, and is gone otherwise.

    Raises:
        OutputError: If there is something of this name, or as replacing().
    """
    if os.path.lexists(path):
        raise OutputError(f"{path}: is there already; move it away or name another")
    temporary = _temporary(path)
    with writing_to(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            for leftover in _leftovers(path):
                shutil.rmtree(leftover)
            temporary.mkdir()
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    with file.open("rb") as written:
                        os.fsync(written.fileno())
            temporary.rename(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def identity(path: Path) -> str:
    """Returns what a file records as its name, to be told from a swapped one."""
    return "/".join(Path(os.path.abspath(path)).parts[-2:])


class _Postponing(io.FileIO):
    """A file that accepts everything and keeps its first error for later."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        rest = memoryview(data)
        try:
            while self.error is None and rest:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.error = error
        return len(data)


@contextmanager
def destination(path: Path) -> Iterator[_Postponing]:
    """Yields an open file that takes the name path on success, as in replacing().

    For libraries that hide why a write failed, or do not survive it: HDF5 crashes.

    Raises:
        OutputError: If the disk is full or may not be written to.
    """
    with replacing(path) as temporary, _Postponing(temporary, "w+") as file:
        try:
            yield file
        finally:
            if file.error:
                raise file.error


@contextmanager
def created(path: Path, *, attributes: Mapping[str, Any]) -> Iterator[h5py.File]:
    """Yields a new HDF5 file that takes its name only if the block succeeds.

    Its attribute "contents" has a sha256 of each array and attribute, "checksum" one of
    the whole file.

    Args:
        path: File to create or replace.
        attributes: Of the file; values that HDF5 cannot hold are written as JSON.
    """
    about = {**attributes, **provenance(), "name": identity(path)}
    with sealed(path) as file:
        for name, value in about.items():
            if name in SEALS:  # of the file that they were read from
                continue
            plain = isinstance(value, str | int | float | np.generic)
            file.attrs[name] = value if plain else json.dumps(value)
        yield file


@contextmanager
def sealed(path: Path) -> Iterator[h5py.File]:
    """Yields a new HDF5 file, as created(), that has no attributes but its seals."""
    with destination(path) as target:
        with h5py.File(target, "w") as file:
            # first, so that it is near the start
            file.attrs["checksum"] = np.bytes_(MARK + b"0" * DIGITS)
            yield file
            if not target.error:  # else there may be nothing to read
                file.attrs["contents"] = json.dumps(contents(file))
        # HDF5 has checksums of parts only, and can hang on what it has none of
        place, digest = _checksum(target)
        target.seek(place)
        target.write(digest)


def contents(file: h5py.File) -> dict[str, str]:
    """Returns the sha256 of every array of a file by its name, of attributes by @name.

    Type and shape are part of it.
    """
    found = {f"@{n}": file.attrs[n] for n in file.attrs if n not in SEALS}
    found |= {name: file[name] for name in dataset_names(file)}
    return {name: _content_digest(values) for name, values in found.items()}


def _content_digest(values: Any) -> str:
    array = values if isinstance(values, h5py.Dataset) else np.asarray(values)
    digest = hashlib.sha256(f"{array.shape} {array.dtype} ".encode())
    if array.ndim == 0:
        digest.update(np.asarray(array).tobytes())
        return digest.hexdigest()
    rows = getattr(array, "chunks", None) or (1,)
    step = max(1, CHUNK * len(array) // max(array.nbytes * rows[0], 1)) * rows[0]
    for start in range(0, len(array), step):
        digest.update(array[start : start + step].tobytes())
    return digest.hexdigest()


def write_arrays(
    path: Path, arrays: Mapping[str, Any], *, attributes: Mapping[str, Any]
) -> None:
    """Writes arrays to an HDF5 file.

    Args:
        path: File to create or replace.
        arrays: By name; "train/images" makes a group. Strings become UTF-8.
        attributes: As in created().
    """
    with created(path, attributes=attributes) as file:
        for name, values in arrays.items():
            add_array(file, name, values)


def add_array(file: h5py.File, name: str, values: Any) -> None:
    """Writes an array.

    Args:
        file: From created().
        name: "train/images" makes a group.
        values: What to write; strings become UTF-8.
    """
    array = np.asarray(values)
    file.create_dataset(
        name, data=array.astype("S") if array.dtype.kind == "U" else array
    )


def reserve(
    file: h5py.File, name: str, shape: tuple[int, ...], dtype: Any
) -> h5py.Dataset:
    """Makes an array that is written piece by piece.

    Weights [model, epoch, parameter] are stored so that one epoch of all models, which
    is how they are read, is read alone.

    Args:
        file: From created().
        name: As in add_array().
        shape: Of the array.
        dtype: Of its values.
    """
    chunks: tuple[int, ...] | None = None
    if len(shape) == 3:
        rows = CHUNK // (shape[2] * np.dtype(dtype).itemsize)
        chunks = (min(max(rows, 1), shape[0]), 1, shape[2])
    return file.create_dataset(name, shape, dtype, chunks=chunks)


@contextmanager
def opened(path: Path, *, kind: str | tuple[str, ...]) -> Iterator[h5py.File]:
    """Opens an HDF5 file of this project; the block does nothing but read from it.

    The first time a process opens it, all of it is compared with its checksum.

    Args:
        path: The file.
        kind: The value its attribute "kind" must have, such as "zoo", or several.

    Raises:
        DataFileError: If it is missing, damaged, of another kind, or has the name of
            another file; also for what the block finds missing or damaged.
    """
    try:
        with reading_from(path):
            if not intact(path):
                if _is_open_for_writing(path):
                    raise DataFileError(
                        f"{path}: open for writing in another program; close it there"
                        " and run again (a crash leaves it so: workflow/scripts/seal.py"
                        " mends it)"
                    )
                raise RuntimeError("its checksum differs")
            # files are replaced, never changed: a lock would protect nothing
            with h5py.File(path, "r", locking=False) as file:
                check_identity(path, file.attrs, kind=kind)
                yield file
    except (KeyError, OSError, RuntimeError) as error:
        raise DataFileError(
            f"{path}: damaged, changed by another program, or not of this project"
            f" ({error}); workflow/scripts/seal.py tells what of it is whole and may"
            " mend it; else move it away and run again"
        ) from error


def intact(path: Path) -> bool:
    """Tells whether all bytes of a file are those that created() wrote."""
    status = path.stat()
    return _intact(path.resolve(), status.st_size, status.st_mtime_ns)


@cache
def _intact(path: Path, size: int, _time: int) -> bool:
    """Compares a file, as it is at a time, with its checksum."""
    with path.open("rb") as file:
        place, digest = _checksum(file)
        file.seek(place)
        return file.read(len(digest)) == digest


def _is_open_for_writing(path: Path) -> bool:
    """Tells what HDF5 notes in the head of a file while a program may write to it."""
    with path.open("rb") as file:
        return file.read(24)[20:] == b"\1\0\0\0"


def _checksum(file: IO[bytes]) -> tuple[int, bytes]:
    """Returns where the checksum of a file has to stand, and what it has to be.

    Files of earlier versions end with it, as 32 bytes.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    found = file.read(CHUNK).find(MARK)
    old = found < 0
    place = max(0, size - DIGITS // 2) if old else found + len(MARK)
    digest = hashlib.sha256()
    for start, stop in ((0, place), (place + DIGITS, size)):
        file.seek(start)
        for at in range(start, stop, CHUNK):
            digest.update(file.read(min(CHUNK, stop - at)))
    return place, digest.digest() if old else digest.hexdigest().encode()


def check_identity(
    path: Path, about: Mapping[str, Any], *, kind: str | tuple[str, ...]
) -> None:
    """Compares what a file says it is with what is expected at its place.

    Args:
        path: The file.
        about: Its attributes.
        kind: As in opened().

    Raises:
        DataFileError: If its kind or its name is another.
    """
    found = about.get("kind", "unknown")
    kinds = (kind,) if isinstance(kind, str) else kind
    if found not in kinds:
        needed = " or ".join(map(repr, kinds))
        raise DataFileError(f"{path}: holds {found!r}, but {needed} is needed here")
    name = about.get("name", "unknown")
    if name != identity(path):
        raise DataFileError(
            f"{path}: was written as {name}; move it back there, or away, and run again"
        )


def read_arrays(
    path: Path, *names: str, kind: str
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Reads datasets and all attributes of a file.

    Args:
        path: The file.
        *names: Datasets to read; none: all of them.
        kind: As in opened().

    Returns:
        Arrays by name, and the attributes.

    Raises:
        DataFileError: As opened().
    """
    with opened(path, kind=kind) as file:
        wanted = names or dataset_names(file)
        arrays = {name: plain(file[name][()]) for name in wanted}
        return arrays, dict(file.attrs)


def plain(array: np.ndarray) -> np.ndarray:
    """Returns an array as it was written: HDF5 gives texts as bytes."""
    return array.astype(str) if array.dtype.kind in "SO" else array


def dataset_names(file: h5py.File) -> list[str]:
    """Returns the names of all arrays of a file."""
    names: list[str] = []
    file.visititems(
        lambda name, item: (
            names.append(name) if isinstance(item, h5py.Dataset) else None
        )
    )
    return names
