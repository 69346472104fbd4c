"""What docs/gpu.md records of a GPU, section after section within a time budget.

    python bench/gpu.py --dataset results/paper/datasets/mnist.h5 --output gpu

Needs what training needs (pyproject.toml, dependencies), PyYAML and pandas. Every
section prints its records as lines of JSON and writes OUTPUT/gpu_SECTION.csv; one that
fails says why, and the next one runs. Sections: device, zoo (speed of the engines),
agreement (networks to compare with a CPU's), mnist (the whole zoo: accuracy after every
epoch), autoencoder (speed of its step), profile.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import tyro
from agreement import CONFIG, compare, train, zoo_recipe
from common import random_images
from torch import Tensor
from zoo import engine_run

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

from hyperreps.config.costs import autoencoder_multiplications
from hyperreps.data.images import Images, read_images
from hyperreps.engines.interface import evaluate
from hyperreps.networks.architectures import build
from hyperreps.networks.initialisation import initial_weights
from hyperreps.representation.pretraining import Pretraining
from hyperreps.settings.stages import HyperRep
from hyperreps.zoo.population import PopulationTraining

CUDA = torch.device("cuda")
RECIPE = zoo_recipe(CONFIG, "mnist")
# name, width, feedforward, latent, heads, batch
SIZES = [
    ("small", 128, 144, 100, 4, 64),
    ("2021", 800, 900, 700, 8, 64),
    ("paper", 2400, 2400, 700, 12, 64),
    ("paper", 2400, 2400, 700, 12, 500),
]
Record = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Run:
    """Arguments of a section.

    Attributes:
        dataset: Prepared MNIST images.
        deadline: On the clock of time.monotonic.
        models: Of the whole zoo.
        epochs: Of the whole zoo.
    """

    dataset: Path
    deadline: float
    models: int
    epochs: int

    def left(self) -> float:
        """Returns the seconds that are left."""
        return self.deadline - time.monotonic()


def seconds_of(work: Callable[[], object], *, repeats: int = 3) -> float:
    """Returns the GPU's seconds for a piece of work, the least of some repeats."""
    work()
    found = []
    for _ in range(repeats):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work()
        end.record()
        end.synchronize()
        found.append(begin.elapsed_time(end) / 1000)
    return min(found)


def device(run: Run) -> Iterator[Record]:
    """Describes the GPU, and measures what it can do at best."""
    about = torch.cuda.get_device_properties(0)
    yield {
        "gpu": about.name,
        "multiprocessors": about.multi_processor_count,
        "memory_gib": about.total_memory / 2**30,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": sys.version.split()[0],
        "numpy": np.__version__,
    }
    for kind in (torch.float32, torch.bfloat16):
        a = torch.randn(8192, 8192, device=CUDA, dtype=kind)
        seconds = seconds_of(lambda a=a: a @ a)
        yield {"product": str(kind), "tflop_per_s": 2 * 8192**3 / seconds / 1e12}


def _images(count: int, channels: int) -> Images:
    """Returns random images on the GPU."""
    return Images(*(part.to(CUDA) for part in random_images(count, channels=channels)))


def zoo(run: Run) -> Iterator[Record]:
    """Measures images per second of the engines."""
    cases = [
        *(("fused", m, c, 4000) for c in (1, 3) for m in (1, 132, 264, 1000)),
        ("grouped", 264, 1, 400),
        ("grouped", 1000, 1, 400),
        ("grouped", 1000, 3, 400),
    ]
    for engine, models, channels, count in cases:
        images, network = _images(count, channels), build("cnn", channels=channels)
        weights = initial_weights(
            network, initialization=RECIPE.initialization, seeds=range(models)
        ).to(CUDA)
        works = {
            "train": engine_run(engine, images, RECIPE, models=models),
            "evaluate": partial(
                evaluate,
                network,
                weights,
                images,
                activation=RECIPE.activation,
                engine=engine,
            ),
        }
        for what, work in works.items():
            seconds = seconds_of(work, repeats=2)
            yield {
                "engine": engine,
                "models": models,
                "channels": channels,
                "what": what,
                "images_per_s": models * count / seconds,
            }


def profile(run: Run) -> Iterator[Record]:
    """Says where the time of a grouped epoch and of an autoencoder's step goes."""
    grouped = engine_run("grouped", _images(50, 1), RECIPE, models=1000)
    name, training = _pretraining(SIZES[2], "bfloat16")
    for title, work in (("grouped epoch", grouped), (f"autoencoder {name}", training)):
        work()
        activities = [
            torch.profiler.ProfilerActivity.CPU,
            torch.profiler.ProfilerActivity.CUDA,
        ]
        with torch.profiler.profile(activities=activities) as found:
            work()
            torch.cuda.synchronize()
        # kernels only: the operations that start them would count them again
        events = sorted(
            (e for e in found.key_averages() if e.device_type.name == "CUDA"),
            key=lambda e: e.self_device_time_total,
            reverse=True,
        )
        total = sum(e.self_device_time_total for e in events)
        for event in events[:12]:
            yield {
                "profile": title,
                "kernel": event.key[:80],
                "calls": event.count,
                "share": event.self_device_time_total / total,
                "milliseconds": event.self_device_time_total / 1000,
            }


def _pretraining(
    size: tuple[str, int, int, int, int, int], precision: str
) -> tuple[str, Callable[[], object]]:
    name, width, feedforward, latent, heads, batch = size
    settings = HyperRep(
        width=width,
        feedforward=feedforward,
        latent=latent,
        heads=heads,
        blocks=2,
        batch_size=batch,
        precision=precision,
        epochs=2,
        evaluate_every=2,
    )
    cnn = build("cnn", channels=1)
    rng = torch.Generator().manual_seed(0)
    weights = torch.randn(batch * 4, cnn.parameters, generator=rng).to(CUDA)
    training = Pretraining(weights, weights[:2], cnn, settings=settings, seed=1)
    random = torch.Generator(CUDA).manual_seed(0)
    training.model.train()

    def step() -> Tensor:
        return training._step(weights[:batch], random)

    return name, step


def autoencoder(run: Run) -> Iterator[Record]:
    """Measures steps per second of the autoencoder's training, two views a network."""
    for size in SIZES:
        for precision in ("float32", "bfloat16"):
            name, step = _pretraining(size, precision)
            for _ in range(3):
                step()
            seconds = seconds_of(lambda step=step: [step() for _ in range(10)]) / 10
            settings = HyperRep(
                width=size[1], feedforward=size[2], latent=size[3], heads=size[4]
            )
            # forward and backward, two views
            products = autoencoder_multiplications(build("cnn", channels=1), settings)
            flop = 2 * 3 * 2 * products * size[5]
            yield {
                "autoencoder": name,
                "batch": size[5],
                "precision": precision,
                "milliseconds": 1000 * seconds,
                "networks_per_s": size[5] / seconds,
                "tflop_per_s": flop / seconds / 1e12,
                "memory_gib": torch.cuda.max_memory_allocated() / 2**30,
            }
            torch.cuda.reset_peak_memory_stats()


def agreement(run: Run) -> Iterator[Record]:
    """Compares 20 networks after an epoch with those of the CPU's fused engine."""
    recipe = RECIPE.model_copy(update={"epochs": 1})
    file = read_images(run.dataset)
    network = build("cnn", channels=file.channels)
    found = {}
    for place, engine in (("cpu", "fused"), ("cuda", "fused"), ("cuda", "grouped")):
        images = file.on(torch.device(place))
        found[place, engine] = train(network, images, recipe, seeds=20, engine=engine)
        table = compare(network, found["cpu", "fused"], found[place, engine])
        for row in table.to_dict("records"):
            yield {"device": place, "engine": engine, **row}


def mnist(run: Run) -> Iterator[Record]:
    """Trains the paper's zoo for as many epochs as there is time for."""
    file = read_images(run.dataset)
    network = build("cnn", channels=file.channels)
    seeds = range(1, run.models + 1)
    training = PopulationTraining(
        initial_weights(network, initialization=RECIPE.initialization, seeds=seeds),
        network,
        images=file.on(CUDA),
        seeds=seeds,
        recipe=RECIPE,
        record=[],
        engine="fused",
    )
    slowest = 0.0
    for _ in range(run.epochs):
        start = time.monotonic()
        if run.left() < 2 * slowest + 10:
            break
        training.run_epoch()
        torch.cuda.synchronize()
        slowest = max(slowest, time.monotonic() - start)
        accuracy = 100 * training.accuracy["test"][:, training.epoch]
        yield {
            "mnist": training.epoch,
            "models": run.models,
            "seconds": time.monotonic() - start,
            "accuracy": float(accuracy.mean()),
            "std": float(accuracy.std(ddof=1)),
            "diverged": training.divergence.count,
        }


SECTIONS = {
    f.__name__: f for f in (device, zoo, agreement, mnist, autoencoder, profile)
}


def main(
    dataset: Path,
    output: Path,
    minutes: float = 8.0,
    sections: tuple[str, ...] = tuple(SECTIONS),
    models: int = 1000,
    epochs: int = 50,
) -> None:
    """Measures.

    Args:
        dataset: Prepared MNIST images (prepare_dataset.py).
        output: Folder to write to.
        minutes: Time budget; what does not fit is left out.
        sections: Which, in this order.
        models: Networks of the whole zoo.
        epochs: Of the whole zoo.
    """
    output.mkdir(parents=True, exist_ok=True)
    run = Run(
        dataset=dataset,
        deadline=time.monotonic() + 60 * minutes,
        models=models,
        epochs=epochs,
    )
    for name in sections:
        start = time.monotonic()
        records = []
        try:
            for record in SECTIONS[name](run):
                print(json.dumps({"section": name, **record}), flush=True)
                records.append(record)
                if run.left() < 0:
                    raise TimeoutError("the time budget is used up")
        except Exception:
            print(f"section {name}: {traceback.format_exc()}", flush=True)
        table = pd.DataFrame(records)
        table.to_csv(output / f"gpu_{name}.csv", index=False, float_format="%.6g")
        print(f"section {name}: {time.monotonic() - start:.1f} s", flush=True)


if __name__ == "__main__":
    tyro.cli(main)
