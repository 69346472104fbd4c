import copy

import numpy as np
import pytest
import torch

from hyperreps.representation.optimizers import Muon, cosine_factor, orthogonal


def test_singular_values_come_near_one_and_singular_vectors_stay():
    rng = torch.Generator().manual_seed(0)
    matrices = torch.randn(3, 16, 40, generator=rng)
    u, values, v = torch.linalg.svd(orthogonal(matrices), full_matrices=False)
    assert values.min() > 0.6
    assert values.max() < 1.3
    own_u, _, own_v = torch.linalg.svd(matrices, full_matrices=False)
    nearest, found = own_u @ own_v, u @ v
    torch.testing.assert_close(found, nearest, rtol=0, atol=1e-3)


@pytest.mark.parametrize("shape", [(24, 24), (8, 32), (32, 8)])
def test_steps_are_those_of_pytorch_up_to_its_bfloat16(shape):
    rng = torch.Generator().manual_seed(1)
    ours = [torch.nn.Parameter(torch.randn(shape, generator=rng)) for _ in range(3)]
    theirs = copy.deepcopy(ours)
    begin = [matrix.detach().clone() for matrix in ours]
    steps = [
        Muon(ours, lr=0.1, momentum=0.9, weight_decay=0.2),
        torch.optim.Muon(
            theirs,
            lr=0.1,
            momentum=0.9,
            weight_decay=0.2,
            adjust_lr_fn="match_rms_adamw",
        ),
    ]
    for _ in range(4):
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.randn(shape, generator=rng)
            other.grad = mine.grad.clone()
        for optimizer in steps:
            optimizer.step()
    for mine, other, old in zip(ours, theirs, begin, strict=True):
        moved, expected = (x.detach() - old for x in (mine, other))
        assert (moved - expected).norm() < 0.02 * expected.norm()


def test_a_gradient_of_zero_moves_nothing():
    matrix = torch.nn.Parameter(torch.ones(4, 6))
    matrix.grad = torch.zeros_like(matrix)
    Muon([matrix], lr=0.1).step()
    torch.testing.assert_close(matrix.detach(), torch.ones(4, 6))


@pytest.mark.parametrize("warm_up", [0.1, 0.5])
def test_cosine_by_its_formula(warm_up):
    steps = np.arange(200)
    found = [cosine_factor(int(s), 200, warm_up=warm_up) for s in steps]
    rise = 200 * warm_up
    fall = 0.5 * (1 + np.cos(np.pi * (steps - rise) / (200 - rise)))
    wanted = np.where(steps < rise, (steps + 1) / rise, fall)
    assert found == pytest.approx(wanted.tolist())
    assert max(found) == 1
    assert found[-1] < 1e-3
