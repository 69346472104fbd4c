"""An estimate is corrected by the jobs that have ended, rule by rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from hyperreps.config.config_files import read_over_shipped
from hyperreps.config.configuration import load_settings
from hyperreps.config.costs import Jobs, Speeds, Work
from hyperreps.config.measured_costs import corrected

ROOT = Path(__file__).parents[2]
WORK = Work(
    load_settings(read_over_shipped(ROOT / "config", ROOT / "config" / "demo.yaml")),
    Speeds(ROOT / "docs" / "measurements"),
)
JOBS = list(WORK.jobs())
ALL_SECONDS = sum(jobs.seconds for jobs in JOBS)


def of_rule(rule: str) -> list[Jobs]:
    return [jobs for jobs in JOBS if jobs.rule == rule]


def write_logs(folder: Path, jobs: Jobs, *, last_line: str, number: int) -> None:
    for k in range(number):
        path = folder / jobs.logs.replace("*", f"{k}", 1).replace("*", "")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"12:00:00 command: python\n{last_line}\n", encoding="utf-8")


def end(folder: Path, jobs: Jobs, *, times: float, number: int | None = None) -> None:
    seconds = times * jobs.seconds / jobs.number
    last_line = f"12:01:00 done: {seconds:.6f} s of CPU time"
    number = jobs.number if number is None else number
    write_logs(folder, jobs, last_line=last_line, number=number)


def test_all_of_a_slower_machine_is_corrected_by_what_ended(tmp_path: Path) -> None:
    part = max(of_rule("train_zoo"), key=lambda jobs: jobs.seconds)
    end(tmp_path, part, times=20)
    found = corrected(WORK, tmp_path)
    assert found is not None
    assert found.jobs == part.number
    assert found.ratio == pytest.approx(20)
    assert found.core_hours == pytest.approx(20 * ALL_SECONDS / 3600)


def test_every_rule_is_corrected_by_its_own_jobs(tmp_path: Path) -> None:
    slow, fast = of_rule("pretrain"), of_rule("sample")
    for group, times in ((slow, 30), (fast, 2)):
        for jobs in group:
            end(tmp_path, jobs, times=times)
    a, b = (sum(jobs.seconds for jobs in group) for group in (slow, fast))
    overall = (30 * a + 2 * b) / (a + b)
    expected = 30 * a + 2 * b + overall * (ALL_SECONDS - a - b)
    found = corrected(WORK, tmp_path)
    assert found is not None
    assert found.ratio == pytest.approx(overall)
    assert found.core_hours == pytest.approx(expected / 3600)


def test_a_part_of_alike_jobs_is_enough(tmp_path: Path) -> None:
    part = max(of_rule("pretrain"), key=lambda jobs: jobs.seconds)
    assert part.number > 1
    end(tmp_path, part, times=100, number=1)
    found = corrected(WORK, tmp_path)
    assert found is not None
    assert found.jobs == 1
    assert found.ratio == pytest.approx(100)


def test_jobs_of_a_config_that_had_more_are_not_counted(tmp_path: Path) -> None:
    part = max(of_rule("train_zoo"), key=lambda jobs: jobs.seconds)
    end(tmp_path, part, times=20, number=part.number + 3)
    found = corrected(WORK, tmp_path)
    assert found is not None
    assert found.jobs == part.number
    assert found.ratio == pytest.approx(20)


@pytest.mark.parametrize(
    "last_line", ["12:01:00 error: no memory", "12:01:00 epoch 3/5"]
)
def test_jobs_that_failed_or_go_on_say_nothing(tmp_path: Path, last_line: str) -> None:
    for jobs in JOBS:
        write_logs(tmp_path, jobs, last_line=last_line, number=jobs.number)
    assert corrected(WORK, tmp_path) is None


def test_from_less_than_a_minute_nothing_is_concluded(tmp_path: Path) -> None:
    part = of_rule("sample")[0]
    end(tmp_path, part, times=59 / part.seconds)
    assert corrected(WORK, tmp_path) is None
    end(tmp_path, part, times=61 / part.seconds)
    assert corrected(WORK, tmp_path) is not None
