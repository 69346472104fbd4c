"""A finished run on one page: report.html."""

from __future__ import annotations

from pathlib import Path

from hyperreps.config.config_files import read_config
from hyperreps.files.storage import write_text
from hyperreps.results.keeping import Run
from hyperreps.results.report import page
from hyperreps.running.commands import run
from hyperreps.running.devices import this_machine

CAPTIONS = Path(__file__).resolve().parents[1] / "report"


def main(
    *, results: Path, logs: Path | None = None, benchmarks: Path | None = None
) -> None:
    """Writes a page with what was run, its claims, tables and figures.

    Args:
        results: Folder of the run, such as results/demo.
        logs: Of the run; logs/EXPERIMENT beside results if not given.
        benchmarks: Of the run; benchmarks/EXPERIMENT beside results if not given.
    """
    text = page(
        Run.beside(results, logs, benchmarks),
        captions=CAPTIONS,
        config=read_config(results / "config.yaml"),
        machine=this_machine(),
    )
    output = results / "report.html"
    write_text(output, text)
    print(f"report   {output}")


if __name__ == "__main__":
    run(main)
