"""Makes a table of accuracies with uncertainty, ours beside the published ones.

Writes TABLE.csv (long form, accuracies in [0, 1]) and beside it TABLE.tex and
TABLE.html (in percent), and prints the table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from hyperreps import tables
from hyperreps.evaluations import Comparison, load_published
from hyperreps.numbers.statistics import summarise
from hyperreps.running.commands import UNPREFIXED, check_output, run


def main(
    *,
    compared: Annotated[Comparison, UNPREFIXED],
    published: Path,
    output: Path,
    table: str = "in_distribution",
) -> None:
    """Makes a table of accuracies with uncertainty, ours beside the published ones.

    Args:
        compared: What is shown, and how.
        published: YAML file of the published numbers.
        output: CSV file to write; .tex and .html go beside it.
        table: Table of the YAML file to compare with.
    """
    check_output(output, suffix=".csv")
    paper = load_published(published, table=table)
    statistics = compared.statistics
    summary = summarise(
        compared.networks(),
        epochs=compared.epochs,
        published=paper,
        statistics=statistics,
    )
    page = tables.html_page(
        summary,
        methods=compared.methods(),
        statistics=statistics,
        seed=compared.seed,
        title=f"Accuracy of sampled networks: {table.replace('_', ' ')}",
    )
    latex = tables.latex_table(summary, statistics=statistics)
    tables.write_table(summary, page=page, latex=latex, output=output)
    print(tables.text_table(summary))


if __name__ == "__main__":
    run(main)
