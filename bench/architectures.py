"""All declared architectures: the fused engine against the grouped one.

    python bench/architectures.py

Random images, the paper's recipe, one thread. A sample is one image seen by one
network, in training or in evaluation; ratios are to the grouped engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import evaluation
import tyro
import zoo
from common import UNPREFIXED, Case, Timing, random_images, report

from hyperreps.networks.architectures import ARCHITECTURES
from hyperreps.settings.stages import Recipe

MODELS = 16  # a launch of the grouped engine
RECIPE = Recipe(
    initialization="uniform",
    activation="tanh",
    learning_rate=3e-4,
    batch_size=10,
    epochs=1,
)
# images that take some tenths of a second
COUNTS = {"grouped": 200, "fused": 1000}


def cases(channels: int) -> Iterator[Case]:
    """Yields both engines for each architecture and kind of work."""
    images = random_images(max(COUNTS.values()), channels=channels)
    for name in ARCHITECTURES:
        for work in ("training", "evaluation"):
            about = {"architecture": name, "channels": channels, "work": work}
            for engine, count in COUNTS.items():
                few = images.first(count)
                if work == "training":
                    run = zoo.engine_run(
                        engine, few, RECIPE, models=MODELS, network=name
                    )
                else:
                    run = evaluation.engine_run(
                        engine, few, RECIPE.activation, models=MODELS, network=name
                    )
                yield Case(engine, MODELS, 1, run, about=about)


def main(
    channels: tuple[int, ...] = (1, 3),
    timing: Annotated[Timing, UNPREFIXED] = Timing(),
) -> None:
    """Prints a table.

    Args:
        channels: Of the images.
        timing: How it is measured.
    """
    every = (case for count in channels for case in cases(count))
    report("architectures, tanh, batch 10", every, timing)


if __name__ == "__main__":
    tyro.cli(main)
