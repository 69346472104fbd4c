"""Training of zoo networks: the engines against the plain loop.

    python bench/zoo.py --models 1 8 64 256 --threads 1 2

Random images of the size of MNIST or CIFAR-10, the paper's recipe. A sample is one
image seen in training by one network.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
import tyro
from common import (
    UNPREFIXED,
    Case,
    Networks,
    Run,
    Timing,
    multiplications,
    plain_loop,
    random_images,
    report,
    traffic,
)

from hyperreps.data.images import Images
from hyperreps.engines.interface import choose_engine
from hyperreps.networks.architectures import build
from hyperreps.networks.initialisation import initial_weights
from hyperreps.numbers.randomness import batch_order
from hyperreps.settings.stages import Recipe


def engine_run(
    name: str,
    images: Images,
    recipe: Recipe,
    *,
    models: int,
    network: str = "cnn",
) -> Run:
    """Returns a run that trains all models for an epoch, where the images are."""
    device = images.pixels.device
    architecture = build(network, channels=images.pixels.shape[1])
    engine = choose_engine(
        name, architecture, activation=recipe.activation, device=device
    )
    size = engine.launch_size(device, batch_size=recipe.batch_size)
    seeds = torch.arange(models, device=device)
    weights = initial_weights(
        architecture, initialization=recipe.initialization, seeds=range(models)
    ).to(device)
    launches = []
    for rows in weights.split(size):
        leaf = rows.clone().requires_grad_()
        launches.append((leaf, engine.optimizer(leaf, recipe)))
    order = batch_order(seeds, epoch=1, count=len(images.labels))

    def run() -> int:
        for (rows, optimizer), part in zip(launches, order.split(size), strict=True):
            engine.train_epoch(rows, optimizer, images, order=part, recipe=recipe)
        return order.numel()

    return run


def cases(networks: Networks, *, images: Images, recipe: Recipe) -> Iterator[Case]:
    """Yields the baseline, then each engine."""
    architecture = build("cnn", channels=images.pixels.shape[1])
    dense = 2 * multiplications(architecture, training=True, sparse=False)
    sparse = 2 * multiplications(architecture, training=True, sparse=True)
    moved = traffic(architecture, batch_size=recipe.batch_size)
    yield Case("plain loop", 1, 1, plain_loop(images, recipe), dense, moved)
    tuned = plain_loop(images, recipe, tuned=True)
    yield Case("tuned loop", 1, 1, tuned, dense, moved)
    for count in networks.models:
        few = Images(images.pixels[:100], images.labels[:100], *images[2:])
        run = engine_run("grouped", few, recipe, models=count)
        yield Case("grouped", count, 1, run, dense, moved)
    pixels = float(images.pixels[0].numel())
    for number in networks.threads:
        for count in networks.models:
            # a long epoch for few models, a short one for many
            few = Images(
                *(x[: max(1000, 4000 // count)] for x in images[:2]), *images[2:]
            )
            run = engine_run("fused", few, recipe, models=count)
            yield Case("fused", count, number, run, sparse, pixels)


def main(
    networks: Annotated[Networks, UNPREFIXED] = Networks(),
    initialization: str = "uniform",
    batch_size: int = 10,
    timing: Annotated[Timing, UNPREFIXED] = Timing(),
) -> None:
    """Prints a table.

    Args:
        networks: What is measured.
        initialization: Of the recipe.
        batch_size: Images per training step.
        timing: How it is measured.
    """
    recipe = Recipe(
        initialization=initialization,
        activation=networks.activation,
        learning_rate=3e-4,
        batch_size=batch_size,
        epochs=1,
    )
    images = random_images(4000, channels=networks.channels)
    report(
        f"zoo training, {networks.channels} channels, {networks.activation},"
        f" batch {batch_size}",
        cases(networks, images=images, recipe=recipe),
        timing,
    )


if __name__ == "__main__":
    tyro.cli(main)
