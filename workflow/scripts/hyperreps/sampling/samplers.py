"""Samplers: from a pool of points, in latent or in weight space, to new points.

A sampler is a function in SAMPLERS. It gets the pool as a matrix, the number of samples
and a source of randomness, and returns new points together with the rows of the pool it
drew from. Its further keyword arguments are the options of a method in methods.yaml,
except `generator`: a sampler that has it gets a model trained in a stage of its own.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    Protocol,
    get_type_hints,
    runtime_checkable,
)

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from ..files.own_parts import find_part, is_own, one_line
from ..numbers.shapes import Float, Int
from ..running.machine_code import import_umap
from ..settings.limits import MOST, Count, Fraction, NotNegative, Units, problem_lines
from ..settings.stages import SettingsError


class Drawn(NamedTuple):
    """New points.

    Attributes:
        points: One per row.
        rows: Rows of the pool each point was drawn from: [samples]; [samples,
            dimensions] where every dimension is drawn on its own; [samples, members]
            where several rows are mixed; -1 for none.
    """

    points: Float[np.ndarray, "samples dimensions"]
    rows: Int[np.ndarray, samples * dimensions]


@runtime_checkable
class Generator(Protocol):
    """A trained model that turns noise into points: gan.Generator."""

    noise: int

    def points(
        self, noise: Float[np.ndarray, "samples noise"]
    ) -> Float[np.ndarray, "samples dimensions"]:
        """Returns one point per row of standard normal noise."""
        ...


@runtime_checkable
class Jumper(Protocol):
    """A trained model that draws networks from initialisations: jump.Jumper."""

    seed: int

    def points(
        self,
        count: int,
        *,
        rank: float,
        spread: float,
        steps: int,
        rng: np.random.Generator,
    ) -> Float[np.ndarray, "count dimensions"]:
        """Returns networks, one per row."""
        ...


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
    generator: Any = None,
) -> Drawn:
    """Runs a sampler.

    Args:
        name: Key of SAMPLERS, or FILE.py:NAME.
        points: The pool.
        count: Samples.
        rng: Source of all randomness.
        options: Keyword arguments of the sampler.
        generator: Trained model, for a sampler that needs one.

    Raises:
        SettingsError: If the options are not those of the sampler, do not fit the
            pool, or what a user's sampler returns is not drawn from it.
    """
    if problems := list(option_problems(name, options)):
        raise SettingsError("; ".join(problems))
    function = find_sampler(name)
    types = get_type_hints(function, include_extras=True)
    given = {
        key: TypeAdapter(types.get(key, Any)).validate_python(value)
        for key, value in options.items()
    }
    if needs_generator(name):
        given["generator"] = generator
    drawn = function(points, count=count, rng=rng, **given)
    if is_own(name):
        _check_drawn(drawn, name, points)
    return drawn


def find_sampler(name: str) -> Sampler:
    """Returns a sampler by its name in SAMPLERS, or of a user's file.

    Raises:
        SettingsError: If there is none of this name, or the user's is no sampler.
    """
    function: Sampler = find_part(name, SAMPLERS, where="samplers.py")
    if is_own(name):
        _check_own(function, name)
    return function


def _check_own(function: Any, name: str) -> None:
    """Refuses what cannot be called as a sampler, or says nothing of its options."""
    try:
        inspect.signature(function).bind_partial((), count=1, rng=None)
    except (TypeError, ValueError):
        raise SettingsError(
            f"{name}: is no sampler: it must be a function (points, *, count, rng) with"
            " its options as further keywords"
        ) from None
    try:
        types = get_type_hints(function, include_extras=True)
        for key in {*_parameters(function)} - {"points", "count", "rng", "generator"}:
            TypeAdapter(types.get(key, Any))
    except Exception as error:
        raise SettingsError(
            f"{name}: the types of its options cannot be read ({one_line(error)})"
        ) from error


def _check_drawn(drawn: Any, name: str, points: np.ndarray) -> None:
    """Refuses what a user's sampler must not return."""
    if not isinstance(drawn, Drawn):
        raise SettingsError(
            f"{name}: must return Drawn(points, rows), not {type(drawn).__name__}"
        )
    new, rows = map(np.asarray, drawn)
    size = points.shape[1]
    if new.ndim != 2 or new.shape[1] != size or new.dtype != points.dtype:
        raise SettingsError(
            f"{name}: points must be {points.dtype} [samples, {size}], are"
            f" {new.dtype} {list(new.shape)}"
        )
    if not len(new) or not np.isfinite(new).all():
        raise SettingsError(f"{name}: points must be finite, and one at least")
    known = rows.dtype.kind == "i" and rows.ndim in (1, 2) and len(rows) == len(new)
    if not known or rows.min() < -1 or rows.max() >= len(points):
        raise SettingsError(
            f"{name}: rows must be integers -1 to {len(points) - 1} (the pool) for"
            f" {len(new)} samples, are {rows.dtype} {list(rows.shape)}"
        )


def _parameters(function: Sampler) -> Iterable[str]:
    return inspect.signature(function).parameters


def needs_generator(name: str) -> bool:
    """Tells whether a sampler draws from a model that is trained beforehand."""
    return "generator" in _parameters(find_sampler(name))


def option_problems(name: str, options: dict[str, Any]) -> Iterable[str]:
    """Yields what is wrong with the options of a sampler: names, types and ranges."""
    function = find_sampler(name)
    trained = {"generator": None} if needs_generator(name) else {}
    try:
        inspect.signature(function).bind((), count=1, rng=None, **trained, **options)
    except TypeError as error:
        yield f"{error} among those of sampler {name}"
        return
    types = get_type_hints(function, include_extras=True)
    for key, value in options.items():
        try:
            TypeAdapter(types.get(key, Any)).validate_python(value, strict=True)
        except ValidationError as error:
            yield from problem_lines(error, prefix=(key,))


@sampler
def kde(
    points: Float[np.ndarray, "pool dimensions"],
    *,
    count: int,
    rng: np.random.Generator,
    bandwidth: NotNegative,
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
    sigma: NotNegative,
    unit: Literal["weight", "pool"] = "weight",
) -> Drawn:
    """Random points of the pool plus Gaussian noise of standard deviation sigma.

    Args:
        points: The pool.
        count: Samples.
        rng: Source of all randomness.
        sigma: Standard deviation of the noise.
        unit: Of sigma. "weight": that of the points. "pool": the standard deviation
            that each dimension has in the pool.
    """
    rows = rng.integers(len(points), size=count)
    scale = sigma * points.std(0) if unit == "pool" else sigma
    drawn = points[rows] + scale * rng.standard_normal((count, points.shape[1]))
    return Drawn(drawn.astype(points.dtype), rows)


@sampler
def soup(
    points: Float[np.ndarray, "pool dimensions"],
    *,
    count: int,
    rng: np.random.Generator,
    members: Count,
    sigma: NotNegative = 0.0,
) -> Drawn:
    """Means of so many random points each: 2 is the middle between two points.

    Args:
        points: The pool.
        count: Samples.
        rng: Source of all randomness.
        members: Points of which each sample is the mean.
        sigma: Of noise on the mean, in units of the standard deviation that each
            dimension has in the pool: a mean alone does not get far from its members.

    Raises:
        SettingsError: If the pool is smaller than one soup.
    """
    if not 1 <= members <= len(points):
        raise SettingsError(
            f"soup: members must be 1 to {len(points)} (the pool), got {members}"
        )
    rows = np.array(
        [rng.choice(len(points), members, replace=False) for _ in range(count)]
    )
    drawn = points[rows].mean(1)
    if sigma:
        unit = sigma * points.std(0)
        drawn = drawn + unit * rng.standard_normal(drawn.shape)
    return Drawn(drawn.astype(points.dtype), rows)


@sampler
def gaussian(
    points: Float[np.ndarray, "pool dimensions"],
    *,
    count: int,
    rng: np.random.Generator,
    shrinkage: Fraction | Literal["ledoit_wolf"] = "ledoit_wolf",
    spread: NotNegative = 1.0,
) -> Drawn:
    """A Gaussian with the mean and the full covariance of the pool.

    The covariance is that of the pool, shrunk towards the multiple of the identity with
    the same trace; it is never written out, so that weight space is no burden.

    Args:
        points: The pool.
        count: Samples.
        rng: Source of all randomness.
        shrinkage: Part of the identity in the covariance, 0 ... 1; "ledoit_wolf": the
            one that the pool asks for.
        spread: Factor on the standard deviations; 0 is the mean.

    Raises:
        SettingsError: If the pool is a single point.

    Source: Ledoit and Wolf 2004, for the shrinkage.
    """
    from sklearn.covariance import ledoit_wolf_shrinkage

    _need_points("gaussian", points, 2)
    centred = points - points.mean(0)
    if shrinkage == "ledoit_wolf":
        part = float(ledoit_wolf_shrinkage(centred, assume_centered=True))
    else:
        part = shrinkage
    own = rng.standard_normal((count, len(points))) @ centred / np.sqrt(len(points))
    rest = rng.standard_normal((count, points.shape[1])) * np.sqrt(
        centred.var(0).mean()
    )
    noise = np.sqrt(1 - part) * own + np.sqrt(part) * rest
    drawn = points.mean(0) + spread * noise
    return Drawn(drawn.astype(points.dtype), np.full(count, -1))


@sampler
def local_gaussian(
    points: Float[np.ndarray, "pool dimensions"],
    *,
    count: int,
    rng: np.random.Generator,
    n_neighbors: Annotated[int, Field(ge=2, le=MOST)] = 10,
    spread: NotNegative = 1.0,
) -> Drawn:
    """Gaussians of the nearest neighbours of random points, each with their covariance.

    A sample lies in the flat through the neighbours, about their mean.

    Args:
        points: The pool.
        count: Samples.
        rng: Source of all randomness.
        n_neighbors: Points of each Gaussian, the random point among them.
        spread: Factor on the standard deviations.

    Raises:
        SettingsError: If the pool has fewer points.
    """
    from sklearn.neighbors import NearestNeighbors

    _need_points("local_gaussian", points, n_neighbors)
    search = NearestNeighbors(n_neighbors=n_neighbors).fit(points)
    anchors = points[rng.integers(len(points), size=count)]
    rows = search.kneighbors(anchors, return_distance=False)
    near = points[rows]
    centre = near.mean(1)
    shares = rng.standard_normal(rows.shape) / np.sqrt(n_neighbors)
    moved = np.einsum("sk,skd->sd", shares, near - centre[:, None])
    return Drawn((centre + spread * moved).astype(points.dtype), rows)


def _need_points(name: str, points: np.ndarray, wanted: int) -> None:
    """Raises SettingsError if a pool has fewer points than a sampler needs."""
    if len(points) < wanted:
        raise SettingsError(
            f"{name}: the pool has {len(points)} points, but {wanted} are needed; use a"
            " larger pool"
        )


@sampler
def uniform(
    points: Float[np.ndarray, "pool dimensions"],
    *,
    count: int,
    rng: np.random.Generator,
    bounds: Literal["unit", "pool"] = "unit",
) -> Drawn:
    """Every dimension uniform, on its own.

    Args:
        points: The pool.
        count: Samples.
        rng: Source of all randomness.
        bounds: "unit": -1 to 1, as the authors' code does, whatever the pool. "pool":
            from the smallest to the largest value of the dimension in the pool.
    """
    low, high = (points.min(0), points.max(0)) if bounds == "pool" else (-1.0, 1.0)
    drawn = rng.uniform(low, high, (count, points.shape[1]))
    return Drawn(drawn.astype(points.dtype), np.full(count, -1))


@sampler
def neighbours(
    points: Float[np.ndarray, "pool dimensions"],
    *,
    count: int,
    rng: np.random.Generator,
    region: Literal["simplex", "cube"] = "simplex",
    components: Units = 3,
    n_neighbors: Annotated[int, Field(ge=2, le=MOST)] = 15,
    min_dist: Fraction = 0.01,
) -> Drawn:
    """Random places in a UMAP embedding of the pool, mapped back (McInnes et al. 2018).

    Args:
        points: The pool.
        count: Samples.
        rng: Source of all randomness.
        region: Where places lie. "cube": uniform between the smallest and the largest
            coordinate of the whole embedding, as in the authors' code, so that most are
            far from any point. "simplex": uniform between a random embedded point and
            its nearest neighbours, as many as there are components.
        components: Dimensions of the embedding.
        n_neighbors: Of UMAP's graph; fewer in a small pool.
        min_dist: Of UMAP's layout.

    Raises:
        SettingsError: If the pool has too few points for the embedding.
    """
    from sklearn.neighbors import NearestNeighbors

    if len(points) < components + 3:
        raise SettingsError(
            f"neighbours: the pool has {len(points)} points, but an embedding in"
            f" {components} components needs {components + 3}; use a larger pool"
        )
    seed = int(rng.integers(2**31))
    reducer = import_umap()(
        n_neighbors=min(n_neighbors, len(points) - 1),
        n_components=components,
        min_dist=min_dist,
        random_state=seed,
        transform_seed=seed,
        n_jobs=1,
    )
    embedded = reducer.fit_transform(points)
    if region == "cube":
        places = rng.uniform(embedded.min(), embedded.max(), (count, components))
    else:
        anchors = embedded[rng.integers(len(points), size=count)]
        search = NearestNeighbors(n_neighbors=components + 1).fit(embedded)
        corners = embedded[search.kneighbors(anchors, return_distance=False)]
        shares = rng.dirichlet(np.ones(components + 1), size=count)
        places = np.einsum("sk,skd->sd", shares, corners)
    drawn = reducer.inverse_transform(places.astype(np.float32))
    return Drawn(drawn.astype(points.dtype), np.full(count, -1))


@sampler
def gan(
    points: Float[np.ndarray, "pool dimensions"],
    *,
    count: int,
    rng: np.random.Generator,
    generator: Generator,
) -> Drawn:
    """Noise through a generator that train_gan.py has trained on the pool."""
    noise = rng.standard_normal((count, generator.noise)).astype(np.float32)
    return Drawn(generator.points(noise), np.full(count, -1))


@sampler
def jump(
    points: Float[np.ndarray, "pool dimensions"],
    *,
    count: int,
    rng: np.random.Generator,
    generator: Jumper,
    rank: Fraction = 0.9,
    spread: NotNegative = 1.0,
    steps: Count = 40,
) -> Drawn:
    """Fresh initialisations, each taken to a trained network (jump.py); no pool.

    Args:
        points: Of no account.
        count: Samples.
        rng: Source of all randomness.
        generator: Trained by train_jump.py.
        rank: Accuracy that is asked for: the share of training networks below it.
        spread: Standard deviation of the noise that a flow starts from; less than the 1
            of training gives more accurate networks that differ less.
        steps: Of Euler's method.
    """
    drawn = generator.points(count, rank=rank, spread=spread, steps=steps, rng=rng)
    return Drawn(drawn, np.full(count, -1))
