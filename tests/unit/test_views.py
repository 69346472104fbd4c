"""Views of networks in training: permuted, and erased in blocks."""

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

from hyperreps.engines.grouped import forward
from hyperreps.symmetry.augmentation import augmented_views, erase_blocks

from .small_autoencoder import SMALL, zoo


def rejected_blocks(rng, rows, size, low, high):
    """The release's rule in plain Python: lengths and starts of erased blocks."""
    blocks = []
    for _ in range(rows):
        for _ in range(10):
            length = int(size * rng.uniform(low, high))
            start = int(rng.integers(size))
            if start + length < size:
                blocks.append((length, start))
                break
    return np.array(blocks).T


@pytest.mark.parametrize("fraction", [(0.02, 0.33), (0.5, 0.9)])
def test_erased_blocks_are_those_of_the_releases_rule(fraction):
    rows, size = 8000, 500
    weights = torch.ones(rows, size)
    rng = torch.Generator().manual_seed(0)
    erased = erase_blocks(weights, probability=1.0, fraction=fraction, rng=rng)
    assert (weights == 1).all()
    lost = (erased == 0).numpy()
    hit = lost.any(1)
    lengths, starts = lost[hit].sum(1), lost[hit].argmax(1)
    # contiguous
    ends = size - lost[hit][:, ::-1].argmax(1)
    assert (ends - starts == lengths).all()
    assert not lost[:, -1].any()
    rng = np.random.default_rng(0)
    wanted = rejected_blocks(rng, rows, size, *fraction)
    assert hit.sum() == pytest.approx(wanted.shape[1], abs=4 * np.sqrt(rows) / 2)
    for ours, theirs in zip((lengths, starts), wanted, strict=True):
        assert ks_2samp(ours, theirs).pvalue > 1e-3
    if fraction == (0.02, 0.33):
        # blocks of every length equally often would have .175
        assert lengths.mean() / size == pytest.approx(0.165, abs=0.003)


def test_rows_are_erased_with_the_declared_probability():
    erased = erase_blocks(
        torch.ones(2000, 100),
        probability=0.3,
        fraction=(0.1, 0.2),
        rng=torch.Generator().manual_seed(0),
    )
    assert int((erased == 0).any(1).sum()) == pytest.approx(600, abs=80)


@pytest.mark.parametrize("target", ["view", "clean"])
def test_views_keep_the_function_until_they_are_erased(cnn, target):
    choices = SMALL.model_copy(update={"target": target, "erase_probability": 1.0})
    weights = zoo(cnn, 4)
    view, clean = augmented_views(
        weights,
        cnn,
        views=2,
        settings=choices,
        rng=torch.Generator().manual_seed(0),
    )
    assert view.shape == (8, cnn.parameters)
    assert (view == 0).any(1).all()
    if target == "view":
        assert clean is view
        return
    images = torch.randn(3, 1, 28, 28)
    torch.testing.assert_close(
        forward(cnn, clean, images, activation="tanh"),
        forward(cnn, weights.repeat(2, 1), images, activation="tanh"),
        atol=1e-4,
        rtol=1e-4,
    )
    assert (clean[:4] != clean[4:]).any(1).all()
