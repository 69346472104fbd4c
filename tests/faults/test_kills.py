"""Killed at any moment, as a whole or in one job, a run ends as if undisturbed.

`pytest tests/faults/test_kills.py --kills 20` kills a run 20 times.
"""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ..conftest import SmokeRun
from ..workflow.project import (
    RESULTS,
    SMOKE,
    Project,
    assert_same_results,
    job_counts,
    kill,
    wait_for,
)

SNAKEMAKE = ("python", "-m", "snakemake")
SETTINGS = ("--cores", "all", "--configfile", SMOKE)
SEED = 6
JOB = 4  # seconds that a job takes, more or less
# one of each kind; the scripts of jobs that make the first table
KILLED_JOBS = (
    *("train_zoo", "merge_zoo", "align_zoo", "pretrain"),
    *("sample", "finetune", "make_table"),
)
TABLE = f"{RESULTS}/tables/in_distribution.csv"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Makes one test of each kill."""
    if "moment" in metafunc.fixturenames:
        draws = random.Random(SEED)
        kills = metafunc.config.getoption("kills")
        # each at random within its part of the run
        moments = [(part + draws.random()) / kills for part in range(kills)]
        metafunc.parametrize("moment", moments, ids=lambda moment: f"{moment:.3f}")


def running_in(project: Project) -> list[psutil.Process]:
    """Returns the processes that run in the folder of a project."""
    found = psutil.process_iter(["cwd", "status"])
    return [
        process
        for process in found
        if process.info["cwd"] == str(project.root)
        and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


class KilledRun:
    """A run of the smoke DAG that is killed again and again on its way.

    Args:
        project: Where it runs.
        jobs: That the undisturbed run has.
    """

    def __init__(self, project: Project, *, jobs: int) -> None:
        self.project = project
        self.jobs = jobs
        self.finished = 0

    def kill_at(self, moment: float) -> None:
        """Goes on up to a moment and kills the run with all its jobs.

        Args:
            moment: 0: the start of the first job; 1: the end of the last.
        """
        jobs, rest = divmod(moment * self.jobs, 1)
        log = self.project.root.with_name("killed.log")
        if self.project.results.exists():
            assert self.project.smoke("--unlock").code == 0

        def finished() -> int:
            return log.read_text(encoding="utf-8").count("Finished jobid: ")

        def is_reached() -> bool:
            assert process.poll() is None, log.read_text(encoding="utf-8")
            started = "jobid: " in log.read_text(encoding="utf-8")
            return started and self.finished + finished() >= jobs

        with self.project.started((*SNAKEMAKE, *SETTINGS), log=log) as process:
            wait_for(is_reached, f"job {jobs}")
            time.sleep(rest * JOB)
            assert process.poll() is None
            kill(process)
        self.finished += finished()
        wait_for(lambda: not running_in(self.project), "the end of all jobs")


@pytest.fixture(scope="module")
def killed_run(
    smoke_run: SmokeRun, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KilledRun]:
    """A run from nothing, which the tests take on from one kill to the next."""
    root = tmp_path_factory.mktemp("killed") / "head"
    jobs = sum(job_counts(smoke_run.output).values())
    project = Project.from_checkout(root)
    yield KilledRun(project, jobs=jobs)
    shutil.rmtree(root)


def test_a_killed_run_is_run_again_and_ends_the_same(
    moment: float,
    killed_run: KilledRun,
    finished: Project,
    tmp_path: Path,
    tried: Counter[str],
) -> None:
    killed_run.kill_at(moment)
    project = killed_run.project.copy(tmp_path / "again")
    locked = project.smoke("--cores", "all")
    assert locked.code != 0
    assert "--unlock" in locked.output
    assert project.smoke("--unlock").code == 0
    done = project.smoke("--cores", "all")
    assert done.code == 0, done.output
    assert_same_results(project, finished)
    assert project.planned() == {}
    tried["kills: whole runs, ended the same"] += 1
    shutil.rmtree(project.root)


def kill_jobs(
    snakemake: psutil.Process, scripts: tuple[str, ...], finished: Project
) -> list[str]:
    """Kills the first job of each script, at a random moment of its first half.

    Returns:
        The scripts whose job was killed, when snakemake has ended.
    """
    draws = random.Random(SEED)
    waiting = {f"{script}.py": draws.random() / 2 for script in scripts}
    deadlines: dict[psutil.Process, tuple[float, str]] = {}
    killed = []
    while snakemake.is_running() and snakemake.status() != psutil.STATUS_ZOMBIE:
        for process in snakemake.children(recursive=True):
            try:
                words = process.cmdline()
            except psutil.Error:
                continue
            names = [Path(word).name for word in words[:2]]
            if names[:1] == ["python"] and names[1:] and names[1] in waiting:
                seconds = waiting.pop(names[1]) * job_seconds(finished, words)
                deadlines[process] = (time.monotonic() + seconds, names[1])
        for process in [
            p for p, (due, _) in deadlines.items() if due < time.monotonic()
        ]:
            _, name = deadlines.pop(process)
            process.kill()
            killed.append(name.removesuffix(".py"))
        time.sleep(0.02)
    return killed


def job_seconds(finished: Project, command: list[str]) -> float:
    """Returns how long a job took in the undisturbed run, from its benchmark."""
    output = Path(command[command.index("--output") + 1]).relative_to("results")
    benchmark = finished.root / "benchmarks" / output.with_suffix(".tsv")
    return float(benchmark.read_text(encoding="utf-8").splitlines()[1].split()[0])


def test_killed_jobs_are_tried_again(
    project: Project, finished: Project, tried: Counter[str]
) -> None:
    (project.results / "zoos" / "digits.h5").unlink()
    (project.root / TABLE).unlink()
    log = project.root.with_name("jobs.log")
    command = [*SNAKEMAKE, TABLE, "--retries", "1", *SETTINGS]
    with project.started(command, log=log) as process:
        killed = kill_jobs(psutil.Process(process.pid), KILLED_JOBS, finished)
        output = log.read_text(encoding="utf-8")
        assert process.wait() == 0, output
    assert sorted(killed) == sorted(KILLED_JOBS)
    assert output.count("Error in rule ") == len(KILLED_JOBS)
    assert_same_results(project, finished)
    tried["kills: single jobs, ended the same"] += len(killed)


def test_a_killed_job_ends_the_run_and_a_plain_rerun_goes_on(
    project: Project, finished: Project
) -> None:
    (project.results / "finetuned/digits-digits/S_KDE30.h5").unlink()
    (project.root / TABLE).unlink()
    log = project.root.with_name("jobs.log")
    with project.started([*SNAKEMAKE, TABLE, *SETTINGS], log=log) as process:
        killed = kill_jobs(psutil.Process(process.pid), ("finetune",), finished)
        output = log.read_text(encoding="utf-8")
        assert process.wait() != 0, output
    assert killed == ["finetune"]
    assert "Error in rule finetune" in output
    assert not (project.root / TABLE).exists()
    done = project.smoke(TABLE)
    assert done.code == 0, done.output
    assert_same_results(project, finished)


def test_of_two_runs_at_once_one_is_refused(
    project: Project, finished: Project
) -> None:
    (project.root / TABLE).unlink()
    logs = [project.root.with_name(f"{name}.log") for name in "ab"]
    command = [*SNAKEMAKE, TABLE, *SETTINGS]
    with (
        project.started(command, log=logs[0]) as first,
        project.started(command, log=logs[1]) as second,
    ):
        codes = [first.wait(), second.wait()]
    refused, made = (logs[codes.index(code)].read_text("utf-8") for code in (1, 0))
    assert "Directory cannot be locked" in refused
    assert "Finished jobid" not in refused
    assert job_counts(made) == {"table_in_distribution": 1}
    assert_same_results(project, finished)


def test_refused_runs_leave_the_lock_of_the_first(
    project: Project, finished: Project
) -> None:
    (project.root / TABLE).unlink()
    log = project.root.with_name("first.log")

    def has_started() -> bool:
        assert first.poll() is None, log.read_text(encoding="utf-8")
        return "jobid: " in log.read_text(encoding="utf-8")

    with project.started([*SNAKEMAKE, TABLE, *SETTINGS], log=log) as first:
        wait_for(has_started, "the first job")
        # stands still, so that it is there as long as it is needed
        for process in running_in(project):
            process.suspend()
        for _ in range(2):
            refused = project.smoke(TABLE)
            assert refused.code != 0
            assert "Directory cannot be locked" in refused.output
        for process in running_in(project):
            process.resume()
        assert first.wait() == 0, log.read_text(encoding="utf-8")
    assert_same_results(project, finished)
