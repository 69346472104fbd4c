"""Evaluation of networks: the engines against one network at a time in PyTorch.

    python bench/evaluation.py --models 1 8 64 256 --threads 1 2

A sample is one image classified by one network. The baseline has its images normalised
beforehand, in channels_last layout and batches of 500, its fastest form.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import tyro
from common import Case, Run, multiplications, plain_evaluation, random_images, report

from hyperreps.architectures import build
from hyperreps.engines import evaluate
from hyperreps.images import Images
from hyperreps.population import initial_weights


def engine_run(name: str, images: Images, activation: str, *, models: int) -> Run:
    """Returns a run that evaluates all models with an engine."""
    architecture = build("cnn", channels=images.pixels.shape[1])
    weights = initial_weights(
        architecture, initialization="kaiming_uniform", seeds=range(models)
    )

    def run() -> int:
        evaluate(architecture, weights, images, activation=activation, engine=name)
        return models * len(images.labels)

    return run


def cases(
    models: tuple[int, ...],
    threads: tuple[int, ...],
    *,
    images: Images,
    activation: str,
) -> Iterator[Case]:
    """Yields the baseline, then each engine."""
    architecture = build("cnn", channels=images.pixels.shape[1])
    flop = 2 * multiplications(architecture, training=False, sparse=False)
    yield Case("channels_last", 1, 1, plain_evaluation(images, activation), flop)
    few = Images(*(x[:500] for x in images[:2]), *images[2:])
    for count in models:
        run = engine_run("grouped", few, activation, models=count)
        yield Case("grouped", count, 1, run, flop)
    pixels = float(images.pixels[0].numel())
    for number in threads:
        for count in models:
            chosen = images if count < 64 else few
            run = engine_run("fused", chosen, activation, models=count)
            yield Case("fused", count, number, run, flop, pixels)


def main(
    models: tuple[int, ...] = (1, 8, 64, 256),
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
    images = random_images(4000, channels=channels)
    report(
        f"evaluation, {channels} channels, {activation}",
        cases(models, threads, images=images, activation=activation),
        seconds=seconds,
        rounds=rounds,
        output=output,
    )


if __name__ == "__main__":
    tyro.cli(main)
