"""Writes the first two convolutions, each with its pooling, and their gradients.

They work on one image at a time:

* The first has its 8 units in the lanes of a vector, in vectors of 16 lanes two rows of
  them, and multiplies them by one pixel at a time.
* The second has a tap row in the lanes: [column, channel] is contiguous.
* Max pooling passes a gradient to one of four corners only, so the gradients of both
  visit that corner alone, a quarter of the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..plan import ROW, Plan, Stage
from .source import Source

# of a 2 x 2 pooling window: upper left, upper right, lower left, lower right
_CORNERS = range(4)


def convolve_1(code: Source, plan: Plan, *, training: bool) -> None:
    """First convolution and 2 x 2 maximum, one pixel times all units at once."""
    first, lanes = plan.program.first, plan.lanes
    taps, side = first.kernel, first.side
    # vectors for the two rows that are pooled into one
    vectors = 2 // plan.rows_per_vector
    fitting = (n for n in range(2 * side, 0, -1) if 2 * side % n == 0 and n % 2 == 0)
    columns = next(n for n in fitting if n * vectors <= min(plan.sums, 16))
    head = (
        "convolve_1(inputs, inputs_at, table, weights, features, features_at, winners)"
        if training
        else "convolve_1_only(inputs, inputs_at, table, weights, features, features_at)"
    )
    about = "First convolution and pooling of an image; winners: where windows begin."
    with code.function(head, about):
        code(f"bias = {_biases(first)}")
        with (
            code.block(f"for row in range({side}):"),
            code.block(f"for tile in range(0, {2 * side}, {columns}):"),
        ):
            for d in range(vectors):
                code(*(f"sum_{d}_{c} = filled(F(0), {lanes})" for c in range(columns)))
            tap_rows = taps + plan.rows_per_vector - 1
            with (
                code.block("for plane in range(PLANES):"),
                code.block(f"for tap_row in range({tap_rows}):"),
            ):
                code(f"table_at = (plane * TABLE_TAPS_1 + tap_row) * {taps * lanes}")
                for t in range(taps):
                    code(f"tap_{t} = load(table, table_at + {t * lanes}, {lanes})")
                for d in range(vectors):
                    line = f"(plane * SIDE + 2 * row + tap_row + {d}) * ROW"
                    code(f"pixel_at = inputs_at + {line} + tile")
                    _multiply_pixels(code, d, taps=taps, columns=columns, lanes=lanes)
            if training:
                _prepare_winners(code)
            for c in range(0, columns, 2):
                _pool_columns(code, c, lanes=lanes, training=training)
                target = f"features_at + (row * {side} + tile // 2 + {c // 2}) * 8"
                if training:
                    _store_winners(code, target)
                code("largest = where_greater(lower, upper, lower, upper)")
                code(f"store(features, {target}, largest + bias)")


def _multiply_pixels(
    code: Source, d: int, *, taps: int, columns: int, lanes: int
) -> None:
    """Adds to the sums of a row: every pixel times every tap that meets it there."""
    for pixel in range(columns + taps - 1):
        code(f"pixel = load_filled(inputs, pixel_at + {pixel}, {lanes})")
        for t in range(taps):
            c = pixel - t
            if 0 <= c < columns:
                code(f"sum_{d}_{c} = fma(pixel, tap_{t}, sum_{d}_{c})")


def _prepare_winners(code: Source) -> None:
    # A window that would cross a cache line is read from the second copy.
    code("crossing_from, crossing_to = filled(F(8.5), 8), filled(F(15.5), 8)")
    code("second_copy = filled(F(COPY), 8)")
    code("first_column = filled(F(tile), 8)")
    code("upper_at = filled(F(inputs_at + 2 * row * ROW), 8)")
    code("lower_at = filled(F(inputs_at + (2 * row + 1) * ROW), 8)")


def _pool_columns(code: Source, c: int, *, lanes: int, training: bool) -> None:
    """Leaves the larger of columns c, c + 1 in `upper` and `lower`, by its row."""
    rows = ("both",) if lanes == 16 else ("upper", "lower")
    for d, name in enumerate(rows):
        left, right = f"sum_{d}_{c}", f"sum_{d}_{c + 1}"
        if training:
            x, y = (f"filled(F({c + k}), {lanes})" for k in range(2))
            code(f"{name}_column = where_greater({right}, {left}, {y}, {x})")
        code(f"{name} = where_greater({right}, {left}, {right}, {left})")
    if lanes == 16:
        if training:
            code("lower_column = part(both_column, 8, 8)")
            code("upper_column = part(both_column, 0, 8)")
        code("lower = part(both, 8, 8)", "upper = part(both, 0, 8)")


def _store_winners(code: Source, target: str) -> None:
    """Writes where in `inputs` the windows of the largest values begin."""
    larger = "where_greater(lower, upper, lower_column, upper_column)"
    code(f"column = {larger} + first_column")
    moved = "where_greater(crossing_to, column, column + second_copy, column)"
    code(f"moved = {moved}")
    code("column = where_greater(column, crossing_from, moved, column)")
    code("window_at = column + where_greater(lower, upper, lower_at, upper_at)")
    code(f"store_integers(winners, {target}, window_at)")


def _biases(stage: Stage, first: int = 0) -> str:
    """Returns the biases of units from the first on, a vector of 8."""
    item = stage.item
    at = item.bias.start + first
    return f"load(weights, {at}, 8)" if item.layer.bias else "filled(F(0), 8)"


def convolve_2(code: Source, plan: Plan, stage: Stage, *, training: bool) -> None:
    """Second convolution and 2 x 2 maximum, a tap row of all channels at once."""
    taps, units, side = stage.kernel, stage.item.units, stage.side
    head = "convolve_2{}(features, features_at, table, weights, handed, handed_at{})"
    head = head.format(*(("", ", winners") if training else ("_only", "")))
    about = "Second convolution and pooling of an image; winners: which corner."
    per_pass = min(units, plan.sums // len(_CORNERS))
    with (
        code.function(head, about),
        code.block(f"for row in range({side}):"),
        code.block(f"for column in range({side}):"),
    ):
        first = f"(2 * row * {plan.program.first.side} + 2 * column) * 8"
        code(f"window_at = features_at + {first}")
        code(f"pooled_at = handed_at + (row * {side} + column) * 8")
        # Lanes beyond the units of a pass are overwritten by what follows.
        for start in range(0, units, per_pass):
            together = range(start, min(start + per_pass, units))
            for corner in _CORNERS:
                code(
                    *(
                        f"sum_{corner}_{u} = filled(F(0), {plan.lanes})"
                        for u in together
                    )
                )
            with code.block(f"for tap_row in range({taps}):"):
                for part in range(plan.vectors_per_tap_row):
                    _multiply_tap_rows(code, plan, together, part=part)
            _pool_corners(code, plan, stage, together, training=training)


def _multiply_tap_rows(
    code: Source, plan: Plan, units: Sequence[int], *, part: int
) -> None:
    """Adds to the sums: a vector of each corner's window times one of each unit."""
    lanes, line = plan.lanes, plan.program.first.side * 8
    for corner, offset in zip(_CORNERS, (0, 8, line, line + 8), strict=True):
        at = f"window_at + tap_row * {line} + {offset + part * lanes}"
        code(f"window_{corner} = load(features, {at}, {lanes})")
    for u in units:
        at = f"{u} * TABLE_UNIT_2 + (tap_row + 1) * TABLE_ROW_2 + {part * lanes}"
        code(f"taps = load(table, {at}, {lanes})")
        for corner in _CORNERS:
            code(f"sum_{corner}_{u} = fma(window_{corner}, taps, sum_{corner}_{u})")


def _pool_corners(
    code: Source, plan: Plan, stage: Stage, units: Sequence[int], *, training: bool
) -> None:
    """Sums the lanes and writes the largest corner of each unit of a pass."""
    for corner in _CORNERS:
        names = [f"sum_{corner}_{u}" for u in units]
        sums = code.lane_sums(names, lanes=plan.lanes)
        code(f"value_{corner} = part({sums}, 0, 8)")
    code("upper = where_greater(value_1, value_0, value_1, value_0)")
    code("lower = where_greater(value_3, value_2, value_3, value_2)")
    if training:
        code(*(f"corner_{corner} = filled(F({corner}), 8)" for corner in _CORNERS))
        code("upper_corner = where_greater(value_1, value_0, corner_1, corner_0)")
        code("lower_corner = where_greater(value_3, value_2, corner_3, corner_2)")
        code("winner = where_greater(lower, upper, lower_corner, upper_corner)")
        code(f"store_integers(winners, pooled_at + {units[0]}, winner)")
    code("largest = where_greater(lower, upper, lower, upper)")
    code(f"bias = {_biases(stage, units[0])}")
    code(f"store(handed, pooled_at + {units[0]}, largest + bias)")


def convolve_1_gradient(code: Source, plan: Plan) -> None:
    """Weights and bias: a window of the image per pooled value and unit."""
    stage = plan.program.first
    taps = stage.kernel
    together = 2
    arguments = "inputs, deltas, winners, winners_at, sums, gradient"
    about = "Adds the gradients of the taps to sums, those of the biases to gradient."
    with code.function(f"convolve_1_gradient({arguments})", about):
        if stage.item.layer.bias:
            _first_bias_gradient(code, stage)
        with (
            code.block("for plane in range(PLANES):"),
            code.block(f"for unit in range(0, 8, {together}):"),
        ):
            code(f"sums_at = (plane * 8 + unit) * {taps * 8}")
            sums = [(u, tap_row) for u in range(together) for tap_row in range(taps)]
            for u, r in sums:
                code(f"sum_{u}_{r} = load(sums, sums_at + {(u * taps + r) * 8}, 8)")
            code("plane_at = plane * SIDE * ROW")
            with code.block("for delta_at in range(unit, FEATURES_1, 8):"):
                for u in range(together):
                    code(f"delta = load_filled(deltas, delta_at + {u}, 8)")
                    winner = f"winners[winners_at + delta_at + {u}]"
                    code(f"window_at = plane_at + {winner}")
                    for r in range(taps):
                        pixels = f"load(inputs, window_at + {r * ROW}, 8)"
                        code(f"sum_{u}_{r} = fma(delta, {pixels}, sum_{u}_{r})")
            for u, r in sums:
                code(f"store(sums, sums_at + {(u * taps + r) * 8}, sum_{u}_{r})")


def _first_bias_gradient(code: Source, stage: Stage) -> None:
    code("total = filled(F(0), 16)")
    with code.block("for delta_at in range(0, FEATURES_1, 16):"):
        code("total = total + load(deltas, delta_at, 16)")
    code(f"bias = load(gradient, {stage.item.bias.start}, 8)")
    code("by_unit = part(total, 0, 8) + part(total, 8, 8)")
    code(f"store(gradient, {stage.item.bias.start}, bias + by_unit)")


class _RowVector(NamedTuple):
    """One of the vectors that hold rows of a window: which row, which part of it."""

    row: int
    part: int

    @property
    def sum(self) -> str:
        """The name of the sum it is added to."""
        return f"sum_{self.row}_{self.part}"

    def offset(self, *, line: int, lanes: int) -> int:
        """Entries from the window's start to the vector in rows of `line` handed."""
        return self.row * line + self.part * lanes


def _passes(rows: int, *, vectors: int, registers: int) -> list[list[_RowVector]]:
    """Splits rows of `vectors` vectors each into passes that fit the registers."""
    size = max(1, registers // vectors)
    return [
        [
            _RowVector(r, p)
            for r in range(i, min(i + size, rows))
            for p in range(vectors)
        ]
        for i in range(0, rows, size)
    ]


def convolve_2_gradient(code: Source, plan: Plan, stage: Stage) -> None:
    """Weights, bias and input, at the corner that won the maximum."""
    taps, lanes, vectors = stage.kernel, plan.lanes, plan.vectors_per_tap_row
    side, line = stage.side, plan.program.first.side * 8
    arguments = (
        "features, features_at, table, deltas, winners, handed_at, sums, gradient,"
        " deltas_before"
    )
    about = "The same for the second convolution, and the gradient of its features."
    with code.function(f"convolve_2_gradient({arguments})", about):
        with code.block("for unit in range(UNITS_2):"):
            if stage.item.layer.bias:
                code("total = F(0)")
                with code.block("for position in range(POSITIONS_2):"):
                    code("total += deltas[handed_at + position * 8 + unit]")
                code(f"gradient[{stage.item.bias.start} + unit] += total")
            for rows in _passes(taps, vectors=vectors, registers=plan.sums):
                code(f"sums_at = unit * {taps} * SUMS_ROW_2")
                for x in rows:
                    offset = x.offset(line=vectors * lanes, lanes=lanes)
                    code(f"{x.sum} = load(sums, sums_at + {offset}, {lanes})")
                with (
                    code.block(f"for row in range({side}):"),
                    code.block(f"for column in range({side}):"),
                ):
                    place = f"(row * {side} + column) * 8"
                    code(f"delta_at = handed_at + {place} + unit")
                    code("corner = np.int64(winners[delta_at])")
                    code(f"delta = load_filled(deltas, delta_at, {lanes})")
                    code(
                        f"window_at = features_at + (2 * row + (corner >> 1)) * {line}"
                    )
                    code("window_at += (2 * column + (corner & 1)) * 8")
                    for x in rows:
                        at = f"window_at + {x.offset(line=line, lanes=lanes)}"
                        window = f"load(features, {at}, {lanes})"
                        code(f"{x.sum} = fma(delta, {window}, {x.sum})")
                for x in rows:
                    offset = x.offset(line=vectors * lanes, lanes=lanes)
                    code(f"store(sums, sums_at + {offset}, {x.sum})")
        _convolve_2_backward(code, plan, stage)


def _convolve_2_backward(code: Source, plan: Plan, stage: Stage) -> None:
    """Gradient of the input: tap rows from the table, moved to the winning corner."""
    taps, lanes = stage.kernel, plan.lanes
    side, line = stage.side, plan.program.first.side * 8
    vectors = plan.table_row // lanes
    code("clear(deltas_before, FIRST, FEATURES_1)")
    with (
        code.block(f"for row in range({side}):"),
        code.block(f"for column in range({side}):"),
    ):
        code(f"before_at = 2 * row * {line} + 2 * column * 8")
        code(f"pooled_at = handed_at + (row * {side} + column) * 8")
        for rows in _passes(taps + 1, vectors=vectors, registers=plan.sums):
            for x in rows:
                at = f"before_at + {x.offset(line=line, lanes=lanes)}"
                code(f"{x.sum} = load(deltas_before, {at}, {lanes})")
            with code.block("for unit in range(UNITS_2):"):
                code("corner = np.int64(winners[pooled_at + unit])")
                code(f"delta = load_filled(deltas, pooled_at + unit, {lanes})")
                code("table_at = unit * TABLE_UNIT_2 + (corner & 1) * TABLE_SHIFT_2")
                code("table_at += (1 - (corner >> 1)) * TABLE_ROW_2")
                for x in rows:
                    at = f"table_at + {x.offset(line=plan.table_row, lanes=lanes)}"
                    code(f"{x.sum} = fma(delta, load(table, {at}, {lanes}), {x.sum})")
            for x in rows:
                at = f"before_at + {x.offset(line=line, lanes=lanes)}"
                code(f"store(deltas_before, {at}, {x.sum})")
