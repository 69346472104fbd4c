"""A real Slurm cluster of virtual nodes on this machine, for the length of a test."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

PACKAGES = "slurmctld slurmd slurm-client munge"
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "munged")
CPU_NODES = ("cpu1", "cpu2")
GPU_NODE = "gpu1"
NODES = (*CPU_NODES, GPU_NODE)
GPUS = ("0", "1")
PATIENCE = 600  # seconds, of a busy machine

CONFIG = """\
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={root}/munge.socket
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.%n.pid
SlurmdSpoolDir={root}/spool.%n
StateSaveLocation={root}/state
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
ReturnToService=2
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
GresTypes=gpu
# there are no cgroups: memory is looked at once a second
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
KillWait=2
MinJobAge=3600
TaskProlog={root}/task_prolog
PartitionName=cpu Nodes={cpu_nodes} Default=YES
PartitionName=gpu Nodes={gpu_node}
"""
NODE = (
    "NodeName={name} NodeHostname={name} NodeAddr=127.0.0.1 Port={port}"
    " CPUs=2 RealMemory=64000"
)
# the GPUs are fake: after Slurm has said which, a real one must not be found
TASK_PROLOG = """\
#!/bin/sh
echo "$SLURM_JOB_ID,$CUDA_VISIBLE_DEVICES" >>{root}/tasks
echo export CUDA_VISIBLE_DEVICES=-1
"""


# snakemake's plugin keeps SLURM_CONF from the srun of a job
SRUN = """\
#!/bin/sh
SLURM_CONF={root}/slurm.conf exec {srun} "$@"
"""
# there is no accounting database: what sacct would say about a run is asked of squeue
SACCT = """\
#!/bin/sh
case "$*" in
*" --name "*) for name; do :; done; squeue -h --states=all -o "%i|%T" --name "$name" ;;
esac
"""


@dataclass(frozen=True)
class Job:
    """A job as `squeue` knows it; the metadata of a field is its code in --format.

    Attributes:
        number: Its id.
        comment: Rule and wildcards; snakemake's plugin writes it.
        state: RUNNING, COMPLETED, CANCELLED, TIMEOUT ...
        node: Where it ran.
        memory: What it asked for, with a unit.
        limit: Its time limit, minutes:seconds.
    """

    number: str
    comment: str
    state: str
    node: str
    memory: str
    limit: str


class Cluster:
    """A cluster that is up.

    Args:
        root: Folder of its configuration, logs and state.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        programs = (root / "bin", Path(sys.executable).parent, os.environ["PATH"])
        self.environment = {
            "SLURM_CONF": str(root / "slurm.conf"),
            "PATH": ":".join(map(str, programs)),
        }

    def run(self, *command: str) -> str:
        """Returns what a command of Slurm prints."""
        return subprocess.run(
            command,
            env=os.environ | self.environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    def jobs(self, comment: str = "") -> list[Job]:
        """Returns all jobs so far, by number, whose comment has this part."""
        lines = self.run(
            "squeue",
            "--noheader",
            "--states=all",
            "--sort=i",
            "--format=%i|%k|%T|%N|%m|%l",
        ).splitlines()
        jobs = [Job(*line.split("|")) for line in lines]
        return [job for job in jobs if comment in job.comment]

    def visible_gpus(self, job: Job) -> set[str]:
        """Returns the values of CUDA_VISIBLE_DEVICES that the tasks of a job saw."""
        lines = (self.root / "tasks").read_text(encoding="utf-8").splitlines()
        tasks = [line.split(",") for line in lines]
        return {gpus for number, gpus in tasks if number == job.number}

    def processes(self) -> list[psutil.Process]:
        """Returns its daemons, its jobs and all else that was started for it."""
        config = self.environment["SLURM_CONF"]
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                # slurmstepd has no environment, but slurmd's folder
                ours = process.environ().get("SLURM_CONF") == config
                if ours or process.cwd() == str(self.root):
                    found.append(process)
        return found


def why_not() -> str:
    """Returns why no cluster can be started here; empty if it can."""
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    if missing:
        return f"no {', '.join(missing)} (Debian's packages {PACKAGES})"
    return "" if os.geteuid() == 0 else "the daemons of Slurm need root"


@contextmanager
def started_cluster() -> Iterator[Cluster]:
    """Starts munged, slurmctld and a slurmd per node; nothing outlives the block."""
    with (
        # the path of a socket has to be short
        tempfile.TemporaryDirectory(prefix="slurm-", dir="/tmp") as folder,
        ExitStack() as stack,
    ):
        cluster = Cluster(Path(folder))
        config = cluster.environment["SLURM_CONF"]
        munge = {
            name: f"{folder}/munge.{name}"
            for name in ("socket", "pid-file", "key-file", "seed-file")
        }

        def start(log: str, *command: str) -> None:
            stack.enter_context(
                subprocess.Popen(
                    # ends with pytest even when that is killed
                    ["setpriv", "--pdeathsig", "KILL", *command],
                    cwd=folder,
                    env=os.environ | cluster.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=stack.enter_context((cluster.root / log).open("wb")),
                    stderr=subprocess.STDOUT,
                )
            )

        try:
            write_files(cluster.root)
            flags = [f"--{name}={path}" for name, path in munge.items()]
            start("munged.log", "munged", "--foreground", "--force", *flags)
            wait_until(Path(munge["socket"]).is_socket, "munged", cluster)
            start("slurmctld.log", "slurmctld", "-D", "-f", config)
            for node in NODES:
                start(f"slurmd.{node}.log", "slurmd", "-D", "-N", node, "-f", config)
            wait_until(lambda: idle(cluster) == set(NODES), "the nodes", cluster)
            yield cluster
        finally:
            end(cluster)


def write_files(root: Path) -> None:
    """Writes all that the daemons read."""
    controller, *ports = free_ports(1 + len(NODES))
    config = CONFIG.format(
        root=root,
        controller_port=controller,
        cpu_nodes=",".join(CPU_NODES),
        gpu_node=GPU_NODE,
    )
    for name, port in zip(NODES, ports, strict=True):
        config += NODE.format(name=name, port=port)
        config += f" Gres=gpu:{len(GPUS)}\n" if name == GPU_NODE else "\n"
    (root / "slurm.conf").write_text(config, encoding="utf-8")
    gres = ""
    for number in GPUS:
        device = root / f"nvidia{number}"
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))  # as /dev/null
        gres += f"NodeName={GPU_NODE} Name=gpu File={device}\n"
    (root / "gres.conf").write_text(gres, encoding="utf-8")
    (root / "munge.key-file").write_bytes(secrets.token_bytes(128))
    (root / "munge.key-file").chmod(0o600)
    for name in ("bin", "state", *(f"spool.{node}" for node in NODES)):
        (root / name).mkdir()
    scripts = {"task_prolog": TASK_PROLOG, "bin/srun": SRUN, "bin/sacct": SACCT}
    for name, text in scripts.items():
        script = text.format(root=root, srun=shutil.which("srun"))
        (root / name).write_text(script, encoding="utf-8")
        (root / name).chmod(0o755)


def free_ports(count: int) -> list[int]:
    """Returns ports that nobody listens to."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def idle(cluster: Cluster) -> set[str]:
    """Returns the nodes that wait for jobs."""
    try:
        lines = cluster.run("sinfo", "--noheader", "--Node", "--format=%N %T")
    except subprocess.SubprocessError:  # the controller does not answer yet
        return set()
    nodes = [line.split() for line in lines.splitlines()]
    return {name for name, state in nodes if state == "idle"}


def wait_until(condition: Callable[[], bool], what: str, cluster: Cluster) -> None:
    """Waits for a condition; fails with the logs of the daemons."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            logs = [
                f"{path.name}:\n{path.read_text(encoding='utf-8')[-2000:]}"
                for path in sorted(cluster.root.glob("*.log"))
            ]
            raise TimeoutError("\n".join([f"waited in vain for {what}", *logs]))
        time.sleep(0.2)


def end(cluster: Cluster) -> None:
    """Ends all that was started for a cluster, jobs included."""
    while processes := cluster.processes():
        for process in processes:
            with suppress(psutil.Error):
                process.terminate()
        _, stubborn = psutil.wait_procs(processes, timeout=2)
        for process in stubborn:
            with suppress(psutil.Error):
                process.kill()
