import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from numba.core.dispatcher import Dispatcher
from scipy.spatial import Delaunay
from scipy.stats import kstest
from sklearn.covariance import LedoitWolf, shrunk_covariance
from sklearn.neighbors import KernelDensity

from hyperreps.config.config_files import read_over_shipped
from hyperreps.config.configuration import load_settings
from hyperreps.numbers.seeds import derived_rng
from hyperreps.sampling import samplers
from hyperreps.sampling.networks import best
from hyperreps.sampling.samplers import SAMPLERS, draw, needs_generator, option_problems
from hyperreps.settings.stages import SettingsError

with warnings.catch_warnings():
    warnings.simplefilter("ignore", ImportWarning)
    from umap import layouts, umap_

CONFIG = Path(__file__).parents[2] / "config"

POINTS = np.random.default_rng(0).normal(size=(60, 12)).astype(np.float32)
OPTIONS = {
    "kde": {"bandwidth": 0.002},
    "identity": {},
    "mean": {},
    "noise": {"sigma": 0.1},
    "soup": {"members": 5},
    "gaussian": {},
    "local_gaussian": {"n_neighbors": 5},
    "uniform": {},
    "neighbours": {},
    "gan": {},
    "jump": {},
}


class Doubling:
    """Stands in for a trained generator."""

    noise = 12

    def points(self, noise):
        return 2 * noise


class Jumping:
    """Stands in for a trained jump."""

    seed = 1

    def points(self, count, *, rank, spread, steps, rng):
        points = rank + spread * rng.standard_normal((count, 12))
        return points.astype(np.float32) / steps


def sample(name, count=200, seed=1, points=POINTS, **options):
    return draw(
        name,
        points,
        count=count,
        rng=derived_rng("test", seed),
        options={**OPTIONS[name], **options},
        generator=Jumping() if name == "jump" else Doubling(),
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
    if name not in ("identity", "mean"):
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


def test_soup_is_the_mean_of_different_members():
    drawn = sample("soup", members=16)
    assert drawn.rows.shape == (200, 16)
    assert all(len(set(rows)) == 16 for rows in drawn.rows)
    for point, rows in zip(drawn.points[:5], drawn.rows, strict=False):
        by_hand = sum(POINTS[row].astype(float) for row in rows) / 16
        np.testing.assert_allclose(point, by_hand, atol=1e-6)
    # means of 16 of 60 without replacement: var / 16 * (60 - 16) / (60 - 1)
    expected = POINTS.var(0, ddof=0).mean() / 16 * 44 / 59
    assert sample("soup", count=3000, members=16).points.var(0).mean() == pytest.approx(
        expected, rel=0.05
    )


def test_soup_of_all_is_the_mean():
    np.testing.assert_allclose(
        sample("soup", count=1, members=60).points, sample("mean").points, atol=1e-6
    )
    with pytest.raises(SettingsError, match=r"members must be 1 to 60.*got 61"):
        sample("soup", members=61)


def test_relative_noise_is_in_units_of_each_dimension():
    scaled = POINTS * np.arange(1, 13, dtype=np.float32)
    drawn = sample("noise", count=8000, points=scaled, sigma=0.5, unit="pool")
    residual = drawn.points - scaled[drawn.rows]
    np.testing.assert_allclose(residual.std(0), 0.5 * scaled.std(0), rtol=0.05)
    soup = sample("soup", count=8000, points=scaled, members=60, sigma=0.5).points
    np.testing.assert_allclose(soup.std(0), 0.5 * scaled.std(0), rtol=0.05)


@pytest.mark.parametrize("shrinkage", [0.0, 0.4, "ledoit_wolf"])
def test_gaussian_has_the_moments_of_its_pool(shrinkage):
    """Against covariances that scikit-learn writes out, of a pool whose axes differ."""
    planted = POINTS @ np.random.default_rng(1).normal(size=(12, 12)) + 3
    if shrinkage == "ledoit_wolf":
        wanted = LedoitWolf().fit(planted).covariance_
    else:
        wanted = shrunk_covariance(np.cov(planted.T, ddof=0), shrinkage)
    drawn = sample(
        "gaussian", count=40000, points=planted, shrinkage=shrinkage, spread=0.7
    ).points
    scale = np.sqrt(np.diag(wanted))
    errors = (drawn.mean(0) - planted.mean(0)) / scale
    assert np.abs(errors).max() < 0.02
    found = np.cov(drawn.T) / 0.49 / np.outer(scale, scale)
    np.testing.assert_allclose(found, wanted / np.outer(scale, scale), atol=0.03)


def test_local_gaussian_stays_with_its_neighbours():
    """Moments about one anchor are those of its neighbours in numpy, and no others."""
    drawn = sample("local_gaussian", count=6000, n_neighbors=4, spread=0.5)
    anchor = drawn.rows[:, 0]
    own = drawn.points[anchor == 7] - POINTS.mean(0)
    order = np.argsort(np.linalg.norm(POINTS - POINTS[7], axis=1))[:4]
    assert set(drawn.rows[anchor == 7][0]) == set(order)
    near = (POINTS - POINTS.mean(0))[order].astype(float)
    assert len(own) > 60
    deviation = own - near.mean(0)
    # in the flat of the neighbours: three directions
    flat = np.linalg.svd(near - near.mean(0), full_matrices=False)[2][:3]
    np.testing.assert_allclose(deviation @ flat.T @ flat, deviation, atol=1e-5)
    expected = 0.25 * near.var(0).sum()
    assert (deviation**2).sum(1).mean() == pytest.approx(expected, rel=0.25)


def test_pools_too_small_for_a_gaussian():
    with pytest.raises(SettingsError, match=r"gaussian: the pool has 1 points, but 2"):
        sample("gaussian", points=POINTS[:1])
    with pytest.raises(SettingsError, match=r"pool has 4 points, but 5 are needed"):
        sample("local_gaussian", points=POINTS[:4])


def test_best_keeps_one_in_so_many_of_each_seed():
    seeds = np.repeat([3, 5], 10)
    accuracy = np.concatenate([np.arange(10), 10 - np.arange(10)]) / 20
    assert best(seeds, accuracy, best_of=5).tolist() == [8, 9, 10, 11]
    assert best(seeds, accuracy, best_of=1).tolist() == list(range(20))
    # fewer than one in so many: the best is left
    assert best(seeds, accuracy, best_of=50).tolist() == [9, 10]


def test_uniform_fills_its_bounds_and_no_more():
    unit = sample("uniform", count=5000).points
    assert -1 <= unit.min() < -0.99
    assert 0.99 < unit.max() <= 1
    # mean 0 and variance (1 - -1)^2 / 12 in every dimension, dimensions unrelated
    np.testing.assert_allclose(unit.mean(0), 0, atol=0.05)
    np.testing.assert_allclose(np.cov(unit.T), np.eye(12) / 3, atol=0.03)
    low, high = POINTS.min(0), POINTS.max(0)
    pool = (sample("uniform", count=5000, bounds="pool").points - low) / (high - low)
    assert 0 <= pool.min() <= pool.max() <= 1
    for d in range(12):
        assert kstest(pool[:, d], "uniform").pvalue > 1e-4


class TestNeighbours:
    """Places in a UMAP embedding, mapped back."""

    # two clusters that are far apart in the first dimension
    CLUSTERS = POINTS + np.float32(30) * (np.arange(60) % 2)[:, None] * np.eye(12)[0]
    CLUSTERS = CLUSTERS.astype(np.float32)

    @pytest.fixture
    def places(self, monkeypatch):
        """Records the embedding and the places that are mapped back."""
        seen = {}
        inverse = umap_.UMAP.inverse_transform

        def recording(reducer, places):
            seen.update(embedded=reducer.embedding_, places=places)
            return inverse(reducer, places)

        monkeypatch.setattr(umap_.UMAP, "inverse_transform", recording)
        return seen

    def test_simplex_lies_between_neighbours(self, places):
        drawn = sample("neighbours", points=self.CLUSTERS, count=100)
        embedded = places["embedded"]
        nearest = np.sort(pdist_to(embedded, embedded), axis=1)[:, 3].max()
        # no further from some point than the third neighbour of any
        assert pdist_to(places["places"], embedded).min(1).max() <= nearest
        assert (Delaunay(embedded).find_simplex(places["places"]) >= 0).mean() > 0.95
        # on one of the clusters, not in between
        first = drawn.points[:, 0]
        assert (np.minimum(abs(first), abs(first - 30)) < 5).mean() > 0.95
        assert 20 < (first > 15).sum() < 80

    def test_machine_code_is_kept_of_all_that_is_compiled(self):
        """umap asks for a part; the rest takes ten seconds in every process."""
        sample("neighbours")
        compiled = {
            name: function.stats.cache_path
            for name, function in (vars(umap_) | vars(layouts)).items()
            if isinstance(function, Dispatcher) and function.signatures
        }
        assert {"smooth_knn_dist", "init_transform"} <= compiled.keys()
        assert all(compiled.values()), compiled

    def test_cube_is_around_the_whole_embedding(self, places):
        sample("neighbours", points=self.CLUSTERS, count=2000, region="cube")
        low, high = places["embedded"].min(), places["embedded"].max()
        spread = (places["places"] - low) / (high - low)
        assert 0 <= spread.min() <= spread.max() <= 1
        for axis in range(3):
            assert kstest(spread[:, axis], "uniform").pvalue > 1e-4

    def test_pool_that_is_too_small(self):
        with pytest.raises(SettingsError, match=r"pool has 5 points.*needs 6"):
            sample("neighbours", points=POINTS[:5])
        assert sample("neighbours", points=POINTS[:6], count=3).points.shape == (3, 12)


def pdist_to(one, other):
    return np.linalg.norm(one[:, None] - other[None], axis=2)


def test_gan_feeds_unit_noise_to_its_generator():
    drawn = sample("gan", count=4000)
    np.testing.assert_allclose(np.cov(drawn.points.T), 4 * np.eye(12), atol=0.45)
    assert set(drawn.rows) == {-1}


def test_jump_hands_its_options_to_its_generator():
    drawn = sample("jump", count=4000, rank=0.5, spread=2.0, steps=2)
    assert drawn.points.mean() == pytest.approx(0.25, abs=0.02)
    assert drawn.points.std() == pytest.approx(1.0, abs=0.02)
    assert set(drawn.rows) == {-1}


def test_only_a_sampler_that_asks_for_a_generator_gets_one():
    assert [name for name in SAMPLERS if needs_generator(name)] == ["gan", "jump"]
    (problem,) = option_problems("gan", {"generator": "mine"})
    assert "generator" in problem


def test_a_registered_function_is_a_sampler(monkeypatch):
    """As docs/extending.md promises: a function and its options, nothing else."""
    monkeypatch.setattr(samplers, "SAMPLERS", dict(SAMPLERS))

    @samplers.sampler
    def normal(points, *, count, rng, shrink: float = 1.0):
        drawn = rng.multivariate_normal(
            points.mean(0), shrink * np.cov(points.T), count
        )
        return samplers.Drawn(drawn.astype(points.dtype), np.full(count, -1))

    drawn = draw(
        "normal",
        POINTS,
        count=20000,
        rng=np.random.default_rng(0),
        options={"shrink": 1},
    )
    np.testing.assert_allclose(np.cov(drawn.points.T), np.cov(POINTS.T), atol=0.06)
    methods = {"mine": {"sampler": "normal", "options": {"shrink": 0.5}}}
    config = read_over_shipped(CONFIG)
    config["methods"] |= methods
    config["samplers"]["methods"] = ["mine"]
    assert load_settings(config).comparisons["samplers"].methods == ("mine",)
    methods["mine"]["options"] = {"shrnk": 0.5}
    with pytest.raises(SettingsError, match=r"methods\.mine\.options: .*'shrnk'"):
        load_settings(config)


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


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("gaussian", {"shrinkage": 1.5}, r"shrinkage.*less than or equal to 1"),
        ("gaussian", {"spread": -1.0}, r"spread: .*greater than or equal to 0"),
        ("local_gaussian", {"n_neighbors": 1}, r"n_neighbors: .*or equal to 2"),
    ],
)
def test_wrong_options_of_gaussians_are_named(name, options, message):
    problems = list(option_problems(name, options))
    assert re.search(message, problems[0])


def test_missing_option_is_named():
    (problem,) = option_problems("kde", {})
    assert re.search(r"missing.*'bandwidth'.* sampler kde", problem)


def test_right_options_are_no_problem():
    for name, options in OPTIONS.items():
        assert not list(option_problems(name, options))
