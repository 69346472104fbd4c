"""Killed at any moment, as a whole or in one job, a run ends as if undisturbed.

And as if it had been cut into other shards: one run shows both.

`pytest tests/faults/test_kills.py --kills 20` kills a run 20 times.
"""

from __future__ import annotations

import random
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from ..workflow.project import (
    RESULTS,
    SMOKE,
    Finished,
    Project,
    assert_same_results,
    job_counts,
    kill,
    wait_for,
)

# the first waits for a whole run, killed or not
pytestmark = pytest.mark.timeout(1500)
SNAKEMAKE = ("python", "-m", "snakemake")
SETTINGS = ("--cores", "all", "--configfile", SMOKE)
SEED = 6
SHARDS = {"compute": {"shard_size": 3}}
# all kinds of jobs but that of a GAN, in a third of the jobs that the whole run has
TARGETS = ("table_transfer", "figure_novelty")
JOB = 4  # seconds that a job takes, more or less
# one of each kind; the scripts of jobs that make the table of transfer
KILLED_JOBS = (
    *("train_zoo", "merge_zoo", "align_zoo", "pretrain"),
    *("sample", "finetune", "make_table"),
)
TABLE = f"{RESULTS}/tables/in_distribution.csv"
# of two methods: few jobs of each kind
TRANSFER = f"{RESULTS}/tables/transfer.csv"


def running_in(project: Project) -> list[psutil.Process]:
    """Returns the processes that run in the folder of a project."""
    found = psutil.process_iter(["cwd", "status"])
    return [
        process
        for process in found
        if process.info["cwd"] == str(project.root)
        and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


@dataclass(frozen=True)
class KilledRun:
    """A run up to TARGETS from nothing, killed on its way and then ended.

    Attributes:
        project: Where it ran; not to be changed by tests.
        locked: An attempt to go on at once, after each kill.
        finished: What ended it, on one core.
    """

    project: Project
    locked: list[Finished]
    finished: Finished


@pytest.fixture(scope="module")
def killed_run(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KilledRun]:
    """Kills a run in equal parts of it, at a random moment of each."""
    kills = request.config.getoption("kills")
    draws = random.Random(SEED)
    project = Project.from_checkout(tmp_path_factory.mktemp("killed") / "project")
    jobs = sum(project.planned(*TARGETS, overlay=SHARDS).values())
    locked, finished = [], 0
    for part in range(kills):
        finished += kill_at((part + draws.random()) / kills * jobs - finished, project)
        locked.append(project.smoke(*TARGETS, "--cores", "all", overlay=SHARDS))
        assert project.smoke("--unlock", overlay=SHARDS).code == 0
    done = project.smoke(*TARGETS, "--cores", "1", overlay=SHARDS)
    yield KilledRun(project, locked, done)
    shutil.rmtree(project.root)


def kill_at(moment: float, project: Project) -> int:
    """Goes on with a run up to a moment and kills it with all its jobs.

    Args:
        moment: Jobs that have to end before, with a part of the next one.
        project: Where it runs.

    Returns:
        Jobs that ended before the kill.
    """
    log = project.root.with_name("killed.log")
    jobs, rest = divmod(max(moment, 0), 1)

    def finished() -> int:
        return log.read_text(encoding="utf-8").count("Finished jobid: ")

    def is_reached() -> bool:
        assert process.poll() is None, log.read_text(encoding="utf-8")
        started = "jobid: " in log.read_text(encoding="utf-8")
        return started and finished() >= jobs

    options = ("--cores", "all", "--configfile", *project.configs(SHARDS))
    command = (*SNAKEMAKE, *TARGETS, *options)
    with project.started(command, log=log) as process:
        wait_for(is_reached, f"job {jobs}")
        time.sleep(rest * JOB)
        assert process.poll() is None
        kill(process)
    wait_for(lambda: not running_in(project), "the end of all jobs")
    return finished()


def test_a_killed_run_says_how_to_unlock_it(killed_run: KilledRun) -> None:
    for locked in killed_run.locked:
        assert locked.code != 0
        assert "--unlock" in locked.output


def test_a_run_that_was_killed_ends_the_same(
    killed_run: KilledRun, finished: Project, tried: Counter[str]
) -> None:
    assert killed_run.finished.code == 0, killed_run.finished.output
    assert_same_results(killed_run.project, finished, TARGETS)
    assert killed_run.project.planned(*TARGETS, overlay=SHARDS) == {}
    tried["kills: whole runs, ended the same"] += len(killed_run.locked)


def test_results_do_not_depend_on_shards_and_cores(
    killed_run: KilledRun, finished: Project
) -> None:
    """The same run had three shards of a zoo, not two, and ended on one core."""
    logs = killed_run.project.root / "logs/smoke/zoos/digits"
    shards = {path.stem for path in logs.glob("seeds_*.log")}
    assert shards == {"seeds_1_3", "seeds_4_6", "seeds_7_8"}
    assert_same_results(killed_run.project, finished, TARGETS)


def kill_jobs(
    snakemake: psutil.Process, scripts: tuple[str, ...], finished: Project
) -> list[str]:
    """Kills the first job of each script, at a random moment of its first half.

    Returns:
        The scripts whose job was killed, when snakemake has ended.
    """
    draws = random.Random(SEED)
    waiting = {f"{script}.py": draws.random() / 2 for script in scripts}
    started: dict[psutil.Process, tuple[float, str]] = {}
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
                started[process] = (seconds, names[1])
        for process in [
            p for p, (due, _) in started.items() if sum(p.cpu_times()[:2]) > due
        ]:
            _, name = started.pop(process)
            process.kill()
            killed.append(name.removesuffix(".py"))
        time.sleep(0.02)
    return killed


def job_seconds(finished: Project, command: list[str]) -> float:
    """Returns the CPU time of a job in the undisturbed run, from its log."""
    output = Path(command[command.index("--output") + 1]).relative_to("results")
    log = finished.root / "logs" / output.with_suffix(".log")
    (found,) = re.findall(r"done: (\S+) s of CPU time", log.read_text("utf-8"))
    return float(found)


def test_killed_jobs_are_tried_again(
    project: Project, finished: Project, tried: Counter[str]
) -> None:
    log = project.root.with_name("jobs.log")
    anew = ("--forcerun", "train_zoo", "--retries", "1")
    command = [*SNAKEMAKE, TRANSFER, *anew, *SETTINGS]
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
    # by the lock; or, before it asks for that, by a file that the other is replacing
    assert re.search("Directory cannot be locked|a concurrent process has del", refused)
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
