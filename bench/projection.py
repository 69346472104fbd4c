"""Networks put through the autoencoder, beside noise and soups of equal distance.

    python bench/projection.py --results results/beyond --zoo mnist_300 --output O.csv

Held-out networks come back good and new. Do noise on networks, their soups and Gaussians
of their weights come back better than they went in?
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import tyro

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

from hyperreps.data.images import read_images
from hyperreps.engines.interface import evaluate
from hyperreps.files.storage import read_arrays
from hyperreps.numbers.statistics import Estimate, grouped_mean, mean_interval
from hyperreps.representation.autoencoder import load
from hyperreps.results.judgement import above_curve
from hyperreps.symmetry.matching import Matcher, aligned_distances
from hyperreps.zoo.zoos import read_zoo, select

NOISE = (
    "B_F30",
    *(f"relative_noise_{s}" for s in ("0.125", "0.25", "0.5", "1", "1.5")),
)
SOUPS = ("B_F30", "interpolation_top30", "soup4_top30", "soup8_top30", "soup16_top30")
SOUPS += tuple(f"soup16_top30_{s}" for s in ("0.25", "0.5", "1"))
STARTS = ("held_out", *NOISE[3:], *SOUPS[1:2], *SOUPS[4:], "gaussian30_weights_aligned")
STARTS += ("A_gaussian30", "S_gaussian30")
DIFFERENCE, SHARE = (-1.0, 1.0), (0.0, 1.0)


def main(
    *,
    results: Path,
    zoo: str,
    output: Path,
    hyper_rep: str = "normalized_seed1",
    passes: tuple[int, ...] = (1, 2, 4),
    count: int = 20,
    images: int = 2000,
) -> None:
    """Writes a line per population and number of passes.

    Args:
        results: Of `snakemake table_judgement` with config/beyond.yaml.
        zoo: Its key.
        output: CSV file.
        hyper_rep: Autoencoder that they go through, of networks that are not aligned.
        passes: How often, increasing; 0 is always there.
        count: Networks of each population.
        images: Test images that they are evaluated on.
    """
    torch.set_num_threads(1)
    data = read_zoo(results / f"zoos/{zoo}.h5")
    activation = data.settings.recipe.activation
    matcher = Matcher(data.architecture, activation=activation)
    test = read_images(next(results.glob("datasets/*.h5"))).on(torch.device("cpu"))
    shown = test["test"].first(images)
    model = load(
        results / f"hyper_reps/{zoo}/{hyper_rep}.safetensors",
        device=torch.device("cpu"),
    ).requires_grad_(False)
    corpus = select(data, split="train", epochs="last").weights
    held_out = select(data, split="test", epochs="last").weights

    def near(weights: np.ndarray) -> np.ndarray:
        run = np.arange(len(corpus))
        return aligned_distances(matcher, weights, corpus, run=run)[0].min(1)

    unit = np.median(near(held_out))

    def judged(weights: torch.Tensor) -> pd.DataFrame:
        _, right = evaluate(data.architecture, weights, shown, activation=activation)
        distance = near(weights.numpy()) / unit
        group = np.arange(len(weights))
        return pd.DataFrame({"accuracy": right, "distance": distance, "group": group})

    def drawn(name: str) -> torch.Tensor:
        if name == "held_out":
            return torch.from_numpy(held_out[:count])
        path = results / f"samples/{zoo}/{name}.h5"
        arrays, _ = read_arrays(path, "weights", kind="samples")
        return torch.from_numpy(arrays["weights"][:count])

    curves = {
        "noise": [judged(drawn(name)) for name in NOISE],
        "soup": [judged(drawn(name)) for name in SOUPS],
    }
    lines = []
    for name in STARTS:
        weights = drawn(name)
        for number in range(passes[-1] + 1):
            if number:
                weights = model.decode(model.encode(weights))
            if number and number not in passes:
                continue
            found = judged(weights)
            line = {"population": name, "passes": number, "networks": len(found)}
            own = grouped_mean(found["accuracy"].to_numpy(), found["group"].to_numpy())
            line |= interval("accuracy", own, SHARE)
            line["distance"] = found["distance"].mean()
            for curve, points in curves.items():
                line |= interval(
                    f"above_{curve}", above_curve(found, points), DIFFERENCE
                )
            print(line, flush=True)
            lines.append(line)
    pd.DataFrame(lines).to_csv(output, index=False)


def interval(
    name: str, mean: Estimate, limits: tuple[float, float]
) -> dict[str, float]:
    """Returns a mean and its interval of 95 %."""
    low, high = mean_interval(mean, confidence=0.95, limits=limits)
    return {name: mean.value, f"{name}_low": low, f"{name}_high": high}


if __name__ == "__main__":
    tyro.cli(main)
