"""A hash of the code that a script runs, blind to what cannot change its results.

The Snakefile puts it among the parameters of each rule, so that an edit of logic reruns
the stages that use it and nothing else. Comments, docstrings and layout do not count,
nor does what settings declare: a `Field(...)` with its default, limits and description.
Settings reach the scripts as flags, so their values are parameters already. Standard
library only.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

# what is a comment in the files that are no modules, by suffix
COMMENTS = {".cu": r"//.*|/\*(?s:.*?)\*/", ".mplstyle": r"(?m)^\s*#.*"}


def code_fingerprint(script: Path, *more: Path) -> str:
    """Returns a hash of a script and of what it uses from its folder and those below.

    That is the modules it imports, inside functions and under conditions too, the
    packages they are in, and files that stand beside a module which has their name in a
    string, such as a CUDA source; modules of the standard library and installed
    packages are not.

    Args:
        script: The script.
        *more: Modules that it imports by a name it is given: of the folders below, or a
            user's, of which imports from beside it count as well.

    Raises:
        FileNotFoundError: If one of them does not exist.
    """
    digest = hashlib.sha256()
    root = script.resolve().parent
    seen: dict[Path, str] = {}
    modules = [module.resolve() for module in more]
    waiting = [script.resolve(), *modules]
    for module in modules:
        waiting += _packages(module, root)
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        # where its imports may lie
        folders = [root] if path.is_relative_to(root) else [root, path.parent]
        for folder in folders:
            seen[path], used = _contents(path, folder)
            waiting += used
    named = [(_name(path, root), logic) for path, logic in seen.items()]
    for name, logic in sorted(named):
        digest.update(f"{name}\n{logic}\n".encode())
    return digest.hexdigest()[:16]


def _name(path: Path, root: Path) -> Path:
    """Returns a file's name, which is the same wherever the project lies."""
    return path.relative_to(root) if path.is_relative_to(root) else Path(path.name)


def _packages(module: Path, root: Path) -> Iterator[Path]:
    """Yields the files of the packages below root that a module is in."""
    for folder in module.parents if module.is_relative_to(root) else ():
        if folder == root:
            return
        yield from filter(Path.is_file, [folder / "__init__.py"])


@cache
def _contents(path: Path, root: Path) -> tuple[str, tuple[Path, ...]]:
    """Returns a file's logic as text, and the files that it uses."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        lines = re.sub(COMMENTS.get(path.suffix, r"\Z"), "", text).splitlines()
        return "\n".join(filter(None, map(str.strip, lines))), ()
    tree = ast.parse(text)
    nodes = list(ast.walk(tree))
    used = {*_imported(nodes, path, root), *_named(nodes, path)}
    return ast.dump(_Logic().visit(tree)), tuple(used)


class _Logic(ast.NodeTransformer):
    """Takes out of a module what cannot change results."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """Takes out docstrings and __version__."""
        super().generic_visit(node)
        if isinstance(
            node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        ):
            if ast.get_docstring(node, clean=False) is not None:
                del node.body[0]
            node.body = [part for part in node.body if not _is_version(part)]
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        """Takes out declarations of settings."""
        return None if _is_field(node.value) else self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Empties the other fields, in types of settings."""
        if _is_field(node):
            node.args, node.keywords = [], []
        return self.generic_visit(node)


def _is_field(node: ast.AST | None) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "Field"
    )


def _is_version(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id == "__version__"
    )


def _imported(nodes: list[ast.AST], path: Path, root: Path) -> Iterator[Path]:
    """Yields the files below root that a module imports, with their packages."""
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
        for name in names:
            target = base
            for part in name.split("."):
                target /= part
                files = target.with_suffix(".py"), target / "__init__.py"
                yield from filter(Path.is_file, files)


def _named(nodes: list[ast.AST], path: Path) -> Iterator[Path]:
    """Yields the files beside a module whose names are strings in it."""
    beside = {file.name: file for file in path.parent.iterdir() if file.is_file()}
    for node in nodes:
        if isinstance(node, ast.Constant) and node.value in beside:
            yield beside[node.value]
