"""Generators on latents beside noise and soups of the same pool, and their twins.

    python bench/latents.py --zoo ZOO --dataset IMAGES --hyper-reps A S --output O.csv

As table `judgement` (docs/beyond.md) on fewer images and without the rest of the audit:
accuracy on test images, distance after matching to the nearest training network in
units of held-out ones, and how far above both curves at that distance. Best-of-ten rows
are judged beside curves that are chosen in the same way.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import tyro
from sklearn.mixture import GaussianMixture

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

from hyperreps.data.images import read_images
from hyperreps.engines.interface import evaluate
from hyperreps.numbers.seeds import numpy_generator
from hyperreps.numbers.statistics import grouped_mean, mean_interval
from hyperreps.representation.autoencoder import HyperRepresentation, load
from hyperreps.results.judgement import DIFFERENCE, above_curve
from hyperreps.sampling.networks import _fit_flow, draw_networks
from hyperreps.sampling.samplers import Drawn
from hyperreps.settings.stages import Method
from hyperreps.symmetry.matching import Matcher, aligned_distances
from hyperreps.zoo.zoos import ZooData, read_zoo

POOL: dict[str, Any] = {"top": 0.3, "epochs": "last", "alignment": "weight_matching"}
NOISE = (0.125, 0.25, 0.5, 1.0, 1.5)
SOUPS = ((2, 0.0), (4, 0.0), (8, 0.0), (16, 0.0), (16, 0.25), (16, 0.5), (16, 1.0))
LATENT: dict[str, dict[str, Any]] = {
    "flow": {"spread": 1.0},
    "flow at .7": {"spread": 0.7},
    "gaussian": {"sampler": "gaussian", "top": 0.3},
    "mixture of 4": {"sampler": f"{__file__}:mixture", "top": 0.3},
    "local_gaussian": {"sampler": "local_gaussian", "top": 0.3, "epochs": "last"},
    "reconstruction": {"sampler": "identity", "split": "test", "epochs": "last"},
}
BEST_OF, CHOSEN = 10, ", best of ten"
# of what the best of ten is judged, too
TWINS = (
    *("flow", "flow at .7", "gaussian"),
    *("noise 1.0", "noise 1.5"),
    *("soup 16 + 0.25", "soup 16 + 0.5", "soup 16 + 1.0"),
)


def mixture(
    points: np.ndarray, *, count: int, rng: np.random.Generator, members: int = 4
) -> Drawn:
    """A mixture of Gaussians with full covariances, each shrunk by a tenth."""
    fitted = GaussianMixture(
        members,
        reg_covar=0.1 * points.var(0).mean(),
        random_state=int(rng.integers(2**31)),
    ).fit(points.astype(np.float64))
    drawn, _ = fitted.sample(count)
    drawn = rng.permutation(drawn).astype(points.dtype)
    return Drawn(drawn, np.full(count, -1))


def curve_points() -> Iterator[tuple[tuple[str, ...], str, Method]]:
    """Yields its curves, name and method of what is made in weight space."""
    yield ("noise", "soup"), "pool", Method(sampler="identity", **POOL)
    for sigma in NOISE:
        options: dict[str, Any] = {"sigma": sigma, "unit": "pool"}
        method = Method(sampler="noise", options=options, **POOL)
        yield ("noise",), f"noise {sigma}", method
    for members, sigma in SOUPS:
        options = {"members": members, "sigma": sigma}
        method = Method(sampler="soup", options=options, **POOL)
        yield ("soup",), f"soup {members} + {sigma}", method
    keys = {**POOL, "top": 1, "split": "test"}
    yield (), "held out", Method(sampler="identity", **keys)


def drawn(
    data: ZooData, method: Method, model: HyperRepresentation | None, count: int
) -> np.ndarray:
    """Returns networks that a method draws."""
    method = method.model_copy(update={"samples": count})
    models = [model] if model else []
    return draw_networks(data, method, models, seeds=("bench",))["weights"]


def main(
    *,
    zoo: Path,
    dataset: Path,
    hyper_reps: tuple[Path, ...],
    output: Path,
    count: int = 16,
    images: int = 2000,
    steps: int = 1500,
) -> None:
    """Writes a line per population.

    Args:
        zoo: Aligned; an autoencoder of networks that are not reads the other file.
        dataset: Its images.
        hyper_reps: Files of pretrain.py, with their curves beside them.
        output: CSV file.
        count: Networks of each population.
        images: That they are judged by.
        steps: Of the training of a flow, at most.
    """
    torch.set_num_threads(1)
    known = {True: read_zoo(zoo)}
    known[False] = read_zoo(zoo.with_name(zoo.name.replace(".aligned", "")))
    shown = read_images(dataset).on(torch.device("cpu"))
    matcher = Matcher(known[True].architecture, activation="tanh")
    corpus = known[True].weights[known[True].split == "train", -1]
    found: dict[str, pd.DataFrame] = {}
    about: dict[str, dict[str, float]] = {}
    curves: dict[str, list[pd.DataFrame]] = defaultdict(list)

    def scores(rows: np.ndarray, split: str) -> np.ndarray:
        _, right = evaluate(
            known[True].architecture,
            torch.from_numpy(rows),
            shown[split].first(images),
            activation="tanh",
        )
        return right

    def judge(name: str, rows: np.ndarray, **more: float) -> None:
        """Notes accuracy and distance of networks, and of the best tenth of many."""
        populations = {name: rows[:count]}
        if name.split(": ")[-1] in TWINS:
            best = np.argsort(-scores(rows, "val"), kind="stable")
            populations[name + CHOSEN] = rows[best[: len(rows) // BEST_OF]]
        for key, own in populations.items():
            far, _ = aligned_distances(matcher, own, corpus, run=np.arange(len(corpus)))
            frame = {"accuracy": scores(own, "test"), "distance": far.min(1)}
            found[key] = pd.DataFrame(frame).assign(group=np.arange(len(own)))
            about[key] = more
            print(key, found[key].mean().round(3).to_dict(), flush=True)

    for kinds, name, method in curve_points():
        judge(name, drawn(known[True], method, None, BEST_OF * count))
        for kind in kinds:
            curves[kind].append(found[name])
            if name + CHOSEN in found:
                curves[kind + CHOSEN].append(found[name + CHOSEN])
    unit = found["held out"]["distance"].median()
    for path in hyper_reps:
        model = load(path, device=torch.device("cpu"))
        data = known[model.settings.alignment != "none"]
        curve = pd.read_csv(path.with_suffix(".csv"))
        more = {
            "latent": model.settings.latent,
            "r2_held_out": curve["r2_scaled_held_out"].dropna().iloc[-1],
        }
        begun = time.process_time()
        pool = Method(sampler="flow", hyper_rep="any")
        flow = _fit_flow(data, pool, model, copies=12, steps=steps, seed=model.seed)
        more["core_seconds"] = time.process_time() - begun
        for name, keys in LATENT.items():
            key = f"{path.stem}: {name}"
            if name.startswith("flow"):
                rng = numpy_generator("bench", name)
                latents = flow.points(
                    BEST_OF * count, rank=0.9, spread=keys["spread"], steps=40, rng=rng
                )
                rows = model.map("decode", torch.from_numpy(latents)).numpy()
            else:
                rows = drawn(data, Method(**keys), model, BEST_OF * count)
            judge(key, rows, **more)
    for frame in found.values():
        frame["distance"] /= unit
    lines = []
    for name, frame in found.items():
        *hyper_rep, own = name.removesuffix(CHOSEN).split(": ")
        best_of = BEST_OF if name.endswith(CHOSEN) else 1
        line = {"hyper_rep": "".join(hyper_rep), "population": own, "best_of": best_of}
        line |= {**about[name], "n": len(frame)}
        for measure in ("accuracy", "distance"):
            mean = grouped_mean(frame[measure].to_numpy(np.float64), frame["group"])
            ends = mean_interval(mean, confidence=0.95, limits=(0.0, np.inf))
            line |= {measure: mean.value, f"{measure}_low": ends[0]}
            line[f"{measure}_high"] = ends[1]
        for kind in ("noise", "soup"):
            points = curves[kind + CHOSEN if name.endswith(CHOSEN) else kind]
            if any(frame is point for point in points):
                continue
            lead = above_curve(frame, points)
            low, high = mean_interval(lead, confidence=0.95, limits=DIFFERENCE)
            line |= {f"above_{kind}": lead.value, f"above_{kind}_low": low}
            line[f"above_{kind}_high"] = high
        lines.append(line)
    pd.DataFrame(lines).to_csv(output, index=False)


if __name__ == "__main__":
    tyro.cli(main)
