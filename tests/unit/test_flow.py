import numpy as np
import pytest
import torch

from hyperreps.sampling.flow import LatentFlow, permuted_latents

from .small_autoencoder import SMALL, build_model, zoo

HIGH = np.array([3.0, 0.0])


def clusters(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Accurate points around HIGH, others around its mirror image; and their ranks."""
    rng = np.random.default_rng(seed)
    ranks = rng.random(count)
    centres = np.where(ranks[:, None] > 0.5, HIGH, -HIGH)
    points = centres + 0.3 * rng.standard_normal((count, 2))
    return tuple(torch.from_numpy(x.astype(np.float32)) for x in (points, ranks))


@pytest.fixture(scope="module")
def fitted() -> LatentFlow:
    return LatentFlow(*clusters(500, 0), *clusters(100, 1), seed=1, steps=200)


@pytest.mark.parametrize(("rank", "centre"), [(0.9, HIGH), (0.1, -HIGH)])
def test_it_draws_points_of_the_rank_that_is_asked_for(fitted, rank, centre):
    drawn = fitted.points(
        300, rank=rank, spread=1.0, steps=20, rng=np.random.default_rng(2)
    )
    np.testing.assert_allclose(drawn.mean(0), centre, atol=0.3)
    np.testing.assert_allclose(drawn.std(0), 0.3, atol=0.15)


def test_copies_are_the_latents_of_permuted_networks(cnn):
    model = build_model(cnn).eval()
    weights = zoo(cnn, 3)
    found = permuted_latents(weights, model, copies=2, seed=1)
    own = model.map("encode", weights).repeat(2, 1)
    assert found.shape == (6, SMALL.latent)
    assert (found != own).all()
    aligned = SMALL.model_copy(update={"alignment": "weight_matching"})
    model = build_model(cnn, aligned).eval()
    own = model.map("encode", weights)
    assert (permuted_latents(weights, model, copies=1, seed=1) == own).all()
