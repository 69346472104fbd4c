"""Measures the engines that train and evaluate the zoo's CNN, in samples per second.

    python bench/zoo.py --channels 1 --seconds 3

One thread, process CPU time, random data of the size of MNIST batches. The plain loop
is the reference for training, PyTorch in channels_last the one for evaluation. Every
engine is measured --rounds times in turn, and the median counts, so that a busy machine
slows all of them alike.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

from hyperreps import fused
from hyperreps.architectures import build
from hyperreps.devices import keep_freed_memory
from hyperreps.images import Images
from hyperreps.population import PopulationTraining, initial_weights
from hyperreps.settings import Recipe

MODULES = {
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
}
MODELS = 16
IMAGES = 2000
EVALUATION_BATCH = 500
# a run does this many samples
Run = Callable[[], int]


def network(channels: int, activation: str) -> nn.Sequential:
    """Returns the zoo's CNN as an ordinary module."""
    act = MODULES[activation]
    return nn.Sequential(
        *(nn.Conv2d(channels, 8, 5), nn.MaxPool2d(2), act()),
        *(nn.Conv2d(8, 6, 5), nn.MaxPool2d(2), act()),
        *(nn.Conv2d(6, 4, 2), act(), nn.Flatten()),
        *(nn.Linear(36, 20), act(), nn.Linear(20, 10)),
    )


def loop(images: Images, recipe: Recipe, *, tuned: bool) -> Run:
    """Training of one model; tuned: channels_last and the fused Adam."""
    channels = images.pixels.shape[1]
    model = network(channels, recipe.activation)
    x = images.normalized(slice(None))
    if tuned:
        model = model.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(
        model.parameters(), lr=recipe.learning_rate, fused=True if tuned else None
    )
    batches = torch.randperm(IMAGES)[:400].split(recipe.batch_size)

    def run() -> int:
        for index in batches:
            optimizer.zero_grad()
            F.cross_entropy(model(x[index]), images.labels[index]).backward()
            optimizer.step()
        return sum(map(len, batches))

    return run


def grouped(images: Images, recipe: Recipe, start: torch.Tensor) -> Run:
    """Training of a launch of models in grouped convolutions."""
    few = Images(images.pixels[:200], images.labels[:200], images.mean, images.std)
    one = Images(images.pixels[:1], images.labels[:1], images.mean, images.std)
    training = PopulationTraining(
        start,
        build("cnn", channels=images.pixels.shape[1]),
        images={"train": few, "val": one, "test": one},
        seeds=range(len(start)),
        recipe=recipe.model_copy(update={"epochs": 10_000}),
        record=[],
        engine="grouped",
    )

    def run() -> int:
        training.run_epoch()
        return len(start) * 200

    return run


def fused_training(images: Images, recipe: Recipe, start: torch.Tensor) -> Run:
    """Training of all models by the fused engine."""
    weights = start.numpy().copy()
    moments = np.zeros_like(weights), np.zeros_like(weights)
    rng = np.random.default_rng(0)
    order = np.stack([rng.permutation(IMAGES) for _ in weights]).astype(np.int32)
    arguments = _arrays(images)
    step = 0

    def run() -> int:
        nonlocal step
        fused.train_epoch(
            weights,
            *moments,
            step,
            recipe=recipe,
            order=order,
            threads=1,
            **arguments,
        )
        step += -(-IMAGES // recipe.batch_size)
        return order.size

    return run


def torch_evaluation(images: Images, recipe: Recipe) -> Run:
    """Scores of one model in channels_last."""
    channels = images.pixels.shape[1]
    model = network(channels, recipe.activation).to(memory_format=torch.channels_last)
    x = images.normalized(slice(None)).contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def run() -> int:
        for batch in x.split(EVALUATION_BATCH):
            model(batch)
        return IMAGES

    return run


def fused_evaluation(images: Images, recipe: Recipe, start: torch.Tensor) -> Run:
    """Loss and accuracy of all models by the fused engine."""
    arguments = _arrays(images)

    def run() -> int:
        fused.evaluate(
            start.numpy(), activation=recipe.activation, threads=1, **arguments
        )
        return len(start) * IMAGES

    return run


def _arrays(images: Images) -> dict:
    return {
        "architecture": build("cnn", channels=images.pixels.shape[1]),
        "pixels": images.pixels.numpy(),
        "labels": images.labels.numpy().astype(np.uint8),
        "mean": images.mean.numpy(),
        "std": images.std.numpy(),
    }


def speed(run: Run, seconds: float) -> float:
    """Returns samples per second of CPU time."""
    samples, start = 0, time.process_time()
    while (spent := time.process_time() - start) < seconds or not samples:
        samples += run()
    return samples / spent


def main(
    channels: int = 1,
    activation: str = "tanh",
    batch_size: int = 10,
    seconds: float = 1.0,
    rounds: int = 3,
) -> None:
    """Prints a table.

    Args:
        channels: Of the images, 1 or 3.
        activation: One of the recipe's activations.
        batch_size: Images per training step.
        seconds: Of CPU time, per engine and round.
        rounds: Measurements of each engine.
    """
    torch.set_num_threads(1)
    keep_freed_memory()
    torch.manual_seed(0)
    images = Images(
        torch.randint(0, 256, (IMAGES, channels, 28, 28), dtype=torch.uint8),
        torch.randint(0, 10, (IMAGES,)),
        torch.full((channels,), 0.13),
        torch.full((channels,), 0.31),
    )
    recipe = Recipe(
        initialization="kaiming_uniform",
        activation=activation,
        learning_rate=3e-4,
        batch_size=batch_size,
        epochs=1,
    )
    start = initial_weights(
        build("cnn", channels=channels),
        initialization=recipe.initialization,
        seeds=range(MODELS),
    )
    training = {
        "plain loop": loop(images, recipe, tuned=False),
        "tuned loop": loop(images, recipe, tuned=True),
        f"grouped, {MODELS} models": grouped(images, recipe, start),
        "fused": fused_training(images, recipe, start),
    }
    evaluation = {
        "channels_last": torch_evaluation(images, recipe),
        "fused": fused_evaluation(images, recipe, start),
    }
    print(
        f"{channels} channels, {activation}, batch {batch_size},"
        f" median of {rounds} x {seconds} s"
    )
    for title, engines in (("training", training), ("evaluation", evaluation)):
        for run in engines.values():
            run()
        measured = [
            [speed(run, seconds) for run in engines.values()] for _ in range(rounds)
        ]
        rates = np.array(measured)
        ratios = np.median(rates / rates[:, :1], axis=0)
        for name, rate, ratio in zip(
            engines, np.median(rates, axis=0), ratios, strict=True
        ):
            print(f"{title:10} {name:20} {rate:10,.0f} samples/s {ratio:7.2f}x")


if __name__ == "__main__":
    tyro.cli(main)
