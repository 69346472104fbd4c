"""A picture of packages in floors, each above what it imports, as SVG.

Where boxes stand side by side follows from the arrows, as in layered drawings of graphs
since Sugiyama et al. 1981. A picture with every import would show little: an arrow that
follows from others is left out.
"""

from __future__ import annotations

from html import escape
from itertools import pairwise
from textwrap import wrap
from typing import NamedTuple

# pixels: width and height of a box, gaps between boxes and between floors, and the room
# of an arrow that passes a floor
BOX = (246, 66)
GAP = (26, 40)
LANE = 34
MARGIN = 24
LETTERS = 40  # in a line of modules
STYLE = """<style>
text { font-family: system-ui, "DejaVu Sans", sans-serif; fill: #1c2733 }
.page { fill: #ffffff }
.box { fill: #eef3f8; stroke: #5b7590 }
.bar { fill: #5b7590 }
.name { font-size: 15px; font-weight: 600 }
.lines { font-size: 12px; text-anchor: end }
.modules { font-size: 10.5px; fill: #4a5a6a }
.arrow { fill: none; stroke: #8a98a8; stroke-width: 1.4; marker-end: url(#head) }
</style>
<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7"
 markerHeight="7" orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="#8a98a8"/></marker>
</defs>"""


class Package(NamedTuple):
    """One package of the library.

    Attributes:
        name: Of its folder.
        lines: Of its modules and of what lies beside them, such as CUDA sources.
        modules: Its modules, and its packages with a slash.
        imports: The other packages that it imports.
    """

    name: str
    lines: int
    modules: tuple[str, ...]
    imports: tuple[str, ...]


def direct(found: list[Package]) -> dict[str, list[str]]:
    """Returns the imports of each package that do not follow from its others."""
    reached: dict[str, set[str]] = {}
    for name, _, _, others in found:
        reached[name] = {*others}.union(*(reached[other] for other in others))
    return {
        name: [
            other
            for other in others
            if not any(other in reached[third] for third in others)
        ]
        for name, _, _, others in found
    }


class Spot(NamedTuple):
    """Where a box, or an arrow that passes a floor, lies: its middle, top and width."""

    x: float
    top: float
    width: float


def _floors(arrows: dict[str, list[str]]) -> dict[str, int]:
    """Returns the floor of each package: one above the highest that it imports."""
    floor: dict[str, int] = {}
    for name, others in arrows.items():
        floor[name] = 1 + max((floor[other] for other in others), default=-1)
    return floor


def _paths(arrows: dict[str, list[str]], floor: dict[str, int]) -> list[list[str]]:
    """Returns what each arrow passes: packages, and lanes on the floors between."""
    return [
        [
            name,
            *(f"{name}>{other}:{k}" for k in range(floor[other] + 1, floor[name])),
            other,
        ]
        for name, others in arrows.items()
        for other in others
    ]


def spots(arrows: dict[str, list[str]]) -> tuple[dict[str, Spot], list[list[str]]]:
    """Returns where boxes and lanes lie, and the paths of the arrows through them.

    The floors' orders are improved in turns, each item being drawn to the middle of
    those it is connected with.
    """
    floor = _floors(arrows)
    paths = _paths(arrows, floor)
    rows: list[list[str]] = [[] for _ in range(max(floor.values()) + 1)]
    for name, level in floor.items():
        rows[level].append(name)
    near: dict[str, list[str]] = {}
    for path in paths:
        for depth, name in enumerate(path[1:-1], start=1):
            rows[floor[path[0]] - depth].append(name)
        for upper, lower in pairwise(path):
            near.setdefault(upper, []).append(lower)
            near.setdefault(lower, []).append(upper)
    placed = _placed(rows)
    for _ in range(30):
        for row in (*rows, *rows[::-1]):
            middle = {
                name: sum(placed[other].x for other in near[name]) / len(near[name])
                for name in row
            }
            row.sort(key=middle.__getitem__)
            placed |= _placed(rows)
    return placed, paths


def _placed(rows: list[list[str]]) -> dict[str, Spot]:
    """Lays out the items of each floor side by side, around the middle."""
    placed = {}
    for level, row in enumerate(rows):
        top = MARGIN + (len(rows) - 1 - level) * (BOX[1] + GAP[1])
        widths = [LANE if ":" in name else BOX[0] for name in row]
        left = -(sum(widths) + GAP[0] * (len(row) - 1)) / 2
        for name, width in zip(row, widths, strict=True):
            placed[name] = Spot(left + width / 2, top, width)
            left += width + GAP[0]
    return placed


def picture(found: list[Package]) -> str:
    """Draws the packages as SVG: a box each, arrows to what it imports."""
    placed, paths = spots(direct(found))
    right = max(spot.x + spot.width / 2 for spot in placed.values()) + MARGIN
    bottom = max(spot.top for spot in placed.values()) + BOX[1] + MARGIN
    size = f'width="{2 * right:g}" height="{bottom:g}"'
    largest = max(one.lines for one in found)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size}'
            f' viewBox="{-right:g} 0 {2 * right:g} {bottom:g}">',
            STYLE,
            f'<rect class="page" x="{-right:g}" {size}/>',
            *(_arrow([placed[name] for name in path]) for path in paths),
            *(_box(one, placed[one.name], share=one.lines / largest) for one in found),
            "</svg>\n",
        ]
    )


def _box(one: Package, spot: Spot, *, share: float) -> str:
    """Draws a package: name, lines, modules, and a bar as long as its share."""
    left, right, top = spot.x - BOX[0] / 2, spot.x + BOX[0] / 2, spot.top
    shown = wrap(", ".join(one.modules), LETTERS, max_lines=2, placeholder=" …")
    inside = left + 10
    words = [
        ("name", inside, 20, one.name),
        ("lines", right - 10, 20, f"{one.lines:,}"),
        *(("modules", inside, 36 + 13 * k, line) for k, line in enumerate(shown)),
    ]
    bar = f'width="{(BOX[0] - 20) * share:.1f}" height="3"'
    return "\n".join(
        [
            f'<rect class="box" x="{left:g}" y="{top:g}" width="{BOX[0]}"'
            f' height="{BOX[1]}" rx="6"/>',
            f'<rect class="bar" x="{inside:g}" y="{top + BOX[1] - 9:g}" {bar}/>',
            *(
                f'<text class="{kind}" x="{x:g}" y="{top + y:g}">{escape(text)}</text>'
                for kind, x, y, text in words
            ),
        ]
    )


def _arrow(passed: list[Spot]) -> str:
    """Draws an arrow from box to box, straight through the lanes between."""
    path = f"M{passed[0].x:g},{passed[0].top + BOX[1]:g}"
    for upper, lower in pairwise(passed):
        bend = lower.top - GAP[1] / 2
        path += f" C{upper.x:g},{bend:g} {lower.x:g},{bend:g} {lower.x:g},{lower.top:g}"
        if lower.width == LANE:
            path += f" v{BOX[1]}"
    return f'<path class="arrow" d="{path}"/>'
