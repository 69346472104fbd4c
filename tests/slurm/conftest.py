"""A real cluster, and one run of the smoke DAG on it in which much goes wrong."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from ..workflow.project import RESULTS, Finished, Project, edit, kill
from .cluster import Cluster, Job, started_cluster, wait_until, why_not

# the rest is a test's hurry
COMMAND = (
    *("snakemake", "--profile", "slurm"),
    *("--slurm-init-seconds-before-status-checks", "2"),
    *("--max-status-checks-per-second", "10"),
)
# auto asks Slurm for a GPU and, as the nodes have fake ones only, computes on the CPU
OVERLAY = {"compute": {"device": "auto"}}
# jobs of every kind, few of each: only the samples of a GAN need one to be trained
TARGETS = ("table_transfer", "figure_novelty")
GAN = f"{RESULTS}/samples/digits/S_GAN30.h5"
STARVED = "rule_prepare_dataset_wildcards_digits"
CANCELLED = "rule_pretrain_wildcards_digits_normalized_1"
HUNG = "rule_sample_wildcards_digits_mean_top30"
HANG = """\
import sys
import time
from pathlib import Path

if "mean_top30" in sys.argv and not Path({marker!r}).exists():
    Path({marker!r}).touch()
    time.sleep(600)
"""


@dataclass(frozen=True)
class SlurmRun:
    """The smoke DAG up to TARGETS and GAN on the cluster.

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


def disturb(cluster: Cluster, head: subprocess.Popen) -> None:
    """Cancels one job and gives another a minute, each as soon as it runs."""

    def cancel(job: Job) -> None:
        cluster.run("scancel", job.number)

    def limit(job: Job) -> None:
        cluster.run("scontrol", "update", f"JobId={job.number}", "TimeLimit=1")

    waiting = {CANCELLED: cancel, HUNG: limit}

    def all_are_disturbed() -> bool:
        for job in cluster.jobs():
            if job.state == "RUNNING" and job.comment in waiting:
                waiting.pop(job.comment)(job)
        return not waiting or head.poll() is not None

    wait_until(all_are_disturbed, " and ".join(waiting), cluster)


@pytest.fixture(scope="session")
def slurm_run(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> SlurmRun:
    """Runs `snakemake --profile slurm`, killed once, to its end."""
    project = Project.from_checkout(tmp_path_factory.mktemp("slurm") / "project")
    profile = project.root / "profiles" / "slurm" / "config.yaml"
    # what docs/slurm.md asks for, and one job that runs out of memory at first
    edit(profile, "# slurm_partition", "slurm_partition")
    starved = "  prepare_dataset:\n    mem_mb: 60 * 50 ** (attempt - 1)\n"
    edit(profile, "set-resources:\n", f"set-resources:\n{starved}")
    # the first attempt of one job stands still
    marker = project.root.with_name("has hung")
    script = project.root / "workflow" / "scripts" / "sample.py"
    edit(script, "from pathlib import Path\n", HANG.format(marker=str(marker)))
    command = [*COMMAND, *TARGETS, GAN, "--configfile", *project.configs(OVERLAY)]
    log = project.root / "head.log"

    with project.started(command, log=log, **cluster.environment) as process:
        wait_until(lambda: bool(cluster.jobs(STARVED)), STARVED, cluster)
        kill(process)
    abandoned = cluster.jobs()
    locked = project.run(command, **cluster.environment)
    run = re.findall("SLURM run ID: (.*)", log.read_text(encoding="utf-8"))
    cluster.run("scancel", "--name", run[0])
    unlocked = project.smoke("--unlock")
    assert unlocked.code == 0, unlocked.output

    with project.started(command, log=log, **cluster.environment) as process:
        disturb(cluster, process)
        code = process.wait()
    return SlurmRun(
        project=project,
        abandoned=abandoned,
        locked=locked,
        finished=Finished(code, log.read_text(encoding="utf-8")),
        jobs=cluster.jobs()[len(abandoned) :],
    )
