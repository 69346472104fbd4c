"""Measures what one variant of the hyper-representation can do."""

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
from hyperreps.representation.curves import R2_HELD_OUT, R2_TRAINING, read_curve
from hyperreps.representation.pretraining import shown_r_squared
from hyperreps.running.commands import UNPREFIXED, run
from hyperreps.running.devices import Machine
from hyperreps.sampling.ablation import POPULATIONS, independent_distance
from hyperreps.sampling.networks import draw_networks
from hyperreps.symmetry.matching import Matcher, matched_distances
from hyperreps.zoo.zoos import read_zoo, select


def main(
    *,
    zoo: Path,
    dataset: Path,
    hyper_reps: tuple[Path, ...],
    curves: tuple[Path, ...],
    variant: str,
    output: Path,
    samples: int = 50,
    seed: int = 0,
    machine: Annotated[Machine, UNPREFIXED] = Machine(),
) -> None:
    """Reconstructs and samples by all seeds of a variant, and evaluates what comes out.

    Args:
        zoo: zoos/{zoo}.h5, or its aligned form.
        dataset: Images for the accuracy.
        hyper_reps: Files of pretrain.py, one per seed.
        curves: Their training curves, in the same order.
        variant: Name of the hyper-representation.
        output: HDF5 file to write.
        samples: Networks of each population, per seed.
        seed: Base seed of the draws.
        machine: Where it computes.
    """
    place = machine.prepare()
    data = read_zoo(zoo)
    test = read_images(dataset).on(place)["test"]
    models = [load(path, device=place) for path in hyper_reps]
    activation = data.settings.recipe.activation
    matcher = Matcher(data.architecture, activation=activation)
    held_out = select(data, split="test", epochs="last").weights[:samples]
    arrays = {
        "hyper_rep_seed": np.array([model.seed for model in models]),
        "independent_distance": independent_distance(held_out, matcher=matcher),
        **_of_curves(curves),
    }
    threshold = models[0].settings.weight_threshold
    pool = select(data, split="train", weight_threshold=threshold).weights
    rows = torch.from_numpy(pool).to(place)
    arrays["r2/shown"] = np.array([shown_r_squared(model, rows) for model in models])
    drawn_from = tqdm(POPULATIONS.items(), desc="populations", disable=None)
    for name, method in drawn_from:
        drawn = draw_networks(
            data,
            method.model_copy(update={"samples": samples}),
            models,
            seeds=(seed, data.name, variant, name),
        )
        weights = torch.from_numpy(drawn["weights"]).to(place)
        _, accuracy = evaluate(
            data.architecture,
            weights,
            test,
            activation=activation,
            engine=machine.engine,
        )
        arrays[f"accuracy/{name}"] = accuracy.reshape(len(models), -1)
        logging.info("%s, %s: accuracy %.4f", variant, name, accuracy.mean())
        # a network of which every dimension has its own source has none
        if drawn["source_model"].ndim == 1:
            column = drawn["source_epoch"] - data.epochs[0]
            sources = data.weights[drawn["source_model"], column]
            distance = matched_distances(matcher, drawn["weights"], sources)
            arrays[f"distance/{name}"] = distance.reshape(len(models), -1)
    write_arrays(
        output,
        arrays,
        attributes={
            "kind": "ablation",
            "zoo": data.name,
            "variant": variant,
            "settings": models[0].settings.model_dump(),
        },
    )


def _of_curves(paths: tuple[Path, ...]) -> dict[str, np.ndarray]:
    """Returns R2 after the last epoch and the core-seconds of all, by seed."""
    curves = [read_curve(path) for path in paths]
    return {
        "r2/training": np.array([curve[R2_TRAINING].iloc[-1] for curve in curves]),
        "r2/held_out": np.array([curve[R2_HELD_OUT].iloc[-1] for curve in curves]),
        "core_seconds": np.array([curve["core_seconds"].sum() for curve in curves]),
    }


if __name__ == "__main__":
    run(main)
