"""The lesser stages of a run, whose speeds the estimate of its cost goes by.

    python bench/stages.py --output docs/measurements/stages.csv

They are timed through the functions that the scripts call, without a rival. What a
sample is differs from case to case and is part of its name. Jobs that do
nothing but start are measured as they are.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from common import UNPREFIXED, Case, Run, Timing, report

from hyperreps.config.costs import NEAREST, probe_products
from hyperreps.networks.architectures import build
from hyperreps.networks.initialisation import initial_weights
from hyperreps.representation.probes import Target, fit_probe
from hyperreps.sampling.gan_training import STEPS_PER_EPOCH, GanTraining
from hyperreps.sampling.samplers import draw
from hyperreps.settings.stages import Gan
from hyperreps.symmetry.alignment import weight_matching
from hyperreps.symmetry.matching import Matcher, aligned_distances, pair_distances
from hyperreps.zoo.ensembles import draw_members, score_ensembles

SCRIPTS = Path(__file__).parents[1] / "workflow" / "scripts"
EPOCHS = 5  # of a window
# starts the engine as well; what it computes takes no time
TRAINING = """
import sys
sys.path[:0] = sys.argv[1:]
from common import random_images
from finetuning import engine_run
from hyperreps.settings.stages import Recipe
recipe = Recipe(initialization="uniform", activation="tanh", learning_rate=1e-3,
                batch_size=10, epochs=1)
engine_run("fused", random_images(10, channels=1), recipe, models=1)()
"""
UMAP = "import numpy, umap; umap.UMAP().fit(numpy.random.rand(100, 8))"


def process_run(*arguments: str) -> Run:
    """Returns a run of another Python process; a sample is its whole life."""
    command = [sys.executable, *arguments]

    def run() -> int:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return 1

    return run


def matching_run(weights: np.ndarray) -> Run:
    """Returns a run that aligns a zoo; a sample is a network at one epoch."""
    cnn = build("cnn", channels=1)

    def run() -> int:
        everyone = np.arange(len(weights))
        weight_matching(
            weights, cnn, activations=["tanh"] * len(weights), fit=everyone, reference=0
        )
        return len(weights)

    return run


def audit_run(weights: np.ndarray, *, networks: int, runs: int) -> Run:
    """Returns a run that audits some networks against runs of several epochs."""
    matcher = Matcher(build("cnn", channels=1), activation="tanh")
    rng = np.random.default_rng(0)
    some, others = weights[:networks], weights[networks : networks + runs]
    # epochs of a run differ little
    drift = rng.normal(scale=0.01, size=(runs, EPOCHS, weights.shape[1]))
    corpus = (others[:, None] + drift).astype(np.float32).reshape(-1, weights.shape[1])
    run_of = np.repeat(np.arange(runs), EPOCHS)

    def run() -> int:
        aligned_distances(matcher, some, corpus, run=run_of)
        pair_distances(matcher, some)
        return networks * (runs + NEAREST) + networks * networks // 2

    return run


def gan_run(*, latent: int) -> Run:
    """Returns a run that trains a GAN for an epoch; a sample is a step."""
    training = GanTraining(torch.randn(500, latent), settings=Gan(), seed=0)

    def run() -> int:
        training.run_epoch()
        return STEPS_PER_EPOCH

    return run


def ensemble_run(*, count: int) -> Run:
    """Returns a run that scores ensembles; a sample is an image of one of them."""
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(10), size=(50, count)).astype(np.float32)
    labels = rng.integers(10, size=count)
    sizes = (1, 2, 3, 5, 10, 15, 20, 30)
    members = draw_members(50, ensembles=50, largest=sizes[-1], rng=rng)

    def run() -> int:
        score_ensembles(probabilities, labels, members=members, sizes=sizes)
        return members.shape[0] * len(sizes) * count

    return run


def probe_run(*, networks: int, inputs: int) -> Run:
    """Returns a run that fits a probe; a sample is a product that it sums."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((networks, inputs)).astype(np.float32)
    split = np.repeat(["train", "val"], (networks * 4 // 5, networks // 5))
    target = Target(rng.standard_normal(networks), "number")

    def run() -> int:
        fit_probe(rows, target, split=split)
        return probe_products(networks * 4 // 5, inputs)

    return run


def neighbours_run(*, points: int, latent: int) -> Run:
    """Returns a run of the sampler neighbours; a sample is a pool and its embedding."""
    rng = np.random.default_rng(0)
    pool = rng.standard_normal((points, latent)).astype(np.float32)

    def run() -> int:
        draw("neighbours", pool, count=50, rng=rng, options={"region": "cube"})
        return 1

    return run


def cases() -> Iterator[Case]:
    """Yields all of them; each is its own baseline."""
    cnn = build("cnn", channels=1)
    weights = initial_weights(cnn, initialization="uniform", seeds=range(210)).numpy()
    runs = {
        "start of a job": process_run(str(SCRIPTS / "finetune.py"), "--help"),
        "start of training": process_run(
            "-c", TRAINING, str(SCRIPTS), str(Path(__file__).parent)
        ),
        "alignment": matching_run(weights[:30]),
        "match of an audit": audit_run(weights, networks=10, runs=200),
        "step of a GAN": gan_run(latent=100),
        "image of an ensemble": ensemble_run(count=2000),
        "product of a probe": probe_run(networks=1000, inputs=800),
        "table or figure": process_run(str(SCRIPTS / "make_figure.py"), "--help"),
        # it compiles what it needs in every process
        "start of UMAP": process_run("-c", UMAP),
        "UMAP": neighbours_run(points=300, latent=16),
    }
    for number, (name, run) in enumerate(runs.items()):
        yield Case(name, 1, 1, run, about={"stage": number})


def main(timing: Annotated[Timing, UNPREFIXED] = Timing()) -> None:
    """Prints a table.

    Args:
        timing: How it is measured.
    """
    report("stages", cases(), timing)


if __name__ == "__main__":
    tyro.cli(main)
