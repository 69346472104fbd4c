"""A small disk of its own, which is unmounted whatever happens."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, *arguments: str) -> Iterator[None]:
    """Mounts something on a folder; skips the test where that is not allowed."""
    command = ["mount", *arguments, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs root and mount: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def small_disk(folder: Path, *, size: str) -> Iterator[None]:
    """Mounts an empty disk of this size, such as 64k, on a folder."""
    with mounted(folder, "-t", "tmpfs", "-o", f"size={size}", "tmpfs"):
        yield


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Makes a folder read-only, for root too."""
    with mounted(folder, "--bind", str(folder)):
        remount = ["mount", "-o", "remount,ro,bind", str(folder)]
        subprocess.run(remount, check=True)
        yield


def fill(folder: Path, *, leave: int) -> Path:
    """Fills the disk of a folder by one file.

    Args:
        folder: On a small disk.
        leave: Bytes that stay free, a multiple of its block.

    Returns:
        The file; without it there is room again.
    """
    disk = os.statvfs(folder)
    filler = folder / "filler"
    filler.write_bytes(bytes(disk.f_bavail * disk.f_frsize - leave))
    return filler
