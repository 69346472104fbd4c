"""A finished run on one page: report.html."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from hyperreps.config.config_files import read_config
from hyperreps.files.storage import write_text
from hyperreps.results.finished import Run
from hyperreps.results.report import page
from hyperreps.running import commands
from hyperreps.running.devices import this_machine

CAPTIONS = Path(__file__).resolve().parents[1] / "report"


def main(*, run: Annotated[Run, commands.UNPREFIXED]) -> None:
    """Writes a page with what was run, its claims, tables and figures.

    Args:
        run: With its tables and figures.
    """
    text = page(
        run,
        captions=CAPTIONS,
        config=read_config(run.results / "config.yaml"),
        machine=this_machine(),
    )
    output = run.results / "report.html"
    write_text(output, text)
    print(f"report   {output}")


if __name__ == "__main__":
    commands.run(main)
