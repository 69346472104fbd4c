"""Statistics: intervals and summaries."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from hyperreps import evaluations, statistics
from hyperreps.settings import SettingsError, Statistics

from .result_files import finetuned_file, zoo_file

PUBLISHED = Path(__file__).parents[2] / "config" / "published.yaml"
FEW = Statistics(resamples=200, confidence=0.9)


def no_published() -> pd.DataFrame:
    """Returns a table of published numbers without any."""
    columns = ["source", "target", "method", "epoch", "statistic", "value", "std"]
    return pd.DataFrame(columns=columns)


class TestBootstrap:
    """bootstrap_interval()."""

    def test_one_member_per_group_is_the_plain_bootstrap(self):
        values = np.random.default_rng(0).beta(2, 5, 60)
        ours = statistics.bootstrap_interval(
            values,
            np.arange(60),
            resamples=20000,
            confidence=0.9,
            rng=np.random.default_rng(1),
        )
        theirs = scipy.stats.bootstrap(
            (values,),
            np.mean,
            n_resamples=20000,
            confidence_level=0.9,
            method="percentile",
            rng=np.random.default_rng(2),
        ).confidence_interval
        # Monte-Carlo error of such a quantile is about 0.0005
        np.testing.assert_allclose(ours, theirs, atol=0.002)

    def test_one_group_is_the_plain_bootstrap(self):
        values = np.random.default_rng(0).beta(2, 5, 60)
        common = {"resamples": 20000, "confidence": 0.9}
        one = statistics.bootstrap_interval(
            values, np.zeros(60), rng=np.random.default_rng(1), **common
        )
        plain = statistics.bootstrap_interval(
            values, np.arange(60), rng=np.random.default_rng(2), **common
        )
        np.testing.assert_allclose(one, plain, atol=0.002)

    def test_groups_of_equal_members_count_as_one_observation_each(self):
        levels = np.random.default_rng(0).beta(2, 5, 12)
        sizes = np.full(12, 5)
        common = {"resamples": 20000, "confidence": 0.9}
        grouped = statistics.bootstrap_interval(
            np.repeat(levels, sizes),
            np.repeat(np.arange(12), sizes),
            rng=np.random.default_rng(1),
            **common,
        )
        plain = statistics.bootstrap_interval(
            levels, np.arange(12), rng=np.random.default_rng(2), **common
        )
        np.testing.assert_allclose(grouped, plain, atol=0.005)

    def test_groups_of_different_size_against_a_loop(self):
        rng = np.random.default_rng(0)
        groups = np.array(["a", "b", "b", "c", "c", "c", "c"])
        values = rng.random(7)
        by_hand = []
        for _ in range(5000):
            drawn = []
            for name in rng.choice(["a", "b", "c"], 3):
                members = values[groups == name]
                drawn.extend(rng.choice(members, len(members)))
            by_hand.append(np.mean(drawn))
        ours = statistics.bootstrap_interval(
            values, groups, resamples=20000, confidence=0.8, rng=rng
        )
        np.testing.assert_allclose(ours, np.quantile(by_hand, [0.1, 0.9]), atol=0.02)

    def test_order_of_samples_does_not_matter(self):
        rng = np.random.default_rng(0)
        values, groups = rng.random(30), rng.integers(4, size=30)
        order = rng.permutation(30)
        one, other = (
            statistics.bootstrap_interval(
                v, g, resamples=100, confidence=0.9, rng=np.random.default_rng(5)
            )
            for v, g in ((values, groups), (values[order], groups[order]))
        )
        assert one == other

    def test_one_value_has_no_interval(self):
        low, high = statistics.bootstrap_interval(
            np.array([0.5]),
            np.array([0]),
            resamples=100,
            confidence=0.9,
            rng=np.random.default_rng(0),
        )
        assert math.isnan(low)
        assert math.isnan(high)


class TestSummarise:
    """summarise()."""

    def summary(self, frame: pd.DataFrame, **changes: object) -> pd.DataFrame:
        common = {
            "epochs": (0, 1),
            "published": no_published(),
            "statistics": FEW,
            "seed": 0,
        }
        return statistics.summarise(frame, **{**common, **changes})

    def test_numbers_by_hand(self, tmp_path):
        path = finetuned_file(tmp_path, [[0.2, 0.8], [0.4, 0.8], [0.6, 0.8]])
        summary = self.summary(evaluations.collect([zoo_file(tmp_path)], [path]))
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
        summary = self.summary(evaluations.collect([zoo_file(tmp_path)], [path]))
        assert list(summary["seeds"]) == [0, 2, 0, 2]
        # means 0.3 and 0.6, ddof 1; none where nothing was retrained
        expected = [math.nan, 0.3 / math.sqrt(2), math.nan, 0]
        np.testing.assert_allclose(summary["seed_std"], expected, atol=1e-7)

    def test_columns_are_the_contract(self, tmp_path):
        columns = (
            "source,target,method,epoch,n,mean,std,ci_low,ci_high,published_mean,"
            "published_std,q25,median,q75,published_median,reference,seeds,seed_std"
        )
        summary = self.summary(evaluations.collect([zoo_file(tmp_path)]))
        assert ",".join(summary.columns) == columns

    def test_published_beside_ours(self, tmp_path):
        path = finetuned_file(
            tmp_path, [[0.2, 0.8]], method="mine", settings={"published": "S_KDE30"}
        )
        frame = evaluations.collect([zoo_file(tmp_path)], [path])
        summary = self.summary(frame, published=evaluations.load_published(PUBLISHED))
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
        few = self.summary(evaluations.collect([zoo], [one]), epochs=(1,))
        many = self.summary(evaluations.collect([zoo], [other, one]).iloc[::-1])
        pick = "method == 'S_KDE30' and epoch == 1"
        numbers = ["mean", "ci_low", "ci_high"]
        a, b = (table.query(pick)[numbers].to_numpy() for table in (few, many))
        np.testing.assert_allclose(a, b, rtol=1e-12)

    def test_seed_changes_the_intervals_and_nothing_else(self, tmp_path):
        accuracy = np.random.default_rng(0).random((20, 2)).tolist()
        path = finetuned_file(tmp_path, accuracy)
        frame = evaluations.collect([zoo_file(tmp_path)], [path])
        one, same, other = (self.summary(frame, seed=s) for s in (0, 0, 1))
        pd.testing.assert_frame_equal(one, same)
        assert list(one["mean"]) == list(other["mean"])
        assert list(one["ci_low"]) != list(other["ci_low"])

    def test_population_that_ends_early_has_no_row(self, tmp_path):
        path = finetuned_file(tmp_path, [[0.2, 0.3, 0.4]])
        frame = evaluations.collect([zoo_file(tmp_path)], [path])
        summary = self.summary(frame, epochs=(0, 2))
        assert list(summary["method"]) == ["B_T", "S_KDE30", "S_KDE30"]

    def test_epoch_that_nobody_reached(self, tmp_path):
        frame = evaluations.collect([zoo_file(tmp_path)])
        with pytest.raises(SettingsError, match=r"no network has epoch 25; .* 0 to 1"):
            self.summary(frame, epochs=(0, 25))

    def test_single_network(self, tmp_path):
        path = finetuned_file(tmp_path, [[0.2, 0.3]])
        summary = self.summary(evaluations.collect([zoo_file(tmp_path)], [path]))
        row = summary.query("method == 'S_KDE30' and epoch == 0").iloc[0]
        assert row["n"] == 1
        assert row["std"] == 0
        assert math.isnan(row["ci_low"])

    def test_medians_are_set_beside_medians(self, tmp_path):
        frame = evaluations.collect([zoo_file(tmp_path)])
        medians = evaluations.load_published(PUBLISHED, table="samplers")
        summary = statistics.summarise(
            frame.assign(published="S_KDE30"),
            epochs=(0,),
            published=medians,
            statistics=FEW,
            seed=0,
        )
        assert summary["published_mean"].isna().all()
        assert summary.loc[0, "published_median"] == 0.745
        # of the test split at epoch 0
        values = frame.loc[frame["epoch"] == 0, "accuracy"]
        for name, share in (("q25", 0.25), ("median", 0.5), ("q75", 0.75)):
            assert summary.loc[0, name] == pytest.approx(values.quantile(share))
