"""A small hyper-representation, its training and a zoo for it."""

from hyperreps.networks.initialisation import initial_weights
from hyperreps.representation.autoencoder import (
    HyperRepresentation,
    normalization,
)
from hyperreps.representation.pretraining import Pretraining
from hyperreps.settings.stages import HyperRep

SMALL = HyperRep(
    width=8,
    heads=2,
    blocks=1,
    feedforward=8,
    latent=3,
    projection_layers=1,
    projection_width=4,
    projection_size=2,
    batch_size=4,
    epochs=3,
    evaluate_every=2,
)


def zoo(cnn, models=10, seed=0):
    seeds = range(seed, seed + models)
    return initial_weights(cnn, initialization="uniform", seeds=seeds)


def build_model(cnn, settings=SMALL, weights=None):
    weights = zoo(cnn) if weights is None else weights
    statistics = normalization(weights, cnn, centering=settings.centering)
    return HyperRepresentation(cnn, settings, statistics)


def pretrain(cnn, epochs, settings=SMALL, seed=1):
    training = Pretraining(
        zoo(cnn), zoo(cnn, 3, seed=50), cnn, settings=settings, seed=seed
    )
    for _ in range(epochs):
        training.run_epoch()
    return training


def plain_settings(**changes):
    """Without anything random in a step."""
    return SMALL.model_copy(
        update={
            "dropout": 0.0,
            "permutation": False,
            "erase_probability": 0.0,
            "contrast_weight": 0.0,
            **changes,
        }
    )
