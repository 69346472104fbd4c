"""Do two engines give the same networks? Paired accuracies over seeds and epochs.

    python bench/agreement.py --dataset results/paper/datasets/mnist.h5 --seeds 6

Both train from the same initialisation with the same batch orders. float32 sums in
other orders make single networks drift apart; what must agree are populations.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import tyro

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

from hyperreps.architectures import build
from hyperreps.devices import Machine
from hyperreps.images import read_images
from hyperreps.population import PopulationTraining, initial_weights
from hyperreps.settings import Recipe


def main(
    dataset: Path,
    engines: tuple[str, str] = ("loop", "fused"),
    seeds: int = 6,
    epochs: int = 1,
    initialization: str = "kaiming_uniform",
    activation: str = "tanh",
    learning_rate: float = 3e-4,
    batch_size: int = 10,
    output: Path | None = None,
) -> None:
    """Prints test accuracies per epoch and seed, and their paired difference.

    Args:
        dataset: Prepared images (prepare_dataset.py).
        engines: The two that are compared.
        seeds: Networks.
        epochs: Of training.
        initialization: Of the recipe.
        activation: Of the recipe.
        learning_rate: Of the recipe.
        batch_size: Of the recipe.
        output: CSV file to write.
    """
    device = Machine(device="cpu").prepare()
    images = read_images(dataset)
    architecture = build("cnn", channels=images.channels)
    recipe = Recipe(
        initialization=initialization,
        activation=activation,
        learning_rate=learning_rate,
        batch_size=batch_size,
        epochs=epochs,
    )
    accuracy = {}
    for engine in engines:
        training = PopulationTraining(
            initial_weights(
                architecture, initialization=initialization, seeds=range(seeds)
            ),
            architecture,
            images=images.on(device),
            seeds=range(seeds),
            recipe=recipe,
            record=[],
            engine=engine,
        )
        for _ in range(epochs):
            training.run_epoch()
        accuracy[engine] = 100 * training.accuracy["test"]
    seed, epoch = np.indices((seeds, epochs + 1))
    table = pd.DataFrame(
        {
            "seed": seed.ravel(),
            "epoch": epoch.ravel(),
            **{engine: values.ravel() for engine, values in accuracy.items()},
        }
    )
    first, second = engines
    table["difference"] = table[second] - table[first]
    print(table[table["epoch"] == epochs].to_string(index=False, float_format="%.2f"))
    by_epoch = table.groupby("epoch")["difference"].agg(["mean", "sem"])
    print(f"\npaired difference {second} - {first} in points, by epoch")
    print(by_epoch.to_string(float_format="%.3f"))
    if output is not None:
        table.to_csv(output, index=False)


if __name__ == "__main__":
    tyro.cli(main)
