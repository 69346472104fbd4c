"""The library's packages: which imports which, read from the source, and a picture.

    python bench/architecture.py

writes docs/architecture.csv, draws docs/architecture.svg from it, and finds the lines
of what docs/architecture.md points to; with --check it compares. A package may import
itself and those that stand before it in LAYERS.
"""

from __future__ import annotations

import ast
import csv
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import tyro

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.layered import Package, picture

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "workflow" / "scripts"
TABLE = ROOT / "docs" / "architecture.csv"
PICTURE = TABLE.with_suffix(".svg")
PAGE = TABLE.with_suffix(".md")
LIBRARY = "hyperreps"
# from the ground up
LAYERS = (
    *("settings", "numbers", "files", "running", "networks", "symmetry", "data"),
    *("engines", "zoo", "representation", "sampling", "audit", "results", "config"),
)
# share by which a package may have grown or shrunk since the table was written
GROWTH = 0.1
# lines by which what the page points to may have moved since
MOVED = 40
# [`name`](../file#Lline)
STOP = re.compile(r"(\[`([\w.]+)`\]\(\.\./([\w./-]+)#L)(\d+)\)")


def modules() -> dict[str, Path]:
    """Returns the library's files by the name of the module, such as zoo.members."""
    root = SCRIPTS / LIBRARY
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def package(module: str) -> str:
    """Returns the package that a module belongs to."""
    return module.partition(".")[0]


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


def packages() -> list[Package]:
    """Reads the library's packages, from the ground up."""
    known, targets = modules(), imports()
    lines = dict.fromkeys(LAYERS, 0)
    for path in (SCRIPTS / LIBRARY).glob("*/**/*.*"):
        if path.suffix not in (".pyc", ".npz"):
            text = path.read_text(encoding="utf-8")
            lines[_top(path)] += len(text.splitlines())
    found = []
    for name in LAYERS:
        own = [module for module in known if package(module) == name]
        used = {package(t) for module in own for t in targets[module] if t in known}
        others = tuple(other for other in LAYERS if other in used - {name})
        found.append(Package(name, lines[name], _rooms(name), others))
    return found


def _top(path: Path) -> str:
    return path.relative_to(SCRIPTS / LIBRARY).parts[0]


def _rooms(name: str) -> tuple[str, ...]:
    """Returns the modules of a package, and its own packages with a slash."""
    folder = SCRIPTS / LIBRARY / name
    inner = [f"{path.parent.name}/" for path in folder.glob("*/__init__.py")]
    return tuple(sorted([*inner, *(path.stem for path in folder.glob("[!_]*.py"))]))


def table(found: list[Package]) -> str:
    """Returns the packages as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Package._fields)
    for name, lines, rooms, others in found:
        writer.writerow([name, lines, ", ".join(rooms), ", ".join(others)])
    return text.getvalue()


def recorded() -> list[Package]:
    """Reads the packages from docs/architecture.csv."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return [
            Package(
                row["name"],
                int(row["lines"]),
                tuple(filter(None, row["modules"].split(", "))),
                tuple(filter(None, row["imports"].split(", "))),
            )
            for row in csv.DictReader(file)
        ]


def line_of(path: Path, name: str) -> int:
    """Returns the line that defines a name: a function, class, value, rule or key.

    Args:
        path: Python, rules or YAML.
        name: With dots inside classes; the file's own name is its first line.

    Raises:
        ValueError: If there is none.
    """
    if name == path.stem:
        return 1
    text, start = path.read_text(encoding="utf-8"), 0
    for depth, part in enumerate(name.split(".")):
        indent = " +" if depth else ""
        head = rf"^{indent}(?:(?:rule|def|class) )?{part} ?[:=(]"
        match = re.compile(head, re.M).search(text, start)
        if match is None:
            raise ValueError(f"{PAGE.name}: {path.relative_to(ROOT)} has no {name}")
        start = match.start() + 1
    return text.count("\n", 0, start) + 1


def walked(page: str) -> str:
    """Returns a page with the lines of all that it points to as they are now."""
    return STOP.sub(lambda m: f"{m[1]}{line_of(ROOT / m[3], m[2])})", page)


def problems() -> list[str]:
    """Returns what is no longer so of table, picture and page, one line each."""
    was, now = recorded(), packages()
    if [old.name for old in was] != [new.name for new in now]:
        return [f"{TABLE.name}: the packages are now {', '.join(LAYERS)}"]
    found = [
        f"{TABLE.name}: {field} of {new.name} are now {', '.join(getattr(new, field))}"
        for old, new in zip(was, now, strict=True)
        for field in ("modules", "imports")
        if getattr(old, field) != getattr(new, field)
    ]
    found += [
        f"{TABLE.name}: {new.name} has {new.lines} lines, not {old.lines}"
        for old, new in zip(was, now, strict=True)
        if abs(new.lines - old.lines) > GROWTH * old.lines
    ]
    if PICTURE.read_text(encoding="utf-8") != picture(was):
        found.append(f"{PICTURE.name}: is not drawn from {TABLE.name}")
    for _, name, file, line in STOP.findall(PAGE.read_text(encoding="utf-8")):
        try:
            moved = line_of(ROOT / file, name) - int(line)
        except (OSError, ValueError) as error:
            found.append(str(error))
        else:
            if abs(moved) > MOVED:
                found.append(f"{PAGE.name}: {file}: {name} has moved by {moved} lines")
    return found


def main(*, check: bool = False) -> None:
    """Writes table, picture and the lines of the page, or compares them.

    Args:
        check: Change nothing; end with an error if the packages are others now, have
            grown or shrunk by more than a tenth, or what the page points to is gone.
    """
    if not check:
        found = packages()
        TABLE.write_text(table(found), encoding="utf-8")
        PICTURE.write_text(picture(found), encoding="utf-8")
        page = walked(PAGE.read_text(encoding="utf-8"))
        PAGE.write_text(page, encoding="utf-8")
    elif wrong := problems():
        sys.exit("\n".join([*wrong, "error: run make numbers, and mend the page"]))


if __name__ == "__main__":
    tyro.cli(main)
