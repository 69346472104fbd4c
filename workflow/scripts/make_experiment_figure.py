"""Draws a figure of an experiment: FIGURE.pdf, .png and, in FIGURE.csv, its numbers."""

from __future__ import annotations

import logging
from pathlib import Path

from hyperreps import commands
from hyperreps.experiment_figures import FIGURES
from hyperreps.plotting import write_figure
from hyperreps.settings import SettingsError, Statistics


def main(
    *,
    figure: str,
    inputs: tuple[Path, ...],
    published: Path,
    output: Path,
    statistics: Statistics,
    seed: int = 0,
) -> None:
    """Draws a figure of an experiment as PDF and PNG, with a CSV of its numbers.

    Args:
        figure: ensembles, calibration, reconstruction or latents: an entry of FIGURES
            in experiment_figures.py.
        inputs: HDF5 files of the stage of the experiment.
        published: YAML file of the published numbers.
        output: PDF file to write; .png and .csv go beside it.
        statistics: Of the confidence intervals.
        seed: Base seed of the bootstrap and of the maps.
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
    write_figure(
        lambda: FIGURES[figure](
            inputs, published=published, statistics=statistics, seed=seed
        ),
        output=output,
    )


if __name__ == "__main__":
    commands.run(main)
