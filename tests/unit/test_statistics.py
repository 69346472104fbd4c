"""Statistics: gathering, grouping, intervals, published numbers and text tables."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from hyperreps import evaluations, statistics, tables
from hyperreps.plotting import QUANTILES, method_colours, shown_name, spread
from hyperreps.settings import Method, SettingsError, Statistics
from hyperreps.storage import DataFileError, write_arrays

PUBLISHED = Path(__file__).parents[2] / "config" / "published.yaml"
FEW = Statistics(resamples=200, confidence=0.9)


def write(path: Path, arrays: dict, **attributes: str) -> Path:
    """Writes a file of the project."""
    write_arrays(path, arrays, attributes=attributes)
    return path


def zoo_file(folder: Path, *, name: str = "mnist", split: str = "test") -> Path:
    """Writes a zoo of three models and two epochs; the last two make up a split."""
    accuracy = np.array([[0.1, 0.9], [0.1, 0.5], [0.2, 0.7]], np.float32)
    arrays = {
        "accuracy/test": accuracy,
        "split": np.array(["train", split, split], "S"),
    }
    return write(folder / f"zoos/{name}.h5", arrays, kind="zoo", zoo=name)


def finetuned_file(folder: Path, accuracy: list, **changes: object) -> Path:
    """Writes a finetuned population in weight space; changes replace its parts."""
    count = len(accuracy)
    arrays = {
        "accuracy/test": np.array(accuracy, np.float32),
        "hyper_rep_seed": changes.get("hyper_rep_seed", np.full(count, -1)),
        "source_model": changes.get("source_model", np.full(count, -1)),
        "diverged": changes.get("diverged", np.full(count, -1)),
    }
    settings = {"sampler": "kde", **changes.get("settings", {})}
    attributes = {
        "kind": "finetuned",
        "source": "mnist",
        "target": changes.get("target", "mnist"),
        "method": changes.get("method", "S_KDE30"),
        "settings": json.dumps(settings),
    }
    path = folder / attributes["target"] / f"{attributes['method']}.h5"
    return write(path, arrays, **attributes)


def no_published() -> pd.DataFrame:
    """Returns a table of published numbers without any."""
    columns = ["source", "target", "method", "epoch", "statistic", "value", "std"]
    return pd.DataFrame(columns=columns)


class TestCollect:
    """collect() and the files it reads."""

    def test_diverged_samples_are_left_out_and_counted(self, tmp_path, caplog):
        path = finetuned_file(
            tmp_path,
            [[0.1, 0.5], [0.2, 0.6], [0.3, 0.3]],
            diverged=np.array([-1, -1, 1]),
        )
        with caplog.at_level("INFO"):
            frame = evaluations.collect([zoo_file(tmp_path)], [path])
        own = frame[frame["method"] == "S_KDE30"]
        assert own["sample"].tolist() == [0, 0, 1, 1]
        assert own["accuracy"].tolist() == pytest.approx([0.1, 0.5, 0.2, 0.6])
        assert "1 of 3 diverged and are left out" in caplog.text

    def test_baseline_is_the_test_split_at_all_epochs(self, tmp_path):
        frame = evaluations.collect([zoo_file(tmp_path)])
        assert list(frame["sample"]) == [1, 1, 2, 2]
        assert list(frame["epoch"]) == [0, 1, 0, 1]
        np.testing.assert_allclose(frame["accuracy"], [0.1, 0.5, 0.2, 0.7])
        assert set(frame["method"]) == {"B_T"}
        assert frame["group"].nunique() == 2
        assert not frame["reference"].any()

    @pytest.mark.parametrize(
        ("seeds", "models", "groups"),
        [
            ([4, 4, 5], [7, 8, 9], ["seed 4", "seed 4", "seed 5"]),
            ([-1, -1, -1], [7, 7, -1], ["model 7", "model 7", "sample 2"]),
            (
                [-1, -1, -1],
                [[1, 2], [1, 2], [3, 4]],
                ["sample 0", "sample 1", "sample 2"],
            ),
            ([0, -1, -1], [0, 0, -1], ["seed 0", "model 0", "sample 2"]),
        ],
    )
    def test_groups(self, tmp_path, seeds, models, groups):
        path = finetuned_file(
            tmp_path,
            [[0.1], [0.2], [0.3]],
            hyper_rep_seed=np.array(seeds),
            source_model=np.array(models),
        )
        frame = evaluations.collect([zoo_file(tmp_path)], [path])
        assert list(frame.loc[frame["method"] == "S_KDE30", "group"]) == groups

    def test_compared_with_the_published_setting_else_its_name(self, tmp_path):
        paths = [
            finetuned_file(tmp_path, [[0.1]], method="A", settings={"published": "B"}),
            finetuned_file(tmp_path, [[0.1]], method="C"),
        ]
        frame = evaluations.collect([zoo_file(tmp_path)], paths).set_index("method")
        assert frame.loc["A", "published"] == "B"
        assert frame.loc["C", "published"] == "C"

    def test_same_population_twice(self, tmp_path):
        path = finetuned_file(tmp_path, [[0.1]])
        with pytest.raises(DataFileError, match=r"S_KDE30 is already given by .*h5"):
            evaluations.collect([zoo_file(tmp_path)], [path, path])

    def test_same_zoo_twice(self, tmp_path):
        path = zoo_file(tmp_path)
        with pytest.raises(DataFileError, match="'mnist' is given twice"):
            evaluations.collect([path, path])

    def test_no_test_split(self, tmp_path):
        with pytest.raises(DataFileError, match="'mnist' has no models in its test"):
            evaluations.collect([zoo_file(tmp_path, split="val")])

    @pytest.mark.parametrize("value", [math.nan, 1.5])
    def test_impossible_accuracy_names_file_network_and_epoch(self, tmp_path, value):
        path = finetuned_file(tmp_path, [[0.1, 0.2], [0.1, value]])
        with pytest.raises(
            DataFileError, match=r"S_KDE30\.h5.*network 1 at epoch 1 is"
        ):
            evaluations.collect([zoo_file(tmp_path)], [path])

    def test_settings_of_another_version(self, tmp_path):
        path = finetuned_file(tmp_path, [[0.1]], settings={"colour": "red"})
        with pytest.raises(
            DataFileError, match=r"S_KDE30\.h5: attribute settings: colour"
        ):
            evaluations.collect([zoo_file(tmp_path)], [path])

    def test_other_kind(self, tmp_path):
        with pytest.raises(
            DataFileError, match="holds 'zoo', but 'finetuned' is needed"
        ):
            evaluations.collect([zoo_file(tmp_path)], [zoo_file(tmp_path)])

    def test_settings_that_differ_between_zoos(self, tmp_path):
        paths = [
            finetuned_file(tmp_path, [[0.1]]),
            finetuned_file(tmp_path, [[0.1]], target="svhn", settings={"top": 0.3}),
        ]
        with pytest.raises(DataFileError, match="settings of S_KDE30 differ"):
            evaluations.read_methods(paths, kind="finetuned")


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

    def test_columns_are_the_contract(self, tmp_path):
        columns = (
            "source,target,method,epoch,n,mean,std,ci_low,ci_high,published_mean,"
            "published_std,q25,median,q75,published_median,reference"
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
        with pytest.raises(SettingsError, match="trained to epoch 1; leave later"):
            self.summary(frame, epochs=(0, 25))

    def test_single_network(self, tmp_path):
        path = finetuned_file(tmp_path, [[0.2, 0.3]])
        summary = self.summary(evaluations.collect([zoo_file(tmp_path)], [path]))
        row = summary.query("method == 'S_KDE30' and epoch == 0").iloc[0]
        assert row["n"] == 1
        assert row["std"] == 0
        assert math.isnan(row["ci_low"])


class TestPublished:
    """published.yaml and its reader."""

    @pytest.mark.parametrize(
        ("table", "rows", "key", "value", "std"),
        [
            ("in_distribution", 40, ("svhn", "svhn", "S_KDE30", 0), 0.515, 0.059),
            ("in_distribution", 40, ("stl10", "stl10", "B_KDE30", 25), 0.384, 0.009),
            ("transfer", 9, ("svhn", "mnist", "B_F", 1), 0.844, 0.074),
            ("transfer", 9, ("svhn", "mnist", "B_T", 50), 0.911, 0.01),
            ("architectures", 18, ("svhn", "svhn", "4-conv (gen.)", 1), 0.44, 0.045),
            ("samplers", 9, ("mnist", "mnist", "S_KDE30", 0), 0.745, math.nan),
            ("reconstruction", 2, ("svhn", "svhn", "normalized", 25), 0.4, math.nan),
        ],
    )
    def test_repository_file(self, table, rows, key, value, std):
        numbers = evaluations.load_published(PUBLISHED, table=table)
        assert len(numbers) == rows
        index = numbers.set_index(["source", "target", "method", "epoch"])
        assert index.loc[key, "value"] == value
        np.testing.assert_equal(index.loc[key, "std"], std)
        assert numbers["value"].between(0, 1).all()

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

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("a: [", "not YAML"),
            ("- 1", "no table 'in_distribution'; it has nothing"),
            ("transfer: {}", "no table 'in_distribution'; it has transfer"),
            ("in_distribution: {}", "in_distribution.source: Field required"),
            (
                "in_distribution: {source: x, unit: percent, statistic: mean,"
                " accuracy: {mnist: {B_T: {0: about 10}}}}",
                r"in_distribution\.mnist\.B_T\.0: 'about 10' is not like",
            ),
        ],
    )
    def test_errors_name_file_and_key(self, tmp_path, text, message):
        path = tmp_path / "published.yaml"
        path.write_text(text)
        with pytest.raises(SettingsError, match=message) as error:
            evaluations.load_published(path)
        assert str(path) in str(error.value)

    def test_missing_file(self, tmp_path):
        with pytest.raises(SettingsError, match="no such file"):
            evaluations.load_published(tmp_path / "none.yaml")


class TestTables:
    """Text, LaTeX and the notes of the web page."""

    @pytest.fixture
    def summary(self) -> pd.DataFrame:
        nan = math.nan
        cells = [
            ("B_T", 0, 30, 0.1, 0.01, 0.09, 0.11, 0.1, nan),
            ("S_KDE30", 0, 50, 0.686, 0.067, 0.667, 0.7, 0.6, 0.05),
            ("mean_top", 0, 1, 0.9, 0, nan, nan, nan, nan),
            ("B_T", 1, 30, 0.7, 0.01, 0.69, 0.71, 0.2, 0.016),
            ("S_KDE30", 1, 50, 0.6, 0.01, 0.59, 0.61, nan, nan),
        ]
        rows = [
            ("mnist", "mnist", *cell, 0.6, 0.7, 0.8, nan, cell[0] == "mean_top")
            for cell in cells
        ]
        return pd.DataFrame(rows, columns=statistics.SUMMARY_COLUMNS)

    def test_text(self, summary):
        lines = [" ".join(x.split()) for x in tables.text_table(summary).splitlines()]
        assert lines[:7] == [
            "MNIST",
            "method n mean ± std [interval] published",
            "epoch 0 B_T 30 10.0 ± 1.0 [9.0, 11.0] ≈ 10.0",
            "S_KDE30 50 68.6 ± 6.7 [66.7, 70.0] * 60.0 ± 5.0",
            "references mean_top 1 90.0 [n = 1] —",
            "epoch 1 B_T 30 70.0 ± 1.0 [69.0, 71.0] * 20.0 ± 1.6",
            "S_KDE30 50 60.0 ± 1.0 [59.0, 61.0] —",
        ]

    def test_text_from_csv(self, summary):
        again = pd.read_csv(io.StringIO(summary.to_csv(index=False)))
        assert tables.text_table(again) == tables.text_table(summary)

    def test_no_published_column_without_published_numbers(self, summary):
        summary[["published_mean", "published_std"]] = math.nan
        assert "published" not in tables.text_table(summary)

    def test_published_median_stands_beside_our_median(self, summary):
        summary.loc[1, ["published_mean", "published_std"]] = math.nan
        summary.loc[1, "published_median"] = 0.745
        text = " ".join(tables.text_table(summary).split())
        assert "S_KDE30 50 68.6 ± 6.7 [66.7, 70.0] median 70.0 * median ≈ 74.5" in text
        assert text.count("median") == 2

    def test_a_method_alone_at_its_epoch_is_not_the_best(self, summary):
        alone = summary.drop(index=4)
        assert tables.text_table(alone).count("] *") == 1

    def test_latex(self, summary):
        latex = tables.latex_table(summary, statistics=FEW)
        bold = [line for line in latex.splitlines() if r"\bfseries" in line]
        assert len(bold) == 2
        assert r"\bfseries 68.6 $\pm$ 6.7" in bold[0]
        assert r"\bfseries 70.0 $\pm$ 1.0" in bold[1]
        assert r"$S_{\mathrm{KDE30}}$" in latex
        assert r"mean\_top" in latex
        assert r"$\approx$ 10.0" in latex

    def test_latex_sets_two_populations_side_by_side(self, summary):
        zoos = [summary.assign(source=z, target=z) for z in ("mnist", "svhn", "stl10")]
        latex = tables.latex_table(pd.concat(zoos), statistics=FEW)
        assert latex.count(r"\begin{table}") == 2
        assert "Continued." in latex

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            (
                {"sampler": "kde", "hyper_rep": "normalized", "top": 0.3},
                "sampler kde in the latent space of hyper-representation normalized,"
                " from the best 30 % by validation accuracy of the models of the train"
                " split (epochs of the zoo's window)",
            ),
            (
                {"sampler": "identity", "bottom": 0.3, "split": "test"},
                "sampler identity in weight space, from the worst 30 % by validation"
                " accuracy of the models of the test split (epochs of the zoo's"
                " window)",
            ),
            (
                {"sampler": "identity", "split": "test", "epochs": "last"},
                "sampler identity in weight space, from all models of the test split"
                " (last epoch)",
            ),
            (
                {"sampler": "noise", "top": 0.5, "select_on": "test"}
                | {"alignment": "weight_matching", "options": {"sigma": 0.1}},
                "sampler noise (sigma 0.1) in weight space, aligned by weight matching,"
                " from the best 50 % by test accuracy of the models of the train split"
                " (epochs of the zoo's window)",
            ),
        ],
    )
    def test_description_of_a_method(self, settings, words):
        assert tables.describe(Method(**settings)) == words

    def test_name_of_a_transfer(self):
        assert evaluations.display_name("svhn", "mnist") == "SVHN → MNIST"
        assert evaluations.display_name("my_zoo", "my_zoo") == "my_zoo"


class TestPlotting:
    """Helpers of the figures."""

    def test_colours_do_not_depend_on_references(self):
        methods = ["B_T", "S_KDE30", "B_KDE30", "S_KDE"]
        alone = method_colours(methods)
        more = method_colours([*methods, "S_U", "noise"])
        assert len(set(more.values())) == 6
        assert {name: more[name] for name in methods} == alone

    def test_baseline_name_is_no_family(self):
        colours = method_colours(["B_T", "B_TOP"])
        assert colours["B_TOP"] != colours["B_T"]

    def test_names(self):
        assert shown_name("S_KDE30") == r"S$_{\mathsf{KDE30}}$"
        assert shown_name("mean_top30") == "mean top30"

    def test_labels_are_moved_apart_and_stay_inside(self):
        ends = np.array([0.98, 0.5, 0.99, 1.0, 0.1])
        moved = spread(ends, gap=0.1)
        assert np.diff(np.sort(moved)).min() >= 0.1 - 1e-12
        assert moved.max() <= 1
        np.testing.assert_allclose(moved[[1, 4]], [0.5, 0.1])
        assert list(np.argsort(moved)) == list(np.argsort(ends))

    def test_quantiles_are_increasing(self):
        assert list(QUANTILES.values()) == sorted(QUANTILES.values())
