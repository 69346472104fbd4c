"""CPU and CUDA agree. Run with `pytest -m gpu` on a machine with a GPU."""

import numpy as np
import pytest
import torch

from hyperreps.data.images import Images
from hyperreps.engines.cuda import engine as fused_cuda
from hyperreps.engines.grouped import forward
from hyperreps.networks.architectures import build
from hyperreps.networks.initialisation import initial_weights
from hyperreps.numbers.randomness import batch_order, mix
from hyperreps.representation.pretraining import Pretraining
from hyperreps.settings.stages import HyperRep, Recipe
from hyperreps.zoo.population import PopulationTraining

from . import test_fused_cuda as emulated
from .conftest import make_images
from .fused_oracle import RECIPE, distance, gradient

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
DEVICES = [torch.device("cpu"), torch.device("cuda")]


def test_random_numbers_are_equal():
    states = torch.arange(-1000, 1000) * 12345678912345
    assert (mix(states) == mix(states.cuda()).cpu()).all()
    seeds = torch.arange(50)
    on_cpu = batch_order(seeds, epoch=3, count=5000)
    assert (on_cpu == batch_order(seeds.cuda(), epoch=3, count=5000).cpu()).all()


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


def test_fixed_permutations_are_equal():
    network = build("cnn", channels=1)
    settings = HyperRep(width=32, feedforward=32, latent=8, permutations=5)
    weights = initial_weights(network, initialization="uniform", seeds=range(4))
    cpu, gpu = (
        Pretraining(
            weights.to(device), weights.to(device), network, settings=settings, seed=1
        ).table
        for device in DEVICES
    )
    for axis, index in cpu.items():
        assert (index == gpu[axis].cpu()).all()


def on_gpu(data: dict) -> dict:
    return {k: v if k == "architecture" else v.cuda() for k, v in data.items()}


def test_fused_cuda_is_supported():
    network = build("cnn", channels=1)
    assert fused_cuda.unsupported_here(network, "tanh", "adam") is None


def test_engine_fused_trains_as_grouped_does():
    """Through the interface that the scripts use."""
    finals = []
    for engine in ("grouped", "fused"):
        training = PopulationTraining(
            emulated.start(5, channels=1),
            build("cnn", channels=1),
            images=Images.by_split(
                make_images(), mean=[0.5], std=[0.3], device=DEVICES[1]
            ),
            seeds=range(5),
            recipe=RECIPE,
            record=[1],
            engine=engine,
        )
        training.run_epoch()
        finals.append(torch.from_numpy(training.recorded[:, 0]))
    start = emulated.start(5, channels=1)
    assert (finals[0] - finals[1]).norm() < 1e-3 * (finals[0] - start).norm()


@pytest.mark.parametrize("size", [1, 10, 37])
@pytest.mark.parametrize("activation", fused_cuda.ACTIVATIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_fused_cuda_gradient(channels, activation, size):
    """As in test_fused_cuda.py, on the GPU."""
    data = emulated.arguments(channels)
    weights = emulated.start(1, channels=channels)
    order = emulated.orders(1, images=size)
    changes = {"activation": activation, "batch_size": size, "weight_decay": 0.0}
    recipe = RECIPE.model_copy(update=changes)
    _, moment, _, loss, correct = emulated.train(
        weights.cuda(), order.cuda(), on_gpu(data), recipe=recipe
    )
    expected = gradient(weights[0], data, order[0], activation=activation)
    error = distance(moment[0].cpu() / 0.1, expected[2])
    assert error < 1e-5 * expected[2].norm()
    assert loss[0].item() == pytest.approx(expected[0], rel=1e-5)
    assert correct[0].item() == expected[1]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("channels", [1, 3])
def test_fused_cuda_epoch_equals_the_generic_engine(channels, device):
    arrays = make_images(channels, (emulated.IMAGES, 5, 5))
    data = emulated.arguments(channels)
    weights = emulated.start(5, channels=channels)
    mean, std = data["mean"].tolist(), data["std"].tolist()
    training = PopulationTraining(
        weights,
        data["architecture"],
        images=Images.by_split(arrays, mean=mean, std=std, device=device),
        seeds=range(5),
        recipe=RECIPE,
        record=[],
        engine="grouped",
    )
    training.run_epoch()
    order = batch_order(torch.arange(5), epoch=1, count=emulated.IMAGES).int()
    data["pixels"] = torch.from_numpy(arrays["train/images"])
    data["labels"] = torch.from_numpy(arrays["train/labels"])
    after, *_, loss, correct = emulated.train(
        weights.cuda(), order.cuda(), on_gpu(data)
    )
    theirs = training.weights.cpu()
    assert (after.cpu() - theirs).norm() < 1e-3 * (theirs - weights).norm()
    mean_loss = loss.cpu() / emulated.IMAGES
    np.testing.assert_allclose(mean_loss, training.loss["train"][:, 1], rtol=1e-4)
    accuracy = correct.cpu() / emulated.IMAGES
    np.testing.assert_allclose(accuracy, training.accuracy["train"][:, 1], atol=0.03)


@pytest.mark.parametrize("channels", [1, 3])
def test_fused_cuda_evaluation(channels):
    data = emulated.arguments(channels)
    weights = emulated.start(5, channels=channels)
    loss, correct = fused_cuda.evaluate(
        weights.cuda(), activation="tanh", **on_gpu(data)
    )
    every = torch.arange(emulated.IMAGES)
    for k, row in enumerate(weights):
        expected = gradient(row, data, every, activation="tanh")
        assert loss[k].item() == pytest.approx(expected[0], rel=1e-5)
        assert correct[k].item() == expected[1]


def test_fused_cuda_gives_the_same_bits_in_company():
    """More models than fit on the GPU at a time; a race would show sooner or later."""
    data = on_gpu(emulated.arguments(1))
    models = 300
    weights = emulated.start(models, channels=1).cuda()
    order = emulated.orders(models).cuda()
    company = emulated.train(weights, order, data)
    for together, again in zip(
        company, emulated.train(weights, order, data), strict=True
    ):
        assert torch.equal(together, again)
    for k in (0, 150, 299):
        alone = emulated.train(weights[k : k + 1], order[k : k + 1], data)
        for together, single in zip(company, alone, strict=True):
            assert torch.equal(together[k], single[0])
