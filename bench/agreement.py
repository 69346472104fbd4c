"""Do the engines give the same networks? Accuracy and weights, paired by seed.

    python bench/agreement.py --dataset results/paper/datasets/mnist.h5 --zoo mnist

Engines train by the recipe of a zoo, from the same initialisation with the same batch
orders. float32 sums in other orders make single networks drift apart; what must agree
are populations: their accuracy, and how far each layer has moved.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import tyro
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

from hyperreps.data.images import Images, read_images
from hyperreps.networks.architectures import Architecture, build
from hyperreps.networks.initialisation import initial_weights
from hyperreps.numbers.shapes import Float
from hyperreps.running.devices import Machine
from hyperreps.settings.stages import Recipe
from hyperreps.zoo.population import PopulationTraining

CONFIG = Path(__file__).parents[1] / "config" / "config.yaml"


def zoo_recipe(config: Path, zoo: str) -> Recipe:
    """Returns the recipe that a configuration file gives a zoo."""
    zoos = yaml.safe_load(config.read_text(encoding="utf-8"))["zoos"]
    return Recipe(**zoos[zoo]["recipe"])


def train(
    architecture: Architecture,
    images: dict[str, Images],
    recipe: Recipe,
    *,
    seeds: int,
    engine: str,
) -> tuple[
    Float[np.ndarray, "models epochs"], Float[np.ndarray, "models epochs parameters"]
]:
    """Returns test accuracy in % and weights, epoch 0 first."""
    training = PopulationTraining(
        initial_weights(
            architecture, initialization=recipe.initialization, seeds=range(seeds)
        ),
        architecture,
        images=images,
        seeds=range(seeds),
        recipe=recipe,
        record=range(recipe.epochs + 1),
        engine=engine,
    )
    while training.epoch < recipe.epochs:
        training.run_epoch()
    return 100 * training.accuracy["test"], training.recorded


def compare(
    architecture: Architecture,
    reference: tuple[np.ndarray, np.ndarray],
    other: tuple[np.ndarray, np.ndarray],
) -> pd.DataFrame:
    """Returns a row per epoch and quantity: accuracy, and how far each layer moved.

    difference is the mean over networks of other - reference, error its standard error;
    apart is the mean distance between the two layers of a pair.
    """
    rows = []
    for epoch in range(1, reference[0].shape[1]):
        pairs = {"accuracy": (reference[0][:, epoch], other[0][:, epoch], np.nan)}
        for item in architecture.weighted:
            layers = [weights[:, :, item.whole] for _, weights in (reference, other)]
            moved = (np.linalg.norm(x[:, epoch] - x[:, 0], axis=1) for x in layers)
            apart = np.linalg.norm(layers[1][:, epoch] - layers[0][:, epoch], axis=1)
            pairs[item.name] = (*moved, apart.mean())
        for quantity, (one, two, apart) in pairs.items():
            row = {"networks": len(one), "epoch": epoch, "quantity": quantity}
            row |= {"reference": one.mean(), "std": one.std(ddof=1)}
            gap = (two - one).astype(np.float64)
            error = gap.std(ddof=1) / np.sqrt(len(gap))
            rows.append(
                row | {"difference": gap.mean(), "error": error, "apart": apart}
            )
    return pd.DataFrame(rows)


def main(
    dataset: Path,
    zoo: str,
    config: Path = CONFIG,
    engines: tuple[str, ...] = ("loop", "fused", "grouped"),
    seeds: int = 20,
    epochs: int | None = None,
    count: int | None = None,
    output: Path | None = None,
) -> None:
    """Prints how engines differ at the end, and writes every epoch.

    Args:
        dataset: Prepared images (prepare_dataset.py).
        zoo: Key of zoos whose recipe is used.
        config: Where the zoo is.
        engines: The first is what the others are compared with.
        seeds: Networks, at least 2.
        epochs: Of training; None: the recipe's.
        count: The first so many images of every split; None: all.
        output: CSV file to write.
    """
    device = Machine(device="cpu").prepare()
    file = read_images(dataset)
    splits = {
        split: part.first(count or len(part.labels))
        for split, part in file.on(device).items()
    }
    recipe = zoo_recipe(config, zoo)
    if epochs:
        recipe = recipe.model_copy(update={"epochs": epochs})
    architecture = build("cnn", channels=file.channels)
    found = {
        engine: train(architecture, splits, recipe, seeds=seeds, engine=engine)
        for engine in engines
    }
    first, *others = engines
    tables = []
    for engine in others:
        table = compare(architecture, found[first], found[engine])
        names = {"zoo": zoo, "images": len(splits["train"].labels)}
        names |= {"engine": engine, "against": first}
        tables.append(table.assign(**names)[[*names, *table]])
    table = pd.concat(tables)
    last = table[table["epoch"] == recipe.epochs]
    print(last.to_string(index=False, float_format="%.4f"))
    if output is not None:
        table.to_csv(output, index=False, float_format="%.6g")


if __name__ == "__main__":
    tyro.cli(main)
