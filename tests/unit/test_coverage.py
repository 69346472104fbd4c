"""Intervals hold the truth as often as they say, over the designs that runs have."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCH = Path(__file__).parents[2] / "bench" / "intervals.py"
# three standard errors of 95 % in so many runs are 2.7 points
RUNS = 600
LEAST, MOST = 0.923, 0.977


@pytest.fixture(scope="module")
def coverage() -> ModuleType:
    spec = importlib.util.spec_from_file_location("interval_coverage", BENCH)
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("groups", [2, 3, 10])
@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_intervals_of_means_cover_as_often_as_they_say(coverage, groups, ratio):
    for quantity in ("mean", "difference, paired"):
        design = coverage.Design(quantity, groups, 30, ratio)
        held, _ = coverage.covered(design, runs=RUNS)
        assert LEAST <= held <= MOST, design


@pytest.mark.parametrize(
    ("quantity", "groups", "networks", "ratio"),
    [
        ("mean", 2, 1, 0.0),
        ("mean", 4, 1, 0.0),
        ("mean", 3, 4, 1.0),
        ("mean", 3, 150, 0.3),
        ("mean, groups uneven", 5, 30, 1.0),
        ("difference, one paired with none", 2, 30, 3.0),
        ("difference, one paired with none", 3, 30, 0.0),
        ("median", 2, 4, 0.3),
        ("median", 3, 30, 1.0),
        ("median", 60, 1, 0.0),
        ("nearer", 3, 30, 1.0),
        ("nearer", 60, 1, 0.0),
        ("explained variance", 1, 45, 0.0),
        ("explained variance", 3, 45, 1.0),
    ],
)
def test_intervals_without_an_exact_method_are_on_the_safe_side(
    coverage, quantity, groups, networks, ratio
):
    """Where no method is exact, on the safe side and not far from it."""
    design = coverage.Design(quantity, groups, networks, ratio)
    held, _ = coverage.covered(design, runs=RUNS)
    assert LEAST <= held <= 0.995


@pytest.mark.parametrize("share", [0.05, 0.3])
@pytest.mark.parametrize(
    ("groups", "networks", "ratio"),
    [(2, 30, 0.6), (3, 30, 0.0), (3, 30, 0.6), (5, 10, 0.3), (60, 1, 0.0)],
)
def test_intervals_of_shares_cover_at_least_as_often_as_they_say(
    coverage, groups, networks, ratio, share
):
    design = coverage.Design("share", groups, networks, ratio, share)
    held, width = coverage.covered(design, runs=RUNS)
    assert held >= LEAST
    assert width < 1


@pytest.mark.parametrize(
    ("quantity", "groups", "ratio"),
    [("mean", 3, 1.0), ("mean", 2, 3.0), ("explained variance", 3, 1.0)],
)
def test_the_percentile_bootstrap_does_not(coverage, quantity, groups, ratio):
    """What tables had before; the tests above are not met by anything wide."""
    design = coverage.Design(quantity, groups, 50, ratio)
    held, width = coverage.covered(design, runs=150, rival=True)
    assert held < 0.9
    assert width < coverage.covered(design, runs=150)[1]
