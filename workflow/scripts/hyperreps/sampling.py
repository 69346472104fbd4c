"""Samplers: from a pool of points, in latent or in weight space, to new points.

A sampler is a function in SAMPLERS. It gets the pool as a matrix, the number of samples
and a generator, and returns new points together with the rows of the pool it drew from.
Its further keyword arguments are the options of a method in config.yaml.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .shapes import Float, Int


class Drawn(NamedTuple):
    """New points.

    Attributes:
        points: One per row.
        rows: Rows of the pool each point was drawn from: [samples], or, where every
            dimension is drawn on its own, [samples, dimensions]; -1 for none.
    """

    points: Float[np.ndarray, "samples dimensions"]
    rows: Int[np.ndarray, samples * dimensions]


Sampler = Callable[..., Drawn]
SAMPLERS: dict[str, Sampler] = {}


def sampler(function: Sampler) -> Sampler:
    """Registers a function in SAMPLERS under its name."""
    SAMPLERS[function.__name__] = function
    return function


def draw(
    name: str,
    points: Float[np.ndarray, "pool dimensions"],
    *,
    count: int,
    rng: np.random.Generator,
    options: dict[str, Any],
) -> Drawn:
    """Runs a sampler.

    Raises:
        ValueError: If the options are not those of the sampler.
    """
    function = SAMPLERS[name]
    try:
        inspect.signature(function).bind(points, count=count, rng=rng, **options)
    except TypeError as error:
        raise ValueError(f"sampler {name}: {error} among its options") from error
    return function(points, count=count, rng=rng, **options)


@sampler
def kde(
    points: Float[np.ndarray, "pool dimensions"],
    *,
    count: int,
    rng: np.random.Generator,
    bandwidth: float,
    draws: str = "independent",
) -> Drawn:
    """Gaussian kernel density estimate of each dimension, sampled.

    Args:
        points: Anchors.
        count: Samples.
        rng: Source of all randomness.
        bandwidth: Standard deviation of the kernel, in units of the dimension.
        draws: "independent": each dimension draws its own anchor and its own noise, as
            the paper describes (conditional independence). "released": all dimensions
            share both, as the authors' code does, so that a sample is one known point
            plus a number.
    """
    if draws not in ("independent", "released"):
        raise ValueError(f"draws must be independent or released, got {draws!r}")
    dimensions = points.shape[1]
    shape = (count, dimensions if draws == "independent" else 1)
    rows = rng.integers(len(points), size=shape)
    noise = rng.standard_normal(shape)
    drawn = points[rows, np.arange(dimensions)] + bandwidth * noise
    return Drawn(
        drawn.astype(points.dtype), rows if draws == "independent" else rows[:, 0]
    )


@sampler
def identity(
    points: Float[np.ndarray, "pool dimensions"],
    *,
    count: int,
    rng: np.random.Generator,
) -> Drawn:
    """The pool itself, or a random part of it if it is larger than count.

    In latent space it gives reconstructions, in weight space zoo models.
    """
    rows = np.arange(len(points))
    if count < len(points):
        rows = np.sort(rng.choice(len(points), count, replace=False))
    return Drawn(points[rows], rows)


@sampler
def mean(
    points: Float[np.ndarray, "pool dimensions"],
    *,
    count: int,
    rng: np.random.Generator,
) -> Drawn:
    """The mean of the pool: one sample, whatever count says."""
    return Drawn(points.mean(0, keepdims=True), np.array([-1]))


@sampler
def noise(
    points: Float[np.ndarray, "pool dimensions"],
    *,
    count: int,
    rng: np.random.Generator,
    sigma: float,
) -> Drawn:
    """Random points of the pool plus Gaussian noise of standard deviation sigma."""
    rows = rng.integers(len(points), size=count)
    drawn = points[rows] + sigma * rng.standard_normal((count, points.shape[1]))
    return Drawn(drawn.astype(points.dtype), rows)
