"""How many cases are tried, and how many were.

The cases are the same in every run. `pytest tests/fuzz --hypothesis-profile=long` tries
new ones, LONG times as many.
"""

from __future__ import annotations

from collections import Counter

import hypothesis
import pytest
from hypothesis import HealthCheck

LONG = 10
COMMON = {
    # processes share their cores: a slow case is no finding, a long one is
    "deadline": None,
    "suppress_health_check": [
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
        HealthCheck.function_scoped_fixture,
    ],
}
hypothesis.settings.register_profile("fuzz", derandomize=True, database=None, **COMMON)
hypothesis.settings.register_profile("long", **COMMON)
outcomes = pytest.StashKey[Counter[str]]()


def fuzzed(cases: int) -> hypothesis.settings:
    """Returns hypothesis' settings for a test that tries so many cases by default."""
    if hypothesis.settings.get_current_profile_name() == "long":
        return hypothesis.settings(
            hypothesis.settings.get_profile("long"), max_examples=LONG * cases
        )
    return hypothesis.settings(
        hypothesis.settings.get_profile("fuzz"), max_examples=cases
    )


@pytest.fixture(scope="session")
def tried(request: pytest.FixtureRequest) -> Counter[str]:
    """Counts cases by what was tried and what came of it; shown after all tests."""
    return request.config.stash.setdefault(outcomes, Counter())


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Prints the counts."""
    counts = config.stash.get(outcomes, Counter[str]())
    if counts:
        terminalreporter.section("cases tried")
        for name, number in sorted(counts.items()):
            terminalreporter.write_line(f"{number:8} {name}")
        terminalreporter.write_line(f"{counts.total():8} in all")
