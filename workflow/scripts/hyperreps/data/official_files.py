"""Official files: found, downloaded, verified and unpacked in memory.

Nothing is unpickled and no archive is extracted to disk.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from ..files.storage import DataFileError, reading_from

SHOWN = 8  # files that lie where others are missing
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
            are there already unpacked, they are read instead; where all are known, the
            file may be packed in another way.
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
) -> list[tuple[File, dict[str, Path]]]:
    """Returns each file with its path by its name, or the paths of what it holds."""
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
                f"{_others(files, folders)}"
            ) from error
    return [(file, _find(file, folders)) for file in files]


def _find(file: File, folders: Sequence[Path]) -> dict[str, Path]:
    """Returns the paths of all that the file holds, else its own path, else none."""
    for names in (list(file.unpacked), [file.name]):
        found = {n: path for n in names if (path := _place(n, folders))}
        if found and len(found) == len(names):
            return found
    return {}


def _place(name: str, folders: Sequence[Path]) -> Path | None:
    """Returns where a file lies, also by a name with other dots, as Kaggle gives."""
    exact = [folder / name for folder in folders]
    alike = [
        path
        for folder in folders
        for path in sorted(folder.glob(f"{name[:1]}*"))
        if path.name.replace(".", "-") == name.replace(".", "-")
    ]
    return next((path for path in exact + alike if path.is_file()), None)


def _others(files: Sequence[File], folders: Sequence[Path]) -> str:
    """Returns a remark on what else lies in the folders of a source, if anything."""
    own = [folder for folder in folders if folder != folders[0].parent]
    names = {p.name for f in own if f.is_dir() for p in f.iterdir() if p.is_file()}
    names -= {path.name for file in files for path in _find(file, folders).values()}
    shown = sorted(name for name in names if not name.startswith("."))[:SHOWN]
    return f" (other files are there: {', '.join(shown)})" if shown else ""


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


def read(file: File, name: str, path: Path) -> tuple[dict[str, Content], str]:
    """Reads an official file, which is known by its digest or by what is inside it.

    Args:
        file: What is known of it.
        name: Its name, or of a file inside it that lies there unpacked.
        path: Where it lies.

    Returns:
        What it holds, by name, and its own sha256. Nothing is written to disk.

    Raises:
        DataFileError: If it cannot be read, or is another than the official file.
    """
    if name in file.unpacked:
        file = File(name, file.url, file.unpacked[name])
    with reading_from(path), path.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
        content.seek(0)
        other = _other(content, file.digest)
    inner = file.unpacked.items()
    known = bool(inner) and all(digest for _, digest in inner)
    held = unpack(path, file) if known or not other else {}
    # packed anew, which changes all bytes outside and none inside
    if known and not any(_other(io.BytesIO(held[n].data), d) for n, d in inner):
        other = ""
    if other:
        raise DataFileError(
            f"{path}: {other}; move it away, or replace it by the one from {file.url}"
        )
    return held, sha256


def _other(file: io.BufferedIOBase, digest: str) -> str:
    """Says how a file differs from the one with a digest; empty if it does not."""
    algorithm, _, expected = digest.rpartition(":")
    algorithm = algorithm or "sha256"
    found = hashlib.file_digest(file, algorithm).hexdigest()
    if expected in ("", found):
        return ""
    return f"{algorithm} is {found}, but that of the official file is {expected}"


def unpack(path: Path, file: File) -> dict[str, Content]:
    """Returns what a file holds, by name; of one that is not packed, itself."""
    if not file.unpacked:
        with reading_from(path):
            return {file.name: Content(str(path), path.read_bytes())}
    with reading(str(path), f"archive like {file.url}"):
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
        with reading_from(origin):
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
