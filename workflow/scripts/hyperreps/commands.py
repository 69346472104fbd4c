"""What the command lines of all stages have in common."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import tyro

from .settings import SettingsError
from .storage import DataFileError

if TYPE_CHECKING:
    import torch


def run(main: Callable[..., Any]) -> None:
    """Runs main with flags made from its signature, and reports bad input in one line.

    Problems of the input (a missing or damaged file, an impossible value) end with exit
    code 1 and one line; anything else is a defect of ours and keeps its traceback.
    """
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S"
    )
    logging.info("command: %s", shlex.join(["python", *sys.argv]))
    try:
        tyro.cli(main, config=(tyro.conf.FlagConversionOff,))
    except (DataFileError, SettingsError, FileNotFoundError, PermissionError) as error:
        sys.exit(f"error: {error}")


def prepare_device(name: str, *, threads: int) -> torch.device:
    """Returns the device to compute on and fixes the number of CPU threads.

    Args:
        name: cpu, cuda, or auto: a GPU where there is one.
        threads: Of one operation on the CPU; results can depend on it.

    Raises:
        SettingsError: If cuda is asked for and there is none.
    """
    import torch

    from .population import keep_freed_memory

    if name == "cuda" and not torch.cuda.is_available():
        raise SettingsError("device cuda: torch finds no GPU; use cpu or auto")
    torch.set_num_threads(threads)
    keep_freed_memory()
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)
