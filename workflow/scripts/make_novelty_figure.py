"""Draws a figure of the audit: FIGURE.pdf, FIGURE.png and FIGURE.csv."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from hyperreps.novelty_plots import FIGURES
from hyperreps.novelty_results import Audits
from hyperreps.plotting import write_figure
from hyperreps.running.commands import UNPREFIXED, check_choice, check_output, run


def main(
    *,
    figure: str,
    audited: Annotated[Audits, UNPREFIXED],
    output: Path,
) -> None:
    """Draws a figure of the audit as PDF and PNG, with a CSV of its numbers.

    Args:
        figure: novelty, novel_and_performant or copies.
        audited: What is shown, and how.
        output: PDF file to write; .png and .csv go beside it.
    """
    check_choice("figure", figure, FIGURES, module="novelty_plots.py")
    check_output(output, suffix=".pdf")
    write_figure(lambda: FIGURES[figure](audited), output=output)


if __name__ == "__main__":
    run(main)
