"""How many cases are tried, and how many were.

The cases are the same in every run. `pytest tests/fuzz --hypothesis-profile=long` tries
new ones, LONG times as many.
"""

from __future__ import annotations

import hypothesis
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


def fuzzed(cases: int) -> hypothesis.settings:
    """Returns hypothesis' settings for a test that tries so many cases by default."""
    if hypothesis.settings.get_current_profile_name() == "long":
        return hypothesis.settings(
            hypothesis.settings.get_profile("long"), max_examples=LONG * cases
        )
    return hypothesis.settings(
        hypothesis.settings.get_profile("fuzz"), max_examples=cases
    )
