"""Where files lie on this machine: names as settings give them, made into paths.

Standard library only: the Snakefile reads this.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from ..settings.stages import SettingsError

VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))", re.ASCII)


def expanded(text: str, *, key: str) -> str:
    """Returns a path with its ~ and variables ($NAME, ${NAME}) replaced.

    Args:
        text: The path as it is given.
        key: What gives it, for messages.

    Raises:
        SettingsError: For a variable that is not set, or a user that is not known.
    """
    for braced, plain in VARIABLE.findall(text):
        if (name := braced or plain) not in os.environ:
            raise SettingsError(
                f"{key}: ${name} of {text!r} is not set; set it, or write the path out"
            )
    path = os.path.expanduser(os.path.expandvars(text))
    if path.startswith("~"):
        user = path.split("/")[0]
        raise SettingsError(
            f"{key}: {user} of {text!r} is nobody's home folder; write the path out"
        )
    return path


def data_folder(configured: str | Path) -> Path:
    """Returns the folder of images and networks that are not made here.

    Args:
        configured: The setting data_dir; the environment variable HYPERREPS_DATA goes
            before it.

    Raises:
        SettingsError: As expanded().
    """
    if variable := os.environ.get("HYPERREPS_DATA"):
        return Path(expanded(variable, key="HYPERREPS_DATA"))
    return Path(expanded(str(configured), key="data_dir"))


def content_digest(path: Path) -> str:
    """Returns a hash of what a file holds; nothing for one that is not there."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
