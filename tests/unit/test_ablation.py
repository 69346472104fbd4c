"""The ablation: distances to a known source, what variants change, panels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from hyperreps.config import needs
from hyperreps.config.costs import Work
from hyperreps.results.figures.ablation import panels_of
from hyperreps.results.summaries import changes
from hyperreps.sampling.ablation import independent_distance
from hyperreps.settings.stages import HyperRep
from hyperreps.symmetry.matching import Matcher, matched_distances

from .test_costs import SPEEDS, settings
from .test_matching import changed, networks


@pytest.fixture
def matcher(cnn) -> Matcher:
    return Matcher(cnn, activation="tanh")


class TestDistances:
    """Of networks whose distance is known beforehand."""

    def test_of_a_permuted_copy_only_what_was_added_counts(self, cnn, matcher):
        sources = networks(cnn, 3)
        rng = torch.Generator().manual_seed(0)
        noise = 1e-3 * torch.randn(sources.shape, generator=rng)
        moved = changed(cnn, sources + noise, 3, signs=True)
        found = matched_distances(matcher, moved.numpy(), sources.numpy())
        np.testing.assert_allclose(found, noise.norm(dim=1), rtol=1e-3)

    def test_independent_is_the_median_of_pairs(self, cnn, matcher):
        """Pairs are 1, 2 and 3 apart, in a bias that no symmetry moves."""
        weights = networks(cnn, 1).repeat(3, 1)
        weights[:, -1] += torch.tensor([0.0, 1.0, 3.0])
        copies = changed(cnn, weights, 1, signs=True).numpy()
        found = independent_distance(copies, matcher=matcher)
        assert found == pytest.approx(2, rel=1e-4)


def test_changes_are_of_what_is_learned():
    base = HyperRep()
    other = base.model_copy(update={"latent": 3, "permutations": 10, "seeds": (7,)})
    assert changes(other, base) == "latent permutations"
    half = base.model_copy(update={"precision": "bfloat16"})
    assert changes(half, base) == ""


def test_panels_order_values_and_keep_every_variant():
    rows = [
        ("first", "", "all", 1400, 30),
        ("few", "permutations", "10", 1400, 30),
        ("off", "permutation", "none", 1400, 30),
        ("many", "permutations", "100", 1400, 30),
        ("small", "latent", "all", 64, 30),
        ("aligned", "permutation alignment", "none", 1400, 30),
        ("wide", "width feedforward", "all", 1400, 30),
    ]
    columns = ["variant", "changed", "permutations", "latent", "epochs"]
    data = pd.DataFrame(rows, columns=columns)
    assert [*panels_of(data).items()] == [
        (
            "permutations",
            {"off": "none", "few": "10", "many": "100", "first": "all"},
        ),
        ("latent", {"small": "64", "first": "1400"}),
        ("other changes", {"first": "first", "aligned": "aligned", "wide": "wide"}),
    ]
    alone = data.iloc[:1]
    assert [*panels_of(alone).values()] == [{"first": "first"}]


def test_what_it_needs_is_made_and_counted():
    config = settings("ablation.yaml")
    pairs = [("mnist", name) for name in config.variants]
    assert needs.ablations(config) == pairs
    assert set(pairs) <= set(needs.hyper_reps(config))
    jobs = [jobs for jobs in Work(config, SPEEDS).jobs() if jobs.rule == "ablate"]
    assert [job.names for job in jobs] == pairs
    assert all(job.seconds > 0 for job in jobs)
    aligned = needs.aligned_zoos(config)
    assert aligned == ["mnist"]
    assert settings().ablation.zoos == ()
