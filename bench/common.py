"""What the benchmarks share: counts of operations, clocks, the plain loop, the table.

Every engine of a benchmark is measured in turn, several rounds, in one process; the
median counts. With one thread the clock is the CPU time of the process, so that a busy
machine changes little; with more it is wall time.
"""

from __future__ import annotations

import itertools
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch
import torch.nn.functional as F
import tyro
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

from hyperreps.data.images import Images
from hyperreps.networks.architectures import Architecture, Convolution, MaxPool
from hyperreps.running.devices import keep_freed_memory
from hyperreps.settings.stages import Recipe

MODULES = {
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
}
# for a group of flags: --models instead of --networks.models
UNPREFIXED = tyro.conf.arg(name="")
# does some work and returns how many samples that were
Run = Callable[[], int]


@dataclass(frozen=True)
class Case:
    """One line of a benchmark.

    Attributes:
        name: What is measured.
        models: Networks side by side.
        threads: CPU threads.
        run: Does the work.
        flop: Floating point operations per sample; 0: not counted.
        memory: Bytes moved to or from main memory per sample, at least; 0: not counted.
        about: Further columns; cases that share them are compared with the first one.
        kind: Of numbers; the peak is that of a matrix product of such.
    """

    name: str
    models: int
    threads: int
    run: Run
    flop: float = 0
    memory: float = 0
    about: Mapping[str, int | str] = field(default_factory=dict)
    kind: torch.dtype = torch.float32


@dataclass(frozen=True, kw_only=True)
class Networks:
    """Which networks are measured.

    Attributes:
        models: Networks side by side.
        threads: CPU threads of the fused engine.
        channels: Of the images, 1 or 3.
        activation: One of the recipe's activations.
    """

    models: tuple[int, ...] = (1, 8, 64, 256)
    threads: tuple[int, ...] = (1,)
    channels: int = 1
    activation: str = "tanh"


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How it is measured.

    Attributes:
        seconds: Per case and round.
        rounds: Measurements of each case.
        output: CSV file to write.
    """

    seconds: float = 1.0
    rounds: int = 3
    output: Path | None = None


def network(channels: int, activation: str) -> nn.Sequential:
    """Returns the zoo's CNN as an ordinary module."""
    act = MODULES[activation]
    return nn.Sequential(
        *(nn.Conv2d(channels, 8, 5), nn.MaxPool2d(2), act()),
        *(nn.Conv2d(8, 6, 5), nn.MaxPool2d(2), act()),
        *(nn.Conv2d(6, 4, 2), act(), nn.Flatten()),
        *(nn.Linear(36, 20), act(), nn.Linear(20, 10)),
    )


def random_images(count: int, *, channels: int) -> Images:
    """Returns noise with labels, as a set of images on the CPU."""
    generator = torch.Generator().manual_seed(0)
    shape = (count, channels, 28, 28)
    return Images(
        torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator),
        torch.randint(0, 10, (count,), generator=generator),
        torch.full((channels,), 0.13),
        torch.full((channels,), 0.31),
    )


def plain_loop(
    images: Images, recipe: Recipe, *, tuned: bool = False, weights=None
) -> Run:
    """Trains one network for an epoch, as anybody would write it.

    Args:
        images: What it sees, normalised beforehand.
        recipe: Adam and its settings.
        tuned: channels_last and the fused Adam.
        weights: Where it starts; None: PyTorch's initialisation.
    """
    model = network(images.pixels.shape[1], recipe.activation)
    if weights is not None:
        nn.utils.vector_to_parameters(weights, model.parameters())
    x = images.normalized(slice(None))
    if tuned:
        model = model.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(
        model.parameters(),
        lr=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        fused=tuned,
    )

    def run() -> int:
        for index in torch.randperm(len(x)).split(recipe.batch_size):
            optimizer.zero_grad()
            F.cross_entropy(model(x[index]), images.labels[index]).backward()
            optimizer.step()
        return len(x)

    return run


def plain_evaluation(images: Images, activation: str) -> Run:
    """Returns a run that evaluates one network, in channels_last and large batches."""
    model = network(images.pixels.shape[1], activation)
    model = model.to(memory_format=torch.channels_last)
    x = images.normalized(slice(None)).contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def run() -> int:
        correct = torch.zeros((), dtype=torch.int64)
        for batch, labels in zip(x.split(500), images.labels.split(500), strict=True):
            scores = model(batch)
            F.cross_entropy(scores, labels, reduction="sum")
            correct += (scores.argmax(1) == labels).sum()
        return len(x)

    return run


def multiplications(architecture: Architecture, *, training: bool, sparse: bool) -> int:
    """Counts fused multiply-adds per image.

    Args:
        architecture: The network.
        training: Forward and backward (no gradient of the images); else forward.
        sparse: Behind a max pool of size n only one of n * n gradients is not zero.
    """
    total, side = 0, 28
    layers = list(architecture.layers)
    items = iter(architecture.weighted)
    for position, layer in enumerate(layers):
        if isinstance(layer, MaxPool):
            side //= layer.size
            continue
        if not hasattr(layer, "bias"):
            continue
        item = next(items)
        if isinstance(layer, Convolution):
            side += 1 - layer.kernel
            forward = item.units * item.fan_in * side * side
        else:
            forward = item.units * item.fan_in
        total += forward
        if training:
            after = layers[position + 1] if position + 1 < len(layers) else None
            pooled = isinstance(after, MaxPool) and sparse
            share = 1 / after.size**2 if pooled else 1
            gradients = 1 if item.start == 0 else 2
            total += round(gradients * forward * share)
    return total


def traffic(architecture: Architecture, *, batch_size: int) -> float:
    """Counts bytes per image of training layer by layer, tensors in and out once."""
    features = sum(architecture.feature_sizes)
    # forward: written, read; backward: gradient written, read
    per_batch = 7 * architecture.parameters
    return 4 * (4 * features + per_batch / batch_size)


def peak(kind: torch.dtype, seconds: float = 0.5) -> float:
    """Measures FLOP/s of a large matrix product with the current threads."""
    a = torch.randn(1024, 1024).to(kind)
    clock = cpu_time if torch.get_num_threads() == 1 else time.perf_counter

    def once() -> float:
        start, count = clock(), 0
        while clock() - start < seconds:
            a @ a
            count += 1
        return count * 2 * 1024**3 / (clock() - start)

    once()
    return once()


def cpu_time() -> float:
    """Returns CPU seconds of this process and of those that it has waited for."""
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(part.ru_utime + part.ru_stime for part in used)


def speed(case: Case, seconds: float) -> float:
    """Returns samples per second."""
    torch.set_num_threads(case.threads)
    clock = cpu_time if case.threads == 1 else time.perf_counter
    samples, start = 0, clock()
    while (spent := clock() - start) < seconds or not samples:
        samples += case.run()
    return samples / spent


def _measured(
    cases: list[Case], timing: Timing, peaks: dict[tuple[int, torch.dtype], float]
) -> list[dict[str, object]]:
    """Returns the rows of cases that are compared; adds the peaks that they need."""
    for case in cases:
        torch.set_num_threads(case.threads)
        if (case.threads, case.kind) not in peaks:
            peaks[case.threads, case.kind] = peak(case.kind)
        case.run()
    measured = [
        [speed(case, timing.seconds) for case in cases] for _ in range(timing.rounds)
    ]
    rows = []
    for k, case in enumerate(cases):
        rates = [round_[k] for round_ in measured]
        ratios = [round_[k] / round_[0] for round_ in measured]
        rate = statistics.median(rates)
        row: dict[str, object] = {
            "case": case.name,
            "models": case.models,
            "threads": case.threads,
            **case.about,
            "samples_per_s": rate,
            "ratio": statistics.median(ratios),
            "ratio_low": min(ratios),
            "ratio_high": max(ratios),
        }
        if case.flop:
            row |= {
                "gflop_per_s": rate * case.flop / 1e9,
                "share_of_peak": rate * case.flop / peaks[case.threads, case.kind],
            }
        if case.memory:
            row["gbyte_per_s"] = rate * case.memory / 1e9
        rows.append(row)
    return rows


def report(title: str, cases: Iterable[Case], timing: Timing) -> None:
    """Measures, prints a table and writes it as CSV.

    Cases that follow one another with the same further columns are a group: measured in
    turn, compared with the first of them, and let go before the next group is made.
    """
    keep_freed_memory()
    peaks: dict[tuple[int, torch.dtype], float] = {}
    rows = []
    for _, group in itertools.groupby(cases, key=lambda case: case.about):
        rows += _measured(list(group), timing, peaks)
    table = pd.DataFrame(rows)
    print(f"{title}; median of {timing.rounds} x {timing.seconds:g} s")
    for (threads, kind), value in peaks.items():
        about = f"{str(kind).removeprefix('torch.')} matrix product, {threads} threads"
        print(f"peak ({about}): {value / 1e9:.0f} GFLOP/s")
    formats = {
        "samples_per_s": "{:,.0f}".format,
        **dict.fromkeys(("ratio", "ratio_low", "ratio_high"), "{:.2f}".format),
        "gflop_per_s": "{:.1f}".format,
        "share_of_peak": "{:.0%}".format,
        "gbyte_per_s": "{:.2f}".format,
    }
    print(table.to_string(index=False, formatters=formats, na_rep=""), "\n")
    if timing.output is not None:
        timing.output.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(timing.output, index=False)
