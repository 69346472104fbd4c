"""The library's packages and which imports which, read from its source.

A package may import itself and those that stand before it in LAYERS.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

SCRIPTS = Path(__file__).parents[1] / "workflow" / "scripts"
LIBRARY = "hyperreps"
# from the ground up; modules that are in no package belong to results
LAYERS = (
    *("settings", "numbers", "files", "running", "networks", "symmetry", "data"),
    *("engines", "zoo", "representation", "sampling", "audit", "results", "config"),
)


def modules() -> dict[str, Path]:
    """Returns the library's files by the name of the module, such as zoo.members."""
    root = SCRIPTS / LIBRARY
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def package(module: str) -> str:
    """Returns the entry of LAYERS that a module belongs to."""
    first = module.partition(".")[0]
    return first if first in LAYERS else "results"


def imports() -> dict[str, set[str]]:
    """Returns the modules that each module imports, inside functions as well.

    The library's own are named as by modules(), without the library itself; the others
    by their full name.
    """
    known = modules()
    return {
        name: {_found(target, known) for target in _imported(path)} - {name, ""}
        for name, path in known.items()
    }


def _found(target: str, known: dict[str, Path]) -> str:
    """Returns the module that a dotted name lies in: itself, or without its last part.

    Names of the library lose the name of the library.
    """
    root, _, inside = target.partition(".")
    if root != LIBRARY:
        return target
    return inside if inside in known else inside.rpartition(".")[0]


def _imported(path: Path) -> Iterator[str]:
    """Yields the full names that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            folder = path.parents[node.level - 1] if node.level else SCRIPTS
            where = [*folder.relative_to(SCRIPTS).parts, node.module]
            for alias in node.names:
                yield ".".join(filter(None, (*where, alias.name)))
