"""How often do the intervals hold the truth? Simulated, beside the plain bootstrap.

    python bench/intervals.py docs/measurements/coverage.csv

Networks are drawn in groups whose truth is known, of every design that the project
meets: few hyper-representations or many runs, few or many networks of each, groups that
differ not at all, less than their networks, as much, and three times as much. How many
intervals hold the truth, out of 95 % that should, is counted. The rival is the
percentile bootstrap of two levels, groups and then networks, which is often used.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.special
import tyro

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

from hyperreps.audit.significance import difference_interval
from hyperreps.audit.verdicts import nearer
from hyperreps.numbers.scores import explained_variance
from hyperreps.numbers.statistics import (
    Ends,
    crossed_estimate,
    grouped_mean,
    left_out_weights,
    mean_interval,
    median_interval,
    share_interval,
)
from hyperreps.results.audits import nearer_mean

CONFIDENCE = 0.95
UNBOUNDED = (-math.inf, math.inf)


@dataclass(frozen=True)
class Design:
    """What is simulated.

    Attributes:
        quantity: Key of QUANTITIES.
        groups: Hyper-representations or runs.
        networks: Of each; of all, where they are crossed.
        ratio: Standard deviation between groups over that within.
        share: Truth of a share.
    """

    quantity: str
    groups: int
    networks: int
    ratio: float
    share: float = math.nan

    @property
    def names(self) -> np.ndarray:
        """The group of each network."""
        return np.repeat(np.arange(self.groups), self.networks)

    def normal(self, rng: np.random.Generator) -> np.ndarray:
        """Draws grouped values of mean 0 and, within groups, variance 1."""
        between = self.ratio * rng.normal(size=self.groups)
        return between[self.names] + rng.normal(size=len(self.names))


class Quantity(NamedTuple):
    """How a quantity is drawn, what is true of it, and both of its intervals."""

    draw: Callable[[Design, np.random.Generator], Any]
    truth: Callable[[Design], float]
    ours: Callable[[Any], Ends]
    rival: Callable[[Any, np.random.Generator], Ends]


def bootstrap(
    statistic: Callable[..., float],
    samples: list[tuple[np.ndarray, np.ndarray]],
    rng: np.random.Generator,
    *,
    resamples: int = 200,
) -> Ends:
    """Percentile interval of a statistic of grouped samples, drawn in two levels."""
    drawn = [_resampled(*sample, resamples, rng) for sample in samples]
    return percentiles([statistic(*parts) for parts in zip(*drawn, strict=True)])


def _resampled(
    values: np.ndarray, names: np.ndarray, resamples: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Draws groups, and as many members as each has; samples are in group order."""
    sizes = np.unique(names, return_counts=True)[1]
    groups = rng.integers(len(sizes), size=(resamples, len(sizes)))
    counts = sizes[groups].sum(axis=1)
    # one entry per member of every drawn group, resample after resample
    drawn = np.repeat(groups.ravel(), sizes[groups].ravel())
    places = (rng.random(len(drawn)) * sizes[drawn]).astype(np.int64)
    places += (np.cumsum(sizes) - sizes)[drawn]
    return np.split(values[places], np.cumsum(counts)[:-1])


def percentiles(values: list[float]) -> Ends:
    """Returns what holds the middle of resampled values."""
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def mean(x: np.ndarray) -> float:
    """Returns the mean, faster than numpy for small arrays."""
    return float(x.sum() / len(x))


def accuracies(design: Design, rng: np.random.Generator) -> Any:
    """Draws accuracies of 50 %, within groups +- 5."""
    return 0.5 + 0.05 * design.normal(rng), design.names


def uneven(design: Design, rng: np.random.Generator) -> Any:
    """The same where every other group has lost two thirds of its networks."""
    values, names = accuracies(design, rng)
    place = np.tile(np.arange(design.networks), design.groups)
    kept = (names % 2 == 0) | (place < max(1, design.networks // 3))
    return values[kept], names[kept]


def shares(design: Design, rng: np.random.Generator) -> Any:
    """Draws what is true of a network with a probability that is its group's own."""
    # variance of the groups over all; a beta distribution has the mean wanted
    common = design.ratio**2 / (1 + design.ratio**2)
    chance = np.full(design.groups, design.share)
    if common:
        size = (1 - common) / common
        chance = rng.beta(design.share * size, (1 - design.share) * size, design.groups)
    drawn = rng.random(len(design.names)) < chance[design.names]
    return drawn.astype(np.float64), design.names


def distances(design: Design, rng: np.random.Generator) -> Any:
    """Draws distances of median 20."""
    return 20 * np.exp(0.2 * design.normal(rng)), design.names


def against_others(design: Design, rng: np.random.Generator) -> Any:
    """Draws distances that lie lower than those of 30 others, and the others."""
    others = rng.normal(size=30)
    return design.normal(rng) - 1, others, [design.names, np.arange(30)]


def paired(design: Design, rng: np.random.Generator) -> Any:
    """Draws two methods that share seeds; the ratio is of what a seed does to both."""
    common = design.ratio * rng.normal(size=design.groups)
    own = replace(design, ratio=0.3)
    names = np.array([f"seed {k}" for k in design.names])
    return [
        (0.5 + 0.05 * (common[design.names] + own.normal(rng)), names) for _ in range(2)
    ]


def unpaired(design: Design, rng: np.random.Generator) -> Any:
    """Draws a method of few groups and 30 runs that vary three times as much."""
    values, names = accuracies(design, rng)
    runs = 0.5 + 0.15 * rng.normal(size=30)
    return [
        (values, np.array([f"seed {k}" for k in names])),
        (runs, np.array([f"run {k}" for k in range(30)])),
    ]


def crossed(design: Design, rng: np.random.Generator) -> Any:
    """Draws squared deviations of networks and their errors by each seed."""
    deviation = rng.gamma(4, size=(design.networks, 1))
    seeds = np.exp(0.1 * design.ratio * rng.normal(size=(design.groups, 1)))
    noise = rng.gamma(20, 0.5 / 20, size=(design.groups, design.networks))
    return seeds * noise * deviation[:, 0], deviation


def explained(design: Design) -> float:
    """What crossed() explains."""
    return 1 - 0.5 * math.exp((0.1 * design.ratio) ** 2 / 2)


def explained_interval(drawn: Any) -> Ends:
    """The interval of R2 as OfReconstructions takes it."""
    error, deviation = drawn
    weights = left_out_weights(np.arange(len(deviation)))
    values = explained_variance(error[:, :, None], deviation, weights)[:, :, 0]
    limits = (-math.inf, 1.0)
    return crossed_estimate(values, confidence=CONFIDENCE, limits=limits)[1:]


def explained_bootstrap(drawn: Any, rng: np.random.Generator) -> Ends:
    """Percentiles where networks and seeds are drawn, each with replacement."""
    error, deviation = drawn
    seeds, networks = error.shape
    values = []
    for _ in range(200):
        rows = rng.integers(seeds, size=seeds)
        columns = rng.integers(networks, size=networks)
        part = error[rows][:, columns].mean(0).sum()
        values.append(1 - part / deviation[columns].sum())
    return percentiles(values)


def mean_of(drawn: Any) -> Ends:
    """The interval of a mean."""
    return mean_interval(grouped_mean(*drawn), confidence=CONFIDENCE)


def difference_of(drawn: Any) -> Ends:
    """The interval of a difference of means."""
    means = [grouped_mean(*sample) for sample in drawn]
    return difference_interval(*means, confidence=CONFIDENCE)


def nearer_of(drawn: Any) -> Ends:
    """The interval of the probability to be nearer."""
    some, others, groups = drawn
    found = nearer_mean(some, others, groups=groups)
    return share_interval(found, confidence=CONFIDENCE)


def above(design: Design) -> float:
    """How probably against_others() are lower than another."""
    return float(scipy.special.ndtr(1 / math.sqrt(2 + design.ratio**2)))


def half(_: Design) -> float:
    """Truth of accuracies."""
    return 0.5


MEAN = Quantity(accuracies, half, mean_of, lambda x, rng: bootstrap(mean, [x], rng))
DIFFERENCE = Quantity(
    paired,
    lambda _: 0.0,
    difference_of,
    lambda x, rng: bootstrap(lambda a, b: mean(a) - mean(b), x, rng),
)
QUANTITIES = {
    "mean": MEAN,
    "mean, groups uneven": MEAN._replace(draw=uneven),
    "difference, paired": DIFFERENCE,
    "difference, one paired with none": DIFFERENCE._replace(draw=unpaired),
    "share": Quantity(
        shares,
        lambda design: design.share,
        lambda x: share_interval(grouped_mean(*x), confidence=CONFIDENCE),
        lambda x, rng: bootstrap(mean, [x], rng),
    ),
    "median": Quantity(
        distances,
        lambda _: 20.0,
        lambda x: median_interval(*x, confidence=CONFIDENCE, limits=UNBOUNDED),
        lambda x, rng: bootstrap(np.median, [x], rng),
    ),
    "nearer": Quantity(
        against_others,
        above,
        nearer_of,
        lambda x, rng: bootstrap(nearer, [*zip(x[:2], x[2], strict=True)], rng),
    ),
    "explained variance": Quantity(
        crossed, explained, explained_interval, explained_bootstrap
    ),
}


def designs() -> Iterator[Design]:
    """Yields all designs of the record."""
    few, ratios = (2, 3, 5, 10), (0.0, 0.3, 1.0, 3.0)
    for groups in few:
        for networks in (4, 30, 150):
            for ratio in ratios:
                yield Design("mean", groups, networks, ratio)
    for groups in (2, 4, 30, 150):
        yield Design("mean", groups, 1, 0.0)
    for quantity in ("mean, groups uneven", "difference, paired"):
        for groups in few:
            for ratio in ratios:
                yield Design(quantity, groups, 30, ratio)
    for groups in few:
        for ratio in ratios:
            yield Design("difference, one paired with none", groups, 30, ratio)
    for share in (0.05, 0.3):
        for groups, networks in ((2, 30), (3, 30), (5, 10), (10, 30), (60, 1)):
            for ratio in (0.0, 0.3, 0.6) if networks > 1 else (0.0,):
                yield Design("share", groups, networks, ratio, share)
    for quantity in ("median", "nearer"):
        for groups, networks in ((2, 30), (3, 30), (5, 10), (10, 30), (60, 1)):
            for ratio in (0.0, 0.3, 1.0) if networks > 1 else (0.0,):
                yield Design(quantity, groups, networks, ratio)
    for groups in (1, 2, 3, 5, 10):
        for networks in (12, 45, 150):
            yield Design("explained variance", groups, networks, 1.0 * (groups > 1))


def covered(
    design: Design, *, runs: int, rival: bool = False, seed: int = 0
) -> tuple[float, float]:
    """Returns how many of the intervals hold the truth, and their mean width.

    Args:
        design: What is drawn.
        runs: Samples to draw.
        rival: Take the bootstrap instead of the project's interval.
        seed: Of the samples.
    """
    rng = np.random.default_rng(seed)
    quantity = QUANTITIES[design.quantity]
    truth, hits, width = quantity.truth(design), 0, 0.0
    for _ in range(runs):
        drawn = quantity.draw(design, rng)
        low, high = quantity.rival(drawn, rng) if rival else quantity.ours(drawn)
        hits += low <= truth <= high
        width += high - low
    return hits / runs, width / runs


def main(
    output: Annotated[Path, tyro.conf.Positional],
    runs: int = 4000,
    rival_runs: int = 400,
) -> None:
    """Writes the coverage of every design, ours and the bootstrap's.

    Args:
        output: CSV file.
        runs: Samples of each design; the error of 95 % is 0.34 points for 4000.
        rival_runs: The same for the bootstrap.
    """
    rows = []
    for design in designs():
        ours = covered(design, runs=runs)
        theirs = covered(design, runs=rival_runs, rival=True)
        numbers = zip(
            ("coverage", "width", "bootstrap_coverage", "bootstrap_width"),
            (*ours, *theirs),
            strict=True,
        )
        rows.append({**vars(design), "runs": runs, **dict(numbers)})
        print(*rows[-1].values(), flush=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(output, index=False, float_format="%.4g")


if __name__ == "__main__":
    tyro.cli(main)
