"""Draws a figure of an experiment: FIGURE.pdf, .png and, in FIGURE.csv, its numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from hyperreps.experiment_figures import FIGURES
from hyperreps.experiments import Experiment
from hyperreps.plotting import write_figure
from hyperreps.running.commands import UNPREFIXED, check_choice, check_output, run


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
    check_choice("figure", figure, FIGURES, module="experiment_figures.py")
    check_output(output, suffix=".pdf")
    write_figure(lambda: FIGURES[figure](experiment), output=output)


if __name__ == "__main__":
    run(main)
