"""Samplers: from a pool of points, in latent or in weight space, to new points.

A sampler is a function in SAMPLERS. It gets the pool as a matrix, the number of samples
and a generator, and returns new points together with the rows of the pool it drew from.
Its further keyword arguments are the options of a method in config.yaml.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple, get_type_hints

import numpy as np
from pydantic import TypeAdapter, ValidationError

from .settings import SettingsError
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
        SettingsError: If the options are not those of the sampler.
    """
    if problems := list(option_problems(name, options)):
        raise SettingsError("; ".join(problems))
    return SAMPLERS[name](points, count=count, rng=rng, **options)


def option_problems(name: str, options: dict[str, Any]) -> Iterable[str]:
    """Yields what is wrong with the options of a sampler: names and types."""
    function = SAMPLERS[name]
    try:
        inspect.signature(function).bind((), count=1, rng=None, **options)
    except TypeError as error:
        yield f"{error} among those of sampler {name}"
        return
    types = get_type_hints(function)
    for key, value in options.items():
        try:
            TypeAdapter(types.get(key, Any)).validate_python(value)
        except ValidationError as error:
            yield f"{key}: {error.errors()[0]['msg']}, got {value!r}"


@sampler
def kde(
    points: Float[np.ndarray, "pool dimensions"],
    *,
    count: int,
    rng: np.random.Generator,
    bandwidth: float,
    draws: Literal["independent", "released"] = "independent",
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
