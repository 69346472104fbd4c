"""The instrument on cases whose answer is known, and its arithmetic by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch

from hyperreps.audit.auditor import Audit, Auditor, Candidates, Corpus, auditor_for
from hyperreps.audit.references import references
from hyperreps.audit.verdicts import effective_number, nearer, z_u
from hyperreps.engines.interface import evaluate
from hyperreps.networks.architectures import build
from hyperreps.networks.initialisation import initial_weights
from hyperreps.results.audits import DISTANCES, MEANS, novelty_summary, scale_of
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
    """A real little zoo: 24 networks trained for six epochs, the last two known."""
    network = build("cnn", channels=1)
    seeds = range(1, 25)
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
        split=np.array(["train"] * 12 + ["val"] * 2 + ["test"] * 10),
        architecture=network,
        settings=Zoo(dataset="toy", models=24, window=(5, 6), recipe=RECIPE),
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
    return pd.DataFrame(
        {**about, "reference": reference, "sample": rows, "group": groups, **columns}
    )


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
        np.testing.assert_array_equal(found.all.aligned, 0)
        np.testing.assert_allclose(found.all.bound, 0, atol=1e-6)
        np.testing.assert_array_equal(found.nearest.matched, found.nearest.weights)
        # rounding may turn a close decision
        assert (found.all.disagreement < 0.02).all()
        assert (found.all.overlap > 0.9).all()
    assert ((found.all.raw > 1) == (kind in ("permuted", "flipped"))).all()
    frame = pd.concat([known, frame_of(found, kind, reference=False)])
    summary = summarised(frame).loc[kind]
    assert summary.loc["copies", "value"] == 1
    assert summary.loc["new", "value"] == 0
    assert summary.loc["z_u", "value"] < -3
    assert summary.loc["nearer", "value"] == 1
    assert summary.loc["alike", "value"] > 0.9
    assert (summary.loc[["novel_and_performant"], "value"] == 0).all()


def test_independent_networks_are_not(zoo, auditor, known):
    """Held-out networks that made no reference; their Z_U is that of chance."""
    val = Candidates(zoo.weights[12:14, -1], np.full((2, 1), -1))
    frame = pd.concat([known, frame_of(auditor(val), "val", reference=False)])
    summary = summarised(frame)
    for name in ("val", "held_out", "leave_one_out"):
        assert summary.loc[(name, "copies"), "value"].item() == 0
        assert summary.loc[(name, "new"), "value"].item() > 0.8
        assert abs(summary.loc[(name, "z_u"), "value"].item()) < 2.5
    assert summary.loc[("held_out", "z_u"), "value"].item() == 0


def summarised(frame: pd.DataFrame) -> pd.DataFrame:
    summary = novelty_summary(frame, settings=SETTINGS, statistics=LEVEL)
    return summary.set_index(["population", "measure"]).sort_index()


def test_references_are_what_they_say(known, zoo):
    by_name = known.groupby("population")
    medians = by_name["aligned"].median()
    assert (known.loc[known["population"] == "permuted_copy", "aligned"] == 0).all()
    assert (known.loc[known["population"] == "permuted_copy", "raw"] > 1).all()
    # sigma times the root of the number of parameters
    assert medians["noise_0.001"] == pytest.approx(0.001 * math.sqrt(2464), rel=0.05)
    assert medians["noise_0.001"] < medians["other_epoch"] < medians["leave_one_out"]
    one = known[known["population"] == "leave_one_out"]
    assert one["same_aligned"].isna().all()
    assert (one["other_aligned"] == one["aligned"]).all()
    own = known[known["population"] == "other_epoch"]
    assert own["other_aligned"].isna().all()
    assert (own["nearest_epoch"] == 5).all()
    steps = np.linalg.norm(zoo.weights[:12, 1] - zoo.weights[:12, 0], axis=1)
    np.testing.assert_allclose(own["raw"], steps[own["nearest_model"]], rtol=1e-5)
    held = known[known["population"] == "held_out"]
    assert len(held) == 10
    assert held["same_aligned"].isna().all()
    soup = known[known["population"] == "soup_3"]
    assert soup["same_aligned"].notna().all()
    every = known[~known["population"].isin(["leave_one_out", "other_epoch"])]
    both = every[["same_aligned", "other_aligned"]].min(axis=1)
    np.testing.assert_allclose(every["aligned"], both)
    assert (every["bound"] <= every["aligned"] + 1e-6).all()
    assert (every["aligned"] <= every["raw"] + 1e-6).all()


def test_scale(known):
    scale = scale_of(known, accuracy_bar=0.5)
    alone = known.loc[known["population"] == "leave_one_out", "aligned"]
    assert scale.unit == alone.median()
    assert scale.copy < scale.new
    held = known.loc[known["population"] == "held_out", "accuracy"]
    assert scale.bar == held.median() / 2
    without = known[known["population"] != "other_epoch"]
    assert math.isnan(scale_of(without, accuracy_bar=0.5).copy)
    numbers = summarised(without).loc["held_out"].loc["copies"]
    assert numbers[["value", "ci_low", "ci_high"]].isna().all()


def test_summary_by_hand(known):
    summary = summarised(known)
    held = known[known["population"] == "held_out"]
    scale = scale_of(known, accuracy_bar=SETTINGS.accuracy_bar)
    value = summary.loc["held_out", "value"]
    assert value["raw"] == held["raw"].median()
    assert value["accuracy"] == pytest.approx(held["accuracy"].mean())
    relative = held["aligned"].median() / scale.unit
    assert value["relative"] == pytest.approx(relative)
    curve = summary.loc[("held_out", "novel_and_performant")].set_index("against")
    for multiple in (1, 2, 3, 4, 6):
        both = (held["accuracy"] >= scale.bar) & (
            held["aligned"] > multiple * scale.unit
        )
        row = curve.loc[str(multiple)]
        assert row["value"] == both.mean()
        assert row["ci_low"] <= row["value"] <= row["ci_high"]
    within = summary.loc[("held_out", "within_aligned")].set_index("against")["value"]
    assert within["held_out"] == pytest.approx(0.8)
    assert within["permuted_copy"] == 0
    again = summarised(known)
    pd.testing.assert_frame_equal(summary, again)


def test_one_network_has_no_interval(known, auditor, zoo):
    mean = Candidates(zoo.weights[:12, -1].mean(0, keepdims=True), np.array([[-1]]))
    frame = pd.concat([known, frame_of(auditor(mean), "mean", reference=False)])
    summary = summarised(frame).loc["mean"]
    assert summary[["ci_low", "ci_high"]].isna().all(axis=None)
    assert math.isnan(summary.loc["pair_distance", "value"])
    assert math.isfinite(summary.loc["relative", "value"])


def panel(distances: dict[str, np.ndarray], groups: np.ndarray) -> pd.DataFrame:
    """Returns audits of networks of which distances alone matter."""
    frames = []
    for name, values in distances.items():
        sampled = name == "sampled"
        about = {"zoo": "toy", "coordinates": "none", "population": name}
        numbers = dict.fromkeys([*DISTANCES, *MEANS], 0.5) | {"aligned": values}
        names = groups if sampled else [f"sample {k}" for k in range(len(values))]
        about |= {"reference": not sampled, "nearest_model": 0, "group": names}
        frames.append(pd.DataFrame({**about, **numbers}))
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


def test_no_copy_of_three_seeds_is_no_proof(three_seeds):
    row = summarised(three_seeds).loc[("sampled", "copies")]
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
    made_from = Sources(
        references=(Path("r.h5"),), audits=(Path("a.h5"),), settings=SETTINGS
    )
    table = novelty_table.Novelty(made_from)
    cells = table.cells(summarised(three_seeds).reset_index(), TEXT)
    shown = cells[cells["heading"] == "ZU"].set_index("name")["text"]
    assert shown["sampled"].startswith("-8.2 [-8.2, ")
    assert shown["sampled"].endswith("] saturated")
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


def test_effective_number():
    assert effective_number(np.array([3, 3, 3])) == 1
    assert effective_number(np.arange(7)) == pytest.approx(7)
    assert effective_number(np.array([0, 0, 1, 1])) == pytest.approx(2)


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
    assert found.all.aligned[0] > 0
