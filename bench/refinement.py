"""Samples refined in the latent space, through the decoder, beside finetuned ones.

    python bench/refinement.py --zoo ZOO --dataset IMAGES --hyper-reps AE --output O.csv

Both see the same images in the same batches, by Adam: finetuning steps the weights,
refinement the latent that is decoded to them. Each has the step size that is best on
validation images at that number of images. The decoder's passes come on top, and their
time is in the table.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
import tyro
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

from hyperreps.data.images import Images, read_images
from hyperreps.engines.grouped import forward
from hyperreps.engines.interface import evaluate
from hyperreps.numbers.statistics import Ends, grouped_mean, mean_interval
from hyperreps.representation.autoencoder import load
from hyperreps.sampling.networks import draw_networks
from hyperreps.settings.stages import Method
from hyperreps.symmetry.matching import Matcher, aligned_distances
from hyperreps.zoo.zoos import read_zoo

BATCH = 50
RATES = {
    "finetuned": (0.001, 0.003, 0.01, 0.03, 0.1),
    "refined": (0.01, 0.03, 0.1, 0.3),
}


def with_interval(name: str, values: np.ndarray, limits: Ends) -> dict[str, float]:
    """Returns a mean over networks, with its interval of 95 %."""
    mean = grouped_mean(values, np.arange(len(values)))
    low, high = mean_interval(mean, confidence=0.95, limits=limits)
    return {name: mean.value, f"{name}_low": low, f"{name}_high": high}


class Beside:
    """Samples of one autoencoder, trained in both ways."""

    def __init__(self, path: Path, zoo: Path, images: Images, *, count: int) -> None:
        """Draws them from a Gaussian of the latents of the best 30 %."""
        self.path, self.images = path, images
        self.model = load(path, device=torch.device("cpu")).requires_grad_(False)
        aligned = self.model.settings.alignment != "none"
        own = zoo if aligned else zoo.with_name(zoo.name.replace(".aligned", ""))
        self.data = read_zoo(own)
        self.network = self.data.architecture
        self.activation = self.data.settings.recipe.activation
        self.matcher = Matcher(self.network, activation=self.activation)
        held_out = self.data.weights[self.data.split == "test", -1][:count]
        self.unit = np.median(self.near(held_out))
        method = Method(sampler="gaussian", top=0.3, samples=count)
        drawn = draw_networks(self.data, method, [self.model], seeds=("refinement",))
        weights, latents = (
            torch.from_numpy(drawn[key]) for key in ("weights", "latents")
        )
        self.starts: dict[str, tuple[Tensor, Callable[[Tensor], Tensor]]] = {
            "finetuned": (weights, lambda x: x),
            "refined": (latents, self.model.decode),
        }

    def near(self, rows: np.ndarray) -> np.ndarray:
        """Returns distances to the nearest training network, after matching."""
        corpus = self.data.weights[self.data.split == "train", -1]
        run = np.arange(len(corpus))
        found, _ = aligned_distances(self.matcher, rows, corpus, run=run)
        return found.min(1)

    def trained(
        self, arm: str, rate: float, seen: tuple[int, ...]
    ) -> list[tuple[Tensor, float]]:
        """Returns networks and core-seconds at each number of images."""
        start, decode = self.starts[arm]
        point = start.clone().requires_grad_()
        optimizer = torch.optim.Adam([point], lr=rate)
        rng = torch.Generator().manual_seed(0)
        order = torch.randperm(len(self.images.labels), generator=rng)[: seen[-1]]
        begun, kept = time.process_time(), []
        for number, rows in enumerate(order.split(BATCH)):
            scores = forward(
                self.network,
                decode(point),
                self.images.normalized(rows),
                activation=self.activation,
            )
            labels = self.images.labels[rows].repeat(len(point))
            # each network has its own loss
            loss = F.cross_entropy(scores.flatten(0, 1), labels) * len(point)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if (number + 1) * BATCH in seen:
                spent = time.process_time() - begun
                kept.append((decode(point).detach().clone(), spent))
        return kept

    def right(self, weights: Tensor, images: Images) -> np.ndarray:
        """Returns accuracies."""
        _, found = evaluate(self.network, weights, images, activation=self.activation)
        return found.astype(np.float64)

    def lines(
        self, seen: tuple[int, ...], val: Images, test: Images
    ) -> Iterator[dict[str, object]]:
        """Yields a line for the start, and one per arm and number of images."""
        curve = pd.read_csv(self.path.with_suffix(".csv"))
        about = {
            "hyper_rep": self.path.stem,
            "latent": self.model.settings.latent,
            "r2_held_out": curve["r2_scaled_held_out"].dropna().iloc[-1],
            "n": len(self.starts["refined"][0]),
        }
        found = [("start", 0, 0.0, self.starts["finetuned"][0], 0.0)]
        for arm in self.starts:
            runs = {rate: self.trained(arm, rate, seen) for rate in RATES[arm]}
            for k, number in enumerate(seen):
                good = {r: self.right(runs[r][k][0], val).mean() for r in runs}
                rate = max(good, key=lambda r: good[r])
                found.append((arm, number, rate, *runs[rate][k]))
        finetuned: dict[int, np.ndarray] = {}
        for arm, number, rate, weights, spent in found:
            accuracy = self.right(weights, test)
            line: dict[str, object] = {"arm": arm, "images": number, "rate": rate}
            line |= with_interval("accuracy", accuracy, (0.0, 1.0))
            if arm == "finetuned":
                finetuned[number] = accuracy
            elif number:
                # network by network: both started as the same
                line |= with_interval("lead", accuracy - finetuned[number], (-1.0, 1.0))
            line |= {"distance": self.near(weights.numpy()).mean() / self.unit}
            yield about | line | {"core_seconds": spent / len(weights)}


def main(
    *,
    zoo: Path,
    dataset: Path,
    hyper_reps: tuple[Path, ...],
    output: Path,
    count: int = 10,
    seen: tuple[int, ...] = (1000, 10000),
    images: int = 2000,
) -> None:
    """Writes a line per autoencoder, arm and number of training images.

    Args:
        zoo: Aligned; an autoencoder of networks that are not reads the other file.
        dataset: Its images.
        hyper_reps: Files of pretrain.py, with their curves beside them.
        output: CSV file.
        count: Networks of each.
        seen: Training images, at which networks are evaluated; multiples of BATCH.
        images: That they are evaluated on.
    """
    torch.set_num_threads(1)
    shown = read_images(dataset).on(torch.device("cpu"))
    val, test = (shown[split].first(images) for split in ("val", "test"))
    lines = []
    for path in hyper_reps:
        for line in Beside(path, zoo, shown["train"], count=count).lines(
            seen, val, test
        ):
            print(line, flush=True)
            lines.append(line)
        pd.DataFrame(lines).to_csv(output, index=False)


if __name__ == "__main__":
    tyro.cli(main)
