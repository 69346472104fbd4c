"""What a sampler sees: the networks of a method's pool, as points of a space."""

from __future__ import annotations

import numpy as np
import torch

from ..numbers.shapes import Float
from ..settings.stages import Method
from ..zoo.zoos import Pool, ZooData, select_for
from .autoencoder import HyperRepresentation


def pool_points(
    zoo: ZooData,
    method: Method,
    model: HyperRepresentation | None,
    *,
    weight_threshold: float = np.inf,
) -> tuple[Pool, Float[np.ndarray, "pool dimensions"]]:
    """Returns the pool of a method and its points in latent or in weight space.

    Args:
        zoo: Where the networks come from.
        method: Which of them.
        model: Encodes them; None: weight space.
        weight_threshold: As in select(), in weight space; a model has its own.
    """
    threshold = model.settings.weight_threshold if model else weight_threshold
    pool = select_for(zoo, method, weight_threshold=threshold)
    if model is None:
        return pool, pool.weights
    rows = torch.from_numpy(pool.weights).to(model.mean.device)
    return pool, model.map("encode", rows).cpu().numpy()
