"""Writes the third convolution and the linear layers, and their gradients.

They are too small to fill vectors by themselves, so 16 images lie in the lanes.
"""

from __future__ import annotations

from typing import NamedTuple

from ..plan import Plan
from .source import Source


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


def convolve_3(code: Source, plan: Plan) -> None:
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


def convolve_3_gradient(code: Source, plan: Plan) -> None:
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


def linear(code: Source, plan: Plan, number: int) -> None:
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


def linear_gradient(code: Source, plan: Plan, number: int) -> None:
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
