"""What several folders of tests start from: a finished smoke run, no network."""

from __future__ import annotations

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

from .workflow.project import Project


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds how often tests/faults kills a run."""
    help_ = "how many times a whole run is killed (tests/faults/test_kills.py)"
    parser.addoption("--kills", type=int, default=2, help=help_)


counted = pytest.StashKey[Counter[str]]()


@pytest.fixture(scope="session")
def tried(request: pytest.FixtureRequest) -> Counter[str]:
    """Counts what was tried and what came of it; shown after all tests."""
    return request.config.stash.setdefault(counted, Counter())


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


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory: pytest.TempPathFactory) -> SmokeRun:
    """Runs `snakemake --cores all --configfile config/smoke.yaml` from nothing."""
    root = tmp_path_factory.mktemp("smoke run") / "the project"
    project = Project.from_checkout(root)
    wall, cpu = time.monotonic(), _children_seconds()
    done = project.smoke("--cores", "all")
    assert done.code == 0, done.output
    return SmokeRun(
        project=project,
        output=done.output,
        wall=time.monotonic() - wall,
        cpu=_children_seconds() - cpu,
    )


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
