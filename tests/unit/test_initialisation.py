import math

import pytest
import torch

from hyperreps.networks.initialisation import initial_weights
from hyperreps.numbers.randomness import batch_order, mix


def test_mix_is_splitmix64():
    """Against the published algorithm in Python's unbounded integers."""

    def splitmix64(state: int) -> int:
        mask = 2**64 - 1
        z = (state + 0x9E3779B97F4A7C15) & mask
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    states = [0, 1, 2**31, 2**63 - 1, -1, -(2**63)]
    expected = [splitmix64(s % 2**64) for s in states]
    found = [int(x) % 2**64 for x in mix(torch.tensor(states))]
    assert found == expected
    # first output of the reference implementation for seed 0
    assert found[0] == 0xE220A8397B1DCDAF


def test_batch_order_depends_on_seed_and_epoch_only():
    seeds = torch.tensor([5, 6, 5])
    order = batch_order(seeds, epoch=1, count=100)
    assert (order.sort(1).values == torch.arange(100)).all()
    assert (order[0] == order[2]).all()
    assert (order[0] != order[1]).any()
    assert (batch_order(seeds, epoch=2, count=100)[0] != order[0]).any()
    assert (batch_order(seeds[1:2], epoch=1, count=100)[0] == order[1]).all()


def test_batch_orders_are_uniform():
    """The first image of the order is every image equally often (chi-squared)."""
    order = batch_order(torch.arange(4000), epoch=3, count=10)
    counts = torch.bincount(order[:, 0], minlength=10).double()
    assert ((counts - 400) ** 2 / 400).sum() < 27.9  # 0.1 % quantile, 9 degrees


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("uniform", 0, 1),
        ("uniform_fan_in", 0, 1 / math.sqrt(200)),
        ("kaiming_uniform", -math.sqrt(6 / 200), math.sqrt(6 / 200)),
        ("xavier_uniform", -math.sqrt(6 / 350), math.sqrt(6 / 350)),
    ],
)
def test_initial_weights_have_the_declared_range(cnn, name, low, high):
    drawn = initial_weights(cnn, initialization=name, seeds=range(20))
    conv2 = cnn.weighted[1]  # 6 units, 8 inputs, 25 kernel positions
    weight = drawn[:, conv2.weight]
    assert weight.min() >= low
    assert weight.max() <= high
    assert weight.min() < low + 0.02 * (high - low)
    assert weight.max() > high - 0.02 * (high - low)
    for item in cnn.weighted:
        assert (drawn[:, item.bias] == 0.01).all()


def test_normal_initialization_has_unit_variance(cnn):
    drawn = initial_weights(cnn, initialization="normal", seeds=range(20))
    assert drawn[:, cnn.weighted[1].weight].std() == pytest.approx(1, abs=0.02)


def test_initialization_depends_on_the_models_own_seed(cnn):
    together = initial_weights(cnn, initialization="kaiming_normal", seeds=[3, 4, 5])
    alone = initial_weights(cnn, initialization="kaiming_normal", seeds=[4])
    assert (together[1] == alone[0]).all()
    assert (together[0] != together[1]).any()
