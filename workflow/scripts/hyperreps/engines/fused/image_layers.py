"""Writes how an image goes to the lanes, one at a time, and the way back.

Beside the pooled convolutions (pooled_layers.py) these are the shortcuts around them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...networks.architectures import Weighted
from ..plan import UNITS, Handover, Plan, Window
from .source import Source

# positions whose sums do not wait for one another
_CHAINS = 4


def forward_image(code: Source, plan: Plan, *, training: bool) -> None:
    """From the pixels to what enters the lanes."""
    program, only = plan.program, "" if training else "_only"
    slopes, winners = ("slopes_1", ", winners_{}") if training else ("None", "")
    calls = [
        f"convolve_1{only}(inputs, inputs_at, table_1, weights, features_1,"
        f" features_at{winners.format(1)})",
        f"activate(activation, features_1, {slopes}, features_at, FEATURES_1)",
    ]
    if program.around:
        calls.append("shrink(inputs, inputs_at)")
        calls.append("add_shrunk(inputs, inputs_at, weights, features_1, features_at)")
    if program.second:
        calls.append(
            f"convolve_2{only}(features_1, features_at, table_2, weights, handed,"
            f" handed_at{winners.format(2)})"
        )
    calls += [
        f"pool_features{only}(features_1, features_at, handed, handed_at"
        f" + {handover.at}{winners.format(2)})"
        for handover in program.handovers
        if handover.pooling
    ]
    arguments = "activation, lane, inputs, table_1, table_2, weights, features_1"
    arguments += ", slopes_1, winners_1, handed, winners_2" if training else ", handed"
    about = "From the pixels of an image to what enters the lanes."
    with code.function(f"forward_image{only}({arguments})", about):
        _say_places(code, plan, kept=training)
        code(*calls)


def _say_places(code: Source, plan: Plan, *, kept: bool) -> None:
    """Says where an image lies; in evaluation, only what is needed later is kept."""
    code(f"inputs_at = {'lane * IMAGE' if kept else 'FIRST'}")
    kept = kept or plan.features_1_handed
    code(f"features_at = {'lane * FEATURES_1' if kept else 'FIRST'}")
    code("handed_at = lane * HANDED")


def backward_image(code: Source, plan: Plan) -> None:
    """From the gradient by what entered the lanes to that of the first weights."""
    program = plan.program
    calls = [
        "convolve_2_gradient(features_1, features_at, table_2, handed, winners_2,"
        " handed_at, sums_2, gradient, deltas_1)"
        if program.second
        else "clear(deltas_1, FIRST, FEATURES_1)"
    ]
    for number, handover in enumerate(program.handovers):
        at = f"handed_at + {handover.at}"
        if handover.stride:
            calls.append(f"take_back_{number}(handed, {at}, deltas_1)")
        if handover.pooling:
            calls.append(f"pool_features_gradient(handed, {at}, winners_2, deltas_1)")
    if program.around:
        calls.append("add_shrunk_gradient(inputs, inputs_at, deltas_1, gradient)")
    calls += [
        "multiply(deltas_1, FIRST, slopes_1, features_at, FEATURES_1)",
        "convolve_1_gradient("
        "inputs, deltas_1, winners_1, features_at, sums_1, gradient)",
    ]
    arguments = (
        "lane, inputs, table_2, features_1, slopes_1, deltas_1, winners_1, handed,"
        " winners_2, sums_1, sums_2, gradient"
    )
    about = "From the gradient by what entered the lanes to that of the first layers."
    with code.function(f"backward_image({arguments})", about):
        _say_places(code, plan, kept=True)
        code(*calls)


def shortcuts(code: Source, plan: Plan) -> None:
    """What shortcuts take of an image and of the first feature maps, and back."""
    program = plan.program
    if program.around:
        window, item = program.around
        _shrink(code, window)
        _add_shrunk(code, item, window)
        _add_shrunk_gradient(code, item, window)
    for number, handover in enumerate(program.handovers):
        if handover.stride:
            _take_back(code, plan, handover, number)
        if handover.pooling:
            for training in (True, False):
                _pool_features(code, plan, handover.pooling, training=training)
            _pool_features_gradient(code, plan, handover.pooling)


def _shrink(code: Source, window: Window) -> None:
    about = "Max pooling of an image, behind its copies."
    with (
        code.function("shrink(inputs, inputs_at)", about),
        code.block("for plane in range(PLANES):"),
        code.block(f"for row in range({window.side}):"),
    ):
        code(f"line_at = inputs_at + (plane * SIDE + {window.stride} * row) * ROW")
        for k in range(window.size):
            code(f"left_{k} = load(inputs, line_at + {k} * ROW, 16)")
            code(f"right_{k} = load(inputs, line_at + {k} * ROW + 16, 16)")
        left, right = (
            _largest(code, [f"{half}_{k}" for k in range(window.size)])
            for half in ("left", "right")
        )
        code(f"line = joined({left}, {right})")
        columns = [
            code.new(f"every(line, {k}, {window.stride}, {window.side})")
            for k in range(window.size)
        ]
        place = f"(plane * {window.side} + row) * {window.side}"
        largest = _largest(code, columns)
        code(f"store(inputs, inputs_at + SHRUNK + {place}, {largest})")


def _largest(code: Source, names: list[str]) -> str:
    best = names[0]
    for name in names[1:]:
        best = code.new(f"where_greater({name}, {best}, {name}, {best})")
    return best


def _add_shrunk(code: Source, item: Weighted, window: Window) -> None:
    positions = window.side**2
    head = "add_shrunk(inputs, inputs_at, weights, features, features_at)"
    with code.function(head, "Adds the shortcut around the first convolution."):
        bias = f"load(weights, {item.bias.start}, 8)"
        code(f"bias = {bias if item.layer.bias else 'filled(F(0), 8)'}")
        for p in range(item.inputs):
            code(f"tap_{p} = load(weights, {item.start + p * UNITS}, 8)")
        with code.block(f"for position in range({positions}):"):
            code(
                "at = features_at + position * 8",
                "total = load(features, at, 8) + bias",
            )
            for p in range(item.inputs):
                pixel_at = f"inputs_at + SHRUNK + {p * positions} + position"
                code(f"pixel = load_filled(inputs, {pixel_at}, 8)")
                code(f"total = fma(pixel, tap_{p}, total)")
            code("store(features, at, total)")


def _add_shrunk_gradient(code: Source, item: Weighted, window: Window) -> None:
    positions, chains = window.side**2, range(_CHAINS)
    head = "add_shrunk_gradient(inputs, inputs_at, deltas, gradient)"
    with code.function(head, "Weights and biases of that shortcut."):
        names = ["total", *(f"sum_{p}" for p in range(item.inputs))]
        code(*(f"{name}_{k} = filled(F(0), 8)" for name in names for k in chains))
        with code.block(f"for position in range(0, {positions}, {_CHAINS}):"):
            for k in chains:
                code(f"delta = load(deltas, (position + {k}) * 8, 8)")
                code(f"total_{k} = total_{k} + delta")
                for p in range(item.inputs):
                    pixel_at = f"inputs_at + SHRUNK + {p * positions + k} + position"
                    code(f"pixel = load_filled(inputs, {pixel_at}, 8)")
                    code(f"sum_{p}_{k} = fma(pixel, delta, sum_{p}_{k})")
        starts = [item.start + p * UNITS for p in range(item.inputs)]
        found = dict(zip(names[1:], starts, strict=True))
        if item.layer.bias:
            found["total"] = item.bias.start
        for name, at in found.items():
            total = " + ".join(f"{name}_{k}" for k in chains)
            code(f"store(gradient, {at}, load(gradient, {at}, 8) + ({total}))")


@contextmanager
def _windows(code: Source, plan: Plan, window: Window) -> Iterator[list[int]]:
    """Opens loops over windows in features_1; yields the places within one."""
    side = plan.program.first.side
    with (
        code.block(f"for row in range({window.side}):"),
        code.block(f"for column in range({window.side}):"),
    ):
        code(f"window_at = (row * {side} + column) * {window.stride * UNITS}")
        code(f"pooled_at = handed_at + (row * {window.side} + column) * {UNITS}")
        yield [
            (i * side + j) * UNITS
            for i in range(window.size)
            for j in range(window.size)
        ]


def _pool_features(code: Source, plan: Plan, window: Window, *, training: bool) -> None:
    """The first of equals wins, as in PyTorch."""
    head = "pool_features{}(features, features_at, handed, handed_at{})"
    head = head.format(*(("", ", winners") if training else ("_only", "")))
    about = "Pools features_1 of an image; winners: where in a window."
    with code.function(head, about), _windows(code, plan, window) as places:
        code("window_at += features_at")
        code("best, winner = load(features, window_at, 8), filled(F(0), 8)")
        for place in places[1:]:
            code(f"x = load(features, window_at + {place}, 8)")
            if training:
                code(f"winner = where_greater(x, best, filled(F({place}), 8), winner)")
            code("best = where_greater(x, best, x, best)")
        code("store(handed, pooled_at, best)")
        if training:
            code("store_integers(winners, pooled_at, winner)")


def _pool_features_gradient(code: Source, plan: Plan, window: Window) -> None:
    head = "pool_features_gradient(handed, handed_at, winners, deltas)"
    about = "Adds each gradient to that of the winner."
    with (
        code.function(head, about),
        _windows(code, plan, window),
        code.block(f"for unit in range({UNITS}):"),
    ):
        code("at = window_at + np.int64(winners[pooled_at + unit]) + unit")
        code("deltas[at] += handed[pooled_at + unit]")


def _take_back(code: Source, plan: Plan, handover: Handover, number: int) -> None:
    head = f"take_back_{number}(handed, handed_at, deltas)"
    about = "Adds the gradient of what was taken of features_1."
    with code.function(head, about), _positions(code, plan, handover):
        code("before = load(deltas, from_at, 8)")
        code("store(deltas, from_at, before + load(handed, handed_at + at, 8))")


@contextmanager
def _positions(code: Source, plan: Plan, handover: Handover) -> Iterator[None]:
    """Opens loops over what enters; says where an image has it, and came by it."""
    maps, side = handover.maps, plan.program.first.side
    with (
        code.block(f"for row in range({maps.side}):"),
        code.block(f"for column in range({maps.side}):"),
    ):
        code(f"at = (row * {maps.side} + column) * {UNITS}")
        if handover.stride:
            code(f"from_at = (row * {side} + column) * {handover.stride * UNITS}")
        yield


def to_lanes(code: Source, plan: Plan) -> None:
    """Turns [image, position, unit] into [unit, position, image]."""
    about = "Brings what enters the lanes there."
    with code.function("to_lanes(features_1, handed, features)", about):
        for handover in plan.program.handovers:
            maps = handover.maps
            with _positions(code, plan, handover):
                array, at, image = (
                    ("features_1", "from_at", "FEATURES_1")
                    if handover.stride
                    else ("handed", f"{handover.at} + at", "HANDED")
                )
                pairs = [
                    [f"load({array}, {at} + {k} * {image}, 8)" for k in (i, i + 8)]
                    for i in range(8)
                ]
                rows = [code.new(f"joined({x}, {y})") for x, y in pairs]
                columns = _turned(code, rows)
                for u in range(maps.units):
                    to = f"{maps.start + u * maps.unit} + at * 2"
                    code(f"store(features, {to}, {columns[u]})")


def from_lanes(code: Source, plan: Plan) -> None:
    """The way back of to_lanes."""
    about = "Brings the gradient by what entered the lanes back to images."
    with code.function("from_lanes(deltas, handed)", about):
        for handover in plan.program.handovers:
            maps = handover.maps
            with _positions(code, plan, handover._replace(stride=0)):
                rows = [
                    f"load(deltas, {maps.start + u * maps.unit} + at * 2, 16)"
                    if u < maps.units
                    else "filled(F(0), 16)"
                    for u in range(UNITS)
                ]
                for i, row in enumerate(_turned(code, [code.new(x) for x in rows])):
                    for half in (0, 8):
                        to = f"{handover.at} + at + {i + half} * HANDED"
                        code(f"store(handed, {to}, part({row}, {half}, 8))")


def _turned(code: Source, rows: list[str]) -> list[str]:
    """Turns 8 rows of 8 lanes, twice side by side, into columns; and back."""
    for block in (4, 2, 1):
        new = list(rows)
        for i in range(8):
            if not i & block:
                pair = f"{rows[i]}, {rows[i + block]}, {block}"
                new[i] = code.new(f"paired({pair}, 0)")
                new[i + block] = code.new(f"paired({pair}, 1)")
        rows = new
    return rows
