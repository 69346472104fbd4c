import re

import numpy as np
import pytest
from sklearn.neighbors import KernelDensity

from hyperreps.sampling import SAMPLERS, draw, option_problems
from hyperreps.seeds import numpy_generator

POINTS = np.random.default_rng(0).normal(size=(60, 12)).astype(np.float32)
OPTIONS = {
    "kde": {"bandwidth": 0.002},
    "identity": {},
    "mean": {},
    "noise": {"sigma": 0.1},
}


def sample(name, count=200, seed=1, points=POINTS, **options):
    return draw(
        name,
        points,
        count=count,
        rng=numpy_generator("test", seed),
        options={**OPTIONS[name], **options},
    )


def test_every_sampler_is_covered_here():
    assert set(OPTIONS) == set(SAMPLERS)


@pytest.mark.parametrize("name", OPTIONS)
def test_samplers_are_seeded_and_keep_shape_and_type(name):
    one, again, other = sample(name), sample(name), sample(name, seed=2)
    np.testing.assert_array_equal(one.points, again.points)
    np.testing.assert_array_equal(one.rows, again.rows)
    assert one.points.shape[1] == POINTS.shape[1]
    assert one.points.dtype == POINTS.dtype
    assert len(one.rows) == len(one.points)
    if name in ("kde", "noise"):
        assert len(one.points) == 200
        assert (one.points != other.points).any()


def test_independent_kde_never_shares_draws_between_dimensions():
    """The guard: anchors and noise of any two dimensions are unrelated."""
    drawn = sample("kde", count=2000, bandwidth=0.5, draws="independent")
    rows = drawn.rows
    assert rows.shape == (2000, 12)
    noise = (drawn.points - POINTS[rows, np.arange(12)]) / 0.5
    # two dimensions agree on their anchor as often as chance: 1 in 60
    for a in range(12):
        for b in range(a):
            assert (rows[:, a] == rows[:, b]).mean() < 0.035
    correlation = np.corrcoef(noise.T) - np.eye(12)
    assert np.abs(correlation).max() < 0.12  # 5 sigma of 1/sqrt(2000)
    assert noise.std() == pytest.approx(1, abs=0.02)


def test_released_kde_is_one_known_point_plus_a_number():
    drawn = sample("kde", draws="released")
    shift = drawn.points - POINTS[drawn.rows]
    assert drawn.rows.shape == (200,)
    np.testing.assert_allclose(shift, shift[:, :1].repeat(12, 1), atol=1e-6)
    assert 0.001 < shift.std() < 0.003


def test_released_kde_is_what_a_reused_random_state_gives():
    """scikit-learn with the same seed in each dimension, as in the authors' code."""
    drawn = np.column_stack(
        [
            KernelDensity(bandwidth=0.002)
            .fit(POINTS[:, [d]])
            .sample(50, random_state=42)[:, 0]
            for d in range(12)
        ]
    )
    distance = np.linalg.norm(drawn[:, None] - POINTS[None], axis=2).min(1)
    ours = sample("kde", count=50, draws="released").points
    nearest = np.linalg.norm(ours[:, None] - POINTS[None], axis=2).min(1)
    assert distance.max() < 0.05
    assert nearest.max() < 0.05
    independent = sample("kde", count=50, draws="independent").points
    far = np.linalg.norm(independent[:, None] - POINTS[None], axis=2).min(1)
    assert far.min() > 1


def test_kde_has_the_moments_of_scikit_learn():
    drawn = sample("kde", count=20000, bandwidth=0.7, draws="independent").points
    for d in range(3):
        density = KernelDensity(bandwidth=0.7).fit(POINTS[:, [d]])
        oracle = density.sample(20000, random_state=d)[:, 0]
        assert drawn[:, d].mean() == pytest.approx(oracle.mean(), abs=0.05)
        assert drawn[:, d].std() == pytest.approx(oracle.std(), rel=0.03)


def test_identity_returns_the_pool_or_a_part_of_it():
    whole = sample("identity", count=100)
    np.testing.assert_array_equal(whole.points, POINTS)
    part = sample("identity", count=10)
    assert len(set(part.rows)) == 10
    np.testing.assert_array_equal(part.points, POINTS[part.rows])


def test_mean_is_the_mean():
    drawn = sample("mean")
    np.testing.assert_allclose(drawn.points, POINTS.mean(0, keepdims=True))
    assert drawn.rows.tolist() == [-1]


def test_noise_has_the_declared_scale():
    drawn = sample("noise", count=3000, sigma=0.1)
    residual = drawn.points - POINTS[drawn.rows]
    assert residual.std() == pytest.approx(0.1, rel=0.02)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bandwith": 0.1}, r"bandwith.* among those of sampler kde"),
        ({"draws": "shared"}, r"draws: Input should be 'independent' or 'released'"),
        ({"bandwidth": "wide"}, r"bandwidth: .*valid number.*'wide'"),
    ],
)
def test_wrong_options_are_named(options, message):
    problems = list(option_problems("kde", {"bandwidth": 0.1, **options}))
    assert len(problems) == 1
    assert re.search(message, problems[0])


def test_missing_option_is_named():
    (problem,) = option_problems("kde", {})
    assert re.search(r"missing.*'bandwidth'.* sampler kde", problem)


def test_right_options_are_no_problem():
    for name, options in OPTIONS.items():
        assert not list(option_problems(name, options))
