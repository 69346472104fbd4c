"""Names beside the points of a figure, none over another or over a point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..numbers.shapes import Float
from .drawing import GREY

# in points: a cell of the page, half a marker, and how far a name goes from its point
# without a line
CELL, MARKER, NEAR = 1.5, 3.5, 7.0
# what a cell costs that a name covers, in points that it would rather be farther away:
# of a name or a marker, of the line to a name, of anything else that is drawn
TAKEN, LINE, DRAWN = 1e4, 20.0, 2.0
# places of a name whose lines are looked at, and places on such a line
LOOKED_AT, ALONG = 2000, np.linspace(0, 1, 16)[:, None]
ROUNDS = 6
ARROW = {
    "arrowstyle": "-",
    "color": GREY,
    "linewidth": 0.5,
    "patchA": None,
    "shrinkA": 0,
    "shrinkB": 2.5,
}


def name_points(
    axes: Axes,
    names: Sequence[str],
    at: Float[np.ndarray, "names 2"],
    *,
    markers: Float[np.ndarray, "markers 2"],
    **look: Any,
) -> None:
    """Writes names beside points where there is room, with a line where it is far.

    The figure has to be complete but for this: it is laid out here.

    Args:
        axes: Where the points are.
        names: Of points.
        at: The points, in units of the data.
        markers: What no name covers, these points among it, in the same units.
        **look: Of the text.
    """
    figure = axes.figure
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()
    inch = 72 / figure.dpi
    texts = [figure.text(0, 0, name, **look) for name in names]
    sizes = inch * np.array([text.get_window_extent().size for text in texts])
    for text in texts:
        text.remove()

    own = inch * axes.transData.transform(at)
    lines = [(x.get_transform(), x.get_xydata()) for x in axes.get_lines()]
    corners = find_places(
        own,
        sizes,
        room=inch * axes.get_window_extent().get_points(),
        markers=inch * axes.transData.transform(markers),
        lines=[inch * move.transform(corners) for move, corners in lines],
    )
    for k, (name, point, corner) in enumerate(zip(names, own, corners, strict=True)):
        end = np.clip(point, corner, corner + sizes[k])
        arrow = {**ARROW, "relpos": tuple((end - corner) / sizes[k])}
        axes.annotate(
            name,
            at[k],
            corner - point,
            textcoords="offset points",
            va="bottom",
            arrowprops=arrow if np.linalg.norm(end - point) > NEAR else None,
            in_layout=False,
            **look,
        )


def find_places(
    points: Float[np.ndarray, "names 2"],
    sizes: Float[np.ndarray, "names 2"],
    *,
    room: Float[np.ndarray, "2 2"],
    markers: Float[np.ndarray, "markers 2"],
    lines: Sequence[Float[np.ndarray, "_ 2"]] = (),
) -> Float[np.ndarray, "names 2"]:
    """Returns the lower left corners of names: near their points, over nothing.

    One after the other goes where it is best as the others lie, until none moves. All
    lengths are in points.

    Args:
        points: That are named.
        sizes: Widths and heights of the names.
        room: Lower left and upper right corner of what names stay in.
        markers: That no name covers as long as there is room.
        lines: That names rather do not cover.
    """
    page = _Page(room)
    for line in lines:
        page.cost[page.along(line)] = DRAWN
    for marker in markers:
        page.cost[page.box(marker - MARKER, marker + MARKER)] = TAKEN
    corners, ends = np.full_like(points, np.nan), points.copy()
    for _ in range(ROUNDS):
        before = corners.copy()
        for k, (point, size) in enumerate(zip(points, sizes, strict=True)):
            cost = page.cost.copy()
            for other in np.flatnonzero(np.isfinite(corners[:, 0])):
                if other != k:
                    cost[page.along(np.stack([points[other], ends[other]]))] += LINE
                    low = corners[other]
                    cost[page.box(low, low + sizes[other])] = TAKEN
            low, covered = page.sums(cost, size)
            near = np.clip(point, low, low + size)
            far = np.linalg.norm(near - point, axis=1)
            covered += far
            best = np.argsort(covered, kind="stable")[:LOOKED_AT]
            # a line may begin in its own marker
            cost[page.box(point - MARKER, point + MARKER)] = 0
            ways = point + ALONG * (near[best] - point)[:, None]
            met = np.minimum(cost, LINE)[page.cells(ways)].mean(axis=1)
            chosen = best[np.argmin(covered[best] + met * far[best] / CELL)]
            corners[k], ends[k] = low[chosen], near[chosen]
        if np.array_equal(before, corners):
            break
    return corners


class _Page:
    """The cells of what names stay in, and what it costs to cover them."""

    def __init__(self, room: Float[np.ndarray, "2 2"]) -> None:
        self.corner = room[0]
        self.cost = np.zeros(np.ceil((room[1] - room[0]) / CELL).astype(int))

    def cells(self, places: Float[np.ndarray, "... 2"]) -> tuple[np.ndarray, ...]:
        """Returns the cells of places, those at the edge of places beyond it."""
        found = np.floor((places - self.corner) / CELL).astype(int)
        return tuple(
            np.moveaxis(np.clip(found, 0, np.array(self.cost.shape) - 1), -1, 0)
        )

    def along(self, corners: Float[np.ndarray, "corners 2"]) -> tuple[np.ndarray, ...]:
        """Returns the cells along a line with corners."""
        lengths = np.linalg.norm(np.diff(corners, axis=0), axis=1)
        passed = np.concatenate([[0.0], np.cumsum(lengths)])
        at = np.arange(0.0, passed[-1] + CELL, CELL / 2)
        sides = [np.interp(at, passed, side) for side in corners.T]
        return self.cells(np.stack(sides, axis=1))

    def box(self, low: np.ndarray, high: np.ndarray) -> tuple[slice, slice]:
        """Returns the cells of a box."""
        (left, right), (bottom, top) = self.cells(np.stack([low, high]))
        return slice(left, right + 1), slice(bottom, top + 1)

    def sums(
        self, cost: np.ndarray, size: Float[np.ndarray, "2"]
    ) -> tuple[Float[np.ndarray, "places 2"], Float[np.ndarray, "places"]]:
        """Returns where a lower left corner can be, and what its box costs there."""
        span = np.minimum(np.ceil(size / CELL).astype(int) + 1, cost.shape)
        # of all cells to the left and below
        total = np.pad(cost, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
        x, y = span
        found = total[x:, y:] - total[:-x, y:] - total[x:, :-y] + total[:-x, :-y]
        places = np.indices(found.shape).reshape(2, -1).T
        return self.corner + CELL * places, found.ravel()
