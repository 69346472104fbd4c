"""Parts from a user's file: FILE.py:NAME, or MODULE:NAME for MODULE.py.

Registries ask here for a name that may be such a one. Files are looked for from the
working directory, never along a module search path: so that all machines and jobs of a
run take the same.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping
from functools import cache
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from ..settings.stages import INITIALIZATIONS, SettingsError
from .places import expanded
from .provenance import note_own_file


def is_own(name: str) -> bool:
    """Tells whether a name is that of a part in a user's file."""
    return ":" in name


def own_file(name: str) -> Path:
    """Returns the file of a user's part, seen from the working directory.

    Raises:
        SettingsError: If there is no such file.
    """
    where = name.rpartition(":")[0]
    text = expanded(where, key=name)
    if not text.endswith(".py"):
        text = text.replace(".", "/") + ".py"
    path = Path(text)
    if not path.is_file():
        raise SettingsError(
            f"{name}: no file {text} in {Path.cwd()}; name it as it is seen from there"
        )
    return path


def find_part(name: str, known: Mapping[str, Any], *, where: str) -> Any:
    """Returns what a name stands for: an entry of a registry, or a user's part.

    Args:
        name: Key of the registry, FILE.py:NAME or MODULE:NAME.
        known: The registry.
        where: File that has it, for messages.

    Raises:
        SettingsError: In one line, if there is no such entry, file or name in the file,
            or the file cannot be imported.
    """
    if is_own(name):
        return own_part(name)
    if name not in known:
        there = ", ".join(sorted(known))
        raise SettingsError(f"unknown {name!r}; {where} has {there}")
    return known[name]


def find_initialization(name: str) -> Callable[..., Any] | None:
    """Returns a user's initialisation, or None for one of ours.

    Raises:
        SettingsError: As find_part(), or if it is no function of these arguments.
    """
    known = dict.fromkeys(INITIALIZATIONS)
    found = find_part(name, known, where="settings/stages.py")
    if is_own(name):
        try:
            signature(found).bind((1, 1), fan_in=1, rng=None)
        except (TypeError, ValueError):
            raise SettingsError(
                f"{name}: is no initialisation: it must be a function (shape, *,"
                " fan_in, rng) that returns weights"
            ) from None
    return cast(Callable[..., Any] | None, found)


def own_part(name: str) -> Any:
    """Returns a part of a user's file, which is run if it was not.

    Raises:
        SettingsError: As find_part().
    """
    path = own_file(name)
    try:
        module = _imported(path.resolve(), path.read_bytes())
    except SettingsError as error:
        raise SettingsError(f"{name}: {error}") from error
    part = name.rpartition(":")[2]
    if not hasattr(module, part):
        own = [
            key
            for key, value in vars(module).items()
            if getattr(value, "__module__", "") == module.__name__ and key[0] != "_"
        ]
        there = ", ".join(own) or "nothing of its own"
        raise SettingsError(f"{name}: {path} has no {part}; it has {there}")
    return getattr(module, part)


@cache
def _imported(path: Path, source: bytes) -> ModuleType:
    """Runs a user's file, once for what it holds, and notes it for the provenance."""
    module = ModuleType(str(path))
    module.__file__ = str(path)
    # where its annotations and the classes of its objects are looked up
    sys.modules[module.__name__] = module
    # behind all others: files beside it can be imported, and hide none
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    try:
        exec(compile(source, str(path), "exec", dont_inherit=True), vars(module))
    except SyntaxError as error:
        raise SettingsError(f"line {error.lineno}: {error.msg}") from None
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        line = [frame.lineno for frame in frames if frame.filename == str(path)][-1:]
        raise SettingsError(
            f"line {line[0] if line else 1}: cannot be imported ({one_line(error)})"
        ) from error
    note_own_file(path, source)
    return module


def one_line(error: Exception) -> str:
    """Returns what an error of a user's code says, in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
