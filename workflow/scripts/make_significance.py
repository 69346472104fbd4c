"""Makes the table of significance: TABLE.csv, TABLE.tex and TABLE.html."""

from __future__ import annotations

from pathlib import Path

from hyperreps import evaluations
from hyperreps.commands import run
from hyperreps.novelty_tables import (
    SIGNIFICANCE_NOTES,
    significance_caption,
    significance_cells,
    write_table,
)
from hyperreps.settings import SettingsError, Statistics
from hyperreps.significance import compare


def main(
    *,
    zoos: tuple[Path, ...],
    output: Path,
    statistics: Statistics,
    finetuned: tuple[Path, ...] = (),
    samples: tuple[Path, ...] = (),
    references: tuple[Path, ...] = (),
    epochs: tuple[int, ...] = (0, 1, 25, 50),
    seed: int = 0,
) -> None:
    """Compares the methods of a table of accuracies pairwise and prints the result.

    Args:
        zoos: HDF5 files of the zoos.
        output: CSV file to write; .tex and .html go beside it.
        statistics: Of the confidence intervals.
        finetuned: HDF5 files of the finetuned methods, in the order of the config.
        samples: HDF5 files of samples that are compared at epoch 0 only.
        references: HDF5 files of samples that are shown apart, at epoch 0.
        epochs: Finetuning epochs in the table.
        seed: Base seed of the bootstrap.
    """
    if output.suffix != ".csv":
        raise SettingsError(f"--output: {output} must end in .csv")
    frame = evaluations.collect(zoos, finetuned, samples=samples, references=references)
    table = compare(frame, epochs=epochs, statistics=statistics, seed=seed)
    text = write_table(
        table,
        lambda layout: significance_cells(table, layout),
        title="Which differences are more than chance",
        caption=lambda layout: significance_caption(statistics, layout),
        notes=SIGNIFICANCE_NOTES,
        output=output,
    )
    print(text)


if __name__ == "__main__":
    run(main)
