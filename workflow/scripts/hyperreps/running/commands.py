"""What the command lines of all stages have in common."""

from __future__ import annotations

import codecs
import io
import logging
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import tyro

from ..files.provenance import provenance
from ..files.storage import DataFileError, OutputError
from ..settings.stages import SettingsError

# for a group of flags in main's signature: --device instead of --machine.device
UNPREFIXED = tyro.conf.arg(name="")
# for terminals that have no such characters
PLAIN = {"±": "+-", "≈": "~", "→": "->"}


def run(main: Callable[..., Any] | dict[str, Callable[..., Any]]) -> None:
    """Runs main with flags made from its signature, and reports bad input in one line.

    Of several by name, the first word of the command line says which.

    Problems of the input (a missing or damaged file, an impossible value) and of the
    disk (full, read-only, failing) end with exit code 1 and one line; anything else is
    a defect of ours and keeps its traceback. Where what reads the output ends first, as
    head does, it ends as programs do then. The last line of a log has the CPU time.
    """
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S"
    )
    # its reports on every glyph of a figure would drown the log
    logging.getLogger("fontTools").setLevel(logging.WARNING)
    logging.info("command: %s", shlex.join([sys.executable, *sys.argv]))
    provenance()  # now: the code may be edited while it runs
    _print_anywhere()
    try:
        try:
            config = (tyro.conf.FlagConversionOff,)
            if isinstance(main, dict):
                tyro.extras.subcommand_cli_from_dict(main, config=config)
            else:
                tyro.cli(main, config=config)
        finally:
            sys.stdout.flush()
    except (DataFileError, OutputError, SettingsError) as error:
        sys.exit(f"error: {error}")
    except BrokenPipeError:
        # else the interpreter would try again to write what is left, and say so
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        if error.filename is None:
            raise
        sys.exit(f"error: {error}")
    # what bench/costs.py compares the estimate with
    logging.info("done: %.1f s of CPU time", time.process_time())


def _print_anywhere() -> None:
    """Lets a terminal without UTF-8 show what it has no characters for otherwise."""

    def replaced(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeEncodeError), "output is only encoded"
        lost = error.object[error.start : error.end]
        return "".join(PLAIN.get(character, "?") for character in lost), error.end

    codecs.register_error("plain", replaced)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="plain")


def check_output(output: Path, *, suffix: str) -> None:
    """Refuses a file to write whose name has another suffix.

    Raises:
        SettingsError: For another suffix.
    """
    if output.suffix != suffix:
        raise SettingsError(f"--output: {output} must end in {suffix}")


def check_choice(flag: str, name: str, known: Collection[str], *, module: str) -> None:
    """Refuses a name that is not among the known ones.

    Args:
        flag: What gave the name.
        name: To check.
        known: What there is.
        module: File that lists it.

    Raises:
        SettingsError: For another name.
    """
    if name not in known:
        there = ", ".join(known)
        raise SettingsError(f"--{flag}: unknown {name!r}; {module} has {there}")
