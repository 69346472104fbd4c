"""Draws a figure of the audit: FIGURE.pdf, FIGURE.png and FIGURE.csv."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

from hyperreps.commands import UNPREFIXED, run
from hyperreps.novelty_plots import NOVELTY_FIGURES
from hyperreps.novelty_results import Audits
from hyperreps.plotting import write_figure
from hyperreps.settings import SettingsError


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
    if figure not in NOVELTY_FIGURES:
        known = ", ".join(NOVELTY_FIGURES)
        raise SettingsError(f"--figure: unknown {figure!r}; there are {known}")
    if output.suffix != ".pdf":
        raise SettingsError(f"--output: {output} must end in .pdf")
    # its reports on every glyph would drown the log
    logging.getLogger("fontTools").setLevel(logging.WARNING)
    write_figure(lambda: NOVELTY_FIGURES[figure](audited), output=output)


if __name__ == "__main__":
    run(main)
