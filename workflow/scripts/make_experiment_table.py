"""Makes the table of an experiment: ensembles, reconstruction or properties.

Writes TABLE.csv (long form), TABLE.tex and TABLE.html, and prints the table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from hyperreps import experiment_tables
from hyperreps.commands import UNPREFIXED, run
from hyperreps.experiments import Experiment
from hyperreps.settings import SettingsError
from hyperreps.storage import replacing


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
    if table not in experiment_tables.TABLES:
        known = ", ".join(experiment_tables.TABLES)
        raise SettingsError(
            f"--table: unknown {table!r}; experiment_tables.py has {known}"
        )
    if output.suffix != ".csv":
        raise SettingsError(f"--output: {output} must end in .csv")
    form = experiment_tables.TABLES[table]
    summary, statistics = form.summarise(experiment), experiment.statistics
    texts = {
        ".html": experiment_tables.html_page(
            form, summary, statistics=statistics, seed=experiment.seed
        ),
        ".tex": experiment_tables.latex_table(form, summary, statistics=statistics),
        ".csv": summary.to_csv(index=False),
    }
    for suffix, text in texts.items():
        with replacing(output.with_suffix(suffix)) as temporary:
            temporary.write_text(text, encoding="utf-8")
    print(experiment_tables.text_table(form, summary))


if __name__ == "__main__":
    run(main)
