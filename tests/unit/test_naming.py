"""Names beside points: none over another, over a point, or out of the picture."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from hyperreps.results.naming import MARKER, NEAR, find_places, name_points

ROOM = np.array([[0.0, 0.0], [430.0, 220.0]])


def overlap(one: np.ndarray, other: np.ndarray) -> bool:
    """Says whether two boxes, lower left above upper right corner, share a place."""
    return bool((one[0] < other[1]).all() and (other[0] < one[1]).all())


@pytest.mark.parametrize("count", [1, 12, 30])
@pytest.mark.parametrize("spread", [10.0, 60.0])
def test_no_name_covers_a_name_or_a_point(count: int, spread: float) -> None:
    rng = np.random.default_rng(count)
    points = np.clip([300, 120] + spread * rng.standard_normal((count, 2)), *ROOM)
    sizes = np.stack([rng.uniform(20, 80, count), np.full(count, 9.0)], axis=1)
    corners = find_places(points, sizes, room=ROOM, markers=points)
    boxes = np.stack([corners, corners + sizes], axis=1)
    assert (boxes >= ROOM[0]).all()
    assert (boxes <= ROOM[1] + 2).all()
    assert not any(overlap(*pair) for pair in combinations(boxes, 2))
    marks = np.stack([points - MARKER, points + MARKER], axis=1)
    assert not any(overlap(box, mark) for box in boxes for mark in marks)


def test_a_name_is_beside_its_point_and_rather_not_on_a_line() -> None:
    point, size = np.array([[200.0, 100.0]]), np.array([[40.0, 9.0]])
    above = np.array([[0.0, 110.0], [400.0, 110.0]])
    alone, (beside,) = (
        find_places(point, size, room=ROOM, markers=point, lines=lines)
        for lines in ([], [above])
    )
    near = np.clip(point, alone, alone + size)
    assert np.linalg.norm(near - point) <= NEAR
    assert not beside[1] < 110 < beside[1] + 9


def test_there_is_a_name_even_without_room() -> None:
    points = np.full((3, 2), 5.0)
    corners = find_places(
        points, np.full((3, 2), 50.0), room=np.array([[0, 0], [9.0, 9]]), markers=points
    )
    np.testing.assert_array_equal(corners, 0)


def test_names_of_a_figure_as_it_is_drawn() -> None:
    rng = np.random.default_rng(0)
    at = rng.normal(size=(15, 2))
    figure = Figure(figsize=(6.75, 3.6), dpi=200, layout="constrained")
    axes = figure.subplots()
    axes.plot(*at.T, ls="", marker="o", markersize=4.5)
    names = [f"population {k}" for k in range(15)]
    name_points(axes, names, at, markers=at, fontsize="small")
    figure.draw_without_rendering()
    assert [text.get_text() for text in axes.texts] == names
    # without their lines
    boxes = [Text.get_window_extent(text).get_points() for text in axes.texts]
    assert not any(overlap(*pair) for pair in combinations(boxes, 2))
    for text, box, mark in zip(
        axes.texts, boxes, axes.transData.transform(at), strict=True
    ):
        far = 72 / figure.dpi * np.linalg.norm(np.clip(mark, *box) - mark)
        assert (text.arrow_patch is None) == (far < NEAR), text
