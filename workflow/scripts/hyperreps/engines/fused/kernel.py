"""Writes the source of the fused engine's kernel for one architecture and CPU.

steps.py holds what plain loops can say. The functions written here unroll their
inner loops, so that sums and taps stay in registers:

* The first convolution has its 8 units in the lanes of a vector, in vectors of 16 lanes
  two rows of them, and multiplies them by one pixel at a time.
* The second has a tap row in the lanes: [column, channel] is contiguous.
* Max pooling passes a gradient to one of four corners only, so the gradients of both
  visit that corner alone, a quarter of the work.
* The layers behind have the images in the lanes.

Words and memory are drawn in docs/fused_kernel.md, and docs/fused_kernel_reference.py
is what is written here for one network and CPU.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ..plan import ROW, Plan

STEPS = Path(__file__).with_name("steps.py")
# of vectors.py, by the functions written here
_USED = (
    *("filled", "fma", "folded", "load", "load_filled", "part", "store"),
    *("store_integers", "where_greater"),
)
# of a 2 x 2 pooling window: upper left, upper right, lower left, lower right
_CORNERS = range(4)


class _Source:
    """Lines of Python with their indentation."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.depth = 0
        self.names = 0

    def __call__(self, *lines: str) -> None:
        self.lines += ["    " * self.depth + line for line in lines]

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        self(head)
        self.depth += 1
        yield
        self.depth -= 1

    @contextmanager
    def function(self, head: str, about: str) -> Iterator[None]:
        self("", "", "@njit")
        with self.block(f"def {head}:"):
            self(f'"""{about}"""')
            yield

    def lane_sums(self, vectors: Sequence[str], *, lanes: int) -> str:
        """Sums the lanes of each vector; returns a vector with sum i in lane i."""
        names = list(vectors)
        assert len(names) <= lanes
        block = lanes
        while block > 1:
            if len(names) % 2:
                names.append(names[-1])
            pairs = zip(names[::2], names[1::2], strict=True)
            names = [self.new(f"folded({x}, {y}, {block})") for x, y in pairs]
            block //= 2
        return names[0]

    def new(self, value: str) -> str:
        """Assigns to a fresh name and returns it."""
        self.names += 1
        self(f"t{self.names} = {value}")
        return f"t{self.names}"

    def add_lane_sums(self, vectors: Sequence[str], gradient_at: str) -> None:
        """Adds the lane sums of up to 16 vectors to `gradient` from an offset on."""
        sums = self.lane_sums(vectors, lanes=16)
        count = len(vectors)
        self(f"gradient_at = {gradient_at}")
        old = f"load(gradient, gradient_at, {count})"
        self(f"store(gradient, gradient_at, {old} + part({sums}, 0, {count}))")


def kernel_source(plan: Plan) -> str:
    """Returns the source of a module with train_model and evaluate_model."""
    steps = STEPS.read_text(encoding="utf-8")
    return steps.replace(
        "hyperreps.engines.fused.vectors", f"{__package__}.vectors"
    ) + "\n".join(["", "", unrolled_source(plan)])


def unrolled_source(plan: Plan) -> str:
    """Returns the part of the source that depends on the plan."""
    code = _Source()
    code(f"from {__package__}.vectors import {', '.join(_USED)}", "")
    code(*(f"{name} = np.int64({value})" for name, value in plan.constants().items()))
    for training in (True, False):
        _convolve_1(code, plan, training=training)
        _convolve_2(code, plan, training=training)
    _convolve_1_gradient(code, plan)
    _convolve_2_gradient(code, plan)
    _convolve_3(code, plan)
    _convolve_3_gradient(code, plan)
    for number in (1, 2):
        _linear(code, plan, number)
        _linear_gradient(code, plan, number)
    return "\n".join([*code.lines, ""])


def _convolve_1(code: _Source, plan: Plan, *, training: bool) -> None:
    """First convolution and 2 x 2 maximum, one pixel times all units at once."""
    taps, lanes, side = plan.kernels[0], plan.lanes, plan.sides[0]
    # vectors for the two rows that are pooled into one
    vectors = 2 // plan.rows_per_vector
    fitting = (n for n in range(2 * side, 0, -1) if 2 * side % n == 0 and n % 2 == 0)
    columns = next(n for n in fitting if n * vectors <= min(plan.sums, 16))
    head = (
        "convolve_1(inputs, inputs_at, table, weights, features, features_at, winners)"
        if training
        else "convolve_1_only(inputs, inputs_at, table, weights, features)"
    )
    about = "First convolution and pooling of an image; winners: where windows begin."
    with code.function(head, about):
        code(f"bias = load(weights, {plan.biases_at[0]}, 8)")
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
                target = f"(row * {side} + tile // 2 + {c // 2}) * 8"
                if training:
                    target = f"features_at + {target}"
                    _store_winners(code, target)
                code("largest = where_greater(lower, upper, lower, upper)")
                code(f"store(features, {target}, largest + bias)")


def _multiply_pixels(
    code: _Source, d: int, *, taps: int, columns: int, lanes: int
) -> None:
    """Adds to the sums of a row: every pixel times every tap that meets it there."""
    for pixel in range(columns + taps - 1):
        code(f"pixel = load_filled(inputs, pixel_at + {pixel}, {lanes})")
        for t in range(taps):
            c = pixel - t
            if 0 <= c < columns:
                code(f"sum_{d}_{c} = fma(pixel, tap_{t}, sum_{d}_{c})")


def _prepare_winners(code: _Source) -> None:
    # A window that would cross a cache line is read from the second copy.
    code("crossing_from, crossing_to = filled(F(8.5), 8), filled(F(15.5), 8)")
    code("second_copy = filled(F(COPY), 8)")
    code("first_column = filled(F(tile), 8)")
    code("upper_at = filled(F(inputs_at + 2 * row * ROW), 8)")
    code("lower_at = filled(F(inputs_at + (2 * row + 1) * ROW), 8)")


def _pool_columns(code: _Source, c: int, *, lanes: int, training: bool) -> None:
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


def _store_winners(code: _Source, target: str) -> None:
    """Writes where in `inputs` the windows of the largest values begin."""
    larger = "where_greater(lower, upper, lower_column, upper_column)"
    code(f"column = {larger} + first_column")
    moved = "where_greater(crossing_to, column, column + second_copy, column)"
    code(f"moved = {moved}")
    code("column = where_greater(column, crossing_from, moved, column)")
    code("window_at = column + where_greater(lower, upper, lower_at, upper_at)")
    code(f"store_integers(winners, {target}, window_at)")


def _convolve_2(code: _Source, plan: Plan, *, training: bool) -> None:
    """Second convolution and 2 x 2 maximum, a tap row of all channels at once."""
    taps, units, side = plan.kernels[1], plan.units[1], plan.sides[1]
    head = (
        "convolve_2(features, features_at, table, weights, pooled, winners, winners_at)"
        if training
        else "convolve_2_only(features, features_at, table, weights, pooled)"
    )
    about = "Second convolution and pooling of an image; winners: which corner."
    per_pass = min(units, plan.sums // len(_CORNERS))
    with (
        code.function(head, about),
        code.block(f"for row in range({side}):"),
        code.block(f"for column in range({side}):"),
    ):
        first = f"(2 * row * {plan.sides[0]} + 2 * column) * 8"
        code(f"window_at = features_at + {first}")
        code(f"pooled_at = (row * {side} + column) * 8")
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
            _pool_corners(code, plan, together, training=training)


def _multiply_tap_rows(
    code: _Source, plan: Plan, units: Sequence[int], *, part: int
) -> None:
    """Adds to the sums: a vector of each corner's window times one of each unit."""
    lanes, line = plan.lanes, plan.sides[0] * 8
    for corner, offset in zip(_CORNERS, (0, 8, line, line + 8), strict=True):
        at = f"window_at + tap_row * {line} + {offset + part * lanes}"
        code(f"window_{corner} = load(features, {at}, {lanes})")
    for u in units:
        at = f"{u} * TABLE_UNIT_2 + (tap_row + 1) * TABLE_ROW_2 + {part * lanes}"
        code(f"taps = load(table, {at}, {lanes})")
        for corner in _CORNERS:
            code(f"sum_{corner}_{u} = fma(window_{corner}, taps, sum_{corner}_{u})")


def _pool_corners(
    code: _Source, plan: Plan, units: Sequence[int], *, training: bool
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
        code(f"store_integers(winners, winners_at + pooled_at + {units[0]}, winner)")
    code("largest = where_greater(lower, upper, lower, upper)")
    code(f"bias = load(weights, {plan.biases_at[1] + units[0]}, 8)")
    code(f"store(pooled, pooled_at + {units[0]}, largest + bias)")


def _convolve_1_gradient(code: _Source, plan: Plan) -> None:
    """Weights and bias: a window of the image per pooled value and unit."""
    taps = plan.kernels[0]
    together = 2
    arguments = "inputs, deltas, winners, winners_at, sums, gradient"
    about = "Adds the gradients of the taps to sums, those of the biases to gradient."
    with code.function(f"convolve_1_gradient({arguments})", about):
        code("total = filled(F(0), 16)")
        with code.block("for delta_at in range(0, FEATURES_1, 16):"):
            code("total = total + load(deltas, delta_at, 16)")
        code(f"bias = load(gradient, {plan.biases_at[0]}, 8)")
        code("by_unit = part(total, 0, 8) + part(total, 8, 8)")
        code(f"store(gradient, {plan.biases_at[0]}, bias + by_unit)")
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


class _RowVector(NamedTuple):
    """One of the vectors that hold rows of a window: which row, which part of it."""

    row: int
    part: int

    @property
    def sum(self) -> str:
        """The name of the sum it is added to."""
        return f"sum_{self.row}_{self.part}"

    def offset(self, *, line: int, lanes: int) -> int:
        """Entries from the window's start to the vector in rows of `line` entries."""
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


def _convolve_2_gradient(code: _Source, plan: Plan) -> None:
    """Weights, bias and input, at the corner that won the maximum."""
    taps, lanes, vectors = plan.kernels[1], plan.lanes, plan.vectors_per_tap_row
    side, line = plan.sides[1], plan.sides[0] * 8
    arguments = (
        "features, features_at, table, deltas, winners, winners_at, sums, gradient,"
        " deltas_before"
    )
    about = "The same for the second convolution, and the gradient of its features."
    with code.function(f"convolve_2_gradient({arguments})", about):
        with code.block("for unit in range(UNITS_2):"):
            code("total = F(0)")
            with code.block("for position in range(POSITIONS_2):"):
                code("total += deltas[position * 8 + unit]")
            code(f"gradient[{plan.biases_at[1]} + unit] += total")
            for rows in _passes(taps, vectors=vectors, registers=plan.sums):
                code(f"sums_at = unit * {taps} * SUMS_ROW_2")
                for x in rows:
                    offset = x.offset(line=vectors * lanes, lanes=lanes)
                    code(f"{x.sum} = load(sums, sums_at + {offset}, {lanes})")
                with (
                    code.block(f"for row in range({side}):"),
                    code.block(f"for column in range({side}):"),
                ):
                    code(f"delta_at = (row * {side} + column) * 8 + unit")
                    code("corner = np.int64(winners[winners_at + delta_at])")
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
        _convolve_2_backward(code, plan)


def _convolve_2_backward(code: _Source, plan: Plan) -> None:
    """Gradient of the input: tap rows from the table, moved to the winning corner."""
    taps, lanes = plan.kernels[1], plan.lanes
    side, line = plan.sides[1], plan.sides[0] * 8
    vectors = plan.table_row // lanes
    code("clear(deltas_before)")
    with (
        code.block(f"for row in range({side}):"),
        code.block(f"for column in range({side}):"),
    ):
        code(f"before_at = 2 * row * {line} + 2 * column * 8")
        code(f"pooled_at = (row * {side} + column) * 8")
        for rows in _passes(taps + 1, vectors=vectors, registers=plan.sums):
            for x in rows:
                at = f"before_at + {x.offset(line=line, lanes=lanes)}"
                code(f"{x.sum} = load(deltas_before, {at}, {lanes})")
            with code.block("for unit in range(UNITS_2):"):
                code("corner = np.int64(winners[winners_at + pooled_at + unit])")
                code(f"delta = load_filled(deltas, pooled_at + unit, {lanes})")
                code("table_at = unit * TABLE_UNIT_2 + (corner & 1) * TABLE_SHIFT_2")
                code("table_at += (1 - (corner >> 1)) * TABLE_ROW_2")
                for x in rows:
                    at = f"table_at + {x.offset(line=plan.table_row, lanes=lanes)}"
                    code(f"{x.sum} = fma(delta, load(table, {at}, {lanes}), {x.sum})")
            for x in rows:
                at = f"before_at + {x.offset(line=line, lanes=lanes)}"
                code(f"store(deltas_before, {at}, {x.sum})")


class _Meeting(NamedTuple):
    """Positions that meet in the third convolution, each counted row by row."""

    before: int
    after: int
    tap: int


def _meetings(plan: Plan) -> dict[int, list[_Meeting]]:
    """Returns what meets in the third convolution, by the position before it."""
    taps, before, after = plan.kernels[2], plan.sides[1], plan.sides[2]
    found = [
        _Meeting((y + i) * before + x + j, y * after + x, i * taps + j)
        for y in range(after)
        for x in range(after)
        for i in range(taps)
        for j in range(taps)
    ]
    return {p: [m for m in found if m.before == p] for p in range(before**2)}


def _convolve_3(code: _Source, plan: Plan) -> None:
    """Third convolution, images in lanes."""
    taps, positions = plan.kernels[2] ** 2, plan.sides[2] ** 2
    inputs = plan.units[1]
    with (
        code.function("convolve_3(weights, features, out)", "Of 16 images at once."),
        code.block(f"for unit in range({plan.units[2]}):"),
    ):
        code(f"bias = load_filled(weights, {plan.biases_at[2]} + unit, 16)")
        code(*(f"sum_{q} = bias" for q in range(positions)))
        with code.block("for channel in range(UNITS_2):"):
            first = f"(unit * {inputs} + channel) * {taps}"
            code(f"weights_at = {plan.weights_at[2]} + {first}")
            for t in range(taps):
                code(f"tap_{t} = load_filled(weights, weights_at + {t}, 16)")
            code("features_at = channel * POSITIONS_2 * 16")
            for p, meetings in _meetings(plan).items():
                code(f"feature = load(features, features_at + {p * 16}, 16)")
                for _, q, t in meetings:
                    code(f"sum_{q} = fma(feature, tap_{t}, sum_{q})")
        for q in range(positions):
            code(f"store(out, (unit * {positions} + {q}) * 16, sum_{q})")


def _convolve_3_gradient(code: _Source, plan: Plan) -> None:
    """Weights, biases and input, images in lanes."""
    taps, positions = plan.kernels[2] ** 2, plan.sides[2] ** 2
    inputs = plan.units[1]
    arguments = "weights, features, deltas, gradient, deltas_before"
    about = (
        "Adds the gradients of weights and biases; those of features replace others."
    )
    with code.function(f"convolve_3_gradient({arguments})", about):
        code("clear(deltas_before)")
        with code.block(f"for unit in range({plan.units[2]}):"):
            for q in range(positions):
                code(f"delta_{q} = load(deltas, (unit * {positions} + {q}) * 16, 16)")
            code("total = " + " + ".join(f"delta_{q}" for q in range(positions)))
            code.add_lane_sums(["total"], f"{plan.biases_at[2]} + unit")
            with code.block("for channel in range(UNITS_2):"):
                first = f"(unit * {inputs} + channel) * {taps}"
                code(f"weights_at = {plan.weights_at[2]} + {first}")
                for t in range(taps):
                    code(f"tap_{t} = load_filled(weights, weights_at + {t}, 16)")
                    code(f"sum_{t} = filled(F(0), 16)")
                code("features_at = channel * POSITIONS_2 * 16")
                for p, meetings in _meetings(plan).items():
                    at = f"features_at + {p * 16}"
                    code(f"feature = load(features, {at}, 16)")
                    code(f"before = load(deltas_before, {at}, 16)")
                    for _, q, t in meetings:
                        code(f"sum_{t} = fma(feature, delta_{q}, sum_{t})")
                        code(f"before = fma(tap_{t}, delta_{q}, before)")
                    code(f"store(deltas_before, {at}, before)")
                code.add_lane_sums([f"sum_{t}" for t in range(taps)], "weights_at")


def _tile(count: int) -> int:
    """Returns the largest divisor up to 8."""
    return next(n for n in range(8, 0, -1) if count % n == 0)


def _linear(code: _Source, plan: Plan, number: int) -> None:
    """Linear layer, images in lanes."""
    item = plan.architecture.weighted[2 + number]
    units, inputs = item.units, item.fan_in
    tile = _tile(units)
    with (
        code.function(
            f"linear_{number}(weights, features, out)", "Of 16 images at once."
        ),
        code.block(f"for unit in range(0, {units}, {tile}):"),
    ):
        for u in range(tile):
            at = f"{item.bias.start} + unit + {u}"
            code(f"sum_{u} = load_filled(weights, {at}, 16)")
        with code.block(f"for i in range({inputs}):"):
            code("feature = load(features, i * 16, 16)")
            code(f"weights_at = {item.weight.start} + unit * {inputs} + i")
            for u in range(tile):
                weight = f"load_filled(weights, weights_at + {u * inputs}, 16)"
                code(f"sum_{u} = fma(feature, {weight}, sum_{u})")
        for u in range(tile):
            code(f"store(out, (unit + {u}) * 16, sum_{u})")


def _linear_gradient(code: _Source, plan: Plan, number: int) -> None:
    """Weights, biases and input, images in lanes."""
    item = plan.architecture.weighted[2 + number]
    units, inputs = item.units, item.fan_in
    arguments = "weights, features, deltas, gradient, deltas_before"
    about = "As convolve_3_gradient."
    with code.function(f"linear_{number}_gradient({arguments})", about):
        for first in range(0, units, 16):
            chosen = range(first, min(first + 16, units))
            rows = [code.new(f"load(deltas, {u * 16}, 16)") for u in chosen]
            code.add_lane_sums(rows, f"{item.bias.start + first}")
        with code.block(f"for unit in range({units}):"):
            code("delta = load(deltas, unit * 16, 16)")
            for first in range(0, inputs, 16):
                chosen = range(first, min(first + 16, inputs))
                rows = [
                    code.new(f"delta * load(features, {i * 16}, 16)") for i in chosen
                ]
                target = f"{item.weight.start} + unit * {inputs} + {first}"
                code.add_lane_sums(rows, target)
        tile = _tile(inputs)
        with code.block(f"for i in range(0, {inputs}, {tile}):"):
            code(*(f"sum_{t} = filled(F(0), 16)" for t in range(tile)))
            with code.block(f"for unit in range({units}):"):
                code("delta = load(deltas, unit * 16, 16)")
                code(f"weights_at = {item.weight.start} + unit * {inputs} + i")
                for t in range(tile):
                    weight = f"load_filled(weights, weights_at + {t}, 16)"
                    code(f"sum_{t} = fma(delta, {weight}, sum_{t})")
            for t in range(tile):
                code(f"store(deltas_before, (i + {t}) * 16, sum_{t})")
