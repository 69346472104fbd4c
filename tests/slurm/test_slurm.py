"""The whole DAG on a real cluster: where its jobs run, and what survives trouble."""

from __future__ import annotations

import shlex
from collections import Counter

import psutil
import pytest

from ..workflow.project import (
    SMOKE,
    TRACEBACK,
    Project,
    assert_same_results,
)
from .cluster import (
    CPU_NODES,
    GPU_NODE,
    GPUS,
    Cluster,
    started_cluster,
    wait_until,
    why_not,
)
from .conftest import CANCELLED, COMMAND, HUNG, STARVED, TARGETS, SlurmRun

# the first test waits for the whole run
pytestmark = [pytest.mark.slurm, pytest.mark.timeout(1500)]
GPU_RULES = ("train_zoo", "pretrain", "train_jump", "finetune")
# a job of Slurm for each job of the DAG, but for two groups
JOBS = {
    "prepare_dataset": 1,
    "train_zoo": 2,
    "zoo": 1,  # merge_zoo, with align_zoo
    "pretrain": 4,
    "train_gan": 2,
    "train_jump": 2,
    "sample": 15,
    "finetune": 7,
    "audit_references": 1,
    "audit": 3,
}
# tables and figures: as many at a time as are ready
RESULTS = "results"


def test_all_jobs_run_and_only_the_disturbed_ones_twice(
    slurm_run: SlurmRun, tried: Counter[str]
) -> None:
    tried["Slurm: jobs run"] += len(slurm_run.jobs)
    assert slurm_run.finished.code == 0, slurm_run.finished.output
    completed = [job.comment for job in slurm_run.jobs if job.state == "COMPLETED"]
    assert len(set(completed)) == len(completed)
    kinds = Counter(kind_of(name) for name in completed)
    assert 1 <= kinds.pop(RESULTS) <= len(TARGETS)
    assert kinds == JOBS
    failed = {
        job.comment: job.state for job in slurm_run.jobs if job.state != "COMPLETED"
    }
    # Slurm with cgroups says OUT_OF_MEMORY
    assert failed == {STARVED: "FAILED", CANCELLED: "CANCELLED", HUNG: "TIMEOUT"}
    assert len(slurm_run.jobs) == len(completed) + len(failed)


def kind_of(comment: str) -> str:
    """Returns the rule or group that a job of Slurm runs."""
    longest_first = sorted((*JOBS, RESULTS), key=len, reverse=True)
    return next(kind for kind in longest_first if comment.startswith(f"rule_{kind}_"))


@pytest.mark.parametrize("rule", JOBS)
def test_training_runs_on_gpus_and_all_else_elsewhere(
    slurm_run: SlurmRun, cluster: Cluster, rule: str
) -> None:
    for job in slurm_run.jobs:
        if kind_of(job.comment) != rule:
            continue
        if rule in GPU_RULES:
            assert job.node == GPU_NODE
            # one of the two, the same in all tasks of the job
            assert len(cluster.visible_gpus(job)) == 1
            assert cluster.visible_gpus(job) <= set(GPUS)
        else:
            assert job.node in CPU_NODES
            assert not cluster.visible_gpus(job) & set(GPUS)


@pytest.mark.parametrize(
    ("comment", "memory", "limit"),
    [
        pytest.param(STARVED, ["60M", "3000M"], ["1:00:00", "2:00:00"], id="memory"),
        pytest.param(HUNG, ["8000M", "16000M"], ["1:00", "2:00:00"], id="time"),
        pytest.param(
            CANCELLED, ["8000M", "16000M"], ["12:00:00", "1-00:00:00"], id="scancel"
        ),
    ],
)
def test_a_job_is_submitted_again_with_more(
    slurm_run: SlurmRun, comment: str, memory: list[str], limit: list[str]
) -> None:
    jobs = [job for job in slurm_run.jobs if job.comment == comment]
    assert [job.memory for job in jobs] == memory
    assert [job.limit for job in jobs] == limit
    assert f"SLURM-job '{jobs[0].number}' failed" in slurm_run.finished.output


def test_results_are_those_of_a_local_run(
    slurm_run: SlurmRun, finished: Project
) -> None:
    assert_same_results(slurm_run.project, finished, TARGETS)


def test_jobs_outlive_a_killed_snakemake_and_nothing_is_run_beside_them(
    slurm_run: SlurmRun,
) -> None:
    assert [job.comment for job in slurm_run.abandoned] == [STARVED]
    assert slurm_run.locked.code != 0
    assert "--unlock" in slurm_run.locked.output


def test_a_job_that_never_succeeds_is_reported(
    cluster: Cluster, sources: Project
) -> None:
    command = [*COMMAND, "datasets", "--configfile", SMOKE, "--retries", "0"]
    starved = ["--set-resources", "prepare_dataset:mem_mb=60"]
    before = cluster.jobs()
    done = sources.run([*command, *starved], **cluster.environment)
    assert done.code != 0
    jobs = cluster.jobs()[len(before) :]
    assert [job.state for job in jobs] == ["FAILED"]
    assert f"SLURM-job '{jobs[0].number}' failed" in done.output
    assert f"slurm_logs/rule_prepare_dataset/digits/{jobs[0].number}.log" in done.output
    assert TRACEBACK not in done.output


@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_nothing_outlives_the_cluster() -> None:
    def processes() -> set[int]:
        found = psutil.process_iter(["name", "cmdline", "status"])
        return {
            process.pid
            for process in found
            if (
                process.info["status"] != psutil.STATUS_ZOMBIE
                and process.info["name"].startswith(("slurm", "munge"))
            )
            or process.info["cmdline"] == sleep
        }

    sleep = ["sleep", "4321"]

    def use_and_fail() -> None:
        with started_cluster() as cluster:
            clusters.append(cluster)
            cluster.run(
                "sbatch", "--output=/dev/null", "--wrap", f"srun {shlex.join(sleep)}"
            )
            wait_until((cluster.root / "tasks").exists, "a job", cluster)
            assert len(processes() - before) > len(CPU_NODES)
            raise RuntimeError("on purpose")

    before = processes()
    clusters: list[Cluster] = []
    with pytest.raises(RuntimeError, match="on purpose"):
        use_and_fail()
    assert processes() <= before
    assert not clusters[0].root.exists()
