"""Finetuning as the stage does it: an epoch of training, then two evaluations.

    python bench/finetuning.py --models 1 8 64 --threads 1 2

A sample is one training image of one network; every epoch also evaluates 0.2 as many
images twice, about MNIST's proportion. The baseline does the same with one network.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import tyro
from common import Case, Run, plain_evaluation, plain_loop, random_images, report

from hyperreps.architectures import build
from hyperreps.images import Images
from hyperreps.population import PopulationTraining, initial_weights
from hyperreps.settings import Recipe


def part(images: Images, count: int) -> Images:
    """Returns the first images."""
    return images.first(count)


def plain_run(images: Images, recipe: Recipe) -> Run:
    """Returns a run of an epoch of one network with its evaluations."""
    train = plain_loop(images, recipe)
    held_out = part(images, len(images.labels) // 5)
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
    held_out = part(images, len(images.labels) // 5)
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


def cases(
    models: tuple[int, ...],
    threads: tuple[int, ...],
    *,
    images: Images,
    recipe: Recipe,
) -> Iterator[Case]:
    """Yields the baseline, then each engine."""
    yield Case("plain loop", 1, 1, plain_run(images, recipe))
    for count in models:
        run = engine_run("grouped", part(images, 200), recipe, models=count)
        yield Case("grouped", count, 1, run)
    for number in threads:
        for count in models:
            few = part(images, max(200, 4000 // count))
            run = engine_run("fused", few, recipe, models=count)
            yield Case("fused", count, number, run)


def main(
    models: tuple[int, ...] = (1, 8, 64),
    threads: tuple[int, ...] = (1,),
    channels: int = 1,
    activation: str = "tanh",
    seconds: float = 1.0,
    rounds: int = 3,
    output: Path | None = None,
) -> None:
    """Prints a table.

    Args:
        models: Networks side by side.
        threads: CPU threads of the fused engine.
        channels: Of the images, 1 or 3.
        activation: One of the recipe's activations.
        seconds: Per case and round.
        rounds: Measurements of each case.
        output: CSV file to write.
    """
    recipe = Recipe(
        initialization="kaiming_uniform",
        activation=activation,
        learning_rate=3e-4,
        batch_size=10,
        epochs=10_000,
    )
    report(
        f"finetuning, {channels} channels, {activation}",
        cases(
            models,
            threads,
            images=random_images(4000, channels=channels),
            recipe=recipe,
        ),
        seconds=seconds,
        rounds=rounds,
        output=output,
    )


if __name__ == "__main__":
    tyro.cli(main)
