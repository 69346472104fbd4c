"""CPU and CUDA agree. Run with `pytest -m gpu` on a machine with a GPU."""

import pytest
import torch

from hyperreps.architectures import build
from hyperreps.engines import forward
from hyperreps.images import Images
from hyperreps.population import PopulationTraining, initial_weights
from hyperreps.pretraining import Pretraining
from hyperreps.randomness import batch_order, mix
from hyperreps.settings import HyperRep, Recipe

from .conftest import make_images

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
DEVICES = [torch.device("cpu"), torch.device("cuda")]


def test_random_numbers_are_equal():
    states = torch.arange(-1000, 1000) * 12345678912345
    assert (mix(states) == mix(states.cuda()).cpu()).all()
    seeds = torch.arange(50)
    on_cpu = batch_order(seeds, epoch=3, images=5000)
    assert (on_cpu == batch_order(seeds.cuda(), epoch=3, images=5000).cpu()).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_scores_agree(channels):
    network = build("cnn", channels=channels)
    weights = initial_weights(network, initialization="uniform", seeds=range(4))
    images = torch.randn(6, channels, 28, 28)
    found = [
        forward(network, weights.to(d), images.to(d), activation="tanh").cpu()
        for d in DEVICES
    ]
    torch.testing.assert_close(found[0], found[1], atol=1e-3, rtol=1e-3)


def test_population_training_agrees():
    network = build("cnn", channels=1)
    recipe = Recipe(
        initialization="uniform",
        activation="tanh",
        learning_rate=1e-3,
        batch_size=10,
        epochs=2,
    )
    finals = []
    for device in DEVICES:
        training = PopulationTraining(
            initial_weights(network, initialization="uniform", seeds=range(8)),
            network,
            images=Images.by_split(make_images(), mean=[0.5], std=[0.3], device=device),
            seeds=range(8),
            recipe=recipe,
            record=[0, 2],
        )
        training.run_epoch()
        training.run_epoch()
        finals.append(torch.from_numpy(training.recorded))
    moved = (finals[0][:, 1] - finals[0][:, 0]).norm(dim=1)
    difference = (finals[0][:, 1] - finals[1][:, 1]).norm(dim=1)
    assert (difference < 0.02 * moved).all()


def test_pretraining_agrees():
    """Without dropout and augmentation, whose draws differ between devices."""
    network = build("cnn", channels=1)
    settings = HyperRep(
        width=32,
        feedforward=32,
        latent=8,
        dropout=0.0,
        permutation=False,
        erase_probability=0.0,
        contrast_weight=0.0,
        batch_size=16,
        epochs=1,
        evaluate_every=1,
    )
    weights = initial_weights(network, initialization="uniform", seeds=range(16))
    losses = []
    for device in DEVICES:
        training = Pretraining(
            weights.to(device),
            weights.to(device),
            network,
            settings=settings,
            seed=1,
        )
        losses.append(training.run_epoch()["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
