"""Draws a figure of a run: FIGURE.pdf, FIGURE.png and, in FIGURE.csv, its numbers."""

from __future__ import annotations

import logging
from pathlib import Path

from hyperreps import commands, evaluations
from hyperreps.plotting import FIGURES, Inputs
from hyperreps.plotting import make_figure as draw
from hyperreps.settings import SettingsError, Statistics


def main(
    *,
    figure: str,
    zoos: tuple[Path, ...],
    published: Path,
    output: Path,
    statistics: Statistics,
    finetuned: tuple[Path, ...] = (),
    samples: tuple[Path, ...] = (),
    references: tuple[Path, ...] = (),
    epochs: tuple[int, ...] = (0, 1, 25, 50),
    seed: int = 0,
    table: str = "in_distribution",
) -> None:
    """Draws a figure of a run as PDF and PNG, with a CSV of the numbers it shows.

    Args:
        figure: finetuning, epoch_zero, zoo, samplers or transfer: an entry of FIGURES
            in plotting.py.
        zoos: HDF5 files of the zoos.
        published: YAML file of the published numbers.
        output: PDF file to write; .png and .csv go beside it.
        statistics: Of the confidence intervals.
        finetuned: HDF5 files of the finetuned methods, in the order of the config.
        samples: HDF5 files of samples that are compared at epoch 0 only.
        references: HDF5 files of samples that are shown apart, at epoch 0.
        epochs: Finetuning epochs to mark on the axis.
        seed: Base seed of the bootstrap.
        table: Table of the YAML file to compare with.
    """
    if figure not in FIGURES:
        known = ", ".join(FIGURES)
        raise SettingsError(f"--figure: unknown {figure!r}; plotting.py has {known}")
    if output.suffix != ".pdf":
        raise SettingsError(f"--output: {output} must end in .pdf")
    # its reports on every glyph would drown the log
    logging.getLogger("fontTools").setLevel(logging.WARNING)
    inputs = Inputs(
        populations=evaluations.collect(
            zoos, finetuned, samples=samples, references=references
        ),
        zoos=evaluations.collect_zoos(zoos),
        published=evaluations.load_published(published, table=table),
        epochs=epochs,
        statistics=statistics,
        seed=seed,
    )
    draw(figure, inputs, output=output)


if __name__ == "__main__":
    commands.run(main)
