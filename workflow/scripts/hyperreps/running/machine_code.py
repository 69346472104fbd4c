"""Where numba keeps machine code: a help that may be full, shared or missing."""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import socket
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

UMAP_ROOM = 2**25  # bytes; what umap and pynndescent compile takes less


def folders() -> Iterator[Path]:
    """Yields folders for machine code, the best first; none may be of use."""
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(chosen)
        return  # numba keeps its files nowhere else
    with suppress(RuntimeError):  # a user without home
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        yield Path(base, "hyperreps", socket.gethostname())
    with suppress(OSError):
        own = Path(tempfile.gettempdir(), f"hyperreps-{os.getuid()}")
        own.mkdir(mode=0o700, exist_ok=True)
        if own.stat().st_uid == os.getuid():  # what others put there is not run
            yield own


def require_room(folder: Path, size: int) -> None:
    """Raises an OSError where a file of so many bytes cannot be written."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(size))


def import_umap() -> type:
    """Returns umap's class, of which numba keeps the machine code where there is room.

    numba would end in an error where it can keep none.
    """
    import numba
    from numba.core.dispatcher import Dispatcher

    package = importlib.util.find_spec("umap")
    assert package is not None
    assert package.origin is not None
    beside = Path(package.origin).with_name("__pycache__")
    usual = [] if "NUMBA_CACHE_DIR" in os.environ else [beside]
    for folder in (*usual, *folders()):
        with suppress(OSError):
            require_room(folder, UMAP_ROOM)
            break
    else:
        folder = Path(tempfile.mkdtemp())
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if folder != beside:
        # numba reads the environment again at times
        os.environ["NUMBA_CACHE_DIR"] = str(folder)
        numba.config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        # says that tensorflow is not there for a part that is not used
        warnings.simplefilter("ignore", ImportWarning)
        from umap import UMAP
    # umap asks numba to keep some functions only: 11 s in every process for the others
    for name, module in sys.modules.items():
        if name.startswith("umap."):
            for function in vars(module).values():
                if isinstance(function, Dispatcher):
                    function.enable_caching()
    return UMAP
