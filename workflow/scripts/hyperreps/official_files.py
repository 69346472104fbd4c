"""Official files: found, downloaded, verified and unpacked in memory.

Nothing is unpickled and no archive is extracted to disk.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from .storage import DataFileError

QUOTED = 300  # characters of what a parser says
ATTEMPTS = 3  # to download a file
BLOCK = 1 << 16  # bytes; less than that is lost where a download breaks off
TIMEOUT = (10, 60)  # s: to connect, between two packets
LARGEST_RATIO = 1032  # of what deflate can unpack to what it packed


@dataclass(frozen=True)
class File:
    """A file as it is published.

    Args:
        name: File name.
        url: Where it is downloaded from; empty: nowhere.
        digest: Its sha256, or "md5:..." where only that is known; empty: unknown.
        unpacked: Digests of the files inside it that are needed, by name. Where they
            are there already unpacked, they are read instead.
    """

    name: str
    url: str = ""
    digest: str = ""
    unpacked: Mapping[str, str] = field(default_factory=dict)


class Content(NamedTuple):
    """Bytes of a file, unpacked, and where they are from (for messages)."""

    origin: str
    data: bytes


def find_or_download(
    files: Sequence[File], *, folders: Sequence[Path], instead: Sequence[File]
) -> list[tuple[File, list[Path]]]:
    """Returns each file with its path, or with the paths of what it holds."""
    for known in (files, instead):
        found = [(file, _find(file, folders)) for file in known]
        if known and all(paths for _, paths in found):
            return found
    missing = [file for file in files if not _find(file, folders)]
    for index, file in enumerate(missing):
        try:
            _download(file, folders[0])
        except DataFileError as error:
            rest = [f"{folders[0] / f.name} from {f.url}" for f in missing[index:]]
            raise DataFileError(
                f"{error}; get these yourself and run again: {', '.join(rest)}"
            ) from error
    return [(file, _find(file, folders)) for file in files]


def _find(file: File, folders: Sequence[Path]) -> list[Path]:
    """Returns the paths of all that the file holds, else its own path, else none."""
    for names in (file.unpacked, (file.name,)):
        places = [[f / name for f in folders if (f / name).is_file()] for name in names]
        if places and all(places):
            return [paths[0] for paths in places]
    return []


def _download(file: File, folder: Path) -> None:
    import pooch
    from filelock import FileLock

    try:
        folder.mkdir(parents=True, exist_ok=True)
        # two datasets of a run may need the same file at the same time
        with FileLock(folder / f".{file.name}.lock"):
            pooch.retrieve(
                file.url,
                known_hash=file.digest or None,
                fname=file.name,
                path=folder,
                downloader=_retry,
            )
    except OSError as error:  # those of requests are OSErrors, too
        raise DataFileError(
            f"{file.name}: download failed ({_reason(error)})"
        ) from error
    except ValueError as error:
        raise DataFileError(
            f"{file.name}: what was downloaded has another hash than the official file"
        ) from error


def _reason(error: OSError) -> str:
    import requests

    if isinstance(error, requests.ConnectionError | requests.Timeout):
        return "no connection"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "connection lost"
    return _one_line(error)


def _retry(url: str, output_file: str, _pooch: Any) -> None:
    """Downloads a file in some attempts, each going on where the last one stopped."""
    import requests

    name = PurePosixPath(url).name
    part = Path(output_file).with_name(f"{name}.part")
    for attempt in range(ATTEMPTS):
        time.sleep(attempt)
        try:
            _resume(url, part)
            break
        except requests.RequestException:
            if attempt + 1 == ATTEMPTS:
                raise
    # renamed before its hash is checked: a bad one is not continued
    part.replace(output_file)


def _resume(url: str, part: Path) -> None:
    """Adds to part what it lacks of the file at url."""
    import requests
    from tqdm import tqdm

    done = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={done}-", "Accept-Encoding": "identity"}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if done and response.status_code == 416:  # nothing is lacking
            return
        response.raise_for_status()
        if response.status_code != 206:  # the server always sends everything
            done = 0
        total = done + int(response.headers.get("Content-Length", 0))
        with (
            open(part, "ab" if done else "wb") as file,
            tqdm(
                desc=part.stem,
                initial=done,
                total=total or None,
                unit="B",
                unit_scale=True,
                disable=None,
            ) as bar,
        ):
            for chunk in response.iter_content(BLOCK):
                file.write(chunk)
                bar.update(len(chunk))


def _digest(path: Path, algorithm: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def verify(path: Path, digest: str, url: str) -> str:
    """Returns the sha256 of a file after comparing it with what is known of it."""
    sha256 = _digest(path, "sha256")
    algorithm, _, expected = digest.rpartition(":")
    found = _digest(path, algorithm) if algorithm else sha256
    if expected and found != expected:
        raise DataFileError(
            f"{path}: {algorithm or 'sha256'} is {found}, but that of the official file"
            f" is {expected}; delete it, or replace it by the one from {url}"
        )
    return sha256


def plain(path: Path) -> dict[str, Content]:
    """Returns a file as it is, by its name."""
    return {path.name: Content(str(path), path.read_bytes())}


def unpack(path: Path, file: File) -> dict[str, Content]:
    """Returns what a file holds, by name. Nothing is written to disk."""
    if not file.unpacked:
        return plain(path)
    with reading(str(path), "archive"):
        if path.name.endswith(".tar.gz"):
            return _untar(path, set(file.unpacked))
        unpack = {".gz": gzip.decompress, ".bz2": bz2.decompress}[path.suffix]
        (name,) = file.unpacked
        return {name: Content(str(path), unpack(path.read_bytes()))}


def _untar(path: Path, wanted: set[str]) -> dict[str, Content]:
    contents: dict[str, Content] = {}
    with tarfile.open(path, "r|gz") as archive:
        for entry in archive:
            name = PurePosixPath(entry.name).name
            # a link or device is not followed: it is no regular file; the holes of a
            # sparse one could be of any size
            plain = entry.isreg() and not entry.issparse()
            if plain and name in wanted - contents.keys():
                data = archive.extractfile(entry)
                assert data is not None, "regular files have content"
                contents[name] = Content(f"{path}: {entry.name}", data.read())
            if wanted == contents.keys():
                return contents
    lost = ", ".join(sorted(wanted - contents.keys()))
    raise DataFileError(f"{path}: holds no {lost}; replace it by the official file")


@contextmanager
def reading(origin: str, kind: str) -> Iterator[None]:
    """Turns whatever a parser raises on bad bytes into one line."""
    try:
        yield
    except DataFileError:
        raise
    except Exception as error:
        raise DataFileError(
            f"{origin}: not a readable {kind} ({_one_line(error)}); replace it"
        ) from error


def _one_line(error: Exception) -> str:
    """Returns what an error says; parsers may quote all that they read."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= QUOTED else f"{text[:QUOTED]} ..."
