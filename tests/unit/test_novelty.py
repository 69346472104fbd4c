"""The instrument on cases whose answer is known, and its arithmetic by hand."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch

from hyperreps.audit.auditor import Audit, Auditor, Candidates, Corpus, auditor_for
from hyperreps.audit.memory import expected_smallest, memory, training_over_unseen
from hyperreps.audit.references import references
from hyperreps.audit.two_samples import detectable_shift, energy_test
from hyperreps.audit.verdicts import nearer, z_u
from hyperreps.engines.interface import evaluate
from hyperreps.networks.architectures import build
from hyperreps.networks.initialisation import initial_weights
from hyperreps.numbers.statistics import mean_interval
from hyperreps.results.audits import COLUMNS, JOINT, LEARNED, novelty_summary, scale_of
from hyperreps.results.layout import TEXT
from hyperreps.results.result import Sources
from hyperreps.results.tables import novelty as novelty_table
from hyperreps.settings.sections import Novelty
from hyperreps.settings.stages import Recipe, Statistics, Zoo
from hyperreps.symmetry.permutations import (
    permutation_index,
    random_permutations,
    sign_vector,
)
from hyperreps.zoo.behaviour import disagreement, error_overlap, predictions
from hyperreps.zoo.ensembles import member_probabilities
from hyperreps.zoo.population import PopulationTraining
from hyperreps.zoo.zoos import ZooData

from .conftest import make_images, on_cpu

RECIPE = Recipe(
    initialization="kaiming_uniform",
    activation="tanh",
    learning_rate=0.003,
    batch_size=10,
    epochs=6,
)
SETTINGS = Novelty(networks=8, soup=3, noise=(0.001, 0.5), images=30)
LEVEL = Statistics(confidence=0.9)


@pytest.fixture(scope="module")
def images():
    return on_cpu(make_images(counts=(200, 30, 60)))


@pytest.fixture(scope="module")
def zoo(images) -> ZooData:
    """A real little zoo: 30 networks trained for six epochs, the last two known."""
    network = build("cnn", channels=1)
    seeds = range(1, 31)
    training = PopulationTraining(
        initial_weights(network, initialization="kaiming_uniform", seeds=seeds),
        network,
        images=images,
        seeds=seeds,
        recipe=RECIPE,
        record=(5, 6),
    )
    for _ in range(RECIPE.epochs):
        training.run_epoch()
    return ZooData(
        name="toy",
        weights=training.recorded,
        epochs=np.array([5, 6]),
        accuracy={k: v[:, 5:] for k, v in training.accuracy.items()},
        seed=np.array(seeds),
        split=np.array(["train"] * 12 + ["val"] * 8 + ["test"] * 10),
        architecture=network,
        settings=Zoo(dataset="toy", models=30, window=(5, 6), recipe=RECIPE),
    )


@pytest.fixture(scope="module")
def auditor(zoo, images) -> Auditor:
    return auditor_for(zoo, images["test"])


def frame_of(audit: Audit, name: str, *, reference: bool) -> pd.DataFrame:
    """Returns an audit as read_audits() would."""
    columns = {k: v for k, v in audit.arrays().items() if not k.endswith("_weights")}
    rows = np.arange(len(audit.accuracy))
    about = {"zoo": "toy", "coordinates": "none", "population": name}
    groups = [f"sample {row}" for row in rows]
    about |= {"form": "", "reference": reference, "sample": rows, "group": groups}
    learned = dict.fromkeys(LEARNED, math.nan)
    return pd.DataFrame({**about, **columns, **learned})


@pytest.fixture(scope="module")
def known(zoo, auditor) -> pd.DataFrame:
    """All references, audited."""
    frames = [
        frame_of(auditor(candidates), name, reference=True)
        for name, candidates in references(zoo, SETTINGS, seed=0)
    ]
    return pd.concat(frames, ignore_index=True)


def copies(zoo: ZooData, kind: str) -> np.ndarray:
    """Training networks as they are, or changed in a way that is no novelty."""
    weights = torch.from_numpy(zoo.weights[:12].reshape(24, -1))
    rng = torch.Generator().manual_seed(1)
    if kind == "permuted":
        order = random_permutations(zoo.architecture, 24, rng=rng)
        weights = weights.gather(1, permutation_index(zoo.architecture, order))
    elif kind == "flipped":
        signs = {
            axis: torch.randint(0, 2, (24, units), generator=rng) * 2.0 - 1
            for axis, units in {"conv3": 4, "linear1": 20}.items()
        }
        weights = weights * sign_vector(zoo.architecture, signs)
    elif kind == "noisy":
        weights = weights + 1e-3 * torch.randn(weights.shape, generator=rng)
    return weights.numpy()


@pytest.mark.parametrize("kind", ["exact", "permuted", "flipped", "noisy"])
def test_copies_are_called_copies(zoo, auditor, known, kind):
    sources = np.repeat(np.arange(12), 2)[:, None]
    found = auditor(Candidates(copies(zoo, kind), sources))
    assert (found.nearest.model == sources[:, 0]).all()
    assert (found.nearest.epoch == np.tile([5, 6], 12)).all()
    if kind != "noisy":
        np.testing.assert_array_equal(found.nearness.aligned, 0)
        np.testing.assert_allclose(found.nearness.bound, 0, atol=1e-6)
        np.testing.assert_array_equal(found.nearest.matched, found.nearest.weights)
        # rounding may turn a close decision
        assert (found.nearness.disagreement < 0.02).all()
        assert (found.nearness.overlap > 0.9).all()
    assert ((found.nearness.raw > 1) == (kind in ("permuted", "flipped"))).all()
    frame = pd.concat([known, frame_of(found, kind, reference=False)])
    summary = summarised(frame).loc[kind]["value"]
    for share in ("new_by_runs", "new_by_snapshots", "new_and_good"):
        assert summary[share] == 0
    assert summary["z_u"] < -3
    assert summary["nearer"] == 1
    assert summary["training_over_unseen"] < 0.01
    assert summary["source_in_runs"] < 0.01
    assert summary["joint"] < 0.01


def test_a_noisy_copy_passes_by_snapshots_and_not_by_runs(zoo, auditor, known):
    rng = np.random.default_rng(0)
    weights = zoo.weights[:12, -1]
    # farther than another epoch of the run, and much nearer than another run
    step = 3 * np.linalg.norm(zoo.weights[:12, 1] - zoo.weights[:12, 0], axis=1)
    noise = rng.standard_normal(weights.shape)
    noise *= (step / np.linalg.norm(noise, axis=1))[:, None]
    noisy = (weights + noise).astype(np.float32)
    found = auditor(Candidates(noisy, np.arange(12)[:, None]))
    frame = pd.concat([known, frame_of(found, "noisy", reference=False)])
    row = summarised(frame).loc["noisy"]
    assert row.loc["new_by_snapshots", "value"] == 1
    assert row.loc["new_by_runs", "value"] == 0
    assert row.loc["training_over_unseen", "ci_high"] < 0.9
    assert row.loc["in_snapshots", "value"] > 2
    assert row.loc["in_runs", "value"] < 0.9


@pytest.mark.parametrize("strength", [0.5, 0.0])
def test_shrunk_networks_are_near_and_not_derived(zoo, auditor, known, strength):
    """Unseen networks moved to the mean: Z_U calls them copies, the ratio does not."""
    mean = zoo.weights[:12].mean((0, 1))
    held_out = zoo.weights[20:, -1]
    shrunk = (mean + strength * (held_out - mean)).astype(np.float32)
    rng = np.random.default_rng(1)
    # the mean itself would be a single network
    shrunk += 1e-3 * rng.standard_normal(shrunk.shape).astype(np.float32)
    found = auditor(Candidates(shrunk, np.full((len(shrunk), 1), -1)))
    frame = pd.concat([known, frame_of(found, "shrunk", reference=False)])
    row = summarised(frame).loc["shrunk"]
    assert row.loc["z_u", "value"] < -3
    assert row.loc["nearer", "value"] == 1
    assert row.loc["new_by_runs", "value"] == 0
    assert row.loc["training_over_unseen", "ci_high"] > 0.95
    assert row.loc["joint", "value"] < 0.01


def test_derivation_is_seen_through_shrinking(zoo, auditor, known):
    """Training networks half way to the mean still are nearer to themselves."""
    mean = zoo.weights[:12].mean((0, 1))
    shrunk = (mean + 0.5 * (zoo.weights[:12, -1] - mean)).astype(np.float32)
    found = auditor(Candidates(shrunk, np.arange(12)[:, None]))
    frame = pd.concat([known, frame_of(found, "shrunk", reference=False)])
    assert summarised(frame).loc[("shrunk", "training_over_unseen"), "ci_high"] < 0.9


def test_independent_networks_are_not(zoo, auditor, known):
    """Held-out networks: no verdict against them, and they pass the bar of good."""
    unseen = Candidates(zoo.weights[12:20, -1], np.full((8, 1), -1))
    val = frame_of(auditor(unseen), "val", reference=False)
    pair = val, known[known["population"] == "held_out"]
    rng = np.random.default_rng(0)
    some, others = (rows[JOINT].to_numpy(np.float64) for rows in pair)
    assert energy_test(some, others, groups=np.arange(8), rng=rng) > 0.05
    summary = summarised(known)
    for name in ("held_out", "leave_one_out"):
        assert summary.loc[(name, "new_by_snapshots"), "value"] == 1
        assert summary.loc[(name, "new_by_runs"), "value"] > 0.8
        assert abs(summary.loc[(name, "z_u"), "value"]) < 2.5
        row = summary.loc[(name, "training_over_unseen")]
        assert row["ci_low"] < 1 < row["ci_high"]
    assert summary.loc[("held_out", "z_u"), "value"] == 0
    assert summary.loc[("held_out", "good"), "value"] >= 0.9
    assert summary.loc[("held_out", "new_and_good"), "value"] > 0.7
    assert ("held_out", "joint") not in summary.index


def summarised(frame: pd.DataFrame) -> pd.DataFrame:
    summary = novelty_summary(frame, statistics=LEVEL)
    return summary.set_index(["population", "measure"]).sort_index()


def test_references_are_what_they_say(known, zoo):
    by_name = known.groupby("population")
    medians = by_name["aligned"].median()
    assert (known.loc[known["population"] == "permuted_copy", "aligned"] == 0).all()
    assert (known.loc[known["population"] == "permuted_copy", "raw"] > 1).all()
    # sigma times the root of the number of parameters
    assert medians["noise_0.001"] == pytest.approx(0.001 * math.sqrt(2464), rel=0.05)
    assert medians["noise_0.001"] < medians["other_epoch"] < medians["leave_one_out"]
    own = known[known["population"] == "other_epoch"]
    assert (own["nearest_epoch"] == 5).all()
    # no other run is shown
    assert own["equal_training"].isna().all()
    steps = np.linalg.norm(zoo.weights[:12, 1] - zoo.weights[:12, 0], axis=1)
    np.testing.assert_allclose(own["raw"], steps[own["nearest_model"]], rtol=1e-5)
    without = known["population"].isin(
        ["held_out", "leave_one_out", "other_epoch", "soup_3", "random_init"]
    )
    single = known["population"].isin(["permuted_copy", "noise_0.001"])
    assert known.loc[without, "source"].isna().all()
    assert (known.loc[single, "source"] < 0.1).all()
    assert len(known[known["population"] == "held_out"]) == 10
    assert (known["bound"] <= known["aligned"] + 1e-6).all()
    assert (known["aligned"] <= known["raw"] + 1e-6).all()


def test_scale(known):
    scale = scale_of(known)
    alone = known.loc[known["population"] == "leave_one_out", "aligned"]
    assert scale.run == alone.median()
    assert scale.snapshot < scale.changed < scale.new < scale.run
    held = known.loc[known["population"] == "held_out", "accuracy"]
    assert scale.good == pytest.approx(held.quantile(0.05))
    without = known[known["population"] != "other_epoch"]
    assert math.isnan(scale_of(without).changed)
    numbers = summarised(without).loc["held_out"]
    for measure in ("new_by_snapshots", "in_snapshots"):
        columns = ["value", "ci_low", "ci_high"]
        assert numbers.loc[measure, columns].isna().all()


def test_summary_by_hand(known):
    summary = summarised(known)
    held = known[known["population"] == "held_out"]
    scale = scale_of(known)
    value = summary.loc["held_out", "value"]
    assert value["raw"] == held["raw"].median()
    assert value["accuracy"] == pytest.approx(held["accuracy"].mean())
    assert value["in_runs"] == pytest.approx(held["aligned"].median() / scale.run)
    snapshots = held["aligned"].median() / scale.snapshot
    assert value["in_snapshots"] == pytest.approx(snapshots)
    both = (held["accuracy"] >= scale.good) & (held["aligned"] >= scale.new)
    assert value["new_and_good"] == both.mean()
    ratio = held["equal_training"].mean() / held["unseen"].mean()
    assert value["training_over_unseen"] == pytest.approx(ratio)
    pd.testing.assert_frame_equal(summary, summarised(known))


def test_expected_smallest_against_all_subsets():
    rng = np.random.default_rng(0)
    values = rng.random(7)
    for count in (1, 3, 7):
        subsets = [min(s) for s in itertools.combinations(values, count)]
        found = expected_smallest(values, count=count)
        assert found == pytest.approx(np.mean(subsets))
    capped = [min(*s, 0.2) for s in itertools.combinations(values, 2)]
    found = expected_smallest(values, count=2, at_most=0.2)
    assert found == pytest.approx(np.mean(capped))
    assert math.isnan(expected_smallest(values, count=8))
    assert expected_smallest(values, count=0, at_most=0.4) == 0.4


def test_memory_counts_the_source_as_drawn():
    training = np.array([[1.0, 5.0, 6.0], [4.0, 5.0, np.inf]])
    unseen = np.array([[3.0, 2.0], [9.0, 8.0]])
    own = np.array([[True, False, False], [False, False, False]])
    found = memory(training, unseen, own=own)
    np.testing.assert_allclose(found.equal_training, [1, 4])
    np.testing.assert_allclose(found.unseen, [2, 8])
    np.testing.assert_allclose(found.unseen_next, [3, 9])
    assert found.unseen_run.tolist() == [1, 1]


def test_the_interval_of_the_ratio_covers():
    """Networks that know nothing, against runs drawn anew: 1 in 9 of 10 intervals."""
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        runs = rng.normal(0, 1, (60, 5))
        networks = rng.normal(0, 0.4, (20, 5))
        distances = np.linalg.norm(networks[:, None] - runs, axis=2)
        none = np.zeros((20, 40), bool)
        found = training_over_unseen(
            memory(distances[:, :40], distances[:, 40:], own=none), np.arange(20)
        )
        low, high = mean_interval(found, confidence=0.9, limits=(0.0, math.inf))
        inside += low <= 1 <= high
    assert inside / 200 > 0.87


def test_energy_test_by_groups():
    rng = np.random.default_rng(0)
    others = rng.normal(0, 1, (40, 3))
    # 3 groups of 10, whose members are nearly the same
    centres = np.repeat(rng.normal(0, 1, (3, 3)), 10, axis=0)
    same = centres + 0.01 * rng.normal(0, 1, (30, 3))
    groups = np.repeat(np.arange(3), 10)
    assert energy_test(same, others, groups=groups, rng=rng) > 0.05
    # taken for independent they would differ
    alone = np.arange(30)
    assert energy_test(same, others, groups=alone, rng=rng) < 0.05
    assert energy_test(same + 5, others, groups=groups, rng=rng) < 0.01
    # of a single group p cannot be smaller, in any draw
    one = energy_test(same + 9, others, groups=np.zeros(30), rng=rng)
    assert one == pytest.approx(2 / 41)
    # one of the features, and the spread alone
    moved = rng.normal((0, 0, 2), 1, (30, 3))
    assert energy_test(moved, others, groups=alone, rng=rng) < 0.01
    shrunk = 0.2 * rng.normal(0, 1, (30, 3))
    assert energy_test(shrunk, others, groups=alone, rng=rng) < 0.01


def test_energy_test_keeps_its_level():
    rng = np.random.default_rng(0)
    found = [
        energy_test(
            rng.normal(0, 1, (8, 3)),
            rng.normal(0, 1, (20, 3)),
            groups=np.arange(8),
            rng=rng,
        )
        for _ in range(200)
    ]
    assert np.mean(np.array(found) <= 0.1) < 0.16
    assert np.mean(found) == pytest.approx(0.5, abs=0.07)


def test_what_a_test_sees():
    rng = np.random.default_rng(0)
    others = rng.normal(0.8, 0.02, (40, 3))
    few, many = (
        detectable_shift(others, groups=groups, level=0.05, rng=rng)
        for groups in (3, 40)
    )
    assert 0.01 <= many < few <= 0.1
    # two among three can be called different by chance alone
    assert detectable_shift(others[:2], groups=1, level=0.05, rng=rng) == math.inf


def test_one_network_has_no_interval(known, auditor, zoo):
    mean = Candidates(zoo.weights[:12, -1].mean(0, keepdims=True), np.array([[-1]]))
    frame = pd.concat([known, frame_of(auditor(mean), "mean", reference=False)])
    summary = summarised(frame).loc["mean"]
    assert summary[["ci_low", "ci_high"]].isna().all(axis=None)
    assert math.isnan(summary.loc["pair_distance", "value"])
    assert math.isfinite(summary.loc["in_runs", "value"])


def panel(distances: dict[str, np.ndarray], groups: np.ndarray) -> pd.DataFrame:
    """Returns audits of networks of which distances alone matter."""
    frames = []
    for name, values in distances.items():
        sampled = name == "sampled"
        about = {"zoo": "toy", "coordinates": "none", "population": name}
        numbers = dict.fromkeys([*COLUMNS, *LEARNED], 0.5) | {"aligned": values}
        numbers |= {"unseen_run": 0, "unseen_runs": 2, "training_runs": 4}
        names = groups if sampled else [f"sample {k}" for k in range(len(values))]
        about |= {"reference": not sampled}
        frames.append(pd.DataFrame({**about, **numbers, "group": names}))
    return pd.concat(frames, ignore_index=True)


@pytest.fixture
def three_seeds() -> pd.DataFrame:
    """Ninety samples of three seeds, all nearer than any held-out network."""
    rng = np.random.default_rng(0)
    distances = {
        "sampled": rng.normal(10, 0.1, 90),
        "held_out": rng.normal(20, 0.1, 30),
        "leave_one_out": rng.normal(20, 0.1, 30),
        "other_epoch": rng.normal(1, 0.1, 30),
    }
    return panel(distances, np.repeat(["seed 1", "seed 2", "seed 3"], 30))


def test_nothing_new_of_three_seeds_is_no_proof(three_seeds):
    row = summarised(three_seeds).loc[("sampled", "new_by_runs")]
    assert (row["value"], row["n"], row["groups"]) == (0, 90, 3)
    assert row["ci_low"] == 0
    # t of two degrees of freedom at 90 %: 2.92^2 / (90 + 2.92^2)
    assert row["ci_high"] == pytest.approx(0.0865, abs=1e-4)


def test_the_end_of_a_scale_is_no_measurement(three_seeds):
    """Z_U cannot fall below what as many networks allow, whatever their distance."""
    summary = summarised(three_seeds).loc["sampled"]
    z, share = summary.loc["z_u"], summary.loc["nearer"]
    assert z["value"] == pytest.approx(-1350 / math.sqrt(2700 * 121 / 12))
    assert z["ci_low"] == pytest.approx(z["value"])
    assert z["ci_high"] > z["value"] + 1
    assert (share["value"], share["ci_high"]) == (1, 1)
    assert share["ci_low"] < 0.9
    made_from = Sources(references=(Path("r.h5"),), audits=(Path("a.h5"),))
    table = novelty_table.Novelty(made_from)
    cells = table.cells(summarised(three_seeds).reset_index(), TEXT)
    shown = cells[cells["heading"] == "ZU"].set_index("name")["text"]
    assert shown["sampled"] == "-8.2 saturated"
    assert "saturated" not in shown["leave_one_out"]


def test_nothing_has_an_interval_without_width(three_seeds, known):
    for frame in (three_seeds, known):
        summary = summarised(frame)
        width = (summary["ci_high"] - summary["ci_low"]).dropna()
        assert len(width) > 20
        assert not list(width.index[width <= 0])


@pytest.mark.parametrize(("n", "m", "shift"), [(40, 60, 0.0), (30, 30, -1.0)])
def test_z_u_against_scipy(n, m, shift):
    rng = np.random.default_rng(n)
    ours, held_out = rng.normal(shift, 1, n), rng.normal(0, 1, m)
    found = scipy.stats.mannwhitneyu(
        ours, held_out, method="asymptotic", use_continuity=False
    )
    expected = scipy.stats.norm.isf(found.pvalue / 2)
    assert abs(z_u(ours, held_out)) == pytest.approx(expected, rel=1e-6)
    assert nearer(ours, held_out) == pytest.approx(1 - found.statistic / (n * m))


def test_z_u_sign_ties_and_chance():
    far = np.arange(50.0) + 10
    assert z_u(np.zeros(50), far) < -8
    assert z_u(np.full(50, 100.0), far) > 8
    assert nearer(np.array([1.0, 1.0]), np.array([1.0, 1.0])) == 0.5
    rng = np.random.default_rng(0)
    chance = [z_u(rng.random(40), rng.random(30)) for _ in range(400)]
    assert np.mean(chance) == pytest.approx(0, abs=0.15)
    assert np.std(chance) == pytest.approx(1, abs=0.1)


def test_behaviour_by_hand():
    labels = np.array([0, 1, 2, 3])
    one = np.array([[0, 1, 9, 9], [0, 1, 2, 3]], np.uint8)
    two = np.array([[0, 9, 9, 8]], np.uint8)
    np.testing.assert_allclose(error_overlap(one, two, labels), [[2 / 3], [0]])
    np.testing.assert_allclose(disagreement(one, two), [[0.5], [0.75]])
    assert error_overlap(one[1:], one[1:], labels).item() == 1


def test_predictions_have_the_accuracy_of_evaluate(zoo, images):
    weights = torch.from_numpy(zoo.weights[:20, -1])
    found = predictions(zoo.architecture, weights, images["test"], activation="tanh")
    _, accuracy = evaluate(zoo.architecture, weights, images["test"], activation="tanh")
    right = (found == images["test"].labels.numpy()).mean(1)
    np.testing.assert_allclose(right, accuracy, atol=1e-6)


def test_answers_of_other_networks_are_refused(zoo, images):
    with pytest.raises(ValueError, match=r"answers of \(3, 60\).*are \(24, 60\)"):
        auditor_for(zoo, images["test"], answers=np.zeros((3, 60), np.uint8))


def test_hidden_networks_are_not_seen(auditor):
    corpus: Corpus = auditor.corpus
    hidden = np.zeros((1, 24), bool)
    hidden[0, 5] = True
    first = Candidates(corpus.weights[5:6], corpus.model[5:6, None], hidden)
    found = auditor(first)
    assert found.nearest.model[0] == corpus.model[5]
    assert found.nearest.epoch[0] != corpus.epoch[5]
    assert found.nearness.aligned[0] > 0


def test_pairs_and_ensembles_of_a_population_by_hand(zoo, auditor, images):
    weights = zoo.weights[:11, -1]
    found = auditor(Candidates(weights, np.full((11, 1), -1)))
    answers = predictions(
        zoo.architecture, torch.from_numpy(weights), images["test"], activation="tanh"
    )
    differing = [[(a != b).mean() for b in answers] for a in answers]
    expected = np.sum(differing, axis=1) / 10
    np.testing.assert_allclose(found.pair_disagreement, expected, atol=1e-6)
    # ten of eleven vote, each first once: no ensemble is the same network ten times
    probabilities = member_probabilities(
        zoo.architecture, torch.from_numpy(weights), images["test"], activation="tanh"
    )
    labels = images["test"].labels.numpy()
    possible = {
        float((np.delete(probabilities, k, 0).mean(0).argmax(1) == labels).mean())
        for k in range(11)
    }
    assert set(found.ensemble.tolist()) <= possible
    few = auditor(Candidates(weights[:9], np.full((9, 1), -1)))
    assert np.isnan(few.ensemble).all()
