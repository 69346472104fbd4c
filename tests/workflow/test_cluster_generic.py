"""The profile for other schedulers, with simulated commands of PBS, LSF and SGE."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .project import RESULTS, SMOKE, Project, assert_same_arrays

PROFILE = "profiles/cluster-generic/config.yaml"
COMMAND = (
    *("snakemake", "--profile", "profiles/cluster-generic"),
    *("--seconds-between-status-checks", "1", "--max-status-checks-per-second", "10"),
)
PATIENCE = 120  # seconds to wait for a job on a busy machine

# jobs are folders, whose name is their number, of processes that run at once
SUBMIT = """
number=1
until mkdir {jobs}/$number 2>/dev/null; do number=$((number + 1)); done
job={jobs}/$number
echo "$0 $*" >$job/arguments
for script; do :; done
setsid sh -c '"$1"; echo $? >"$2/code"' sh "$script" $job >$job/log 2>&1 &
echo $! >$job/process
"""
CANCEL = """
for id; do
    job={jobs}/${{id%.server}}
    kill -KILL -$(cat $job/process) && echo 271 >$job/code
done
"""
SCHEDULERS = {
    "PBS": {
        "qsub": SUBMIT + "echo $number.server",
        "qdel": CANCEL,
        "qstat": """
[ "$1 $2" = "-x -f" ] || exit 2
job={jobs}/${{3%.server}}
[ -d $job ] || {{ echo "qstat: Unknown Job Id $3" >&2; exit 153; }}
printf 'Job Id: %s\\n    Job_Name = rule\\n' $3
[ -e $job/code ] || {{ echo "    job_state = R"; exit; }}
printf '    job_state = F\\n    Exit_status = %s\\n' $(cat $job/code)
""",
    },
    "LSF": {
        "bsub": SUBMIT + 'echo "Job <$number> is submitted to queue <workq>."',
        "bkill": CANCEL,
        "bjobs": """
[ "$1 $2 $3" = "-noheader -o stat" ] || exit 2
job={jobs}/$4
[ -d $job ] || {{ echo "Job <$4> is not found" >&2; exit 255; }}
[ -e $job/code ] || {{ echo RUN; exit; }}
[ $(cat $job/code) = 0 ] && echo DONE || echo EXIT
""",
    },
    "SGE": {
        "qsub": SUBMIT + "echo $number",
        "qdel": CANCEL,
        "qstat": """
[ -d {jobs}/$2 ] && ! [ -e {jobs}/$2/code ] && echo "job_number: $2"
""",
        "qacct": """
[ -e {jobs}/$2/code ] || {{ echo "error: job id $2 not found" >&2; exit 1; }}
printf 'jobnumber    %s\\nfailed       0\\nexit_status  %s\\n' $2 $(cat {jobs}/$2/code)
""",
    },
}


class Scheduler:
    """Simulated commands of a scheduler, and a project whose profile uses them.

    Args:
        name: Key of SCHEDULERS; sections of the profile begin with it.
        project: Its profile is changed as its comments say.
    """

    def __init__(self, name: str, project: Project) -> None:
        self.project = project
        self.jobs = project.root.with_name("jobs")
        self.programs = project.root.with_name("bin")
        for folder in (self.jobs, self.programs):
            folder.mkdir()
        for command, text in SCHEDULERS[name].items():
            program = self.programs / command
            program.write_text("#!/bin/sh\n" + text.format(jobs=self.jobs), "utf-8")
            program.chmod(0o755)
        path = (self.programs, Path(sys.executable).parent, os.environ["PATH"])
        self.environment = {"PATH": ":".join(map(str, path))}

        profile = project.root / PROFILE
        general, *sections = profile.read_text(encoding="utf-8").split("\n## ")
        (chosen,) = (section for section in sections if section.startswith(name))
        lines = (line.removeprefix("# ") for line in chosen.splitlines())
        commands = "\n".join(
            line for line in lines if line.startswith((" ", "cluster"))
        )
        profile.write_text(f"{general}\n{commands}\n", encoding="utf-8")

    def cancel(self, number: int) -> None:
        """Cancels a job as its user would."""
        command = "bkill" if (self.programs / "bkill").exists() else "qdel"
        subprocess.run([self.programs / command, str(number)], check=True)

    def arguments(self) -> list[str]:
        """Returns the command lines of submitted jobs, in their order."""
        folders = sorted(self.jobs.iterdir(), key=lambda path: int(path.name))
        return [(folder / "arguments").read_text("utf-8") for folder in folders]


def wait_for_a_job(log: Path) -> None:
    """Waits until snakemake says that it has submitted one."""
    deadline = time.monotonic() + PATIENCE
    while "with external jobid" not in log.read_text(encoding="utf-8"):
        assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
        time.sleep(0.05)


# how each scheduler is asked for the memory and time of the first and second attempt
REQUESTS = {
    "PBS": [("mem=4000mb", "walltime=3600"), ("mem=8000mb", "walltime=7200")],
    "LSF": [("-M 4000MB", "-W 60"), ("-M 8000MB", "-W 120")],
    "SGE": [("h_vmem=4000M", "h_rt=3600"), ("h_vmem=8000M", "h_rt=7200")],
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_cancelled_job_is_submitted_again_with_more(
    sources: Project, finished: Project, name: str
) -> None:
    scheduler = Scheduler(name, sources)
    command = [*COMMAND, "datasets", "--configfile", SMOKE]
    log = sources.root.with_name("log")
    with sources.started(command, log=log, **scheduler.environment) as process:
        wait_for_a_job(log)
        scheduler.cancel(1)
        assert process.wait() == 0, log.read_text(encoding="utf-8")
    requests = zip(scheduler.arguments(), REQUESTS[name], strict=True)
    for arguments, request in requests:
        assert all(part in arguments for part in request), arguments
    result = "datasets/digits.h5"
    assert_same_arrays(sources.results / result, finished.results / result)


def test_an_interrupted_snakemake_cancels_its_jobs(project: Project) -> None:
    scheduler = Scheduler("PBS", project)
    shard = f"{RESULTS}/zoos/digits/seeds_1_4.h5"
    # long enough not to end before it is cancelled
    overlay = {"zoos": {"digits": {"recipe": {"epochs": 1000}}}}
    command = [*COMMAND, shard, "--configfile", *project.configs(overlay)]
    log = project.root.with_name("log")
    with project.started(command, log=log, **scheduler.environment) as process:
        wait_for_a_job(log)
        process.send_signal(signal.SIGINT)
        assert process.wait() != 0
    (arguments,) = scheduler.arguments()
    assert ":ngpus=1 " in arguments
    job = scheduler.jobs / "1"
    assert (job / "code").read_text("utf-8") == "271\n"
    assert not (project.root / shard).exists()
