"""Writes the source of the fused engine's kernel for one architecture and CPU.

steps.py holds what plain loops can say. The functions written here unroll their
inner loops, so that sums and weights stay in registers:

* The first convolution has its 8 units in the lanes of a vector, in vectors of 16 lanes
  two rows of them, and multiplies them by one pixel at a time.
* The second has a row of its kernel in the lanes: [column, channel] is contiguous.
* Max pooling passes a gradient to one of four positions only, so the gradients of both
  visit that position alone, a quarter of the work.
* The layers behind have the samples in the lanes.

Weights are in kernel order (see plan.py): the first two convolutions with the
channel that vectors run over innermost, all else as in PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..plan import ROW, Plan

STEPS = Path(__file__).with_name("steps.py")
# of vectors.py, by the functions written here
_USED = (
    *("filled", "fma", "folded", "load", "load_filled", "part", "store"),
    *("store_integers", "where_greater"),
)


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

    def function(self, head: str):
        self("", "", "@njit")
        return self.block(f"def {head}:")

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

    def add_lane_sums(self, vectors: Sequence[str], target: str) -> None:
        """Adds the lane sums of up to 16 vectors to `gradient` from target on."""
        sums = self.lane_sums(vectors, lanes=16)
        count = len(vectors)
        self(f"at = {target}")
        old = f"load(gradient, at, {count})"
        self(f"store(gradient, at, {old} + part({sums}, 0, {count}))")


def kernel_source(plan: Plan) -> str:
    """Returns the source of a module with train_model and evaluate_model."""
    s = _Source()
    s("", "", f"from {__package__}.vectors import {', '.join(_USED)}", "")
    s(*(f"{name} = np.int64({value})" for name, value in plan.constants().items()))
    for choose in (True, False):
        _convolve_1(s, plan, choose=choose)
        _convolve_2(s, plan, choose=choose)
    _convolve_1_gradient(s, plan)
    _convolve_2_gradient(s, plan)
    _convolve_3(s, plan)
    _convolve_3_gradient(s, plan)
    for number in (1, 2):
        _linear(s, plan, number)
        _linear_gradient(s, plan, number)
    steps = STEPS.read_text(encoding="utf-8")
    return steps.replace(
        "hyperreps.engines.fused.vectors", f"{__package__}.vectors"
    ) + "\n".join([*s.lines, ""])


def _convolve_1(s: _Source, plan: Plan, *, choose: bool) -> None:
    """First convolution, 2 x 2 maximum and, to choose, where the maximum was read."""
    kernel, lanes = plan.kernels[0], plan.lanes
    side = plan.sides[0]
    apart = 2 // plan.rows_per_vector
    fitting = (n for n in range(2 * side, 0, -1) if 2 * side % n == 0 and n % 2 == 0)
    columns = next(n for n in fitting if n * apart <= min(plan.sums, 16))
    head = (
        "convolve_1(x, start, table, w, out, at, chosen)"
        if choose
        else "convolve_1_only(x, start, table, w, out)"
    )
    with s.function(head):
        s(f"bias = load(w, {plan.bias[0]}, 8)")
        with (
            s.block(f"for row in range({side}):"),
            s.block(f"for tile in range(0, {2 * side}, {columns}):"),
        ):
            for d in range(apart):
                s(*(f"s{d}_{c} = filled(F(0), {lanes})" for c in range(columns)))
            rows = f"range({kernel + plan.rows_per_vector - 1})"
            with s.block("for plane in range(PLANES):"), s.block(f"for k in {rows}:"):
                s(f"of = (plane * TABLE_ROWS_1 + k) * {kernel * lanes}")
                for j in range(kernel):
                    s(f"w{j} = load(table, of + {j * lanes}, {lanes})")
                for d in range(apart):
                    s(f"of = start + (plane * SIDE + 2 * row + k + {d}) * ROW + tile")
                    for column in range(columns + kernel - 1):
                        s(f"v = load_filled(x, of + {column}, {lanes})")
                        for j in range(kernel):
                            c = column - j
                            if 0 <= c < columns:
                                s(f"s{d}_{c} = fma(v, w{j}, s{d}_{c})")
            if choose:
                # A window that would cross a cache line is read from the second copy.
                s("line, next_line = filled(F(8.5), 8), filled(F(15.5), 8)")
                s("copy_ = filled(F(COPY), 8)")
                s("first = filled(F(tile), 8)")
                s("upper = filled(F(start + 2 * row * ROW), 8)")
                s("lower = filled(F(start + (2 * row + 1) * ROW), 8)")
            for c in range(0, columns, 2):
                _pool_columns(s, c, apart=apart, lanes=lanes, choose=choose)
                target = f"(row * {side} + tile // 2 + {c // 2}) * 8"
                if choose:
                    s("i = where_greater(b, a, ib, ia) + first")
                    s("j = where_greater(next_line, i, i + copy_, i)")
                    s("i = where_greater(i, line, j, i)")
                    s("i = i + where_greater(b, a, lower, upper)")
                    s(f"store_integers(chosen, at + {target}, i)")
                    target = f"at + {target}"
                s("a = where_greater(b, a, b, a)")
                s(f"store(out, {target}, a + bias)")


def _pool_columns(s: _Source, c: int, *, apart: int, lanes: int, choose: bool) -> None:
    """Leaves the larger of columns c, c + 1 in a (upper row) and b (lower row)."""
    for d, name in zip(range(apart), "ab", strict=False):
        x, y = f"s{d}_{c}", f"s{d}_{c + 1}"
        if choose:
            left = f"filled(F({c}), {lanes})"
            right = f"filled(F({c + 1}), {lanes})"
            s(f"i{name} = where_greater({y}, {x}, {right}, {left})")
        s(f"{name} = where_greater({y}, {x}, {y}, {x})")
    if apart == 1:
        if choose:
            s("ib = part(ia, 8, 8)", "ia = part(ia, 0, 8)")
        s("b = part(a, 8, 8)", "a = part(a, 0, 8)")


def _convolve_2(s: _Source, plan: Plan, *, choose: bool) -> None:
    """Second convolution and 2 x 2 maximum; chosen counts 0, 1 and 2, 3 by rows."""
    kernel, lanes, units = plan.kernels[1], plan.lanes, plan.units[1]
    line = plan.sides[0] * 8
    side = plan.sides[1]
    offsets = (0, 8, line, line + 8)
    head = (
        "convolve_2(a, start, table, w, out, chosen, at)"
        if choose
        else "convolve_2_only(a, start, table, w, out)"
    )
    per_pass = min(units, plan.sums // 4)
    with (
        s.function(head),
        s.block(f"for row in range({side}):"),
        s.block(f"for column in range({side}):"),
    ):
        s(f"origin = start + (2 * row * {plan.sides[0]} + 2 * column) * 8")
        s(f"position = (row * {side} + column) * 8")
        # Lanes beyond the units of a pass are overwritten by what follows.
        for first in range(0, units, per_pass):
            chosen_units = range(first, min(first + per_pass, units))
            for p in range(4):
                s(*(f"s{p}_{u} = filled(F(0), {lanes})" for u in chosen_units))
            with s.block(f"for k in range({kernel}):"):
                for j in range(plan.row_vectors):
                    for p, offset in enumerate(offsets):
                        at = f"origin + k * {line} + {offset + j * lanes}"
                        s(f"x{p} = load(a, {at}, {lanes})")
                    for u in chosen_units:
                        at = f"{u} * UNIT_2 + (k + 1) * FRAME + {j * lanes}"
                        s(f"v = load(table, {at}, {lanes})")
                        s(*(f"s{p}_{u} = fma(x{p}, v, s{p}_{u})" for p in range(4)))
            for p in range(4):
                sums = s.lane_sums([f"s{p}_{u}" for u in chosen_units], lanes=lanes)
                s(f"m{p} = part({sums}, 0, 8)")
            s("n0 = where_greater(m1, m0, m1, m0)")
            s("n1 = where_greater(m3, m2, m3, m2)")
            if choose:
                s(*(f"c{p} = filled(F({p}), 8)" for p in range(4)))
                s("i0 = where_greater(m1, m0, c1, c0)")
                s("i1 = where_greater(m3, m2, c3, c2)")
                s("i0 = where_greater(n1, n0, i1, i0)")
                s(f"store_integers(chosen, at + position + {first}, i0)")
            s("n0 = where_greater(n1, n0, n1, n0)")
            s(f"bias = load(w, {plan.bias[1] + first}, 8)")
            s(f"store(out, position + {first}, n0 + bias)")


def _convolve_1_gradient(s: _Source, plan: Plan) -> None:
    """Weights and bias: a window of the image per pooled value and unit."""
    kernel = plan.kernels[0]
    together = 2
    with s.function("convolve_1_gradient(x, delta, chosen, at, sums, gradient)"):
        s("total = filled(F(0), 16)")
        with s.block("for i in range(0, FEATURES_1, 16):"):
            s("total = total + load(delta, i, 16)")
        s(f"old = load(gradient, {plan.bias[0]}, 8)")
        s("total8 = part(total, 0, 8) + part(total, 8, 8)")
        s(f"store(gradient, {plan.bias[0]}, old + total8)")
        with (
            s.block("for plane in range(PLANES):"),
            s.block(f"for unit in range(0, 8, {together}):"),
        ):
            s(f"of = (plane * 8 + unit) * {kernel * 8}")
            sums = [(u, k) for u in range(together) for k in range(kernel)]
            for u, k in sums:
                s(f"s{u}_{k} = load(sums, of + {(u * kernel + k) * 8}, 8)")
            s("below = plane * SIDE * ROW")
            with s.block("for i in range(unit, FEATURES_1, 8):"):
                for u in range(together):
                    s(f"g = load_filled(delta, i + {u}, 8)")
                    s(f"from_ = below + chosen[at + i + {u}]")
                    for k in range(kernel):
                        v = f"load(x, from_ + {k * ROW}, 8)"
                        s(f"s{u}_{k} = fma(g, {v}, s{u}_{k})")
            for u, k in sums:
                s(f"store(sums, of + {(u * kernel + k) * 8}, s{u}_{k})")


def _passes(rows: int, *, vectors: int, registers: int) -> list[range]:
    """Splits rows of `vectors` vectors each into ranges that fit the registers."""
    size = max(1, registers // vectors)
    return [range(i, min(i + size, rows)) for i in range(0, rows, size)]


def _convolve_2_gradient(s: _Source, plan: Plan) -> None:
    """Weights, bias and input, at the position that won the maximum."""
    kernel, lanes = plan.kernels[1], plan.lanes
    side, line = plan.sides[1], plan.sides[0] * 8
    arguments = "a, start, table, delta, chosen, at, sums, gradient, delta_a"
    with s.function(f"convolve_2_gradient({arguments})"):
        with s.block("for unit in range(UNITS_2):"):
            s("total = F(0)")
            with s.block("for position in range(POSITIONS_2):"):
                s("total += delta[position * 8 + unit]")
            s(f"gradient[{plan.bias[1]} + unit] += total")
            vectors = plan.row_vectors
            for rows in _passes(kernel, vectors=vectors, registers=plan.sums):
                sums = [(k, j) for k in rows for j in range(vectors)]
                s(f"of = unit * {kernel} * SUMS_ROW_2")
                for k, j in sums:
                    offset = (k * vectors + j) * lanes
                    s(f"s{k}_{j} = load(sums, of + {offset}, {lanes})")
                with (
                    s.block(f"for row in range({side}):"),
                    s.block(f"for column in range({side}):"),
                ):
                    s(f"i = (row * {side} + column) * 8 + unit")
                    s("code = np.int64(chosen[at + i])")
                    s(f"g = load_filled(delta, i, {lanes})")
                    s(f"from_ = start + (2 * row + (code >> 1)) * {line}")
                    s("from_ += (2 * column + (code & 1)) * 8")
                    for k, j in sums:
                        v = f"load(a, from_ + {k * line + j * lanes}, {lanes})"
                        s(f"s{k}_{j} = fma(g, {v}, s{k}_{j})")
                for k, j in sums:
                    s(f"store(sums, of + {(k * vectors + j) * lanes}, s{k}_{j})")
        _convolve_2_backward(s, plan)


def _convolve_2_backward(s: _Source, plan: Plan) -> None:
    """Gradient of the input: kernels from the table, moved to the winning position."""
    kernel, lanes = plan.kernels[1], plan.lanes
    side, line = plan.sides[1], plan.sides[0] * 8
    vectors = plan.frame // lanes
    s("clear(delta_a)")
    with (
        s.block(f"for row in range({side}):"),
        s.block(f"for column in range({side}):"),
    ):
        s(f"of = 2 * row * {line} + 2 * column * 8")
        s(f"position = (row * {side} + column) * 8")
        for rows in _passes(kernel + 1, vectors=vectors, registers=plan.sums):
            sums = [(k, j) for k in rows for j in range(vectors)]
            for k, j in sums:
                s(f"s{k}_{j} = load(delta_a, of + {k * line + j * lanes}, {lanes})")
            with s.block("for unit in range(UNITS_2):"):
                s("code = np.int64(chosen[at + position + unit])")
                s(f"g = load_filled(delta, position + unit, {lanes})")
                s("from_ = unit * UNIT_2 + (code & 1) * SHIFTED_2")
                s("from_ += (1 - (code >> 1)) * FRAME")
                for k, j in sums:
                    v = f"load(table, from_ + {k * plan.frame + j * lanes}, {lanes})"
                    s(f"s{k}_{j} = fma(g, {v}, s{k}_{j})")
            for k, j in sums:
                s(f"store(delta_a, of + {k * line + j * lanes}, s{k}_{j})")


def _taps(plan: Plan) -> list[tuple[int, int, int]]:
    """Returns (input, output, kernel) positions that meet in the third convolution."""
    kernel, before, after = plan.kernels[2], plan.sides[1], plan.sides[2]
    return [
        ((y + i) * before + x + j, y * after + x, i * kernel + j)
        for y in range(after)
        for x in range(after)
        for i in range(kernel)
        for j in range(kernel)
    ]


def _convolve_3(s: _Source, plan: Plan) -> None:
    """Third convolution, samples in lanes."""
    block, places = plan.kernels[2] ** 2, plan.sides[2] ** 2
    inputs = plan.units[1]
    with (
        s.function("convolve_3(w, b, out)"),
        s.block(f"for unit in range({plan.units[2]}):"),
    ):
        s(f"bias = load_filled(w, {plan.bias[2]} + unit, 16)")
        s(*(f"s{q} = bias" for q in range(places)))
        with s.block("for channel in range(UNITS_2):"):
            s(f"of = {plan.weight[2]} + (unit * {inputs} + channel) * {block}")
            s(*(f"w{k} = load_filled(w, of + {k}, 16)" for k in range(block)))
            s("of = channel * POSITIONS_2 * 16")
            for p in sorted({p for p, _, _ in _taps(plan)}):
                s(f"v = load(b, of + {p * 16}, 16)")
                for place, q, k in _taps(plan):
                    if place == p:
                        s(f"s{q} = fma(v, w{k}, s{q})")
        for q in range(places):
            s(f"store(out, (unit * {places} + {q}) * 16, s{q})")


def _convolve_3_gradient(s: _Source, plan: Plan) -> None:
    block, places = plan.kernels[2] ** 2, plan.sides[2] ** 2
    inputs = plan.units[1]
    with s.function("convolve_3_gradient(w, b, delta, gradient, back)"):
        s("clear(back)")
        with s.block(f"for unit in range({plan.units[2]}):"):
            for q in range(places):
                s(f"d{q} = load(delta, (unit * {places} + {q}) * 16, 16)")
            s("total = " + " + ".join(f"d{q}" for q in range(places)))
            s.add_lane_sums(["total"], f"{plan.bias[2]} + unit")
            with s.block("for channel in range(UNITS_2):"):
                s(f"of = {plan.weight[2]} + (unit * {inputs} + channel) * {block}")
                for k in range(block):
                    s(f"w{k} = load_filled(w, of + {k}, 16)")
                    s(f"s{k} = filled(F(0), 16)")
                s("rows = channel * POSITIONS_2 * 16")
                for p in sorted({p for p, _, _ in _taps(plan)}):
                    s(f"v = load(b, rows + {p * 16}, 16)")
                    s(f"g = load(back, rows + {p * 16}, 16)")
                    for place, q, k in _taps(plan):
                        if place == p:
                            s(f"s{k} = fma(v, d{q}, s{k})")
                            s(f"g = fma(w{k}, d{q}, g)")
                    s(f"store(back, rows + {p * 16}, g)")
                s.add_lane_sums([f"s{k}" for k in range(block)], "of")


def _tile(count: int) -> int:
    """Returns the largest divisor up to 8."""
    return next(n for n in range(8, 0, -1) if count % n == 0)


def _linear(s: _Source, plan: Plan, number: int) -> None:
    """Linear layer, samples in lanes."""
    item = plan.architecture.weighted[2 + number]
    units, inputs = item.units, item.fan_in
    tile = _tile(units)
    with (
        s.function(f"linear_{number}(w, x, out)"),
        s.block(f"for unit in range(0, {units}, {tile}):"),
    ):
        for u in range(tile):
            s(f"s{u} = load_filled(w, {item.bias.start} + unit + {u}, 16)")
        with s.block(f"for i in range({inputs}):"):
            s("v = load(x, i * 16, 16)")
            s(f"of = {item.weight.start} + unit * {inputs} + i")
            for u in range(tile):
                s(f"s{u} = fma(v, load_filled(w, of + {u * inputs}, 16), s{u})")
        for u in range(tile):
            s(f"store(out, (unit + {u}) * 16, s{u})")


def _linear_gradient(s: _Source, plan: Plan, number: int) -> None:
    item = plan.architecture.weighted[2 + number]
    units, inputs = item.units, item.fan_in
    with s.function(f"linear_{number}_gradient(w, x, delta, gradient, back)"):
        for first in range(0, units, 16):
            chosen = range(first, min(first + 16, units))
            rows = [s.new(f"load(delta, {u * 16}, 16)") for u in chosen]
            s.add_lane_sums(rows, f"{item.bias.start + first}")
        with s.block(f"for unit in range({units}):"):
            s("d = load(delta, unit * 16, 16)")
            for first in range(0, inputs, 16):
                chosen = range(first, min(first + 16, inputs))
                rows = [s.new(f"d * load(x, {i * 16}, 16)") for i in chosen]
                target = f"{item.weight.start} + unit * {inputs} + {first}"
                s.add_lane_sums(rows, target)
        tile = _tile(inputs)
        with s.block(f"for i in range(0, {inputs}, {tile}):"):
            s(*(f"s{t} = filled(F(0), 16)" for t in range(tile)))
            with s.block(f"for unit in range({units}):"):
                s("d = load(delta, unit * 16, 16)")
                s(f"of = {item.weight.start} + unit * {inputs} + i")
                for t in range(tile):
                    s(f"s{t} = fma(d, load_filled(w, of + {t}, 16), s{t})")
            for t in range(tile):
                s(f"store(back, (i + {t}) * 16, s{t})")
