"""Prints the table of a finished run and says where its figures and report are."""

from pathlib import Path

import pandas as pd

from hyperreps.commands import run
from hyperreps.storage import DataFileError
from hyperreps.tables import text_table


def main(*, results: Path) -> None:
    """Prints tables/in_distribution.csv and the folder's other results.

    Args:
        results: Folder of the run, such as results/demo.
    """
    table = results / "tables" / "in_distribution.csv"
    if not table.exists():
        raise DataFileError(f"{table}: no such file; run snakemake first")
    print(text_table(pd.read_csv(table)))
    print()
    for path in (table.parent, results / "figures", results / "report.html"):
        if path.exists():
            print(f"{path.name.removesuffix('.html'):8} {path}")


if __name__ == "__main__":
    run(main)
