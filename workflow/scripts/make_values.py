"""Writes the numbers of a run as LaTeX commands: values.tex."""

from __future__ import annotations

from pathlib import Path

from hyperreps.files.storage import write_text
from hyperreps.results.values import latex_values
from hyperreps.running.commands import check_output, run


def main(*, tables: tuple[Path, ...], output: Path) -> None:
    """Writes a LaTeX command for every number of some tables.

    Args:
        tables: Their CSV files: of accuracies, reconstruction.csv, novelty.csv.
        output: LaTeX file to write.
    """
    check_output(output, suffix=".tex")
    write_text(output, latex_values(tables))


if __name__ == "__main__":
    run(main)
