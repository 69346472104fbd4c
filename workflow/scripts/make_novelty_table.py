"""Makes the table of the audit: TABLE.csv (long form), TABLE.tex and TABLE.html."""

from __future__ import annotations

from pathlib import Path

from hyperreps.commands import run
from hyperreps.novelty_results import novelty_summary, read_audits
from hyperreps.novelty_tables import (
    novelty_caption,
    novelty_cells,
    novelty_notes,
    write_table,
)
from hyperreps.sections import Novelty
from hyperreps.settings import SettingsError, Statistics


def main(
    *,
    references: tuple[Path, ...],
    audits: tuple[Path, ...],
    settings: Novelty,
    statistics: Statistics,
    output: Path,
    seed: int = 0,
) -> None:
    """Makes the table of the audit and prints it.

    Args:
        references: Files of audit_references.py.
        audits: Files of audit.py, in the order of the config.
        settings: Accuracy bar and multiples.
        statistics: Of the confidence intervals.
        output: CSV file to write; .tex and .html go beside it.
        seed: Base seed of the bootstrap.
    """
    if output.suffix != ".csv":
        raise SettingsError(f"--output: {output} must end in .csv")
    summary = novelty_summary(
        read_audits(references, audits),
        settings=settings,
        statistics=statistics,
        seed=seed,
    )
    text = write_table(
        summary,
        lambda layout: novelty_cells(summary, layout, settings=settings),
        title="Is it new? Networks against their training networks",
        caption=lambda layout: novelty_caption(settings, statistics, layout),
        notes=novelty_notes(),
        output=output,
    )
    print(text)


if __name__ == "__main__":
    run(main)
