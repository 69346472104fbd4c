"""What the command lines of all stages have in common."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Callable
from typing import Any

import tyro

from .settings import SettingsError
from .storage import DataFileError, OutputError

# for a group of flags in main's signature: --device instead of --machine.device
UNPREFIXED = tyro.conf.arg(name="")


def run(main: Callable[..., Any]) -> None:
    """Runs main with flags made from its signature, and reports bad input in one line.

    Problems of the input (a missing or damaged file, an impossible value) and of the
    disk (full, read-only) end with exit code 1 and one line; anything else is a defect
    of ours and keeps its traceback.
    """
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S"
    )
    logging.info("command: %s", shlex.join(["python", *sys.argv]))
    expected = (
        *(DataFileError, OutputError, SettingsError),
        *(FileNotFoundError, PermissionError),
    )
    try:
        tyro.cli(main, config=(tyro.conf.FlagConversionOff,))
    except expected as error:
        sys.exit(f"error: {error}")
