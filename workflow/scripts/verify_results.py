"""Makes all tables of the runs that are kept again, and compares."""

from __future__ import annotations

from pathlib import Path

from hyperreps.files.storage import DataFileError
from hyperreps.results import history
from hyperreps.results.keeping import redraw
from hyperreps.results.kept import check, other_texts, runs, texts, write_texts
from hyperreps.running.commands import run

PROJECT = Path(__file__).resolve().parents[2]


def main(
    *, folder: Path = PROJECT / "results" / "reference", rewrite: bool = False
) -> None:
    """Makes the numbers of all kept runs again, prints and counts what differs.

    Args:
        folder: Where runs are kept.
        rewrite: First write what follows from the kept numbers: texts, LaTeX, the table
            of statements, history, figures; for after a change of how they look.
    """
    kept = runs(folder)
    found = []
    for one in kept:
        if rewrite:
            write_texts(one.folder, texts(one.shown()))
            redraw(one)
        found += check(one)
        print(one.folder.name)
        for what, again in (("made again", True), ("not made again", False)):
            names = [made.file("") for made in one.made if made.again == again]
            print(f"  {what}: {', '.join(names) or 'none'}")
    page = history.texts(kept)
    if rewrite:
        write_texts(folder, page)
    found += other_texts(folder, page)
    for difference in found:
        print(difference)
    if found:
        raise DataFileError(f"{len(found)} differences, the first: {found[0]}")


if __name__ == "__main__":
    run(main)
