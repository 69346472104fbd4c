"""Accuracies of networks: gathering and grouping; published numbers."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from hyperreps.files.storage import DataFileError
from hyperreps.results import accuracies
from hyperreps.results.published import load_published
from hyperreps.settings.stages import SettingsError

from .result_files import finetuned_file, zoo_file

PUBLISHED = Path(__file__).parents[2] / "config" / "published.yaml"


class TestCollect:
    """collect() and the files it reads."""

    def test_diverged_samples_are_left_out_and_counted(self, tmp_path, caplog):
        path = finetuned_file(
            tmp_path,
            [[0.1, 0.5], [0.2, 0.6], [0.3, 0.3]],
            diverged=np.array([-1, -1, 1]),
        )
        with caplog.at_level("INFO"):
            frame = accuracies.collect([zoo_file(tmp_path)], [path])
        own = frame[frame["method"] == "S_KDE30"]
        assert own["sample"].tolist() == [0, 0, 1, 1]
        assert own["accuracy"].tolist() == pytest.approx([0.1, 0.5, 0.2, 0.6])
        assert "1 of 3 diverged and are left out" in caplog.text

    def test_baseline_is_the_test_split_at_all_epochs(self, tmp_path):
        frame = accuracies.collect([zoo_file(tmp_path)])
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
        frame = accuracies.collect([zoo_file(tmp_path)], [path])
        assert list(frame.loc[frame["method"] == "S_KDE30", "group"]) == groups

    def test_compared_with_the_published_setting_else_its_name(self, tmp_path):
        paths = [
            finetuned_file(tmp_path, [[0.1]], method="A", settings={"published": "B"}),
            finetuned_file(tmp_path, [[0.1]], method="C"),
        ]
        frame = accuracies.collect([zoo_file(tmp_path)], paths).set_index("method")
        assert frame.loc["A", "published"] == "B"
        assert frame.loc["C", "published"] == "C"

    def test_same_population_twice(self, tmp_path):
        path = finetuned_file(tmp_path, [[0.1]])
        with pytest.raises(DataFileError, match=r"S_KDE30 is already given by .*h5"):
            accuracies.collect([zoo_file(tmp_path)], [path, path])

    def test_same_zoo_twice(self, tmp_path):
        path = zoo_file(tmp_path)
        with pytest.raises(DataFileError, match="'mnist' is given twice"):
            accuracies.collect([path, path])

    def test_no_test_split(self, tmp_path):
        with pytest.raises(DataFileError, match="'mnist' has no models in its test"):
            accuracies.collect([zoo_file(tmp_path, split="val")])

    @pytest.mark.parametrize(
        ("other", "network"),
        [
            # one alone, out of range, at the last epoch of all
            ([0.2, 0.2], [math.nan, 0.2]),
            ([0.2, 0.2], [1.5, 0.2]),
            ([math.nan], [math.nan]),
        ],
    )
    def test_impossible_accuracy_names_file_network_and_epoch(
        self, tmp_path, other, network
    ):
        path = finetuned_file(tmp_path, [[0.1, *network], [0.1, *other]])
        with pytest.raises(
            DataFileError, match=r"S_KDE30\.h5.*network 0 at epoch 1 is"
        ):
            accuracies.collect([zoo_file(tmp_path)], [path])

    def test_epochs_that_were_not_evaluated_are_left_out(self, tmp_path):
        gaps = [[0.1, math.nan, 0.3], [0.2, math.nan, 0.4]]
        path = finetuned_file(tmp_path, gaps)
        frame = accuracies.collect([zoo_file(tmp_path)], [path])
        ours = frame[frame["method"] == "S_KDE30"]
        assert ours["epoch"].tolist() == [0, 2, 0, 2]
        assert ours["sample"].tolist() == [0, 0, 1, 1]
        np.testing.assert_allclose(ours["accuracy"], [0.1, 0.3, 0.2, 0.4])

    def test_settings_of_another_version(self, tmp_path):
        path = finetuned_file(tmp_path, [[0.1]], settings={"colour": "red"})
        with pytest.raises(
            DataFileError, match=r"S_KDE30\.h5: attribute settings: colour"
        ):
            accuracies.collect([zoo_file(tmp_path)], [path])

    def test_other_kind(self, tmp_path):
        with pytest.raises(
            DataFileError, match="holds 'zoo', but 'finetuned' is needed"
        ):
            accuracies.collect([zoo_file(tmp_path)], [zoo_file(tmp_path)])

    def test_settings_that_differ_between_zoos(self, tmp_path):
        paths = [
            finetuned_file(tmp_path, [[0.1]]),
            finetuned_file(tmp_path, [[0.1]], target="svhn", settings={"top": 0.3}),
        ]
        with pytest.raises(DataFileError, match="settings of S_KDE30 differ"):
            accuracies.collect([zoo_file(tmp_path)], paths)


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
        numbers = load_published(PUBLISHED, table=table)
        assert len(numbers) == rows
        index = numbers.set_index(["source", "target", "method", "epoch"])
        assert index.loc[key, "value"] == value
        np.testing.assert_equal(index.loc[key, "std"], std)
        assert numbers["value"].between(0, 1).all()

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
            load_published(path)
        assert str(path) in str(error.value)

    def test_missing_file(self, tmp_path):
        with pytest.raises(SettingsError, match="no such file"):
            load_published(tmp_path / "none.yaml")


def test_name_of_a_transfer():
    assert accuracies.display_name("svhn", "mnist") == "SVHN → MNIST"
    assert accuracies.display_name("my_zoo", "my_zoo") == "my_zoo"
