"""What an ablation asks of a hyper-representation: its networks, and whence they are.

Two populations are reconstructions, of networks that it was trained on and of others
that nothing has seen; two are samples by the sampler of S_KDE30, in both of its forms.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ..data.images import Images
from ..engines.interface import evaluate
from ..numbers.shapes import Float
from ..representation.autoencoder import HyperRepresentation
from ..representation.curves import R2_HELD_OUT, R2_TRAINING, read_curve
from ..representation.pretraining import shown_r_squared
from ..settings.stages import Engine, Method
from ..symmetry.matching import Matcher, matched_distances, pair_distances
from ..zoo.zoos import ZooData, select
from .networks import draw_networks

log = logging.getLogger(__name__)

POPULATIONS: Mapping[str, Method] = {
    "training": Method(sampler="identity", epochs="last"),
    "held_out": Method(sampler="identity", split="test", epochs="last"),
    **{
        draws: Method(
            sampler="kde", top=0.3, options={"bandwidth": 0.002, "draws": draws}
        )
        for draws in ("released", "independent")
    },
}


def independent_distance(
    weights: Float[np.ndarray, "models parameters"], *, matcher: Matcher
) -> float:
    """Returns the median L2 distance of two networks of different runs, matched.

    Args:
        weights: One network of each run.
        matcher: Brings networks as near as permutations and signs can.
    """
    return float(np.nanmedian(pair_distances(matcher, weights)))


def measured(
    zoo: ZooData,
    models: Sequence[HyperRepresentation],
    images: Images,
    *,
    variant: str,
    samples: int,
    seed: int,
    engine: Engine = "auto",
) -> dict[str, np.ndarray]:
    """Reconstructs and samples by all seeds of a variant, and measures what comes out.

    Args:
        zoo: Where networks come from.
        models: One per seed.
        images: For the accuracy.
        variant: Name of the hyper-representation.
        samples: Networks of each population, per seed.
        seed: Base seed of the draws.
        engine: What evaluates them.

    Returns:
        accuracy/POPULATION and distance/POPULATION [seeds, samples], the L2 distance to
        the network that each was made from, where there is one;
        independent_distance; by seed, hyper_rep_seed and r2/shown, of training networks
        as the model is shown them.
    """
    activation = zoo.settings.recipe.activation
    matcher = Matcher(zoo.architecture, activation=activation)
    held_out = select(zoo, split="test", epochs="last").weights[:samples]
    threshold = models[0].settings.weight_threshold
    pool = select(zoo, split="train", weight_threshold=threshold).weights
    rows = torch.from_numpy(pool).to(images.pixels.device)
    arrays: dict[str, np.ndarray] = {
        "hyper_rep_seed": np.array([model.seed for model in models]),
        "independent_distance": np.array(
            independent_distance(held_out, matcher=matcher)
        ),
        "r2/shown": np.array([shown_r_squared(model, rows) for model in models]),
    }
    drawn_from = tqdm(POPULATIONS.items(), desc="populations", disable=None)
    for name, method in drawn_from:
        drawn = draw_networks(
            zoo,
            method.model_copy(update={"samples": samples}),
            models,
            seeds=(seed, zoo.name, variant, name),
        )
        weights = torch.from_numpy(drawn["weights"]).to(images.pixels.device)
        _, accuracy = evaluate(
            zoo.architecture, weights, images, activation=activation, engine=engine
        )
        arrays[f"accuracy/{name}"] = accuracy.reshape(len(models), -1)
        log.info("%s, %s: accuracy %.4f", variant, name, accuracy.mean())
        # a network of which every dimension has its own source has none
        if drawn["source_model"].ndim == 1:
            column = drawn["source_epoch"] - zoo.epochs[0]
            sources = zoo.weights[drawn["source_model"], column]
            distance = matched_distances(matcher, drawn["weights"], sources)
            arrays[f"distance/{name}"] = distance.reshape(len(models), -1)
    return arrays


def of_curves(paths: Sequence[Path]) -> dict[str, np.ndarray]:
    """Returns R2 after the last epoch and the core-seconds of all, by seed.

    Args:
        paths: Training curves.

    Raises:
        DataFileError: If a file is missing or damaged.
    """
    curves = [read_curve(path) for path in paths]
    return {
        "r2/training": np.array([curve[R2_TRAINING].iloc[-1] for curve in curves]),
        "r2/held_out": np.array([curve[R2_HELD_OUT].iloc[-1] for curve in curves]),
        "core_seconds": np.array([curve["core_seconds"].sum() for curve in curves]),
    }
