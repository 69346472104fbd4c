"""A clock that jumps: results from the future are refused, none is used when stale.

Setting the clock would disturb all else on this machine; the tests set what a jump
leaves, the times of files.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from ..workflow.project import (
    RESULTS,
    SMOKE,
    Project,
    assert_same_results,
    job_counts,
    wait_for,
)

DAY = 24 * 60 * 60  # seconds
# what the message says
REMEDY = f"find {RESULTS} -newermt now -exec touch {{}} +"
SAMPLES = f"{RESULTS}/samples/digits/S_KDE30.h5"
FINETUNED = f"{RESULTS}/finetuned/digits-digits/S_KDE30.h5"
TABLE = f"{RESULTS}/tables/in_distribution.csv"


def shift(path: Path, *, seconds: float) -> None:
    """Changes the times of a file, or of all files in a folder."""
    for file in [path] if path.is_file() else path.rglob("*.*"):
        time = file.stat().st_mtime + seconds
        os.utime(file, (time, time))


def test_results_from_the_future_are_refused(
    project: Project, finished: Project
) -> None:
    """The clock was a day ahead for a part of the run."""
    for stage in ("samples", "finetuned"):
        shift(project.results / stage, seconds=DAY)
    (project.root / TABLE).unlink()
    before = project.files()
    done = project.smoke(TABLE)
    assert done.code != 0
    [line] = [li for li in done.output.splitlines() if li.startswith("error: ")]
    assert f"error: {RESULTS}/" in line
    assert "hours ahead of the clock" in line
    assert REMEDY in line
    assert project.files() == before

    assert project.run(shlex.split(REMEDY)).code == 0
    done = project.smoke()
    assert done.code == 0, done.output
    # snakemake compares the contents of what is newer
    # and the numbers of the tables as LaTeX commands
    assert job_counts(done.output) == {"table_in_distribution": 1, "values": 1}
    assert_same_results(project, finished)


def test_nothing_stale_is_used_after_the_clock_was_set_right(project: Project) -> None:
    """A method changed: what was made of its samples looks newer, and is not."""
    shift(project.root / FINETUNED, seconds=DAY)
    shift(project.root / TABLE, seconds=DAY)
    assert project.run(shlex.split(REMEDY)).code == 0
    overlay = {"methods": {"S_KDE30": {"options": {"bandwidth": 0.5}}}}
    done = project.smoke(SAMPLES, "--cores", "1", overlay=overlay)
    assert done.code == 0, done.output
    assert job_counts(done.output) == {"sample": 1}
    assert project.planned(TABLE, overlay=overlay) == {
        "finetune": 1,
        "table_in_distribution": 1,
    }


def test_a_clock_that_is_set_back_during_a_run(
    project: Project, finished: Project
) -> None:
    (project.root / FINETUNED).unlink()
    (project.root / TABLE).unlink()
    command = ["python", "-m", "snakemake", TABLE, "--configfile", SMOKE]
    log = project.root.with_name("set back.log")
    with project.started(command, log=log) as process:
        wait_for(lambda: "rule finetune:" in log.read_text("utf-8"), "the job")
        shift(project.root / SAMPLES, seconds=DAY)
        assert process.wait() != 0
    output = log.read_text(encoding="utf-8")
    assert f"Output {FINETUNED} has older modification time" in output
    assert not (project.root / TABLE).exists()

    assert project.run(shlex.split(REMEDY)).code == 0
    done = project.smoke(TABLE)
    assert done.code == 0, done.output
    assert_same_results(project, finished)
