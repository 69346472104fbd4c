"""Writes the layers that work on 16 images in the lanes, and their gradients.

They are too small to fill vectors by themselves. All feature maps lie in one array,
[unit, position, image] each; slopes and deltas have the same places.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from ..plan import IMAGES, Activate, Add, Convolve, Maps, Plan, Pool, Step
from .source import Source


def forward(code: Source, plan: Plan) -> None:
    """All steps in their order, each a function unless it is one line."""
    calls = []
    for number, step in enumerate(plan.program.steps):
        if isinstance(step, Activate):
            maps = step.maps
            range_ = f"np.int64({maps.start}), np.int64({maps.entries})"
            calls.append(f"activate(activation, features, slopes, {range_})")
        else:
            calls.append(_forward_step(code, plan, step, number))
    arguments = "activation, weights, features, slopes"
    about = "From what entered the lanes to the scores."
    with code.function(f"forward_lanes({arguments})", about):
        code(*calls)


def _forward_step(code: Source, plan: Plan, step: Step, number: int) -> str:
    """Writes the function of a step; returns its call."""
    if isinstance(step, Convolve):
        _convolve(code, plan, step)
        return f"{step.item.name}(weights, features)"
    if isinstance(step, Pool):
        _pool(code, step, number)
        return f"pool_{number}(features, slopes)"
    assert isinstance(step, Add)
    _add(code, step, number)
    return f"add_{number}(features)"


def backward(code: Source, plan: Plan) -> None:
    """All gradients, from the scores to what entered the lanes."""
    calls = []
    # where deltas are already: what comes later adds to them
    begun: set[int] = set()
    for number, step in reversed(list(enumerate(plan.program.steps))):
        if isinstance(step, Activate):
            maps = step.maps
            start = f"np.int64({maps.start})"
            range_ = f"{start}, slopes, {start}, np.int64({maps.entries})"
            calls.append(f"multiply(deltas, {range_})")
            continue
        fresh = step.source.start not in begun
        if fresh and not (isinstance(step, Convolve) and step.source.complete):
            range_ = f"np.int64({step.source.start}), np.int64({step.source.entries})"
            calls.append(f"clear(deltas, {range_})")
            fresh = False
        begun.add(step.source.start)
        calls.append(_backward_step(code, plan, step, number, fresh=fresh))
    arguments = "weights, features, slopes, deltas, gradient"
    about = "From the gradient by the scores to that by what entered the lanes."
    with code.function(f"backward_lanes({arguments})", about):
        code(*calls)


def _backward_step(
    code: Source, plan: Plan, step: Step, number: int, *, fresh: bool
) -> str:
    if isinstance(step, Convolve):
        _convolve_gradient(code, plan, step, fresh=fresh)
        return f"{step.item.name}_gradient(weights, features, deltas, gradient)"
    if isinstance(step, Pool):
        _pool_gradient(code, step, number)
        return f"pool_{number}_gradient(slopes, deltas)"
    assert isinstance(step, Add)
    _add_gradient(code, step, number)
    return f"add_{number}_gradient(deltas)"


class _Tile(NamedTuple):
    """How much of a layer is done at once, so that its sums stay in registers."""

    units: int
    columns: int


def _divisors(count: int) -> list[int]:
    return [n for n in range(1, count + 1) if count % n == 0]


def _forward_tile(plan: Plan, step: Convolve) -> _Tile:
    """Returns the tile with the fewest loads per multiplication."""
    kernel, side = step.kernel, step.target.side
    tiles = [
        _Tile(u, c)
        for u in _divisors(step.item.units)
        for c in _divisors(side)
        if u * c + c + kernel <= plan.wide_registers
    ]
    return min(
        tiles or [_Tile(1, 1)],
        key=lambda t: (
            (t.columns + kernel - 1 + t.units * kernel) / (t.units * t.columns * kernel)
        ),
    )


def _convolve(code: Source, plan: Plan, step: Convolve) -> None:
    """A convolution; a linear layer is one whose kernel is as large as the maps."""
    item, kernel, target = step.item, step.kernel, step.target
    tile = _forward_tile(plan, step)
    head = f"{item.name}(weights, features)"
    with (
        code.function(head, "Of 16 images at once."),
        code.block(f"for unit in range(0, {item.units}, {tile.units}):"),
        code.block(f"for row in range({target.side}):"),
        code.block(f"for column in range(0, {target.side}, {tile.columns}):"),
    ):
        for u in range(tile.units):
            at = f"{item.bias.start} + unit + {u}"
            known = f"load_filled(weights, {at}, 16)"
            bias = known if item.layer.bias else "filled(F(0), 16)"
            code(*(f"sum_{u}_{c} = {bias}" for c in range(tile.columns)))
        with (
            code.block(f"for channel in range({item.inputs}):"),
            code.block(f"for tap_row in range({kernel}):"),
        ):
            code(f"weights_at = {_tap_row(step)}")
            where = f"(row + tap_row) * {step.source.row}"
            where += f" + column * {step.source.column}"
            code(f"from_at = {step.source.at} + channel * {step.source.unit} + {where}")
            for k in range(tile.columns + kernel - 1):
                at = f"from_at + {k * step.source.column}"
                code(f"feature_{k} = load(features, {at}, 16)")
            for t in range(kernel):
                for u in range(tile.units):
                    at = f"weights_at + {u * item.fan_in + t}"
                    code(f"tap = load_filled(weights, {at}, 16)")
                    for c in range(tile.columns):
                        code(f"sum_{u}_{c} = fma(feature_{c + t}, tap, sum_{u}_{c})")
        code(f"to_at = {target.at} + unit * {target.unit}")
        code(f"to_at += row * {target.row} + column * {target.column}")
        for u in range(tile.units):
            for c in range(tile.columns):
                at, value = f"to_at + {u * target.unit + c * IMAGES}", f"sum_{u}_{c}"
                if step.added:
                    value = f"load(features, {at}, 16) + {value}"
                code(f"store(features, {at}, {value})")


def _tap_row(step: Convolve) -> str:
    """Returns where the weights of `unit`, `channel` and `tap_row` begin."""
    item, kernel = step.item, step.kernel
    first = f"(unit * {item.inputs} + channel) * {kernel**2} + tap_row * {kernel}"
    return f"{item.start} + {first}"


def _convolve_gradient(
    code: Source, plan: Plan, step: Convolve, *, fresh: bool
) -> None:
    """Weights, biases and input; fresh: nothing is there yet to add the last to."""
    about = "Adds the gradients of weights and biases; those of features " + (
        "replace others." if fresh else "too."
    )
    head = f"{step.item.name}_gradient(weights, features, deltas, gradient)"
    with code.function(head, about):
        if step.item.layer.bias:
            _bias_gradient(code, step)
        _weight_gradient(code, plan, step)
        _feature_gradient(code, plan, step, fresh=fresh)


def _bias_gradient(code: Source, step: Convolve) -> None:
    item, target = step.item, step.target
    for first in range(0, item.units, IMAGES):
        units = range(first, min(first + IMAGES, item.units))
        starts = {u: target.at + u * target.unit for u in units}
        code(*(f"total_{u} = load(deltas, {at}, 16)" for u, at in starts.items()))
        if target.side > 1:
            with code.block(f"for at in range(16, {target.unit}, 16):"):
                for u, at in starts.items():
                    code(f"total_{u} = total_{u} + load(deltas, {at} + at, 16)")
        code.add_lane_sums([f"total_{u}" for u in units], f"{item.bias.start + first}")


class _Run(NamedTuple):
    """Weights that follow one another, and where each meets features."""

    first: int
    places: Sequence[int]


def _runs(step: Convolve, *, longest: int) -> Iterator[_Run]:
    """Splits the weights of a unit, or of one of its inputs, into equal runs."""
    source, kernel = step.source, step.kernel
    places = [
        c * source.unit + i * source.row + j * source.column
        for c in range(step.item.inputs if step.target.side == 1 else 1)
        for i in range(kernel)
        for j in range(kernel)
    ]
    number = -(-len(places) // longest)
    size = -(-len(places) // number)
    for first in range(0, len(places), size):
        yield _Run(first, places[first : first + size])


def _weight_gradient(code: Source, plan: Plan, step: Convolve) -> None:
    """Sums over positions, then over lanes."""
    item, target = step.item, step.target
    if target.side == 1:
        with code.block(f"for unit in range({item.units}):"):
            code(f"delta = load(deltas, {target.at} + unit * {target.unit}, 16)")
            for run in _runs(step, longest=IMAGES):
                at = [step.source.at + place for place in run.places]
                products = [code.new(f"delta * load(features, {x}, 16)") for x in at]
                first = f"{item.start} + unit * {item.fan_in} + {run.first}"
                code.add_lane_sums(products, first)
        return
    runs = list(_runs(step, longest=plan.wide_registers // 3))
    length = len(runs[0].places)
    fitting = [
        u for u in _divisors(item.units) if u * length + u + 1 <= plan.wide_registers
    ]
    together = max(fitting, default=1)
    with (
        code.block(f"for unit in range(0, {item.units}, {together}):"),
        code.block(f"for channel in range({item.inputs}):"),
    ):
        for run in runs:
            _run_gradient(code, step, run, together=together)


def _run_gradient(code: Source, step: Convolve, run: _Run, *, together: int) -> None:
    """The weights of a run, of some units together."""
    item, source, target = step.item, step.source, step.target
    names = [[f"sum_{u}_{e}" for e in range(len(run.places))] for u in range(together)]
    code(*(f"{name} = filled(F(0), 16)" for unit in names for name in unit))
    with (
        code.block(f"for row in range({target.side}):"),
        code.block(f"for column in range({target.side}):"),
    ):
        code(f"delta_at = {target.at} + unit * {target.unit}")
        code(f"delta_at += row * {target.row} + column * {target.column}")
        for u in range(together):
            code(f"delta_{u} = load(deltas, delta_at + {u * target.unit}, 16)")
        code(f"from_at = {source.at} + channel * {source.unit}")
        code(f"from_at += row * {source.row} + column * {source.column}")
        for e, place in enumerate(run.places):
            code(f"feature = load(features, from_at + {place}, 16)")
            for u in range(together):
                code(f"{names[u][e]} = fma(feature, delta_{u}, {names[u][e]})")
    for u in range(together):
        first = f"(unit + {u}) * {item.fan_in} + channel * {item.block} + {run.first}"
        code.add_lane_sums(names[u], f"{item.start} + {first}")


def _feature_gradient(code: Source, plan: Plan, step: Convolve, *, fresh: bool) -> None:
    """Row by row of the input, from all rows of the output that it was seen by."""
    item, source, target, kernel = step.item, step.source, step.target, step.kernel
    # taps that meet one delta only need no register
    taps = kernel if target.side > 1 else 0
    fitting = [
        c
        for c in _divisors(item.inputs)
        if c * (source.side + taps) + 2 <= plan.wide_registers
    ]
    together = max(fitting, default=1)
    cells = [(c, x) for c in range(together) for x in range(source.side)]
    at = {(c, x): f"to_at + {c * source.unit + x * source.column}" for c, x in cells}
    with (
        code.block(f"for channel in range(0, {item.inputs}, {together}):"),
        code.block(f"for row in range({source.side}):"),
    ):
        code(f"to_at = {source.at} + channel * {source.unit} + row * {source.row}")
        for c, x in cells:
            old = "filled(F(0), 16)" if fresh else f"load(deltas, {at[c, x]}, 16)"
            code(f"sum_{c}_{x} = {old}")
        tap_rows = f"range(min({kernel - 1}, row), max(-1, row - {target.side}), -1)"
        with (
            code.block(f"for unit in range({item.units}):"),
            code.block(f"for tap_row in {tap_rows}:"),
        ):
            code(f"weights_at = {_tap_row(step)}")
            code(f"from_at = {target.at} + unit * {target.unit}")
            code(f"from_at += (row - tap_row) * {target.row}")
            for c in range(together):
                for j in range(kernel):
                    place = f"weights_at + {c * kernel**2 + j}"
                    code(f"tap_{c}_{j} = load_filled(weights, {place}, 16)")
            for x in range(target.side):
                code(f"delta = load(deltas, from_at + {x * target.column}, 16)")
                for c in range(together):
                    for j in range(kernel):
                        name = f"sum_{c}_{x + j}"
                        code(f"{name} = fma(delta, tap_{c}_{j}, {name})")
        for c, x in cells:
            code(f"store(deltas, {at[c, x]}, sum_{c}_{x})")


def _pool_window(code: Source, step: Pool) -> Iterator[str]:
    """Writes where a window and its winner lie; yields the places in the window."""
    source, target = step.source, step.target
    code(f"position = (unit * {target.side} + row) * {target.side} + column")
    code(f"winner_at = {step.winners} + position * {IMAGES}")
    code(f"to_at = {target.at} + position * {IMAGES}")
    code(f"from_at = {source.at} + unit * {source.unit}")
    code(f"from_at += row * {step.stride * source.row}")
    code(f"from_at += column * {step.stride * source.column}")
    for i in range(step.size):
        for j in range(step.size):
            yield f"from_at + {i * source.row + j * source.column}"


def _pool(code: Source, step: Pool, number: int) -> None:
    """The first of equals wins, as in PyTorch."""
    head = f"pool_{number}(features, slopes)"
    with code.function(head, "Of 16 images at once."), _positions(code, step.target):
        best, *others = _pool_window(code, step)
        code(f"best, winner = load(features, {best}, 16), filled(F(0), 16)")
        for k, place in enumerate(others, start=1):
            code(f"x = load(features, {place}, 16)")
            code(f"winner = where_greater(x, best, filled(F({k}), 16), winner)")
            code("best = where_greater(x, best, x, best)")
        code("store(features, to_at, best)")
        with code.block("if slopes is not None:"):
            code("store(slopes, winner_at, winner)")


def _pool_gradient(code: Source, step: Pool, number: int) -> None:
    head = f"pool_{number}_gradient(slopes, deltas)"
    about = "Adds each gradient to that of the winner."
    with code.function(head, about), _positions(code, step.target):
        places = list(_pool_window(code, step))
        code("zero, winner = filled(F(0), 16), load(slopes, winner_at, 16)")
        code("delta = load(deltas, to_at, 16)")
        for k, place in enumerate(places):
            mine = f"where_equal(winner, filled(F({k}), 16), delta, zero)"
            code(f"store(deltas, {place}, load(deltas, {place}, 16) + {mine})")


def _add(code: Source, step: Add, number: int) -> None:
    head = f"add_{number}(features)"
    _sum(code, step, head, "Adds a shortcut.", array="features", back=False)


def _add_gradient(code: Source, step: Add, number: int) -> None:
    head = f"add_{number}_gradient(deltas)"
    _sum(code, step, head, "The way back through it.", array="deltas", back=True)


def _sum(
    code: Source, step: Add, head: str, about: str, *, array: str, back: bool
) -> None:
    with code.function(head, about), _positions(code, step.target):
        code(f"here = {_place(step.source)}", f"there = {_place(step.target)}")
        to, from_ = ("here", "there") if back else ("there", "here")
        total = f"load({array}, {to}, 16) + load({array}, {from_}, 16)"
        code(f"store({array}, {to}, {total})")


def _place(maps: Maps) -> str:
    where = f"unit * {maps.unit} + row * {maps.row} + column * {maps.column}"
    return f"{maps.at} + {where}"


@contextmanager
def _positions(code: Source, maps: Maps) -> Iterator[None]:
    """Opens loops over unit, row and column of feature maps."""
    with (
        code.block(f"for unit in range({maps.units}):"),
        code.block(f"for row in range({maps.side}):"),
        code.block(f"for column in range({maps.side}):"),
    ):
        yield
