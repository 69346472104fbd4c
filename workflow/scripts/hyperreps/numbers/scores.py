"""How good predictions and reconstructions of networks are.

Every score is given for weightings of the networks: equally for the estimate itself,
else for its uncertainty; see statistics.left_out_weights().
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .shapes import Float, Int

# of ensembles, in their files
METRICS = ("accuracy", "nll", "ece", "disagreement")


def r_squared(
    truth: Float[np.ndarray, "models"],
    predicted: Float[np.ndarray, "models"],
    weightings: Float[np.ndarray, "weightings models"],
) -> Float[np.ndarray, "weightings"]:
    """Returns the explained variance for each weighting of the networks.

    Args:
        truth: Values.
        predicted: Their predictions.
        weightings: How much each network counts; rows that sum to 1. NaN is returned
            where they leave no variance.
    """
    # differences from one number first: sums of squares would cancel otherwise
    centred = truth - truth.mean()
    variance = weightings @ centred**2 - (weightings @ centred) ** 2
    error = weightings @ (truth - predicted) ** 2
    return 1 - error / np.where(variance > 1e-12 * np.ptp(truth) ** 2, variance, np.nan)


def kendall_tau(
    truth: Float[np.ndarray, "models"],
    predicted: Float[np.ndarray, "models"],
    weightings: Float[np.ndarray, "weightings models"],
) -> Float[np.ndarray, "weightings"]:
    """Returns Kendall's tau-b for each weighting of the networks.

    A pair counts with the product of what its networks count, as it would if rows were
    repeated; NaN where all are tied.
    """
    order = np.sign(np.subtract.outer(truth, truth))
    guess = np.sign(np.subtract.outer(predicted, predicted))

    def pairs(matrix: np.ndarray) -> np.ndarray:
        return ((weightings @ matrix) * weightings).sum(axis=1)

    untied = pairs(order**2) * pairs(guess**2)
    return pairs(order * guess) / np.sqrt(np.where(untied > 0, untied, np.nan))


def accuracy(
    truth: np.ndarray,
    predicted: np.ndarray,
    weightings: Float[np.ndarray, "weightings models"],
) -> Float[np.ndarray, "weightings"]:
    """Returns the fraction of right names for each weighting of the networks."""
    return weightings @ (truth == predicted).astype(np.float64)


# of probes, by what is predicted
Score = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
SCORES: dict[str, dict[str, Score]] = {
    "number": {"r2": r_squared, "tau": kendall_tau},
    "category": {"accuracy": accuracy},
}


def explained_variance(
    squared_error: Float[np.ndarray, "hyper_reps models layers"],
    squared_deviation: Float[np.ndarray, "models layers"],
    weightings: Float[np.ndarray, "weightings models"],
) -> Float[np.ndarray, "weightings hyper_reps layers+1"]:
    """Returns R2 of each layer against predicting the training mean.

    Args:
        squared_error: Of each reconstruction, summed over the entries of a layer.
        squared_deviation: Of each network from the mean training network.
        weightings: How much each network counts: equally for the estimate itself,
            else for its uncertainty; see statistics.left_out_weights().

    Returns:
        1 - SSE / SSE of the mean; 1 is perfect, 0 is the mean. The last column is for
        all layers together.
    """
    error = np.einsum("rm,hml->rhl", weightings, _with_total(squared_error))
    deviation = weightings @ _with_total(squared_deviation)
    return 1 - error / deviation[:, None]


def mean_squared_error(
    squared_error: Float[np.ndarray, "hyper_reps models layers"],
    sizes: Int[np.ndarray, "layers"],
    weightings: Float[np.ndarray, "weightings models"],
) -> Float[np.ndarray, "weightings hyper_reps layers+1"]:
    """Returns the mean squared error per weight of each layer, and last of all.

    Args:
        squared_error: As in explained_variance().
        sizes: Entries of each layer.
        weightings: As in explained_variance(); each row sums to 1.
    """
    error = np.einsum("rm,hml->rhl", weightings, _with_total(squared_error))
    return error / _with_total(sizes)


def _with_total(values: np.ndarray) -> np.ndarray:
    return np.concatenate([values, values.sum(axis=-1, keepdims=True)], axis=-1)
