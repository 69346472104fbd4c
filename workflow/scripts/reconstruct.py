"""Compares the networks of a zoo with their reconstructions."""

import logging
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from tqdm import tqdm

from hyperreps.data.images import read_images
from hyperreps.engines.interface import evaluate
from hyperreps.files.storage import write_arrays
from hyperreps.representation.autoencoder import load
from hyperreps.representation.reconstruction import (
    histogram_edges,
    layer_sums,
    split_histograms,
)
from hyperreps.running.commands import UNPREFIXED, run
from hyperreps.running.devices import Machine
from hyperreps.zoo.zoos import MODEL_SPLITS, read_zoo, select_splits


def main(
    *,
    zoo: Path,
    dataset: Path,
    hyper_reps: tuple[Path, ...],
    variant: str,
    output: Path,
    machine: Annotated[Machine, UNPREFIXED] = Machine(),
) -> None:
    """Reconstructs all networks of a zoo at the last epoch of its window.

    Args:
        zoo: zoos/{zoo}.h5, or its aligned form.
        dataset: Images for the accuracy of the reconstructions.
        hyper_reps: Files of pretrain.py, one per seed.
        variant: Name of the hyper-representation.
        output: HDF5 file to write.
        machine: Where it computes.
    """
    place = machine.prepare()
    data = read_zoo(zoo)
    test = read_images(dataset).on(place)["test"]
    models = [load(path, device=place) for path in hyper_reps]
    threshold = models[0].settings.weight_threshold
    pool, split = select_splits(data, epochs="last", weight_threshold=threshold)
    layers = data.architecture.layer_index
    edges = histogram_edges(pool.weights, layers)
    rows = torch.from_numpy(pool.weights).to(place)
    accuracy, errors, counts = [], [], []
    for model in tqdm(models, desc="hyper-representations", disable=None):
        networks = model.map("decode", model.map("encode", rows))
        activation = data.settings.recipe.activation
        _, reached = evaluate(
            data.architecture,
            networks,
            test,
            activation=activation,
            engine=machine.engine,
        )
        accuracy.append(reached)
        reconstructed = networks.cpu().numpy()
        errors.append(layer_sums(reconstructed - pool.weights, layers))
        counts.append(split_histograms(reconstructed, split, layers, edges))
        held_out = accuracy[-1][split == "test"].mean()
        logging.info(
            "%s, seed %d: held-out accuracy %.4f", variant, model.seed, held_out
        )
    deviation = pool.weights - models[0].mean.cpu().numpy()
    write_arrays(
        output,
        {
            "model": pool.model,
            "split": split,
            "hyper_rep_seed": [model.seed for model in models],
            "accuracy/original": data.accuracy["test"][pool.model, -1],
            "accuracy/reconstruction": np.stack(accuracy),
            "squared_error": np.stack(errors),
            "squared_deviation": layer_sums(deviation, layers),
            "layer_size": np.bincount(layers),
            "histogram/edges": edges,
            "histogram/original": split_histograms(pool.weights, split, layers, edges),
            "histogram/reconstruction": np.sum(counts, axis=0),
        },
        attributes={
            "kind": "reconstruction",
            "zoo": data.name,
            "variant": variant,
            "layers": [item.name for item in data.architecture.weighted],
            "splits": MODEL_SPLITS,
            "loss_normalization": models[0].settings.loss_normalization,
        },
    )


if __name__ == "__main__":
    run(main)
