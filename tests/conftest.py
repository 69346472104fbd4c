"""What several folders of tests start from, and which tests run beside which.

Tests run side by side, a worker more than there are cores, as some wait most of the
time: for Slurm, for a run that is killed. Those of a file stay together, as they share
what it makes once. `-n 0` runs one after the other.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import requests
from filelock import FileLock

from .workflow.project import SMOKE, Project

# the longest files first: the short ones even out the end
LONGEST = (
    *("slurm/", "faults/test_kills", "faults/test_damaged", "faults/", "workflow/"),
    *("fuzz/", "stages/", ""),
)
WAIT = 1500  # seconds: for the smoke run, which another worker may be at


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds how often tests/faults kills a run."""
    help_ = "how many times a whole run is killed (tests/faults/test_kills.py)"
    parser.addoption("--kills", type=int, default=2, help=help_)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Returns how many workers run side by side."""
    return len(os.sched_getaffinity(0)) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest first, and lets tests wait for the smoke run."""

    def rank(item: pytest.Item) -> int:
        name = str(item.path.relative_to(Path(__file__).parent))
        return next(i for i, start in enumerate(LONGEST) if name.startswith(start))

    items.sort(key=rank)
    for item in items:
        if "smoke_run" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(WAIT))


counted = pytest.StashKey[Counter[str]]()


@pytest.fixture(scope="session")
def tried(request: pytest.FixtureRequest) -> Counter[str]:
    """Counts what was tried and what came of it; shown after all tests."""
    return request.config.stash.setdefault(counted, Counter())


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hands the counts of a worker to the process that shows them."""
    if hasattr(session.config, "workeroutput"):
        counts = session.config.stash.get(counted, Counter[str]())
        session.config.workeroutput["tried"] = dict(counts)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Adds the counts of a worker that has ended."""
    counts = node.config.stash.setdefault(counted, Counter())
    counts.update(getattr(node, "workeroutput", {}).get("tried", {}))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Prints the counts."""
    counts = config.stash.get(counted, Counter[str]())
    if counts:
        terminalreporter.section("what was tried")
        for name, number in sorted(counts.items()):
            terminalreporter.write_line(f"{number:8} {name}")


@dataclass(frozen=True)
class SmokeRun:
    """The whole smoke DAG, run once.

    Attributes:
        project: Where it ran; not to be changed by tests.
        output: What snakemake printed.
        wall: Seconds that it took.
        cpu: Seconds that all its processes computed.
    """

    project: Project
    output: str
    wall: float
    cpu: float


def children_seconds() -> float:
    """Returns the CPU time of all processes that this one has waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory: pytest.TempPathFactory) -> SmokeRun:
    """Runs `snakemake --cores all --configfile config/smoke.yaml` from nothing.

    Of several workers, the first that needs it runs it, for all.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    root = shared / "smoke run" / "the project"
    report = shared / "smoke run" / "report.json"
    with FileLock(shared / "smoke run.lock"):
        if not report.exists():
            # a run that failed is not tried again
            assert not root.exists(), f"failed in another worker: {root}"
            project = Project.from_checkout(root)
            wall, cpu = time.monotonic(), children_seconds()
            # as a user starts it: its time is a promise
            words = ("--cores", "all", "--configfile", SMOKE)
            done = project.run(["python", "-m", "snakemake", *words])
            assert done.code == 0, done.output
            seconds = (time.monotonic() - wall, children_seconds() - cpu)
            report.write_text(json.dumps([done.output, *seconds]), encoding="utf-8")
    return SmokeRun(Project(root), *json.loads(report.read_text(encoding="utf-8")))


@pytest.fixture(scope="session")
def finished(smoke_run: SmokeRun) -> Project:
    """The finished smoke run, to read from."""
    return smoke_run.project


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Iterator[Project]:
    """A copy of the finished smoke run, to change at will."""
    yield finished.copy(tmp_path / "a project")
    shutil.rmtree(tmp_path / "a project")


@pytest.fixture
def sources(tmp_path: Path) -> Project:
    """A copy of the project in which nothing has run."""
    return Project.from_checkout(tmp_path / "sources")


@pytest.fixture
def any_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes back the pinned digests, for files made up here."""
    # imported late: after the hook that checks shapes
    from hyperreps.data.sources import SOURCES

    for name, source in SOURCES.items():
        files = [
            replace(f, digest="", unpacked=dict.fromkeys(f.unpacked, ""))
            for f in source.files
        ]
        monkeypatch.setitem(SOURCES, name, replace(source, files=files))


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Refuses connections and records what was asked for."""
    asked: list[str] = []

    def refuse(url: str, **_: Any) -> None:
        asked.append(url)
        raise requests.ConnectionError("refused")

    monkeypatch.setattr(requests, "get", refuse)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    return asked
