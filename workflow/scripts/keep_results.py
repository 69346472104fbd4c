"""Keeps a finished run in the repository: a copy small enough to clone."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

from hyperreps.config.config_files import read_config
from hyperreps.config.needs import missing_results
from hyperreps.files.storage import DataFileError
from hyperreps.results import history
from hyperreps.results.finished import Run
from hyperreps.results.keeping import keep
from hyperreps.results.kept import check, runs, texts, write_texts
from hyperreps.running import commands
from hyperreps.running.devices import this_machine

PROJECT = Path(__file__).resolve().parents[2]


def main(
    *,
    run: Annotated[Run, commands.UNPREFIXED],
    name: str = "",
    folder: Path = PROJECT / "results" / "reference",
    machine: str = "",
    note: str = "",
) -> None:
    """Keeps the results of a finished run, and what its tables are made from.

    Everything is made again from the copy and compared before it is kept.

    Args:
        run: With its tables.
        name: Of the copy; today's date and the experiment if not given.
        folder: Where runs are kept.
        machine: What it ran on; this machine if not given.
        note: What a reader of its numbers has to know.
    """
    config = read_config(run.results / "config.yaml")
    name = name or f"{datetime.now(UTC):%Y-%m-%d}_{config['experiment']}"
    target = folder / name
    if target.exists():
        raise DataFileError(f"{target}: is there already; give another --name")
    about: dict[str, Any] = {
        "experiment": config["experiment"],
        "seed": config["seed"],
        "note": note,
        "machine": machine or this_machine(),
        "snakemake": version("snakemake"),
        "missing": missing_results(run.results, config),
    }
    part = folder / f".{name}.tmp"
    shutil.rmtree(part, ignore_errors=True)
    try:
        kept = keep(
            run,
            part,
            published=PROJECT / "config" / "published.yaml",
            about=about,
        )
        write_texts(part, texts(kept.shown()))
        for difference in check(kept):
            raise DataFileError(f"{difference}; make the tables of the run again")
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    write_texts(folder, history.texts(runs(folder)))
    size = sum(p.stat().st_size for p in target.rglob("*") if p.is_file())
    print(f"{target}: {size / 1e6:.1f} MB, and {folder / 'README.md'}")


if __name__ == "__main__":
    commands.run(main)
