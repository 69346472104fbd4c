"""Makes any table of a run: TABLE.csv (long form), TABLE.tex and TABLE.html."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from hyperreps.results.result import Sources, find
from hyperreps.running.commands import UNPREFIXED, check_output, run


def main(*, sources: Annotated[Sources, UNPREFIXED], output: Path) -> None:
    """Makes a table of a run with uncertainty, beside published numbers, and prints it.

    Args:
        sources: What it is made from.
        output: CSV file to write; .tex and .html go beside it.
    """
    check_output(output, suffix=".csv")
    made_by = find("table", sources.made_by or sources.table)
    print(made_by(sources).write(output))


if __name__ == "__main__":
    run(main)
