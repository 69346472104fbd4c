"""Draws a figure of a run: FIGURE.pdf, FIGURE.png and, in FIGURE.csv, its numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from hyperreps.evaluations import Comparison, collect_zoos, load_published
from hyperreps.plotting import FIGURES, Inputs, write_figure
from hyperreps.running.commands import UNPREFIXED, check_choice, check_output, run


def main(
    *,
    compared: Annotated[Comparison, UNPREFIXED],
    figure: str,
    published: Path,
    output: Path,
    table: str = "in_distribution",
) -> None:
    """Draws a figure of a run as PDF and PNG, with a CSV of the numbers it shows.

    Args:
        figure: finetuning, epoch_zero, zoo, samplers or transfer: an entry of FIGURES
            in plotting.py.
        compared: What is shown, and how.
        published: YAML file of the published numbers.
        output: PDF file to write; .png and .csv go beside it.
        table: Table of the YAML file to compare with.
    """
    check_choice("figure", figure, FIGURES, module="plotting.py")
    check_output(output, suffix=".pdf")
    inputs = Inputs(
        populations=compared.networks(),
        zoos=collect_zoos(compared.zoos),
        published=load_published(published, table=table),
        epochs=compared.epochs,
        statistics=compared.statistics,
    )
    write_figure(lambda: FIGURES[figure](inputs), output=output)


if __name__ == "__main__":
    run(main)
