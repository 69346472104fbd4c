"""A finished run: where its files are, what made them, and what its jobs took."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from ..files.storage import DataFileError, read_text, reading_from

# of a log: its first line, which says how its job was started, and its last one
COMMAND, DONE = "command: ", "done: "
TIMED = re.compile(r"^\d\d:\d\d:\d\d ")
LINE = 200  # characters of a log's line
FOLDERS = re.compile(r"(?<![\w.])/(?:[^\s/]+/)+")  # of this machine


@dataclass
class Run:
    """Where a finished run left its files.

    Attributes:
        results: Folder of the run, such as results/demo.
        logs: Of the run; logs/EXPERIMENT beside results if not given.
        benchmarks: Of the run; benchmarks/EXPERIMENT beside results if not given.
    """

    results: Path
    logs: Path = Path()
    benchmarks: Path = Path()

    def __post_init__(self) -> None:
        folder = self.results.resolve()
        for name in ("logs", "benchmarks"):
            if getattr(self, name) == Path():
                setattr(self, name, folder.parents[1] / name / folder.name)


def known_of(run: Run, jobs: pd.DataFrame) -> dict[str, Any]:
    """Returns commit, versions, times and hours of a run, and those of its stages.

    Args:
        run: The run.
        jobs: As read_jobs() returns them.
    """
    return {**_provenance(run.results), **_times(run), **_stages(jobs)}


def read_jobs(run: Run) -> pd.DataFrame:
    """Reads what every job took, and the last thing it said.

    Returns:
        One row per job that has a log or a benchmark: job (stage and name), finished,
        seconds, cpu_seconds, memory_mb (largest resident set), log.
    """
    logs, took = _by_job(run.logs, ".log"), _by_job(run.benchmarks, ".tsv")
    rows = []
    for job in sorted(logs.keys() | took.keys()):
        numbers = [np.nan] * 3
        if job in took:
            last = pd.read_csv(took[job], sep="\t").iloc[-1]
            numbers = [last["s"], last["cpu_time"], last["max_rss"]]
        said = _last_said(logs[job]) if job in logs else ""
        rows.append((job, job in took, *numbers, said))
    columns = ["job", "finished", "seconds", "cpu_seconds", "memory_mb", "log"]
    return pd.DataFrame(rows, columns=columns)


def _by_job(folder: Path, suffix: str) -> dict[str, Path]:
    found = folder.rglob(f"*{suffix}")
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in found}


def _last_said(log: Path) -> str:
    """Returns the last line with a time that not every log has, else any last one."""
    lines = [line for line in read_text(log).splitlines() if line.strip()]
    timed = [TIMED.sub("", line) for line in lines if TIMED.match(line)]
    own = [line for line in timed if not line.startswith((COMMAND, DONE))]
    return FOLDERS.sub("", (own or timed or lines or [""])[-1])[:LINE]


def _provenance(results: Path) -> dict[str, Any]:
    """Returns the commit and the versions that made the files of a run."""
    found: dict[str, set[str]] = {"commit": set()}
    for path in sorted(results.rglob("*.h5")):
        with reading_from(path), h5py.File(path, "r", locking=False) as file:
            known = json.loads(file.attrs.get("versions", "{}"))
            known["commit"] = str(file.attrs.get("git_commit", "unknown"))
        for name, value in known.items():
            found.setdefault(name, set()).add(value)
    joined = {name: ", ".join(sorted(values)) for name, values in found.items()}
    return {"commit": joined.pop("commit"), "versions": joined}


def _times(run: Run) -> dict[str, str]:
    """Returns when the first and the last job of a run ended."""
    times = [path.stat().st_mtime for path in run.benchmarks.rglob("*.tsv")]
    if not times:
        raise DataFileError(f"{run.benchmarks}: no benchmark there; give their folder")
    first, last = (
        f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M} UTC"
        for time in (min(times), max(times))
    )
    return {"first_job_done": first, "last_job_done": last}


def _stages(jobs: pd.DataFrame) -> dict[str, Any]:
    """Returns jobs, hours and core-hours of a run and of each of its stages."""
    done = jobs[jobs["finished"]]
    parts = done.groupby(done["job"].str.partition("/")[0], sort=False)
    return {
        **_sums(done),
        "stages": {str(stage): _sums(part) for stage, part in parts},
        "not_finished": jobs.loc[~jobs["finished"], "job"].tolist(),
    }


def _sums(jobs: pd.DataFrame) -> dict[str, Any]:
    took = jobs[["seconds", "cpu_seconds"]].sum() / 3600
    hours, core_hours = (round(float(x), 4) for x in took)
    return {"jobs": len(jobs), "hours": hours, "core_hours": core_hours}
