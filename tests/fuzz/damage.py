"""Damage to bytes, as hypothesis draws it."""

from __future__ import annotations

import bz2
import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable

from hypothesis import strategies as st

FIELDS = [b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff" * 8, b"\x00" * 8, b"\x01\x00" * 4]


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Draws the same bytes with one to four damages: some of them at the start."""
    for _ in range(draw(st.integers(1, 4))):
        data = draw(_damaged_once(data))
    return data


@st.composite
def _damaged_once(draw: st.DrawFn, data: bytes) -> bytes:
    kind = draw(st.sampled_from(["flip", "cut", "insert", "delete", "zero", "double"]))
    # headers are short, so that places in them are drawn more often
    end = draw(st.sampled_from([8, 64, 512, len(data)]))
    start = draw(st.integers(0, min(end, len(data))))
    stop = min(len(data), start + draw(st.sampled_from([1, 2, 4, 8, 100, 3000])))
    head, block, tail = data[:start], data[start:stop], data[stop:]
    match kind:
        case "flip":
            mask = draw(st.integers(1, 255))
            return head + bytes(byte ^ mask for byte in block[:1]) + block[1:] + tail
        case "cut":
            return head if draw(st.booleans()) else tail
        case "insert":
            return head + draw(st.binary(max_size=8) | st.sampled_from(FIELDS)) + tail
        case "delete":
            return head + tail
        case "zero":
            return head + bytes(len(block)) + tail
    return head + 2 * block + tail


def inside(name: str, data: bytes) -> list[tuple[bytes, Callable[[bytes], bytes]]]:
    """Returns what is inside a compressed file, each with the way to pack it again."""
    if name.endswith(".tar.gz"):
        plain = gzip.decompress(data)
        with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
            entries = [(e.name, archive.extractfile(e).read()) for e in archive]  # type: ignore[union-attr]
        members = [
            (content, lambda x, k=key: gzip.compress(tarred(dict(entries) | {k: x})))
            for key, content in entries
        ]
        return [(plain, gzip.compress), *members]
    if name.endswith(".gz"):
        return [(gzip.decompress(data), gzip.compress)]
    if name.endswith(".bz2"):
        return [(bz2.decompress(data), bz2.compress)]
    if name.endswith(".npz"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = {n: archive.read(n) for n in archive.namelist()}
        return [
            (content, lambda x, k=key: zipped(files | {k: x}))
            for key, content in files.items()
        ]
    return []


def tarred(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def any_damage(name: str, data: bytes) -> st.SearchStrategy[bytes]:
    """Draws damage to a file, or to what is inside its compression."""
    return st.one_of(
        damaged(data),
        *(damaged(content).map(pack) for content, pack in inside(name, data)),
    )
