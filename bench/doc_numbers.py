"""Numbers in Markdown that come from CSV files, and the markers that say from which.

A marker is an HTML comment, which a page does not show. A number in a line:

    <!--= measurements/zoo_1.csv [case=fused, models=64] ratio :.1f-->23.9<!--/-->

Between = and : is an expression of cells, numbers, + - * / and parentheses, and of
mean, min, max and sum over the cells of several rows; behind : a format of Python. A
cell is a file (below docs/), a selection of rows in brackets (the text in the file,
alternatives a|b, patterns with *) and a column. Without a function the selection must
leave one row. A single cell with the format s is a text. In a line of a table, | is not
possible. Where so much text would hide the page from those who read its source, a
number has a name, and a comment explains it:

    <!--= speed-->23.9<!--/-->
    <!--numbers
    speed: "measurements/zoo_1.csv [case=fused, models=64] ratio :.1f"
    -->

The rows of a table, after its two lines of heading, and a whole table of accuracies:

    <!--rows
    rows: {"`fused`": "measurements/zoo_1.csv [case=fused, models=64]"}
    cells: ["{ROW samples_per_s :,.0f}"]
    -->
    | engine | images/s |
    |---|---|
    | `fused` | 119,046 |
    <!--/-->

    <!--text_table demo/in_distribution.csv-->
    <!--/-->

ROW is replaced by the row's text. With `columns`, `cells` are those of each column, in
which COLUMN is replaced.
"""

from __future__ import annotations

import re
import statistics
import sys
from collections.abc import Callable, Mapping
from difflib import SequenceMatcher
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import pandas as pd
import tyro
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

from hyperreps.files.storage import replacing
from hyperreps.results.tables.accuracies import text_table

ROOT = Path(__file__).parents[1]
END = "<!--/-->"
MINUS = "\N{MINUS SIGN}"
INLINE = re.compile(r"<!--= *(?P<number>[^>\n]*?)-->(?P<old>[^<\n]*)<!--/-->")
BLOCK = re.compile(
    r"<!--(?P<kind>rows|text_table)\b(?P<body>.*?)-->\n(?P<old>.*?)<!--/-->", re.S
)
OPENING = re.compile(r"<!--(?:=|rows\b|text_table\b)")
NAMED = re.compile(r"<!--numbers\n(.*?)-->", re.S)
CELL = re.compile(
    r"(?:(?P<over>mean|min|max|sum)\( *)?"
    r"(?P<file>[\w/.-]+\.csv) *(?:\[(?P<rows>[^\]]*)\])? +(?P<column>[A-Za-z_]\w*)"
    r"(?(over) *\))"
)
OVER: dict[str, Callable[[list[float]], float]] = {
    "mean": statistics.fmean,
    "min": min,
    "max": max,
    "sum": sum,
}
# what is left of an expression when cells are numbers; no powers
ARITHMETIC = re.compile(r"(?!.*\*\*)[-+*/(). \de]+")


class NumberError(ValueError):
    """A marker that does not lead to a number."""


def updated(text: str, *, name: str, docs: Path) -> str:
    """Returns Markdown with all numbers and blocks as the CSV files have them.

    Args:
        text: Markdown.
        name: Of its file, for errors.
        docs: Folder that the files of the markers lie below.

    Raises:
        NumberError: With file, line, CSV and selection.
    """
    known = sum(len(pattern.findall(text)) for pattern in (INLINE, BLOCK))
    opened = len(OPENING.findall(text))
    if known != opened or opened != text.count(END):
        raise NumberError(
            f"{name}: {opened} markers are opened, {text.count(END)} closed by {END},"
            f" {known} can be read; a number's marker must be on one line"
        )

    named = _named(text, name)
    unused = named.keys() - {match["number"].strip() for match in INLINE.finditer(text)}
    if unused:
        raise NumberError(f"{name}: numbers {', '.join(sorted(unused))} are not used")

    def replaced(match: re.Match[str]) -> str:
        opening = match[0][: match.start("old") - match.start()]
        try:
            return f"{opening}{_content(match, docs, named)}{END}"
        except (NumberError, ValueError, KeyError, yaml.YAMLError) as error:
            line = text[: match.start()].count("\n") + 1
            raise NumberError(f"{name}:{line}: {error}") from None

    return INLINE.sub(replaced, BLOCK.sub(replaced, text))


def _named(text: str, name: str) -> dict[str, str]:
    """Returns the numbers of a page that have names, as what the names stand for."""
    named: dict[str, str] = {}
    for body in NAMED.findall(text):
        try:
            named |= {
                str(key): str(value) for key, value in yaml.safe_load(body).items()
            }
        except (AttributeError, yaml.YAMLError) as error:
            raise NumberError(f"{name}: numbers: {error}") from None
    return named


def _content(match: re.Match[str], docs: Path, named: Mapping[str, str]) -> str:
    found = match.groupdict()
    if "number" in found:
        number = found["number"].strip()
        return formatted(named.get(number, number), docs)
    if found["kind"] == "text_table":
        file = found["body"].strip()
        try:
            return f"```\n{text_table(pd.read_csv(_existing(docs / file)))}\n```\n"
        except KeyError as error:
            raise NumberError(f"{file}: has no column {error}; make it again") from None
    return _rows(found["body"], found["old"], docs)


def _rows(body: str, old: str, docs: Path) -> str:
    """Returns a table: its heading as it was, its rows from the files."""
    plan = yaml.safe_load(body)
    if not isinstance(plan, dict) or not {"rows", "cells"} <= plan.keys():
        raise NumberError("rows: needs the keys rows and cells")
    templates = plan["cells"]
    if columns := plan.get("columns"):
        templates = [part.replace("COLUMN", c) for c in columns for part in templates]
    lines = old.splitlines()[:2]
    for label, row in plan["rows"].items():
        cells = [
            re.sub(
                r"\{(.*?)\}",
                lambda m: formatted(m[1], docs),
                cell.replace("ROW", str(row)),
            )
            for cell in templates
        ]
        lines.append(f"| {' | '.join([label, *cells])} |")
    return "\n".join(lines) + "\n"


def formatted(number: str, docs: Path) -> str:
    """Returns the text of a number, such as "zoo_1.csv [case=fused] ratio :.1f"."""
    expression, colon, form = number.rpartition(":")
    if not colon:
        raise NumberError(f"{number.strip()}: has no format behind a colon")
    if form.strip() == "s" and (cell := CELL.fullmatch(expression.strip())):
        return _texts(cell, docs)[0]
    return format(evaluated(expression, docs), form.strip()).replace("-", MINUS)


def evaluated(expression: str, docs: Path) -> float:
    """Returns the value of an expression of cells.

    Raises:
        NumberError: If a cell is not there or it is no expression.
    """
    replaced = CELL.sub(lambda match: repr(_cell(match, docs)), expression).strip()
    try:
        if ARITHMETIC.fullmatch(replaced):
            return float(pd.eval(replaced, engine="python"))
    except SyntaxError:
        pass
    raise NumberError(f"{expression.strip()}: is no expression of cells")


def _cell(match: re.Match[str], docs: Path) -> float:
    """Returns a cell as a number, or what a function makes of several."""
    try:
        values = [float(text) for text in _texts(match, docs)]
    except ValueError as error:
        where = f"{match['file']} [{match['rows'] or ''}] {match['column']}"
        raise NumberError(f"{where}: {error}") from None
    return OVER[match["over"]](values) if match["over"] else values[0]


def _texts(match: re.Match[str], docs: Path) -> list[str]:
    """Returns the selected cells of a column as they are written."""
    name, wanted, column = match["file"], match["rows"] or "", match["column"]
    table = _table(docs / name)
    rows = table
    for condition in re.split(r", *(?=\w+=)", wanted.strip()) if wanted else ():
        key, _, pattern = condition.partition("=")
        if key not in table:
            raise NumberError(f"{name}: has no column {key!r} ({wanted})")
        patterns = pattern.split("|")
        rows = rows[
            [any(fnmatchcase(text, part) for part in patterns) for text in rows[key]]
        ]
    if column not in table:
        raise NumberError(f"{name}: has no column {column!r}")
    if len(rows) == 0 or (len(rows) > 1 and not match["over"]):
        raise NumberError(f"{name} [{wanted}]: {len(rows)} rows, 1 is needed")
    return list(rows[column])


@cache
def _table(path: Path) -> pd.DataFrame:
    """Returns a file as the text that it is."""
    return pd.read_csv(_existing(path), dtype=str, keep_default_na=False)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise NumberError(f"{path.parent.name}/{path.name}: no such file below docs/")
    return path


def main(*, check: bool = False) -> None:
    """Writes them, or compares them.

    Args:
        check: Change nothing; end with an error if a number is not that of its file.
    """
    stale = []
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        name, old = str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
        try:
            new = updated(old, name=name, docs=ROOT / "docs")
        except NumberError as error:
            sys.exit(f"error: {error}")
        if new == old:
            continue
        stale += [f"{name}:{line}" for line in _changed(old, new)]
        if not check:
            with replacing(path) as temporary:
                temporary.write_text(new, encoding="utf-8")
    if stale and check:
        sys.exit(f"error: {', '.join(stale)}: not as in the CSV; run make numbers")


def _changed(old: str, new: str) -> list[int]:
    """Returns the lines of an old text that are not in the new one."""
    matcher = SequenceMatcher(None, old.splitlines(), new.splitlines(), autojunk=False)
    blocks = [code for code in matcher.get_opcodes() if code[0] != "equal"]
    return [line + 1 for _, i, j, *_ in blocks for line in range(i, max(j, i + 1))]


if __name__ == "__main__":
    tyro.cli(main)
