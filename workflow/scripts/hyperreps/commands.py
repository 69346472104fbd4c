"""What the command lines of all stages have in common."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Callable
from typing import Any

import tyro

from .settings import SettingsError
from .storage import DataFileError

# for a group of flags in main's signature: --device instead of --machine.device
UNPREFIXED = tyro.conf.arg(name="")


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
