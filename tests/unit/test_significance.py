"""Tests, corrections and effect sizes against scipy and hand computation."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from hyperreps.settings import Statistics
from hyperreps.significance import (
    cliffs_delta,
    compare,
    has_two_peaks,
    hedges_g,
    holm,
)

FEW = Statistics(resamples=300, confidence=0.9)


def rows(method, accuracy, groups=None, *, epoch=0, reference=False) -> pd.DataFrame:
    count = len(accuracy)
    return pd.DataFrame(
        {
            "source": "mnist",
            "target": "mnist",
            "method": method,
            "sample": np.arange(count),
            "group": groups or [f"sample {k}" for k in range(count)],
            "epoch": epoch,
            "accuracy": np.asarray(accuracy, float),
            "published": method,
            "reference": reference,
        }
    )


def compared(*parts, epochs=(0,)) -> pd.DataFrame:
    return compare(pd.concat(parts), epochs=epochs, statistics=FEW, seed=0)


def test_ungrouped_networks_are_scipys_tests():
    rng = np.random.default_rng(0)
    one, two = rng.normal(0.6, 0.05, 20), rng.normal(0.55, 0.1, 30)
    row = compared(rows("A", one), rows("B", two)).iloc[0]
    welch = scipy.stats.ttest_ind(one, two, equal_var=False)
    assert row["p_welch"] == pytest.approx(welch.pvalue)
    ranks = scipy.stats.mannwhitneyu(one, two)
    assert row["p_mann_whitney"] == pytest.approx(ranks.pvalue)
    assert row["cliffs_delta"] == pytest.approx(2 * ranks.statistic / 600 - 1)
    assert row["difference"] == pytest.approx(one.mean() - two.mean())
    assert row["ci_low"] < row["difference"] < row["ci_high"]
    assert (row["unit"], row["center"]) == ("group", "mean")
    assert (row["n"], row["observations_other"]) == (20, 30)


def test_groups_are_the_observations():
    """Many equal networks of few groups must not look like much evidence."""
    one, two = [0.5, 0.6, 0.7], [0.4, 0.5, 0.65]
    names = [f"seed {k}" for k in range(3) for _ in range(9)]
    row = compared(
        rows("A", np.repeat(one, 9), names), rows("B", np.repeat(two, 9), names)
    ).iloc[0]
    expected = scipy.stats.ttest_ind(one, two, equal_var=False).pvalue
    assert row["p_welch"] == pytest.approx(expected)
    assert row["observations"] == 3
    assert row["p_mann_whitney"] == scipy.stats.mannwhitneyu(one, two).pvalue


def test_one_group_falls_back_to_networks():
    rng = np.random.default_rng(1)
    one, two = rng.random(8), rng.random(9)
    row = compared(rows("A", one, ["seed 1"] * 8), rows("B", two)).iloc[0]
    assert row["unit"] == "network"
    expected = scipy.stats.ttest_ind(one, two, equal_var=False).pvalue
    assert row["p_welch"] == pytest.approx(expected)


def test_medians_where_a_population_has_two_peaks():
    rng = np.random.default_rng(2)
    two_peaks = np.concatenate([rng.normal(0.1, 0.01, 15), rng.normal(0.7, 0.01, 20)])
    row = compared(rows("A", two_peaks), rows("B", rng.normal(0.5, 0.05, 30))).iloc[0]
    assert row["center"] == "median"
    assert row["difference"] == pytest.approx(0.2, abs=0.03)


def test_no_spread_and_single_networks():
    table = compared(
        rows("A", [0.1] * 5), rows("B", [0.1] * 4), rows("C", [0.3], reference=True)
    )
    same = table[table["block"] == "methods"].iloc[0]
    assert math.isnan(same["p_welch"])
    assert math.isnan(same["hedges_g"])
    assert same["p_mann_whitney"] == pytest.approx(1)
    single = table[table["block"] == "references"]
    assert list(single["other"]) == ["C", "C"]
    assert single[["p_welch", "p_mann_whitney", "ci_low"]].isna().all(axis=None)
    assert single["difference"].to_numpy() == pytest.approx(-0.2)


def test_one_side_without_spread_is_tested():
    row = compared(rows("A", [0.1] * 5), rows("B", [0.3, 0.4, 0.5])).iloc[0]
    # Welch by hand: t with the degrees of freedom of B alone
    t = (0.1 - 0.4) / (0.1 / math.sqrt(3))
    assert row["p_welch"] == pytest.approx(2 * scipy.stats.t.sf(-t, 2))


def test_blocks_and_their_corrections():
    rng = np.random.default_rng(3)
    parts = [
        rows(name, rng.random(12), epoch=epoch)
        for epoch in (0, 1, 2)
        for name in ("A", "B", "C")
    ]
    table = compared(*parts, epochs=(0, 2))
    assert sorted(set(table["epoch"])) == [0, 2]
    assert len(table) == 6
    for _, block in table.groupby("epoch"):
        for test in ("p_welch", "p_mann_whitney"):
            np.testing.assert_allclose(
                block[f"{test}_holm"], holm(block[test].to_numpy())
            )


def test_holm_by_hand():
    found = holm(np.array([0.01, 0.04, math.nan, 0.03, 0.5]))
    np.testing.assert_allclose(found, [0.04, 0.09, math.nan, 0.09, 0.5])
    assert holm(np.array([0.9, 0.8])).tolist() == [1, 1]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_what_the_step_down_procedure_does(p_values):
    """By its definition: the smallest is compared with level / m, and so on."""
    level, adjusted = 0.05, holm(np.array(p_values))
    order = np.argsort(p_values, kind="stable")
    rejected = set()
    for step, index in enumerate(order):
        if p_values[index] * (len(order) - step) > level:
            break
        rejected.add(int(index))
    assert rejected == set(np.flatnonzero(adjusted <= level).tolist())


def test_effect_sizes_by_hand():
    one, two = np.array([1.0, 2.0, 3.0]), np.array([2.0, 3.0, 4.0])
    assert hedges_g(one, two) == pytest.approx(-1 * (1 - 3 / 15))
    assert cliffs_delta(one, two) == pytest.approx((1 - 6) / 9)
    assert cliffs_delta(two + 5, one) == 1


@pytest.mark.parametrize("n", [20, 40, 300])
def test_two_peaks(n):
    rng = np.random.default_rng(n)
    half = n // 2
    peaks = np.concatenate([rng.normal(0, 0.1, half), rng.normal(1, 0.1, n - half)])
    assert has_two_peaks(peaks)
    assert not has_two_peaks(np.full(n, 0.1))
    assert not has_two_peaks(peaks[:5])
    single = [has_two_peaks(rng.normal(size=n)) for _ in range(200)]
    assert np.mean(single) < 0.05
