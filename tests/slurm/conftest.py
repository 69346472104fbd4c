"""A real cluster, and one run of the smoke DAG on it in which much goes wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from ..workflow.project import Finished, Project, edit, kill
from .cluster import Cluster, Job, started_cluster, wait_until, why_not

# the rest is what a cluster without an accounting database needs, and a test's hurry
COMMAND = (
    *("snakemake", "--profile", "slurm"),
    *("--slurm-status-command", "squeue"),
    *("--slurm-init-seconds-before-status-checks", "2"),
)
# auto asks Slurm for a GPU and, as the nodes have fake ones only, computes on the CPU
OVERLAY = {"compute": {"device": "auto"}}
STARVED = "rule_prepare_dataset_wildcards_digits"
CANCELLED = "rule_pretrain_wildcards_digits_baseline_1"
HUNG = "rule_sample_wildcards_digits_mean_top30"


@dataclass(frozen=True)
class SlurmRun:
    """The smoke DAG on the cluster.

    Attributes:
        project: Where it ran; not to be changed by tests.
        abandoned: Jobs in the queue after the snakemake of a first run was killed.
        locked: An attempt to go on at once.
        finished: The second run. Of its jobs, STARVED got too little memory at first,
            CANCELLED was cancelled once and HUNG stood still until its time was over.
        jobs: Those of the second run, by number.
    """

    project: Project
    abandoned: list[Job]
    locked: Finished
    finished: Finished
    jobs: list[Job]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Two CPU nodes and one GPU node."""
    if reason := why_not():
        pytest.skip(reason)
    with started_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def slurm_run(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> SlurmRun:
    """Runs `snakemake --profile slurm`, killed once, to its end."""
    project = Project.from_checkout(tmp_path_factory.mktemp("slurm") / "project")
    profile = project.root / "profiles" / "slurm" / "config.yaml"
    # what docs/slurm.md asks for, and one job that runs out of memory at first
    edit(profile, "# slurm_partition", "slurm_partition")
    starved = "  prepare_dataset:\n    mem_mb: 60 * 50 ** (attempt - 1)\n"
    edit(profile, "set-resources:\n", f"set-resources:\n{starved}")
    command = [*COMMAND, "--configfile", *project.configs(OVERLAY)]
    log = project.root / "head.log"

    def job(comment: str) -> Job | None:
        jobs = cluster.jobs(comment)
        return jobs[-1] if jobs else None

    def running(comment: str) -> str:
        """Waits for a job and returns its number."""

        def is_running() -> bool:
            assert process.poll() is None, log.read_text(encoding="utf-8")
            newest = job(comment)
            return newest is not None and newest.state == "RUNNING"

        wait_until(is_running, comment, cluster)
        return cluster.jobs(comment)[-1].number

    with project.started(command, log=log, **cluster.environment) as process:
        wait_until(lambda: job(STARVED) is not None, STARVED, cluster)
        kill(process)
    abandoned = cluster.jobs()
    locked = project.run(command, **cluster.environment)
    run = re.findall("SLURM run ID: (.*)", log.read_text(encoding="utf-8"))
    cluster.run("scancel", "--name", run[0])
    unlocked = project.smoke("--unlock")
    assert unlocked.code == 0, unlocked.output

    with project.started(command, log=log, **cluster.environment) as process:
        cluster.run("scancel", running(CANCELLED))
        hung = running(HUNG)
        cluster.run("scancel", "--signal=STOP", hung)
        cluster.run("scontrol", "update", f"JobId={hung}", "TimeLimit=1")
        code = process.wait()
    return SlurmRun(
        project=project,
        abandoned=abandoned,
        locked=locked,
        finished=Finished(code, log.read_text(encoding="utf-8")),
        jobs=cluster.jobs()[len(abandoned) :],
    )
