"""A hash of the code that a script runs, blind to comments, docstrings and layout.

The Snakefile puts it among the parameters of each rule, so that an edit of logic reruns
the stages that use it and nothing else. Standard library only.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

# settings reach the scripts as flags, so their values are parameters already
LEFT_OUT = frozenset({"settings"})


def code_fingerprint(script: Path) -> str:
    """Returns a hash of a script and the modules it imports from the folder beside it.

    Imports inside functions and under conditions count, and so does a CUDA source of
    the same name as a module; modules of the standard library and installed packages
    do not.

    Raises:
        FileNotFoundError: If the script does not exist.
    """
    digest = hashlib.sha256()
    root = script.resolve().parent
    seen: dict[Path, str] = {}
    waiting = [script.resolve()]
    while waiting:
        path = waiting.pop()
        if path in seen or path.stem in LEFT_OUT:
            continue
        seen[path], imported = _module(path, root)
        waiting += imported
    for path, logic in sorted(seen.items()):
        digest.update(f"{path.name}\n{logic}\n".encode())
        kernel = path.with_suffix(".cu")
        if kernel.is_file():
            digest.update(kernel.read_bytes())
    return digest.hexdigest()[:16]


@cache
def _module(path: Path, root: Path) -> tuple[str, list[Path]]:
    """Returns a module's logic as text, and the files below root that it imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree))
    imported = _imported(nodes, path, root)
    for node in nodes:
        if (
            isinstance(
                node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
            )
            and ast.get_docstring(node, clean=False) is not None
        ):
            del node.body[0]
    return ast.dump(tree), imported


def _imported(nodes: list[ast.AST], path: Path, root: Path) -> list[Path]:
    """Returns what _module() does of imports, absolute and relative ones."""
    found = []
    for node in nodes:
        names: list[str] = []
        base = root
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = path.parents[node.level - 1]
            prefix = f"{node.module}." if node.module else ""
            names = [f"{prefix}{alias.name}" for alias in node.names]
            names += [node.module] if node.module else []
        for name in names:
            target = base.joinpath(*name.split("."))
            found += [
                candidate
                for candidate in (target.with_suffix(".py"), target / "__init__.py")
                if candidate.is_file()
            ]
    return found
