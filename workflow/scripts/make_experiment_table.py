"""Makes the table of an experiment: ensembles, reconstruction or properties.

Writes TABLE.csv (long form), TABLE.tex and TABLE.html, and prints the table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from hyperreps.experiment_tables import TABLES, html_page, latex_table, text_table
from hyperreps.experiments import Experiment
from hyperreps.running.commands import UNPREFIXED, check_choice, check_output, run
from hyperreps.tables import write_table


def main(
    *,
    table: str,
    experiment: Annotated[Experiment, UNPREFIXED],
    output: Path,
) -> None:
    """Makes the table of an experiment, with uncertainty and published numbers.

    Args:
        table: ensembles, reconstruction or properties: an entry of TABLES in
            experiment_tables.py.
        experiment: What is shown, and how.
        output: CSV file to write; .tex and .html go beside it.
    """
    check_choice("table", table, TABLES, module="experiment_tables.py")
    check_output(output, suffix=".csv")
    form = TABLES[table]
    summary, statistics = form.summarise(experiment), experiment.statistics
    page = html_page(form, summary, statistics=statistics, seed=experiment.seed)
    latex = latex_table(form, summary, statistics=statistics)
    write_table(summary, page=page, latex=latex, output=output)
    print(text_table(form, summary))


if __name__ == "__main__":
    run(main)
