"""Finetuning as the stage does it: an epoch of training, then two evaluations.

    python bench/finetuning.py --models 1 8 64 --threads 1 2

A sample is one training image of one network; every epoch also evaluates 0.2 as many
images twice, about MNIST's proportion. The baseline does the same with one network.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import tyro
from common import (
    UNPREFIXED,
    Case,
    Networks,
    Run,
    Timing,
    plain_evaluation,
    plain_loop,
    random_images,
    report,
)

from hyperreps.data.images import Images
from hyperreps.networks.architectures import build
from hyperreps.networks.initialisation import initial_weights
from hyperreps.settings.stages import Recipe
from hyperreps.zoo.population import PopulationTraining


def plain_run(images: Images, recipe: Recipe) -> Run:
    """Returns a run of an epoch of one network with its evaluations."""
    train = plain_loop(images, recipe)
    held_out = images.first(len(images.labels) // 5)
    evaluation = plain_evaluation(held_out, recipe.activation)

    def run() -> int:
        samples = train()
        evaluation()
        evaluation()
        return samples

    return run


def engine_run(name: str, images: Images, recipe: Recipe, *, models: int) -> Run:
    """Returns a run of an epoch of all networks with an engine."""
    architecture = build("cnn", channels=images.pixels.shape[1])
    held_out = images.first(len(images.labels) // 5)
    training = PopulationTraining(
        initial_weights(
            architecture, initialization="kaiming_uniform", seeds=range(models)
        ),
        architecture,
        images={"train": images, "val": held_out, "test": held_out},
        seeds=range(models),
        recipe=recipe,
        record=[],
        engine=name,
    )

    def run() -> int:
        training.run_epoch()
        return models * len(images.labels)

    return run


def cases(networks: Networks, *, images: Images, recipe: Recipe) -> Iterator[Case]:
    """Yields the baseline, then each engine."""
    yield Case("plain loop", 1, 1, plain_run(images, recipe))
    for count in networks.models:
        run = engine_run("grouped", images.first(200), recipe, models=count)
        yield Case("grouped", count, 1, run)
    for number in networks.threads:
        for count in networks.models:
            few = images.first(max(200, 4000 // count))
            run = engine_run("fused", few, recipe, models=count)
            yield Case("fused", count, number, run)


def main(
    networks: Annotated[Networks, UNPREFIXED] = Networks(),
    timing: Annotated[Timing, UNPREFIXED] = Timing(),
) -> None:
    """Prints a table.

    Args:
        networks: What is measured.
        timing: How it is measured.
    """
    recipe = Recipe(
        initialization="kaiming_uniform",
        activation=networks.activation,
        learning_rate=3e-4,
        batch_size=10,
        epochs=10_000,
    )
    images = random_images(4000, channels=networks.channels)
    report(
        f"finetuning, {networks.channels} channels, {networks.activation}",
        cases(networks, images=images, recipe=recipe),
        timing,
    )


if __name__ == "__main__":
    tyro.cli(main)
