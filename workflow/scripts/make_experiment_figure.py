"""Draws a figure of an experiment: FIGURE.pdf, .png and, in FIGURE.csv, its numbers."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

from hyperreps.commands import UNPREFIXED, run
from hyperreps.experiment_figures import FIGURES
from hyperreps.experiments import Experiment
from hyperreps.plotting import write_figure
from hyperreps.settings import SettingsError


def main(
    *,
    figure: str,
    experiment: Annotated[Experiment, UNPREFIXED],
    output: Path,
) -> None:
    """Draws a figure of an experiment as PDF and PNG, with a CSV of its numbers.

    Args:
        figure: ensembles, calibration, reconstruction or latents: an entry of FIGURES
            in experiment_figures.py.
        experiment: What is shown, and how.
        output: PDF file to write; .png and .csv go beside it.
    """
    if figure not in FIGURES:
        known = ", ".join(FIGURES)
        raise SettingsError(
            f"--figure: unknown {figure!r}; experiment_figures.py has {known}"
        )
    if output.suffix != ".pdf":
        raise SettingsError(f"--output: {output} must end in .pdf")
    # its reports on every glyph would drown the log
    logging.getLogger("fontTools").setLevel(logging.WARNING)
    write_figure(lambda: FIGURES[figure](experiment), output=output)


if __name__ == "__main__":
    run(main)
