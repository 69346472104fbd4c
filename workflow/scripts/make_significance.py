"""Makes the table of significance: TABLE.csv, TABLE.tex and TABLE.html."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from hyperreps.audit.significance import compare
from hyperreps.evaluations import Comparison
from hyperreps.novelty_tables import (
    SIGNIFICANCE_NOTES,
    make_table,
    significance_caption,
    significance_cells,
)
from hyperreps.running.commands import UNPREFIXED, check_output, run


def main(
    *,
    compared: Annotated[Comparison, UNPREFIXED],
    output: Path,
) -> None:
    """Compares the methods of a table of accuracies pairwise and prints the result.

    Args:
        compared: What is tested, and how.
        output: CSV file to write; .tex and .html go beside it.
    """
    check_output(output, suffix=".csv")
    statistics = compared.statistics
    table = compare(compared.networks(), epochs=compared.epochs, statistics=statistics)
    text = make_table(
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
