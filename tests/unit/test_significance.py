"""Tests, corrections and effect sizes against scipy and hand computation."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from hyperreps.audit.significance import (
    cliffs_delta,
    compare,
    detectable_difference,
    hedges_g,
    holm,
    mean_difference,
    verdict,
)
from hyperreps.numbers.statistics import grouped_mean
from hyperreps.settings.stages import Statistics

LEVEL = Statistics(confidence=0.9, equivalence_margin=0.03)


def rows(
    method, accuracy, groups=None, *, epoch=0, reference=False, trivial=False
) -> pd.DataFrame:
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
            "trivial": trivial,
        }
    )


def compared(*parts, epochs=(0,)) -> pd.DataFrame:
    return compare(pd.concat(parts), epochs=epochs, statistics=LEVEL)


def test_networks_of_equal_samples_are_nearly_welchs_test():
    """Samples of one number in two files are not the same network."""
    rng = np.random.default_rng(0)
    one, two = rng.normal(0.6, 0.05, 200), rng.normal(0.59, 0.1, 300)
    row = compared(rows("A", one), rows("B", two)).iloc[0]
    welch = scipy.stats.ttest_ind(one, two, equal_var=False)
    assert row["p_t"] == pytest.approx(welch.pvalue, rel=0.02)
    ends = welch.confidence_interval(0.9)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx(tuple(ends), rel=0.02)
    ranks = scipy.stats.mannwhitneyu(one, two)
    assert row["p_ranks"] == pytest.approx(ranks.pvalue)
    assert row["cliffs_delta"] == pytest.approx(2 * ranks.statistic / 60000 - 1)
    assert row["difference"] == pytest.approx(one.mean() - two.mean())
    assert (row["unit"], row["pairs"]) == ("group", 0)
    assert (row["n"], row["observations_other"]) == (200, 300)


def seeds(levels, count=9) -> dict:
    """Returns accuracies and groups of some seeds, whose networks are equal."""
    names = [f"seed {k}" for k in range(len(levels)) for _ in range(count)]
    return {"accuracy": np.repeat(levels, count), "groups": names}


def test_methods_with_the_same_seeds_are_paired():
    """Many equal networks of few groups must not look like much evidence."""
    one, two = [0.50, 0.60, 0.75], [0.45, 0.57, 0.70]
    row = compared(rows("A", **seeds(one)), rows("B", **seeds(two))).iloc[0]
    test = scipy.stats.ttest_rel(one, two)
    assert row["p_t"] == pytest.approx(test.pvalue)
    ends = test.confidence_interval(0.9)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx(tuple(ends))
    assert (row["pairs"], row["observations"], row["unit"]) == (3, 3, "group")
    assert row["p_ranks"] == scipy.stats.wilcoxon(np.subtract(one, two)).pvalue
    # what all seeds share with both methods is no part of the error
    assert row["verdict"] == "different"
    assert scipy.stats.ttest_ind(one, two).pvalue > 0.5


def test_seeds_that_both_have_are_paired_among_others():
    """One method has a seed more; its error is a part of its own."""
    one, two = [0.50, 0.60, 0.75, 0.61], [0.45, 0.57, 0.70]
    parts = [rows("A", **seeds(one)), rows("B", **seeds(two))]
    row = compared(*parts).iloc[0]
    assert (row["pairs"], row["observations"], row["observations_other"]) == (3, 4, 3)
    apart = parts[1].assign(group="model " + parts[1]["group"].str[5:])
    alone = compared(parts[0], apart).iloc[0]
    assert alone["pairs"] == 0
    width = row["ci_high"] - row["ci_low"]
    assert width < alone["ci_high"] - alone["ci_low"]


def test_few_groups_against_many_are_t_of_the_few():
    """Three seeds that differ, against 150 networks that do not say much more."""
    levels = [0.3, 0.5, 0.7]
    runs = np.random.default_rng(0).normal(0.5, 1e-4, 150)
    row = compared(rows("A", **seeds(levels)), rows("B", runs)).iloc[0]
    half = scipy.stats.t.ppf(0.95, 2) * 0.2 / math.sqrt(3)
    assert row["ci_high"] - row["difference"] == pytest.approx(half, rel=1e-3)


def test_one_group_falls_back_to_networks():
    rng = np.random.default_rng(1)
    one, two = rng.random(8), rng.random(9)
    row = compared(rows("A", one, ["seed 1"] * 8), rows("B", two, ["seed 1"] * 9))
    row = row.iloc[0]
    # of one seed, but none of its networks belongs to one of the other's
    assert (row["unit"], row["pairs"]) == ("network", 0)
    assert (row["observations"], row["observations_other"]) == (8, 9)
    expected = scipy.stats.ttest_ind(one, two, equal_var=False).pvalue
    assert row["p_t"] == pytest.approx(expected, abs=0.02)


def test_every_row_is_of_means_with_medians_beside():
    """Two peaks do not change what is compared."""
    rng = np.random.default_rng(2)
    two_peaks = np.concatenate([rng.normal(0.1, 0.01, 15), rng.normal(0.7, 0.01, 20)])
    other = rng.normal(0.5, 0.05, 30)
    row = compared(rows("A", two_peaks), rows("B", other)).iloc[0]
    assert row["difference"] == pytest.approx(two_peaks.mean() - other.mean())
    medians = np.median(two_peaks) - np.median(other)
    assert row["difference_of_medians"] == pytest.approx(medians)
    assert row["difference"] < 0 < row["difference_of_medians"]


def test_no_spread_and_single_networks():
    table = compared(
        rows("A", [0.1] * 5), rows("B", [0.1] * 4), rows("C", [0.3], reference=True)
    )
    same = table[table["block"] == "methods"].iloc[0]
    assert math.isnan(same["p_t"])
    assert math.isnan(same["hedges_g"])
    assert same["p_ranks"] == pytest.approx(1)
    # a few equal networks are no proof that others are
    assert same["ci_low"] < -0.1 < 0.1 < same["ci_high"]
    assert same["verdict"] == "undecided"
    single = table[table["block"] == "references"]
    assert list(single["other"]) == ["C", "C"]
    assert single[["p_t", "p_ranks", "ci_low"]].isna().all(axis=None)
    assert single["difference"].to_numpy() == pytest.approx(-0.2)
    assert set(single["verdict"]) == {"undecided"}


def test_the_same_networks_are_not_surely_the_same_method():
    table = compared(rows("A", **seeds([0.3, 0.5])), rows("B", **seeds([0.3, 0.5])))
    row = table.iloc[0]
    assert row["difference"] == 0
    assert row["ci_low"] < 0 < row["ci_high"]
    assert row["verdict"] == "undecided"


@pytest.mark.parametrize(
    ("ends", "word"),
    [
        ((0.001, 0.5), "different"),
        ((-0.5, -0.001), "different"),
        ((-0.02, 0.01), "equivalent within the margin"),
        # sure and too small to matter
        ((0.001, 0.01), "equivalent within the margin"),
        ((-0.04, 0.01), "undecided"),
        ((-0.01, 0.03), "undecided"),
        ((math.nan, math.nan), "undecided"),
    ],
)
def test_three_verdicts(ends, word):
    assert verdict(ends, margin=0.03) == word


def test_absence_of_evidence_is_no_equivalence():
    """Seeds that scatter decide nothing; more of them that agree do."""
    rng = np.random.default_rng(5)
    wide = rng.normal(0.4, 0.05, (2, 3))
    many = rng.normal(0.4, 0.005, (2, 12))
    words = [
        compared(rows("A", **seeds(a)), rows("B", **seeds(b))).iloc[0]["verdict"]
        for a, b in (wide, many)
    ]
    assert words == ["undecided", "equivalent within the margin"]


def test_detectable_difference_is_found_in_four_of_five_runs():
    """Simulated: three pairs whose difference is just that."""
    rng = np.random.default_rng(0)
    one, two = (rows("A", **seeds(x))["accuracy"] for x in rng.random((2, 3)))
    names = np.array(seeds([0, 0, 0])["groups"])
    found = mean_difference(
        grouped_mean(one.to_numpy(), names), grouped_mean(two.to_numpy(), names)
    )
    error = math.sqrt(found.variance)
    true = detectable_difference(found, confidence=0.9)
    spread = error * math.sqrt(3)
    t = scipy.stats.ttest_1samp(rng.normal(true, spread, (20000, 3)), 0, axis=1)
    called = (t.pvalue < 0.1) & (t.statistic > 0)
    assert called.mean() == pytest.approx(0.8, abs=0.01)
    # and from what is seen it is what the table says
    row = compared(rows("A", one, list(names)), rows("B", two, list(names))).iloc[0]
    assert row["detectable"] == pytest.approx(true)


def test_what_no_representation_has_made_is_a_block_of_its_own():
    parts = [
        rows("S", [0.3, 0.4], epoch=1),
        rows("B", [0.2, 0.3], epoch=1),
        rows("noise", [0.5, 0.6], epoch=1, trivial=True),
        rows("soup", [0.5, 0.7], epoch=1, trivial=True),
    ]
    table = compared(*parts, epochs=(1,))
    pairs = table.groupby("block")[["method", "other"]].apply(
        lambda block: list(block.itertuples(index=False, name=None))
    )
    assert pairs["methods"] == [("S", "B")]
    assert pairs["references"] == [
        (method, other) for method in ("S", "B") for other in ("noise", "soup")
    ]


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
        for test in ("p_t", "p_ranks"):
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
