"""Makes the table of an experiment: ensembles, reconstruction or properties.

Writes TABLE.csv (long form), TABLE.tex and TABLE.html, and prints the table.
"""

from __future__ import annotations

from pathlib import Path

from hyperreps import commands, experiment_tables
from hyperreps.settings import SettingsError, Statistics
from hyperreps.storage import replacing


def main(
    *,
    table: str,
    inputs: tuple[Path, ...],
    published: Path,
    output: Path,
    statistics: Statistics,
    seed: int = 0,
) -> None:
    """Makes the table of an experiment, with uncertainty and published numbers.

    Args:
        table: ensembles, reconstruction or properties: an entry of TABLES in
            experiment_tables.py.
        inputs: HDF5 files of the stage of the experiment.
        published: YAML file of the published numbers.
        output: CSV file to write; .tex and .html go beside it.
        statistics: Of the confidence intervals.
        seed: Base seed of the bootstrap.
    """
    if table not in experiment_tables.TABLES:
        known = ", ".join(experiment_tables.TABLES)
        raise SettingsError(
            f"--table: unknown {table!r}; experiment_tables.py has {known}"
        )
    if output.suffix != ".csv":
        raise SettingsError(f"--output: {output} must end in .csv")
    form = experiment_tables.TABLES[table]
    summary = form.summarise(
        inputs, published=published, statistics=statistics, seed=seed
    )
    texts = {
        ".html": experiment_tables.html_page(
            form, summary, statistics=statistics, seed=seed
        ),
        ".tex": experiment_tables.latex_table(form, summary, statistics=statistics),
        ".csv": summary.to_csv(index=False),
    }
    for suffix, text in texts.items():
        with replacing(output.with_suffix(suffix)) as temporary:
            temporary.write_text(text, encoding="utf-8")
    print(experiment_tables.text_table(form, summary))


if __name__ == "__main__":
    commands.run(main)
