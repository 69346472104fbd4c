"""Draws any figure of a run: FIGURE.pdf, FIGURE.png and, in FIGURE.csv, its numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from hyperreps.results.result import Sources, find
from hyperreps.running.commands import UNPREFIXED, check_output, run


def main(*, figure: str, sources: Annotated[Sources, UNPREFIXED], output: Path) -> None:
    """Draws a figure of a run as PDF and PNG, with a CSV of the numbers it shows.

    Args:
        figure: Its name: one of those that the sections in sections.py declare.
        sources: What it is made from.
        output: PDF file to write; .png and .csv go beside it.
    """
    check_output(output, suffix=".pdf")
    find("figure", sources.made_by or figure)(sources).write(output)


if __name__ == "__main__":
    run(main)
