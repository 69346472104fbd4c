"""What jumps draw: by the size of their zoo, and beside noise and soups.

    python bench/jumps.py law --zoo zoo.h5 --dataset mnist.h5 --jumps a.safetensors
    python bench/jumps.py beside --images mnist.h5 --networks w.npy --jumps big_1.0.npy
    python bench/jumps.py losses --jumps results/zoo_size/jumps/*/*.safetensors

Accuracies are those of test images. Distances are those to the nearest training
network, in units of that of held-out networks: as the weights are (law), or after the
best permutation and signs that are found (beside).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import tyro

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

from hyperreps.data.images import read_images
from hyperreps.engines.interface import evaluate
from hyperreps.networks.architectures import build
from hyperreps.sampling.jump import Jumper, load
from hyperreps.sampling.samplers import draw
from hyperreps.symmetry.matching import Matcher, aligned_distances
from hyperreps.zoo.behaviour import disagreement, predictions
from hyperreps.zoo.zoos import ZooData, assign_splits, read_zoo

ARCHITECTURE, ACTIVATION = build("cnn", channels=1), "tanh"
SPLIT = (0.9, 0.05, 0.05)
NOISE = (0.3, 0.5, 0.7, 0.85, 1.0)  # in units of the layers' standard deviations
MEMBERS = (2, 4, 8, 16)
TOP = 0.3
SPREADS = (1.0, 0.5, 0.2)

# networks, in units of the layers, and their answers
Sample = tuple[torch.Tensor, np.ndarray]


def layer_deviations(weights: np.ndarray) -> np.ndarray:
    """Returns the standard deviation of each entry's layer around the mean network."""
    index, apart = ARCHITECTURE.layer_index, weights - weights.mean(0)
    stds = [apart[:, index == layer].std() for layer in range(index.max() + 1)]
    return np.array(stds, dtype=np.float32)[index]


def populations(
    train: np.ndarray, best: np.ndarray, *, count: int
) -> Iterator[tuple[str, float, np.ndarray]]:
    """Yields noise on the best networks, and soups of them, by their strength."""
    rng = np.random.default_rng(0)
    std = layer_deviations(train)
    for sigma in NOISE:
        rows = best[rng.integers(len(best), size=count)]
        noise = rng.standard_normal(rows.shape).astype(np.float32)
        yield "noise", sigma, rows + sigma * std * noise
    matcher = Matcher(ARCHITECTURE, activation=ACTIVATION)
    moved = torch.from_numpy(best)
    aligned = matcher.match(moved, moved[:1]).numpy()
    for members in MEMBERS:
        soup = draw("soup", aligned, count=count, rng=rng, options={"members": members})
        yield "soup", members, soup.points


def law(
    *,
    zoo: Path,
    dataset: Path,
    jumps: tuple[Path, ...],
    output: Path,
    count: int = 200,
    device: str = "cpu",
) -> None:
    """Writes a line per jump and spread.

    Two jumps whose names differ in first and last were trained on disjoint networks:
    of the second, the same initialisations and noise give pair_distance and
    pair_disagreement, as shares of those between other samples of the two.

    Args:
        zoo: That all were trained on.
        dataset: Its images.
        jumps: Files of train_jump.py with one leg.
        output: CSV file.
        count: Networks drawn of each.
        device: Where they are drawn.
    """
    place = torch.device(device)
    images = read_images(dataset).on(place)["test"]
    labels = images.labels.cpu().numpy()
    lines: list[dict[str, object]] = []
    drawn: dict[tuple[str, float], Sample] = {}
    for path in jumps:
        model = load(path, device=place)
        settings = model.settings
        data = read_zoo(zoo, epochs=settings.stations)
        weights = torch.from_numpy(data.weights[:, -1]).to(place)
        train, held_out = (np.flatnonzero(data.split == s) for s in ("train", "test"))
        std = torch.from_numpy(layer_deviations(weights[train].cpu().numpy())).to(place)
        train = train[settings.learned]

        def answers(rows: torch.Tensor, zoo: ZooData = data) -> np.ndarray:
            activation = zoo.settings.recipe.activation
            return predictions(zoo.architecture, rows, images, activation=activation)

        corpus, known_answers = weights[train] / std, answers(weights[held_out][:count])
        unit = torch.cdist(weights[held_out] / std, corpus).min(1).values.mean()
        start = model.fresh(count, seeds=("law",))
        about = {**description(path, model), "networks": len(train)}
        for spread in SPREADS:
            rng = torch.Generator().manual_seed(7)
            rows = model.jump(start, rank=0.9, spread=spread, steps=40, rng=rng)
            given, rows = answers(rows), rows / std
            right = (given == labels).mean(1)
            line = about | {
                "spread": spread,
                "samples": count,
                "accuracy": right.mean(),
                "std": right.std(),
                "zoo_accuracy": (known_answers == labels).mean(),
                "distance": float(
                    torch.cdist(rows, corpus).min(1).values.mean() / unit
                ),
                "disagreement": apart(given[:40], given[:40]),
                "zoo_disagreement": apart(known_answers[:40], known_answers[:40]),
            }
            drawn[path.stem, spread] = rows, given
            twin = drawn.get((path.stem.replace("last", "first"), spread))
            if twin and path.stem.endswith("last"):
                line |= agreement(drawn[path.stem, spread], twin)
            lines.append(line)
            print(line, flush=True)
            pd.DataFrame(lines).to_csv(output, index=False)


def losses(*, jumps: tuple[Path, ...], output: Path) -> None:
    """Writes a line per jump: what it is, its losses, and what learning it took.

    Args:
        jumps: Files of train_jump.py.
        output: CSV file.
    """
    models = [load(path, device=torch.device("cpu")) for path in jumps]
    lines = [
        {**description(path, model), "seed": model.seed}
        for path, model in zip(jumps, models, strict=True)
    ]
    pd.DataFrame(lines).to_csv(output, index=False)


def description(path: Path, model: Jumper) -> dict[str, object]:
    """Returns what a jump is, and its losses."""
    settings, curve = model.settings, pd.read_csv(path.with_suffix(".csv"))
    held_out = curve["loss_held_out"]
    return {
        "jump": path.stem,
        "zoo": model.zoo,
        "part": settings.part,
        "width": settings.width,
        "blocks": settings.blocks,
        "batch": settings.batch_size,
        "optimizer": settings.optimizer,
        "epochs": settings.epochs,
        "stations": " ".join(map(str, settings.stations)),
        "loss": curve["loss"].iloc[-1],
        "loss_held_out": held_out.iloc[-1],
        "least_held_out": held_out.min(),
        "core_seconds": curve["core_seconds"].sum(),
    }


def agreement(one: Sample, other: Sample) -> dict[str, float]:
    """Returns how far samples of the same start and noise are apart.

    As shares of what samples of different ones are: 0 for the same networks, 1 where
    start and noise say nothing.
    """
    far, differ = torch.cdist(one[0], other[0]), disagreement(one[1], other[1])
    others = ~torch.eye(len(far), dtype=torch.bool, device=far.device)
    return {
        "pair_distance": float(far.diagonal().mean() / far[others].mean()),
        "pair_disagreement": float(differ.diagonal().mean()) / apart(one[1], other[1]),
    }


def apart(some: np.ndarray, others: np.ndarray) -> float:
    """Returns the mean disagreement of networks of different rows."""
    found = disagreement(some, others)
    return float(found[~np.eye(len(found), dtype=bool)].mean())


def beside(
    *,
    images: Path,
    networks: Path,
    jumps: tuple[Path, ...],
    output: Path,
    first_seed: int = 2001,
    count: int = 60,
) -> None:
    """Writes a line per population.

    Args:
        images: Dataset, as prepare_dataset.py writes it.
        networks: Weights of a zoo of MNIST at one epoch, as .npy.
        jumps: Networks that jumps drew from it, as .npy.
        output: CSV file.
        first_seed: Of the zoo.
        count: Networks of each population.
    """
    torch.set_num_threads(1)
    weights = np.load(networks).astype(np.float32)
    seeds = range(first_seed, first_seed + len(weights))
    split = assign_splits(seeds, fractions=SPLIT)
    train, held_out = weights[split == "train"], weights[split == "test"][:count]
    shown = read_images(images).on(torch.device("cpu"))

    def accuracy(rows: np.ndarray, part: str) -> np.ndarray:
        _, found = evaluate(
            ARCHITECTURE,
            torch.from_numpy(rows),
            shown[part],
            activation=ACTIVATION,
            engine="auto",
        )
        return found

    best = train[np.argsort(-accuracy(train, "val"))[: round(TOP * len(train))]]
    matcher = Matcher(ARCHITECTURE, activation=ACTIVATION)

    def nearest(rows: np.ndarray) -> np.ndarray:
        found, _ = aligned_distances(matcher, rows, train, run=np.arange(len(train)))
        return found.min(1)

    unit = nearest(held_out).mean()
    drawn = [("held out", 0.0, held_out), *populations(train, best, count=count)]
    for path in jumps:
        name, spread = path.stem.rsplit("_", 1)
        rows = np.load(path)[:count].astype(np.float32)
        drawn.append((f"jump {name}", float(spread), rows))
    lines = []
    for name, strength, rows in drawn:
        right, far = accuracy(rows, "test"), nearest(rows) / unit
        lines.append(
            {
                "population": name,
                "strength": strength,
                "networks": len(rows),
                "accuracy": right.mean(),
                "accuracy_std": right.std(ddof=1),
                "distance": far.mean(),
                "distance_std": far.std(ddof=1),
            }
        )
        print(lines[-1], flush=True)
        pd.DataFrame(lines).to_csv(output, index=False)


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict(
        {"law": law, "beside": beside, "losses": losses}
    )
