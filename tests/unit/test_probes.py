"""Linear probes against scikit-learn, closed forms and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.preprocessing import StandardScaler

from hyperreps.networks.architectures import build
from hyperreps.numbers import scores
from hyperreps.representation import probes
from hyperreps.representation.probes import Target

RNG = np.random.default_rng(0)
SPLIT = np.repeat(["train", "val", "test"], [60, 20, 20])
INPUTS = RNG.normal(size=(100, 8)) * np.logspace(-2, 2, 8)
TRUTH = INPUTS @ np.logspace(2, -2, 8) + RNG.normal(size=100)


def number(values) -> Target:
    return Target(values, "number")


class TestProbe:
    """Ridge regression and its choice of alpha."""

    def test_a_probe_is_ridge_regression_in_closed_form(self):
        """(X'X + alpha)^-1 X'y on standardised inputs and centred values."""
        found = probes.fit_probe(INPUTS, number(TRUTH), split=SPLIT, alphas=[3.0])
        train = SPLIT == "train"
        x = (INPUTS - INPUTS[train].mean(0)) / INPUTS[train].std(0)
        centred = TRUTH[train] - TRUTH[train].mean()
        gram = x[train].T @ x[train] + 3 * np.eye(8)
        expected = x @ np.linalg.solve(gram, x[train].T @ centred) + TRUTH[train].mean()
        np.testing.assert_allclose(found.predicted, expected)

    def test_against_scikit_learn_and_alpha_by_validation(self):
        noisy = TRUTH + 20 * np.random.default_rng(1).normal(size=100)
        found = probes.fit_probe(INPUTS, number(noisy), split=SPLIT)
        train, val = SPLIT == "train", SPLIT == "val"
        scaled = StandardScaler().fit(INPUTS[train]).transform(INPUTS)
        fits = {
            a: Ridge(alpha=a).fit(scaled[train], noisy[train]) for a in probes.ALPHAS
        }
        scores = {a: fit.score(scaled[val], noisy[val]) for a, fit in fits.items()}
        best = max(scores, key=scores.__getitem__)
        assert found.alpha == best
        assert probes.ALPHAS[0] < best < probes.ALPHAS[-1]
        np.testing.assert_allclose(found.predicted, fits[best].predict(scaled))

    def test_the_test_split_has_no_say(self):
        changed = TRUTH.copy()
        changed[SPLIT == "test"] = 0
        one = probes.fit_probe(INPUTS, number(TRUTH), split=SPLIT)
        two = probes.fit_probe(INPUTS, number(changed), split=SPLIT)
        np.testing.assert_array_equal(one.predicted, two.predicted)
        assert one.alpha == two.alpha

    def test_more_inputs_than_networks_in_single_precision(self):
        wide = np.random.default_rng(2).normal(size=(100, 300)).astype(np.float32)
        found = probes.fit_probe(wide, number(TRUTH), split=SPLIT, alphas=[1e-5])
        train = SPLIT == "train"
        # that many inputs fit the training networks exactly
        np.testing.assert_allclose(found.predicted[train], TRUTH[train], rtol=1e-4)

    def test_categories_are_predicted_better_than_by_chance(self):
        names = np.where(INPUTS[:, 7] > 0, "tanh", "relu")
        found = probes.fit_probe(INPUTS, Target(names, "category"), split=SPLIT)
        right = found.predicted == names
        assert right[SPLIT == "test"].mean() > 0.8
        equal = np.full((1, 100), 0.01)
        accuracy = scores.accuracy(names, found.predicted, equal)
        np.testing.assert_allclose(accuracy, right.mean())


class TestScores:
    """Scores for many weightings at once."""

    @pytest.fixture
    def repeated(self):
        """Weights of repeated networks, and the rows they stand for."""
        counts = np.array([[1, 1, 1, 1, 1, 1], [2, 0, 1, 3, 0, 1], [0, 4, 0, 1, 2, 0]])
        rows = [np.repeat(np.arange(6), row) for row in counts]
        return counts / counts.sum(1, keepdims=True), rows

    def test_r_squared(self, repeated):
        weights, rows = repeated
        truth, predicted = RNG.normal(size=6), RNG.normal(size=6)
        found = scores.r_squared(truth, predicted, weights)
        expected = [r2_score(truth[r], predicted[r]) for r in rows]
        np.testing.assert_allclose(found, expected)

    def test_r_squared_where_nothing_varies(self):
        weights = np.array([[0.5, 0.5, 0.0]])
        found = scores.r_squared(np.array([1.0, 1.0, 2.0]), np.zeros(3), weights)
        assert np.isnan(found).all()

    def test_kendalls_tau(self, repeated):
        weights, rows = repeated
        # with ties, as epochs have them
        truth = np.array([1.0, 1.0, 2.0, 3.0, 3.0, 5.0])
        predicted = np.array([0.1, 0.4, 0.4, 0.2, 0.9, 0.3])
        found = scores.kendall_tau(truth, predicted, weights)
        expected = [kendalltau(truth[r], predicted[r]).statistic for r in rows]
        np.testing.assert_allclose(found, expected)

    def test_kendalls_tau_of_a_constant_prediction(self):
        weights = np.full((1, 3), 1 / 3)
        found = scores.kendall_tau(np.array([1.0, 2.0, 3.0]), np.zeros(3), weights)
        assert np.isnan(found).all()


class TestLayerStatistics:
    """The 70 features."""

    def test_layer_statistics_are_those_of_numpy(self):
        network = build("cnn", channels=1)
        row = np.random.default_rng(3).normal(size=network.parameters)
        found = probes.layer_statistics(row[None], network)[0]
        assert found.shape == (70,)
        # conv1 has 8 kernels of 25 weights, then 8 biases; conv2 follows
        pieces = [row[:200], row[200:208], row[208:1408], row[1408:1414]]
        for index, piece in enumerate(pieces):
            expected = [piece.mean(), piece.var(ddof=0)]
            expected += [np.percentile(piece, q) for q in (1, 25, 50, 75, 99)]
            np.testing.assert_allclose(found[7 * index : 7 * index + 7], expected)

    def test_layer_statistics_by_hand(self):
        """Biases of linear2, the last ten entries: 0 ... 9."""
        network = build("cnn", channels=1)
        row = np.zeros(network.parameters)
        row[-10:] = np.arange(10)
        found = probes.layer_statistics(row[None], network)[0, -7:]
        np.testing.assert_allclose(found, [4.5, 8.25, 0.09, 2.25, 4.5, 6.75, 8.91])

    def test_neurons_may_be_permuted(self):
        network = build("cnn", channels=1)
        row = np.random.default_rng(4).normal(size=network.parameters)
        other = row.copy()
        other[:200] = row[:200].reshape(8, 25)[::-1].ravel()
        features = probes.layer_statistics(np.stack([row, other]), network)
        np.testing.assert_allclose(features[0], features[1])
