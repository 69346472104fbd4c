"""Prints the tables of a finished run and says where its figures and report are."""

from pathlib import Path

import pandas as pd

from hyperreps.files.storage import DataFileError
from hyperreps.results.tables.accuracies import text_table
from hyperreps.running.commands import run

TABLES = ("in_distribution", "samplers", "transfer", "architectures")


def main(*, results: Path) -> None:
    """Prints the tables of accuracies and says where the other results are.

    Args:
        results: Folder of the run, such as results/demo.
    """
    tables = results / "tables"
    found = [path for name in TABLES if (path := tables / f"{name}.csv").exists()]
    if not found:
        raise DataFileError(f"{tables}: holds no table; run snakemake first")
    for path in found:
        print(f"=== {path.stem}\n\n{text_table(pd.read_csv(path))}\n")
    for path in (tables, results / "figures", results / "report.html"):
        if path.exists():
            print(f"{path.name.removesuffix('.html'):8} {path}")


if __name__ == "__main__":
    run(main)
