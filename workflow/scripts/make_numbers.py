"""Writes the numbers of README.md and docs/ from the CSV files they come from."""

import sys
from difflib import SequenceMatcher
from pathlib import Path

import tyro

from hyperreps.files.storage import replacing
from hyperreps.results.doc_numbers import NumberError, updated

ROOT = Path(__file__).parents[2]


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
