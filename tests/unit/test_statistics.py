"""Intervals by hand and against scipy; summaries of populations."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from hyperreps.numbers import statistics
from hyperreps.numbers.statistics import (
    Ends,
    grouped_mean,
    mean_interval,
    share_interval,
)
from hyperreps.results.accuracies import collect
from hyperreps.results.published import load_published
from hyperreps.settings.stages import SettingsError, Statistics

from .result_files import finetuned_file, zoo_file

PUBLISHED = Path(__file__).parents[2] / "config" / "published.yaml"
LEVEL = Statistics(confidence=0.9)


def no_published() -> pd.DataFrame:
    """Returns a table of published numbers without any."""
    columns = ["source", "target", "method", "epoch", "statistic", "value", "std"]
    return pd.DataFrame(columns=columns)


def interval(values: list[float], groups: list, confidence: float = 0.95) -> Ends:
    """Returns the interval of a mean."""
    found = grouped_mean(np.array(values, float), np.array(groups))
    return mean_interval(found, confidence=confidence)


class TestMean:
    """grouped_mean() and mean_interval()."""

    def test_groups_of_one_size_are_the_observations_of_t(self):
        rng = np.random.default_rng(0)
        values, groups = rng.beta(9, 9, 40), np.tile(np.arange(4), 10)
        means = [values[groups == g].mean() for g in range(4)]
        theirs = scipy.stats.t.interval(
            0.9, df=3, loc=np.mean(means), scale=scipy.stats.sem(means)
        )
        assert interval(values, groups, 0.9) == pytest.approx(theirs)

    def test_two_networks_look_like_two(self):
        """Their accuracies say little of others, however near they are."""
        low, high = interval([0.161, 0.166], ["sample 0", "sample 1"])
        # t with one degree of freedom, by hand: 12.706 * 0.0025
        assert low == pytest.approx(0.1635 - 0.03177, abs=1e-4)
        assert high == pytest.approx(0.1635 + 0.03177, abs=1e-4)

    def test_an_accuracy_stays_between_0_and_1(self):
        assert interval([0.1, 0.9], ["a", "b"]) == (0, 1)

    def test_uneven_groups_by_hand(self):
        """Two groups of 3 and 1: any weighted mean has one degree of freedom."""
        found = grouped_mean(np.array([0.2, 0.3, 0.4, 0.8]), np.array([*"aaab"]))
        assert found.value == pytest.approx(0.425)
        # (w_g (m_g - mean))^2 / (1 - 2 w_g + sum w^2), sum w^2 = 10/16
        a = (0.75 * 0.125) ** 2 / (1 - 1.5 + 0.625)
        b = (0.25 * 0.375) ** 2 / (1 - 0.5 + 0.625)
        (part,) = found.parts
        assert part.variance == pytest.approx(a + b)
        assert part.freedom == pytest.approx(1)

    def test_a_single_group_has_the_interval_of_its_networks(self):
        values = np.random.default_rng(0).beta(2, 5, 60)
        one = interval(values, np.zeros(60))
        assert one == pytest.approx(interval(values, np.arange(60)))

    def test_order_of_samples_does_not_matter(self):
        rng = np.random.default_rng(0)
        values, groups = rng.random(30), rng.integers(4, size=30)
        order = rng.permutation(30)
        again = interval(values[order], groups[order])
        assert again == pytest.approx(interval(values, groups), rel=1e-12)

    def test_one_value_has_no_interval(self):
        assert np.isnan(interval([0.5], ["a"])).all()

    @pytest.mark.parametrize("groups", [np.arange(90), np.repeat([1, 2, 3], 30)])
    def test_equal_values_are_not_certainty(self, groups):
        """What was not met may be there, and may be anything in [0, 1]."""
        low, high = interval(np.full(90, 0.1), groups)
        quantile = scipy.stats.t.ppf(0.975, len(set(groups)) - 1)
        unseen = quantile**2 / (90 + quantile**2)
        assert low == pytest.approx(0.1 * (1 - unseen))
        assert high == pytest.approx(0.1 + 0.9 * unseen)

    def test_equal_distances_have_no_interval_rather_than_none_wide(self):
        found = grouped_mean(np.full(9, 19.05), np.arange(9))
        ends = mean_interval(found, confidence=0.95, limits=(0.0, math.inf))
        assert np.isnan(ends).all()


class TestShare:
    """share_interval()."""

    @staticmethod
    def share(values: np.ndarray, groups: np.ndarray) -> Ends:
        found = grouped_mean(np.asarray(values, float), groups)
        return share_interval(found, confidence=0.95)

    def test_independent_networks_have_wilsons(self):
        values = np.arange(400) < 60
        found = scipy.stats.binomtest(60, 400).proportion_ci(method="wilson")
        ours = self.share(values, np.arange(400))
        assert ours == pytest.approx((found.low, found.high), abs=0.001)

    def test_no_copy_of_ninety_is_not_none(self):
        """Exact would be 4 % for independent networks; three seeds say less."""
        alone, grouped = (
            self.share(np.zeros(90), g)
            for g in (np.arange(90), np.repeat([1, 2, 3], 30))
        )
        assert alone == pytest.approx((0, 0.042), abs=0.001)
        # t of two degrees of freedom: 4.303^2 / (90 + 4.303^2)
        assert grouped == pytest.approx((0, 0.1706), abs=0.0001)
        every = self.share(np.ones(90), np.repeat([1, 2, 3], 30))
        assert every == pytest.approx((1 - 0.1706, 1), abs=0.0001)

    def test_networks_of_groups_that_agree_are_worth_one(self):
        """Ten groups of equal networks are ten networks, not three hundred."""
        once = np.array([0, 0, 1, 0, 1, 0, 0, 1, 0, 0])
        many = self.share(np.repeat(once, 30), np.repeat(np.arange(10), 30))
        assert many == pytest.approx(self.share(once, np.arange(10)))

    def test_equal_groups_are_no_more_than_independent(self):
        """Groups with the same share by chance leave the error of a binomial."""
        values = np.tile(np.arange(30) < 9, 2)
        grouped = self.share(values, np.repeat([1, 2], 30))
        found = scipy.stats.binomtest(18, 60).proportion_ci(method="wilson")
        assert grouped == pytest.approx((found.low, found.high), abs=0.001)


class TestMedian:
    """median_interval()."""

    def test_order_statistics_of_many_networks(self):
        values = np.arange(1.0, 402.0)
        low, high = statistics.median_interval(
            values, np.arange(401), confidence=0.95, limits=(0.0, math.inf)
        )
        # ranks 201 -+ 1.96 sqrt(401) / 2
        assert (low, high) == pytest.approx((201 - 19.6, 201 + 19.6), abs=0.3)

    def test_two_networks_look_like_two(self):
        low, high = statistics.median_interval(
            np.array([19.0, 20.0]),
            np.arange(2),
            confidence=0.95,
            limits=(0.0, math.inf),
        )
        assert high - 19.5 == pytest.approx(12.706 / 2, abs=0.01)
        assert 19.5 - low == pytest.approx(12.706 / 2, abs=0.01)

    @pytest.mark.parametrize("values", [[0.0] * 6, [1.0], [1.0, math.nan]])
    def test_none_without_width(self, values):
        ends = statistics.median_interval(
            np.array(values),
            np.arange(len(values)),
            confidence=0.95,
            limits=(0.0, math.inf),
        )
        assert np.isnan(ends).all()


class TestCrossed:
    """left_out_weights() and crossed_estimate(): networks and seeds crossed."""

    def test_weights_with_one_group_left_out_by_hand(self):
        weights = statistics.left_out_weights(np.array([5, 5, 7, 9, 9, 9]))
        np.testing.assert_allclose(weights[0], 1 / 6)
        np.testing.assert_allclose(weights[1], [0, 0, *[1 / 4] * 4])
        np.testing.assert_allclose(weights[2], [*[1 / 5] * 2, 0, *[1 / 5] * 3])
        assert weights.shape == (4, 6)

    def estimate(self, values: np.ndarray, **limits: Ends) -> tuple:
        return statistics.crossed_estimate(
            values, confidence=0.95, **{"limits": (-9.0, 9.0), **limits}
        )

    def test_one_seed_has_the_t_interval_of_its_networks(self):
        data = np.random.default_rng(5).normal(size=40)
        weights = statistics.left_out_weights(np.arange(40))
        estimate, *ends = self.estimate((weights @ data)[:, None])
        theirs = scipy.stats.t.interval(
            0.95, df=39, loc=data.mean(), scale=scipy.stats.sem(data)
        )
        assert estimate == pytest.approx(data.mean())
        assert ends == pytest.approx(theirs)

    def test_networks_without_spread_leave_the_t_interval_of_seeds(self):
        estimate, *ends = self.estimate(np.tile([0.2, 0.3, 0.7], (41, 1)))
        theirs = scipy.stats.t.interval(
            0.95, df=2, loc=0.4, scale=scipy.stats.sem([0.2, 0.3, 0.7])
        )
        assert estimate == pytest.approx(0.4)
        assert ends == pytest.approx(theirs)

    def test_spread_of_networks_and_of_seeds_add_as_squares(self):
        """By hand: squares of both reaches."""
        left_out = np.array([[0.4, 0.6], [0.38, 0.58], [0.42, 0.62]])
        _, low, high = self.estimate(left_out)
        networks, seeds = 12.706 * 0.02, 12.706 * 0.1
        assert high - 0.5 == pytest.approx(math.hypot(networks, seeds), abs=1e-3)
        assert 0.5 - low == pytest.approx(high - 0.5)

    def test_no_spread_at_all(self):
        assert np.isnan(
            self.estimate(np.ones((9, 2)), limits=(0.0, math.inf))[1:]
        ).all()
        low, high = self.estimate(np.full((9, 2), 0.1), limits=(0.0, 1.0))[1:]
        assert low < 0.1 < 0.3 < high

    def test_one_network_has_no_interval(self):
        weights = statistics.left_out_weights(np.zeros(3))
        estimate, *ends = self.estimate(weights @ np.array([[1.0], [2.0], [6.0]]))
        assert estimate == pytest.approx(3)
        assert np.isnan(ends).all()


class TestSummarise:
    """summarise()."""

    def summary(self, frame: pd.DataFrame, **changes: object) -> pd.DataFrame:
        common = {
            "epochs": (0, 1),
            "published": no_published(),
            "statistics": LEVEL,
        }
        return statistics.summarise(frame, **{**common, **changes})

    def test_numbers_by_hand(self, tmp_path):
        path = finetuned_file(tmp_path, [[0.2, 0.8], [0.4, 0.8], [0.6, 0.8]])
        summary = self.summary(collect([zoo_file(tmp_path)], [path]))
        assert list(summary["method"]) == ["B_T", "S_KDE30"] * 2
        assert list(summary["epoch"]) == [0, 0, 1, 1]
        assert list(summary["n"]) == [2, 3, 2, 3]
        np.testing.assert_allclose(summary["mean"], [0.15, 0.4, 0.6, 0.8], rtol=1e-6)
        # ddof 0: sqrt(((0.2)^2 + 0 + (0.2)^2) / 3)
        expected = [0.05, math.sqrt(0.08 / 3), 0.1, 0]
        np.testing.assert_allclose(summary["std"], expected, rtol=1e-5, atol=1e-7)
        assert (summary["ci_low"] <= summary["mean"] + 1e-12).all()
        assert (summary["ci_high"] >= summary["mean"] - 1e-12).all()

    def test_spread_between_hyper_representations_by_hand(self, tmp_path):
        path = finetuned_file(
            tmp_path,
            [[0.2, 0.8], [0.4, 0.8], [0.6, 0.8]],
            hyper_rep_seed=np.array([7, 7, 9]),
        )
        summary = self.summary(collect([zoo_file(tmp_path)], [path]))
        assert list(summary["seeds"]) == [0, 2, 0, 2]
        # means 0.3 and 0.6, ddof 1; none where nothing was retrained
        expected = [math.nan, 0.3 / math.sqrt(2), math.nan, 0]
        np.testing.assert_allclose(summary["seed_std"], expected, atol=1e-7)

    def test_columns_are_the_contract(self, tmp_path):
        columns = (
            "source,target,method,epoch,n,mean,std,ci_low,ci_high,published_mean,"
            "published_std,q25,median,q75,published_median,reference,seeds,seed_std,"
            "groups,trivial"
        )
        summary = self.summary(collect([zoo_file(tmp_path)]))
        assert ",".join(summary.columns) == columns

    def test_published_beside_ours(self, tmp_path):
        path = finetuned_file(
            tmp_path, [[0.2, 0.8]], method="mine", settings={"published": "S_KDE30"}
        )
        frame = collect([zoo_file(tmp_path)], [path])
        summary = self.summary(frame, published=load_published(PUBLISHED))
        summary = summary.set_index(["method", "epoch"])
        assert summary.loc[("mine", 1), "published_mean"] == 0.837
        assert summary.loc[("mine", 1), "published_std"] == 0.013
        assert summary.loc[("B_T", 0), "published_mean"] == 0.1
        assert math.isnan(summary.loc[("B_T", 0), "published_std"])

    def test_interval_depends_on_its_cell_alone(self, tmp_path):
        rng = np.random.default_rng(0)
        one = finetuned_file(tmp_path, rng.random((20, 2)).tolist())
        other = finetuned_file(tmp_path, rng.random((20, 2)).tolist(), method="other")
        zoo = zoo_file(tmp_path)
        few = self.summary(collect([zoo], [one]), epochs=(1,))
        many = self.summary(collect([zoo], [other, one]).iloc[::-1])
        pick = "method == 'S_KDE30' and epoch == 1"
        numbers = ["mean", "ci_low", "ci_high"]
        a, b = (table.query(pick)[numbers].to_numpy() for table in (few, many))
        np.testing.assert_allclose(a, b, rtol=1e-12)

    def test_groups_behind_an_interval(self, tmp_path):
        """Seeds, and each network of the zoo; a single seed is told from many."""
        accuracy = np.random.default_rng(0).random((20, 2)).tolist()
        paths = [
            finetuned_file(tmp_path, accuracy, method=name, hyper_rep_seed=seeds)
            for name, seeds in (("one", np.ones(20, int)), ("two", np.arange(20) % 2))
        ]
        frame = collect([zoo_file(tmp_path)], paths)
        summary = self.summary(frame, epochs=(1,)).set_index("method")
        assert summary["groups"].to_dict() == {"B_T": 2, "one": 1, "two": 2}
        width = summary["ci_high"] - summary["ci_low"]
        assert width["one"] < width["two"]

    def test_population_that_ends_early_has_no_row(self, tmp_path):
        path = finetuned_file(tmp_path, [[0.2, 0.3, 0.4]])
        frame = collect([zoo_file(tmp_path)], [path])
        summary = self.summary(frame, epochs=(0, 2))
        assert list(summary["method"]) == ["B_T", "S_KDE30", "S_KDE30"]

    def test_epoch_that_nobody_reached(self, tmp_path):
        frame = collect([zoo_file(tmp_path)])
        with pytest.raises(SettingsError, match=r"no network has epoch 25; .* 0 to 1"):
            self.summary(frame, epochs=(0, 25))

    def test_single_network(self, tmp_path):
        path = finetuned_file(tmp_path, [[0.2, 0.3]])
        summary = self.summary(collect([zoo_file(tmp_path)], [path]))
        row = summary.query("method == 'S_KDE30' and epoch == 0").iloc[0]
        assert row["n"] == 1
        assert row["std"] == 0
        assert math.isnan(row["ci_low"])

    def test_medians_are_set_beside_medians(self, tmp_path):
        frame = collect([zoo_file(tmp_path)])
        medians = load_published(PUBLISHED, table="samplers")
        summary = statistics.summarise(
            frame.assign(published="S_KDE30"),
            epochs=(0,),
            published=medians,
            statistics=LEVEL,
        )
        assert summary["published_mean"].isna().all()
        assert summary.loc[0, "published_median"] == 0.745
        # of the test split at epoch 0
        values = frame.loc[frame["epoch"] == 0, "accuracy"]
        for name, share in (("q25", 0.25), ("median", 0.5), ("q75", 0.75)):
            assert summary.loc[0, name] == pytest.approx(values.quantile(share))
