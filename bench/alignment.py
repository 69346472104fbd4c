"""Which alignment serves a zoo: plain or layer-wise distance, with signs or without?

    python bench/alignment.py --zoo results/demo/zoos/digits.h5 \
        --dataset results/demo/datasets/digits.h5

Layer-wise: matched on weights divided by the standard deviation of their layer. Each
form starts from several references; the numbers are of the moved, unscaled weights at
the last epoch of the window: L2 distance to the reference and of held-out networks to
the training mean; R2 of held-out networks by the principal components of the training
networks, and accuracy of what they give back; accuracy of the mean training network.
"""

from __future__ import annotations

import sys
import time
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import tyro

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

from hyperreps.data.images import read_images
from hyperreps.engines.interface import evaluate
from hyperreps.running.devices import Machine
from hyperreps.symmetry.alignment import weight_matching
from hyperreps.symmetry.permutations import Symmetries
from hyperreps.zoo.zoos import ZooData, read_zoo

COMPONENTS = (16, 64)
# an activation that is not odd: no flips
PLAIN = "relu"


def main(
    zoo: Path,
    dataset: Path,
    references: int = 4,
    count: int = 2000,
    output: Path | None = None,
) -> None:
    """Prints a line per form and reference, first that of the networks as they are.

    Args:
        zoo: zoos/{zoo}.h5.
        dataset: Its images.
        references: Training networks that others are matched to, one at a time.
        count: Of test images that accuracies are of.
        output: CSV file; lines are appended.
    """
    device = Machine(device="cpu").prepare()
    test = read_images(dataset).on(device)["test"].first(count)
    data = read_zoo(zoo)
    last = data.weights[:, -1]
    train = np.flatnonzero(data.split == "train")
    layers = data.architecture.layer_index
    std = np.array([last[train][:, layers == k].std() for k in range(layers[-1] + 1)])

    def accuracy(networks: np.ndarray) -> float:
        rows = torch.from_numpy(networks.astype(np.float32))
        activation = data.settings.recipe.activation
        found = evaluate(data.architecture, rows, test, activation=activation)[1]
        return 100 * float(found.mean())

    rows = []
    forms = [("none", False), *product(("plain", "layer-wise"), (False, True))]
    for metric, signs in forms:
        for reference in train[:references].tolist():
            own = [recipe.activation for recipe in data.recipes]
            start = time.process_time()
            moved = data.weights
            if metric != "none":
                scaled = last / std[layers] if metric == "layer-wise" else last
                found = weight_matching(
                    scaled.astype(np.float32),
                    data.architecture,
                    activations=own if signs else [PLAIN] * len(own),
                    fit=train,
                    reference=reference,
                )
                moved = _moved(data.weights, found)
            spent = time.process_time() - start
            row = {
                "zoo": data.name,
                "models": len(last),
                "distance": metric,
                "signs": signs,
                "reference": reference,
                "cpu_seconds": spent,
            }
            rows.append(row | _quality(data, moved, train, reference, accuracy))
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format="%.3f"))
    means = table.drop(columns="reference").groupby(
        ["zoo", "models", "distance", "signs"], sort=False
    )
    print(f"\nmeans\n{means.mean().to_string(float_format='%.3f')}")
    if output is not None:
        table.to_csv(output, mode="a", header=not output.exists(), index=False)


def _moved(weights: np.ndarray, found: Symmetries) -> np.ndarray:
    """Moves all epochs: [models, epochs, parameters]."""
    epochs = [torch.from_numpy(weights[:, k]) for k in range(weights.shape[1])]
    return torch.stack([found.of(epoch) for epoch in epochs], dim=1).numpy()


def _quality(data: ZooData, moved, train, reference: int, accuracy) -> dict[str, float]:
    held_out = np.flatnonzero(np.isin(data.split, ["val", "test"]))
    weights = moved.astype(np.float64)
    seen = weights[train].reshape(-1, weights.shape[-1])
    mean = seen.mean(0)
    unseen = weights[held_out, -1] - mean
    others = np.setdiff1d(train, reference)
    away = np.linalg.norm(weights[others, -1] - weights[reference, -1], axis=1)
    row = {
        "to_reference": away.mean(),
        "to_mean": np.linalg.norm(unseen, axis=1).mean(),
        "mean_accuracy": accuracy(mean[None]),
    }
    directions = np.linalg.svd(seen - mean, full_matrices=False)[2]
    for count in COMPONENTS:
        basis = directions[:count]
        back = unseen @ basis.T @ basis
        row[f"r2_{count}"] = 1 - np.sum((unseen - back) ** 2) / np.sum(unseen**2)
        row[f"accuracy_{count}"] = accuracy(back + mean)
    return row


if __name__ == "__main__":
    tyro.cli(main)
