"""Ensembles: scores against hand computations, drawing, members from files."""

from __future__ import annotations

import io
import math
import re
import sys

import numpy as np
import pytest
import torch
from scipy.special import softmax

from hyperreps.engines.interface import evaluate
from hyperreps.files.storage import DataFileError, read_arrays, write_arrays
from hyperreps.networks.initialisation import initial_weights
from hyperreps.numbers.seeds import derived_rng
from hyperreps.settings.stages import SettingsError
from hyperreps.symmetry.matching import Matcher, aligned_distances, pair_distances
from hyperreps.zoo import ensembles
from hyperreps.zoo.members import read_networks

from .conftest import make_images, on_cpu, plain_model


def random_probabilities(models: int, images: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return softmax(3 * rng.normal(size=(models, images, 10)), axis=2)


def scored(probabilities, labels, *, sizes, count=40, seed=0):
    members = ensembles.draw_members(
        len(probabilities),
        ensembles=count,
        largest=sizes[-1],
        rng=derived_rng("test", seed),
    )
    scores = ensembles.score_ensembles(
        probabilities, labels, members=members, sizes=sizes
    )
    return members, scores


class TestScores:
    """Likelihood, calibration and disagreement by hand."""

    def test_likelihood_by_hand(self):
        probabilities = np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]])
        by_hand = -(math.log(0.25) + math.log(0.8)) / 2
        labels = np.array([1, 2])
        found = ensembles.negative_log_likelihood(probabilities, labels)
        assert found == pytest.approx(by_hand)

    def test_likelihood_of_a_class_that_is_ruled_out_is_finite(self):
        certain = np.array([[1.0, 0.0]])
        found = ensembles.negative_log_likelihood(certain, np.array([1]))
        assert found == pytest.approx(-math.log(np.finfo(np.float32).tiny))

    def test_calibration_error_by_hand(self):
        """Two bins of two: |1/2 - 0.62| and |1 - 0.9|, weighted by 2/4 and 2/4."""
        confidence = np.array([0.61, 0.63, 0.92, 0.88])
        probabilities = np.stack([confidence, 1 - confidence], axis=1)
        labels = np.array([0, 1, 0, 0])
        found = ensembles.expected_calibration_error(probabilities, labels, bins=5)
        assert found == pytest.approx(0.5 * 0.12 + 0.5 * 0.1)

    def test_calibration_has_15_bins_that_hold_their_upper_edge(self):
        # 9/15 and the number above it lie in different bins, and do not cancel
        edge = 9 / 15
        confidence = np.array([edge, np.nextafter(edge, 1)])
        probabilities = np.stack([confidence, 1 - confidence], axis=1)
        labels = np.array([0, 1])
        found = ensembles.expected_calibration_error(probabilities, labels)
        assert found == pytest.approx((0.4 + 0.6) / 2)

    def test_calibration_against_a_loop(self):
        probabilities = random_probabilities(1, 300)[0]
        labels = np.random.default_rng(1).integers(0, 10, 300)
        confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
        expected = 0.0
        for b in range(15):
            inside = (confidence > b / 15) & (confidence <= (b + 1) / 15)
            if inside.any():
                gap = abs(right[inside].mean() - confidence[inside].mean())
                expected += inside.mean() * gap
        found = ensembles.expected_calibration_error(probabilities, labels)
        assert found == pytest.approx(expected)

    def test_disagreement_of_three_networks(self):
        predicted = np.array([[0, 0, 0, 0], [0, 0, 1, 1], [0, 1, 1, 0]])
        probabilities = np.eye(2)[predicted]
        found = ensembles.pairwise_disagreement(probabilities)
        np.testing.assert_allclose(found, [[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
        _, scores = scored(probabilities, np.zeros(4, np.int64), sizes=[1, 2, 3])
        assert np.isnan(scores["disagreement"][:, 0]).all()
        np.testing.assert_allclose(scores["disagreement"][:, 1:], 0.5)

    def test_every_score_is_that_of_the_mean_probability(self):
        probabilities = random_probabilities(6, 80)
        labels = np.random.default_rng(1).integers(0, 10, 80)
        members, scores = scored(probabilities, labels, sizes=[1, 2, 4])
        for row, order in enumerate(members):
            for column, size in enumerate([1, 2, 4]):
                mean = probabilities[order[:size]].mean(axis=0)
                nll = -np.log(mean[np.arange(80), labels]).mean()
                right = (mean.argmax(axis=1) == labels).mean()
                assert scores["accuracy"][row, column] == pytest.approx(right)
                assert scores["nll"][row, column] == pytest.approx(nll)

    def test_size_one_is_the_mean_of_single_networks(self):
        probabilities = random_probabilities(7, 50)
        labels = np.random.default_rng(2).integers(0, 10, 50)
        single = (probabilities.argmax(axis=2) == labels).mean(axis=1)
        _, scores = scored(probabilities, labels, sizes=[1, 3], count=10)
        # 10 ensembles become 14: every network twice
        assert scores["accuracy"].shape == (14, 2)
        assert scores["accuracy"][:, 0].mean() == pytest.approx(single.mean())


class TestDrawing:
    """Random ensembles."""

    def test_members_differ_and_come_first_equally_often(self):
        rng = derived_rng("test", 0)
        members = ensembles.draw_members(9, ensembles=30, largest=5, rng=rng)
        assert members.shape == (36, 5)
        assert all(len(set(row)) == 5 for row in members)
        assert np.bincount(members[:, 0]).tolist() == [4] * 9

    def test_other_members_are_uniform(self):
        rng = derived_rng("test", 1)
        members = ensembles.draw_members(5, ensembles=20_000, largest=3, rng=rng)
        for position in (1, 2):
            shares = np.bincount(members[:, position]) / len(members)
            np.testing.assert_allclose(shares, 0.2, atol=0.015)

    def test_more_than_there_are(self):
        rng = derived_rng("test", 0)
        with pytest.raises(ValueError, match="at most 3 networks, got 4"):
            ensembles.draw_members(3, ensembles=1, largest=4, rng=rng)


class TestProbabilities:
    """Class probabilities of a population."""

    def test_against_pytorch_and_evaluate(self, cnn):
        images = on_cpu(make_images(counts=(20, 10, 230)))["test"]
        generator = torch.Generator().manual_seed(0)
        weights = 0.3 * torch.randn(18, cnn.parameters, generator=generator)
        found = ensembles.member_probabilities(cnn, weights, images, activation="tanh")
        assert found.shape == (18, 230, 10)
        inputs = images.normalized(slice(None))
        for row in (0, 17):
            model = plain_model(weights[row], channels=1, activation="tanh")
            expected = model(inputs).softmax(dim=1).detach().numpy()
            np.testing.assert_allclose(found[row], expected, atol=1e-5)
        accuracy = (found.argmax(axis=2) == images.labels.numpy()).mean(axis=1)
        evaluated = evaluate(cnn, weights, images, activation="tanh")[1]
        np.testing.assert_allclose(accuracy, evaluated, atol=0.005)


@pytest.fixture
def zoo_file(tmp_path):
    """Ten models, two epochs; a weight says its model and epoch."""
    path = tmp_path / "zoo.h5"
    models, epochs = np.indices((10, 2))
    weights = (models + 100 * epochs).astype(np.float32)
    accuracy = np.linspace(0.1, 0.5, 10, dtype=np.float32)
    arrays = {
        "weights": np.repeat(weights[:, :, None], 3, axis=2),
        "split": np.array(["train"] * 7 + ["val", "test", "test"]),
        "accuracy/val": np.stack([accuracy, accuracy[::-1]], axis=1),
        "accuracy/test": np.zeros((10, 2)),
        "epochs": [0, 1],
    }
    write_arrays(path, arrays, attributes={"kind": "zoo"})
    return path


class TestMembers:
    """Networks read from files."""

    def test_populations_of_a_zoo_are_its_test_split_and_its_best(self, zoo_file):
        weights, _ = read_networks(zoo_file, kind="zoo", name="B_T", epochs=(0, 1))
        assert weights[:, :, 0].tolist() == [[8, 9], [108, 109]]
        weights, _ = read_networks(zoo_file, kind="zoo", name="B_T30", epochs=(0, 1))
        # 30 % of 7, by validation accuracy of the epoch
        assert weights[:, :, 0].tolist() == [[5, 6], [100, 101]]

    @pytest.mark.parametrize("name", ["B_T", "B_T30"])
    def test_an_epoch_is_not_its_column(self, zoo_file, name):
        """A zoo has the weights of some epochs, and says which."""
        read = {"kind": "zoo", "name": name}
        by_column, _ = read_networks(zoo_file, epochs=(0, 1), **read)
        arrays, attributes = read_arrays(zoo_file, kind="zoo")
        arrays["epochs"] = [21, 25]
        accuracy = np.full((10, 26), np.nan)
        accuracy[:, [21, 25]] = arrays["accuracy/val"]
        arrays["accuracy/val"] = accuracy
        write_arrays(zoo_file, arrays, attributes=attributes)
        with pytest.raises(DataFileError, match=r"no epoch 0, 1; .* there are 21, 25"):
            read_networks(zoo_file, epochs=(0, 1), **read)
        weights, _ = read_networks(zoo_file, epochs=(25,), **read)
        np.testing.assert_array_equal(weights, by_column[1:])

    def test_networks_that_are_not_finite_are_left_out_at_all_epochs(self, zoo_file):
        arrays, attributes = read_arrays(zoo_file, kind="zoo")
        arrays["weights"][8, 1, 0] = np.nan
        write_arrays(zoo_file, arrays, attributes=attributes)
        weights, _ = read_networks(zoo_file, kind="zoo", name="B_T", epochs=(0, 1))
        assert weights[:, :, 0].tolist() == [[9], [109]]

    def test_networks_that_cannot_be_read_are_named(self, zoo_file, tmp_path):
        read = {"kind": "zoo", "name": "B_T"}
        with pytest.raises(DataFileError, match=r"no epoch 2; .* there are 0, 1"):
            read_networks(zoo_file, epochs=(0, 2), **read)
        arrays, attributes = read_arrays(zoo_file, kind="zoo")
        arrays["weights"][:] = np.inf
        write_arrays(zoo_file, arrays, attributes=attributes)
        with pytest.raises(DataFileError, match="no network is finite"):
            read_networks(zoo_file, epochs=(0, 1), **read)
        with pytest.raises(SettingsError, match="epoch 0 only"):
            read_networks(zoo_file, kind="samples", name="S", epochs=(0, 1))

    def test_finetuned_networks_are_read_at_the_epochs_asked_for(self, tmp_path):
        path = tmp_path / "tuned.h5"
        samples, epochs = np.indices((4, 3))
        weights = (samples + 100 * epochs).astype(np.float32)
        arrays = {"weights": weights[:, :, None], "epochs": [0, 1, 5]}
        write_arrays(path, arrays, attributes={"kind": "finetuned"})
        read = {"kind": "finetuned", "name": "S"}
        weights, _ = read_networks(path, epochs=(1, 5), **read)
        assert weights[:, :, 0].tolist() == [[100, 101, 102, 103], [200, 201, 202, 203]]
        with pytest.raises(DataFileError, match=r"no epoch 25; .* 0, 1, 5"):
            read_networks(path, epochs=(0, 25), **read)


@pytest.mark.parametrize("terminal", [True, False])
def test_long_work_has_a_bar_on_terminals_and_none_in_files(
    cnn, monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(shown, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(sys, "stderr", shown)
    scored(random_probabilities(3, 8), np.zeros(8, int), sizes=[1, 2])
    networks = initial_weights(cnn, initialization="uniform", seeds=range(3))
    matcher = Matcher(cnn, activation="tanh")
    aligned_distances(matcher, networks.numpy(), networks.numpy(), run=np.arange(3))
    pair_distances(matcher, networks.numpy())
    names = ("ensembles", "distances", "pairs") if terminal else ()
    assert tuple(dict.fromkeys(re.findall(r"(\w+): 100%", shown.getvalue()))) == names
    assert bool(shown.getvalue()) == terminal
