"""Reads properties of networks from their weights, statistics or latents (linearly)."""

import logging
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from tqdm import tqdm

from hyperreps.files.storage import write_arrays
from hyperreps.representation.autoencoder import load
from hyperreps.representation.probes import fit_probe, layer_statistics, targets
from hyperreps.running.commands import UNPREFIXED, run
from hyperreps.running.devices import Machine
from hyperreps.zoo.zoos import read_zoo, select_splits


def main(
    *,
    zoo: Path,
    features: str,
    output: Path,
    hyper_reps: tuple[Path, ...] = (),
    weight_threshold: float = np.inf,
    machine: Annotated[Machine, UNPREFIXED] = Machine(),
) -> None:
    """Fits one linear probe per property and hyper-representation.

    Args:
        zoo: zoos/{zoo}.h5, or its aligned form.
        features: Name of the inputs: statistics for those of the layers; any other name
            means the weights themselves, or latents where hyper_reps are given.
        output: HDF5 file to write.
        hyper_reps: Files of pretrain.py, one per seed.
        weight_threshold: Networks with a larger absolute weight are left out.
        machine: Where it computes.
    """
    place = machine.prepare()
    data = read_zoo(zoo)
    pool, split = select_splits(
        data, epochs="window", weight_threshold=weight_threshold
    )
    arrays = {"model": pool.model, "epoch": pool.epoch, "split": split}
    if hyper_reps:
        models = [load(path, device=place) for path in hyper_reps]
        rows = torch.from_numpy(pool.weights).to(place)
        inputs = [model.map("encode", rows).cpu().numpy() for model in models]
        arrays["latents"] = np.stack(inputs)
        arrays["hyper_rep_seed"] = np.array([model.seed for model in models])
    elif features == "statistics":
        inputs = [layer_statistics(pool.weights, data.architecture)]
    else:
        inputs = [pool.weights]
    wanted = targets(data, pool)
    for name, target in tqdm(wanted.items(), desc="properties", disable=None):
        probes = [fit_probe(matrix, target, split=split) for matrix in inputs]
        arrays[f"truth/{name}"] = target.values
        arrays[f"predicted/{name}"] = np.stack([probe.predicted for probe in probes])
        arrays[f"alpha/{name}"] = np.array([probe.alpha for probe in probes])
        alphas = ", ".join(f"{probe.alpha:g}" for probe in probes)
        logging.info("%s from %s: alpha %s", name, features, alphas)
    write_arrays(
        output,
        arrays,
        attributes={
            "kind": "properties",
            "zoo": data.name,
            "features": features,
            "inputs": inputs[0].shape[1],
            "kinds": {name: target.kind for name, target in wanted.items()},
        },
    )


if __name__ == "__main__":
    run(main)
