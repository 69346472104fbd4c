"""Sampling: latent points drawn, decoded and evaluated, together and one by one.

    python bench/sampling.py --samples 50 1000

A sample is one new network with its test accuracy. The baseline is the released way:
one scikit-learn density per latent dimension, then one network at a time decoded and
evaluated in PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import numpy as np
import torch
import tyro
from common import UNPREFIXED, Case, Run, Timing, network, random_images, report
from sklearn.neighbors import KernelDensity
from torch import nn

from hyperreps.data.images import Images
from hyperreps.engines.interface import evaluate
from hyperreps.networks.architectures import build
from hyperreps.networks.initialisation import initial_weights
from hyperreps.representation.autoencoder import HyperRepresentation, normalization
from hyperreps.sampling.samplers import draw
from hyperreps.settings.stages import HyperRep

BANDWIDTH = 0.002


def plain_run(model: HyperRepresentation, latents: np.ndarray, images: Images) -> Run:
    """Returns a run that makes 10 networks one by one."""
    x = images.normalized(slice(None))

    @torch.no_grad()
    def run() -> int:
        columns = [
            KernelDensity(bandwidth=BANDWIDTH).fit(column[:, None]).sample(10)
            for column in latents.T
        ]
        for point in np.hstack(columns):
            row = model.decode(torch.from_numpy(point)[None].float())[0]
            cnn = network(images.pixels.shape[1], "tanh")
            nn.utils.vector_to_parameters(row, cnn.parameters())
            (cnn(x).argmax(1) == images.labels).float().mean()
        return 10

    return run


def our_run(
    model: HyperRepresentation, latents: np.ndarray, images: Images, *, samples: int
) -> Run:
    """Returns a run that makes all networks together."""
    rng = np.random.default_rng(0)

    def run() -> int:
        options = {"bandwidth": BANDWIDTH}
        points = draw("kde", latents, count=samples, rng=rng, options=options).points
        weights = model.map("decode", torch.from_numpy(points))
        evaluate(model.architecture, weights, images, activation="tanh")
        return samples

    return run


def cases(
    samples: tuple[int, ...], settings: HyperRep, images: Images
) -> Iterator[Case]:
    """Yields the baseline, then each number of samples."""
    architecture = build("cnn", channels=images.pixels.shape[1])
    weights = initial_weights(
        architecture, initialization="kaiming_uniform", seeds=range(100)
    )
    statistics = normalization(weights, architecture, centering=False)
    model = HyperRepresentation(architecture, settings, statistics).eval()
    latents = model.map("encode", weights).numpy()
    yield Case("one by one", 10, 1, plain_run(model, latents, images))
    for count in samples:
        run = our_run(model, latents, images, samples=count)
        yield Case("together", count, 1, run)


def main(
    samples: tuple[int, ...] = (50, 200),
    count: int = 2000,
    width: int = 128,
    latent: int = 100,
    timing: Annotated[Timing, UNPREFIXED] = Timing(),
) -> None:
    """Prints a table.

    Args:
        samples: Networks per draw.
        count: Of test images.
        width: Of the autoencoder; the paper's size is 800.
        latent: Of the autoencoder; the paper's size is 700.
        timing: How it is measured.
    """
    settings = HyperRep(width=width, feedforward=width, latent=latent)
    report(
        f"sampling, width {width}, latent {latent}, {count} test images",
        cases(samples, settings, random_images(count, channels=1)),
        timing,
    )


if __name__ == "__main__":
    tyro.cli(main)
