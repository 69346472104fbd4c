"""Makes the table of the audit: TABLE.csv (long form), TABLE.tex and TABLE.html."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from hyperreps.novelty_results import Audits
from hyperreps.novelty_tables import (
    make_table,
    novelty_caption,
    novelty_cells,
    novelty_notes,
)
from hyperreps.running.commands import UNPREFIXED, check_output, run


def main(
    *,
    audited: Annotated[Audits, UNPREFIXED],
    output: Path,
) -> None:
    """Makes the table of the audit and prints it.

    Args:
        audited: What is shown, and how.
        output: CSV file to write; .tex and .html go beside it.
    """
    check_output(output, suffix=".csv")
    settings = audited.settings
    summary = audited.summary(audited.networks())
    text = make_table(
        summary,
        lambda layout: novelty_cells(summary, layout, settings=settings),
        title="Is it new? Networks against their training networks",
        caption=lambda layout: novelty_caption(settings, audited.statistics, layout),
        notes=novelty_notes(),
        output=output,
    )
    print(text)


if __name__ == "__main__":
    run(main)
