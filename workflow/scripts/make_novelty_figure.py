"""Draws a figure of the audit: FIGURE.pdf, FIGURE.png and FIGURE.csv."""

from __future__ import annotations

import logging
from pathlib import Path

from hyperreps.commands import run
from hyperreps.novelty_plots import NOVELTY_FIGURES, NoveltyInputs
from hyperreps.plotting import write_figure
from hyperreps.sections import Novelty
from hyperreps.settings import SettingsError, Statistics


def main(
    *,
    figure: str,
    references: tuple[Path, ...],
    audits: tuple[Path, ...],
    settings: Novelty,
    statistics: Statistics,
    output: Path,
    seed: int = 0,
) -> None:
    """Draws a figure of the audit as PDF and PNG, with a CSV of its numbers.

    Args:
        figure: novelty, novel_and_performant or copies.
        references: Files of audit_references.py.
        audits: Files of audit.py, in the order of the config.
        settings: Accuracy bar and multiples.
        statistics: Of the confidence intervals.
        output: PDF file to write; .png and .csv go beside it.
        seed: Base seed of the bootstrap.
    """
    if figure not in NOVELTY_FIGURES:
        known = ", ".join(NOVELTY_FIGURES)
        raise SettingsError(f"--figure: unknown {figure!r}; there are {known}")
    if output.suffix != ".pdf":
        raise SettingsError(f"--output: {output} must end in .pdf")
    # its reports on every glyph would drown the log
    logging.getLogger("fontTools").setLevel(logging.WARNING)
    inputs = NoveltyInputs(references, audits, settings, statistics, seed)
    write_figure(lambda: NOVELTY_FIGURES[figure](inputs), output=output)


if __name__ == "__main__":
    run(main)
