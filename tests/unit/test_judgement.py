"""Populations above, on and below a curve that is known, and how they are shown."""

from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hyperreps.numbers.statistics import mean_interval
from hyperreps.results.audits import COLUMNS, JUDGED, LEARNED
from hyperreps.results.figures import judgement as figure
from hyperreps.results.judgement import above_curve, verdict
from hyperreps.results.layout import TEXT
from hyperreps.results.result import Sources
from hyperreps.results.tables import judgement as table
from hyperreps.settings.stages import SettingsError

FILES = {"references": (Path("r.h5"),), "audits": (Path("a.h5"),)}
CURVES = {
    "noise": ("pool", "near", "far", "chosen_near", "chosen_far"),
    "soup": ("pool", "soup"),
}
RUN = 20.0  # distance of held-out networks


def networks(distance, accuracy, *, spread=0.02, count=30, seed=0):
    """Returns networks about a place of the plane, their mean exactly there."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((2, count))
    noise -= noise.mean(1, keepdims=True)
    values = {"distance": distance, "accuracy": accuracy}
    return pd.DataFrame(
        {
            key: value + spread * noise[k]
            for k, (key, value) in enumerate(values.items())
        }
        | {"group": [f"sample {row}" for row in range(count)]}
    )


CURVE = [networks(0.0, 0.9), networks(1.0, 0.3, seed=1), networks(0.5, 0.7, seed=2)]


@pytest.mark.parametrize(
    ("distance", "height"),
    [(0.25, 0.8), (0.5, 0.7), (0.75, 0.5), (1.0, 0.3), (1.4, 0.3), (-0.1, 0.9)],
)
def test_a_curve_is_straight_between_its_points_and_flat_beyond(distance, height):
    lead = above_curve(networks(distance, 0.6, seed=3), CURVE)
    assert lead.value == pytest.approx(0.6 - height)


@pytest.mark.parametrize(
    ("lead", "said"), [(0.1, "above"), (0.0, "undecided"), (-0.1, "below")]
)
def test_planted_populations(lead, said):
    members = networks(0.75, 0.5 + lead, seed=4)
    found = above_curve(members, CURVE)
    ends = mean_interval(found, confidence=0.95, limits=(-1.0, 1.0))
    assert ends[0] < lead < ends[1]
    assert ends[1] - ends[0] < 0.05
    assert verdict([ends, ends]) == said


def test_three_seeds_that_differ_prove_less_than_their_networks():
    shifts = np.repeat([-0.05, 0.0, 0.05], 10)
    members = networks(0.75, 0.53, seed=4)
    members["accuracy"] += shifts
    alone = above_curve(members, CURVE)
    members["group"] = np.repeat(["seed 1", "seed 2", "seed 3"], 10)
    grouped = above_curve(members, CURVE)
    assert grouped.value == alone.value
    one, two = (
        mean_interval(x, confidence=0.95, limits=(-1.0, 1.0)) for x in (alone, grouped)
    )
    assert verdict([one]) == "above"
    assert verdict([two]) == "undecided"


def test_intervals_cover_what_is_true():
    """Samples on the curve y = 1 - x, whose points and distances are drawn anew."""
    rng = np.random.default_rng(0)

    def drawn(at):
        distance = at + 0.1 * rng.standard_normal(12)
        accuracy = 1 - distance + 0.05 * rng.standard_normal(12)
        group = [f"sample {k}" for k in range(12)]
        columns = {"distance": distance, "accuracy": accuracy, "group": group}
        return pd.DataFrame(columns)

    inside = 0
    for _ in range(200):
        lead = above_curve(drawn(0.6), [drawn(0.0), drawn(0.5), drawn(1.0)])
        low, high = mean_interval(lead, confidence=0.9, limits=(-1.0, 1.0))
        inside += low <= 0 <= high
    # errors of the curve's points, here independent, are added as one
    assert 0.88 < inside / 200 < 0.985


def test_verdict_asks_for_every_curve():
    assert verdict([(0.1, 0.2), (-0.1, 0.2)]) == "undecided"
    assert verdict([(0.1, 0.2), (-0.2, -0.1)]) == "below"
    assert verdict([(0.1, 0.2), (0.1, 0.2)]) == "above"
    assert verdict([(0.1, 0.2), (math.nan, math.nan)]) == ""
    assert verdict([]) == ""


@pytest.fixture
def audits() -> pd.DataFrame:
    """Audits of two curves, and of populations above, on and below both."""
    places = {
        "held_out": (1.0, 0.9, True),
        "leave_one_out": (1.0, 0.9, True),
        "pool": (0.0, 0.9, False),
        "near": (0.5, 0.5, False),
        "far": (1.0, 0.1, False),
        "soup": (0.8, 0.5, False),
        "over": (0.75, 0.8, False),
        "between": (0.75, 0.4, False),
        "under": (0.75, 0.1, False),
        # the best of ten, and two such points of a curve
        "chosen_near": (0.5, 0.9, False),
        "chosen_far": (1.0, 0.7, False),
        "chosen": (0.75, 0.75, False),
    }
    frames = []
    for seed, (name, (distance, accuracy, reference)) in enumerate(places.items()):
        rows = networks(distance, accuracy, seed=seed)
        about = {"zoo": "toy", "coordinates": "none", "population": name}
        about |= {"form": "", "reference": reference, "sample": range(30)}
        about["best_of"] = 10 if name.startswith("chosen") else 1
        numbers = dict.fromkeys([*COLUMNS, *LEARNED, *JUDGED], 0.5)
        numbers |= {"unseen_run": 0, "unseen_runs": 2, "training_runs": 4}
        numbers |= {"accuracy": rows["accuracy"], "group": rows["group"]}
        numbers |= {"aligned": RUN * rows["distance"], "core_seconds": 0.25}
        frames.append(pd.DataFrame({**about, **numbers}))
    # two of a held-out pair differ more than two of any other
    frames[0]["pair_disagreement"] = 0.8
    both = [frames[0].assign(coordinates="weight_matching"), *frames[1:2]]
    again = [frame.assign(coordinates="weight_matching") for frame in both]
    return pd.concat([*frames, *again], ignore_index=True)


def test_table(audits):
    shown = table.Judgement(Sources(**FILES, **CURVES))
    shown.networks = audits
    frame = shown.frame()
    assert not frame.duplicated(["zoo", "population", "measure"]).any()
    found = frame.set_index(["population", "measure"])["value"]
    held = audits[audits["population"] == "held_out"]["aligned"].median() / RUN
    assert found["over", "distance"] == pytest.approx(0.75 / held)
    assert found["over", "disagreement"] == pytest.approx(0.5 / 0.8)
    # noise at 0.75 is half way between 0.5 and 0.1
    assert found["over", "above_noise"] == pytest.approx(0.8 - 0.3)
    # the best of ten by those that are so, too: half way between 0.9 and 0.7
    assert found["chosen", "above_noise"] == pytest.approx(0.75 - 0.8)
    assert ("chosen", "above_soup") not in found
    cells = shown.cells(frame, TEXT).set_index(["name", "heading"])["text"]
    assert cells["chosen", "verdict"] == ""
    assert cells["chosen_far", "verdict"] == "curve"
    assert cells["over", "verdict"] == "above"
    assert cells["between", "verdict"] == "below"
    assert cells["under", "verdict"] == "below"
    assert cells["near", "verdict"] == "curve"
    assert cells["over", "core-seconds"] == "0.250"
    # networks of other runs are no others; what is nearer and worse is
    assert float(cells["leave_one_out", "joint p"]) > 0.05
    assert float(cells["under", "joint p"]) < 0.05
    assert float(cells["under", "would see"]) > 0
    assert "verdict" in shown.page(frame)
    assert r"\toprule" in shown.latex(frame)


@pytest.mark.parametrize(
    ("noise", "message"),
    [((), "--noise: no curve; name two"), (("pool", "x"), "--noise: no audit of x;")],
)
def test_a_curve_without_points_is_refused(audits, noise, message):
    shown = table.Judgement(Sources(**FILES, **{**CURVES, "noise": noise}))
    shown.networks = audits
    with pytest.raises(SettingsError, match=message):
        shown.frame()


def test_figure(audits):
    drawn = figure.Judgement(Sources(**FILES, **CURVES, reconstructions=("over",)))
    drawn.networks = audits
    picture = drawn.draw(drawn.frame())
    (axes,) = picture.axes
    noise, chosen, soup = (
        np.array(c.lines[0].get_data(), dtype=float)
        for c in axes.containers
        if len(c.lines[0].get_xdata()) > 1
    )
    np.testing.assert_allclose(noise, [[0, 0.5, 1], [0.9, 0.5, 0.1]], atol=0.01)
    np.testing.assert_allclose(chosen, [[0.5, 1], [0.9, 0.7]], atol=0.01)
    np.testing.assert_allclose(soup, [[0, 0.8], [0.9, 0.5]], atol=0.01)
    explained, named = (
        {text.get_text() for text in texts}
        for texts in (picture.legends[0].get_texts(), axes.texts)
    )
    assert explained == {"noise", "noise, best of 10", "soup", "reconstructions"} | {
        "of a method, best of 10"
    }
    assert named == {"held out", "over", "between", "under", "chosen"}
    boxes = [text.get_window_extent() for text in axes.texts]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_the_best_of_draws_is_joined_with_what_it_is_drawn_from(audits):
    twin = audits[audits["population"] == "chosen"].assign(population="over_best10")
    drawn = figure.Judgement(Sources(**FILES, **CURVES))
    drawn.networks = pd.concat([audits, twin], ignore_index=True)
    (axes,) = drawn.draw(drawn.frame()).axes
    named = {text.get_text() for text in axes.texts}
    assert {"over", "chosen"} <= named
    assert "over best10" not in named
    greys = [colour for colour, _ in figure.STYLES.values()]
    joined = [
        axis_line.get_xydata()
        for axis_line in axes.get_lines()
        if len(axis_line.get_xydata()) == 2 and axis_line.get_color() not in greys
    ]
    at = 0.75 * RUN / audits.loc[audits["population"] == "held_out", "aligned"].median()
    np.testing.assert_allclose(joined, [[[at, 0.8], [at, 0.75]]])


def test_a_panel_names_the_populations_of_its_zoo(audits):
    other = audits[audits["population"] != "under"].assign(zoo="other")
    drawn = figure.Judgement(Sources(**FILES, **CURVES))
    drawn.networks = pd.concat([audits, other], ignore_index=True)
    picture = drawn.draw(drawn.frame())
    toy, fewer = ({text.get_text() for text in x.texts} for x in picture.axes)
    assert toy - fewer == {"under"}
    assert "between" in fewer


def test_marks_tell_of_how_many_draws_their_networks_are_the_best(audits):
    chosen = audits["population"] == "chosen"
    twin = audits[chosen].assign(population="chosen_best30", best_of=30)
    drawn = figure.Judgement(Sources(**FILES, **CURVES))
    drawn.networks = pd.concat([audits, twin], ignore_index=True)
    picture = drawn.draw(drawn.frame())
    explained = picture.legends[0]
    names = [text.get_text() for text in explained.get_texts()]
    marks = {
        name.removeprefix("of a method, "): mark.get_markersize()
        for name, mark in zip(names, explained.get_lines(), strict=True)
        if name.startswith("of a method")
    }
    assert marks["best of 30"] > marks["best of 10"]
    hollow = [
        mark.get_markersize()
        for mark in picture.axes[0].get_lines()
        if mark.get_markerfacecolor() == "white"
    ]
    assert sorted(hollow) == sorted(marks.values())
