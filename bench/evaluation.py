"""Evaluation of networks: the engines against one network at a time in PyTorch.

    python bench/evaluation.py --models 1 8 64 256 --threads 1 2

A sample is one image classified by one network. The baseline has its images normalised
beforehand, in channels_last layout and batches of 500, its fastest form.
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
    multiplications,
    plain_evaluation,
    random_images,
    report,
)

from hyperreps.data.images import Images
from hyperreps.engines.interface import evaluate
from hyperreps.networks.architectures import build
from hyperreps.networks.initialisation import initial_weights


def engine_run(
    name: str, images: Images, activation: str, *, models: int, network: str = "cnn"
) -> Run:
    """Returns a run that evaluates all models with an engine."""
    architecture = build(network, channels=images.pixels.shape[1])
    weights = initial_weights(
        architecture, initialization="kaiming_uniform", seeds=range(models)
    )

    def run() -> int:
        evaluate(architecture, weights, images, activation=activation, engine=name)
        return models * len(images.labels)

    return run


def cases(networks: Networks, images: Images) -> Iterator[Case]:
    """Yields the baseline, then each engine."""
    architecture = build("cnn", channels=images.pixels.shape[1])
    flop = 2 * multiplications(architecture, training=False, sparse=False)
    activation = networks.activation
    yield Case("channels_last", 1, 1, plain_evaluation(images, activation), flop)
    few = Images(*(x[:500] for x in images[:2]), *images[2:])
    for count in networks.models:
        run = engine_run("grouped", few, activation, models=count)
        yield Case("grouped", count, 1, run, flop)
    pixels = float(images.pixels[0].numel())
    for number in networks.threads:
        for count in networks.models:
            chosen = images if count < 64 else few
            run = engine_run("fused", chosen, activation, models=count)
            yield Case("fused", count, number, run, flop, pixels)


def main(
    networks: Annotated[Networks, UNPREFIXED] = Networks(),
    timing: Annotated[Timing, UNPREFIXED] = Timing(),
) -> None:
    """Prints a table.

    Args:
        networks: What is measured.
        timing: How it is measured.
    """
    images = random_images(4000, channels=networks.channels)
    report(
        f"evaluation, {networks.channels} channels, {networks.activation}",
        cases(networks, images),
        timing,
    )


if __name__ == "__main__":
    tyro.cli(main)
