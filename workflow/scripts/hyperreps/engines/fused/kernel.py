"""Writes the source of the fused engine's kernel for one architecture and CPU.

steps.py holds what plain loops can say. The functions that are written here unroll
their inner loops, so that sums and taps stay in registers, and call one another in the
order of the plan. Words and memory are drawn in docs/fused_kernel.md, and
docs/fused_kernel_reference.py is what is written for one network and CPU.
"""

from __future__ import annotations

from pathlib import Path

from ..plan import Plan
from . import image_layers, lane_layers
from .pooled_layers import (
    convolve_1,
    convolve_1_gradient,
    convolve_2,
    convolve_2_gradient,
)
from .source import Source

STEPS = Path(__file__).with_name("steps.py")
# of vectors.py, by the functions that are written
_USED = (
    *("every", "filled", "fma", "folded", "joined", "load", "load_filled"),
    *("paired", "part", "store", "store_integers", "where_equal", "where_greater"),
)


def kernel_source(plan: Plan) -> str:
    """Returns the source of a module with train_model and evaluate_model."""
    steps = STEPS.read_text(encoding="utf-8")
    steps = steps.replace("hyperreps.engines.fused.vectors", f"{__package__}.vectors")
    return f"{steps}\n\n{unrolled_source(plan)}"


def unrolled_source(plan: Plan) -> str:
    """Returns the part of the source that depends on the plan."""
    code = Source()
    code(f"from {__package__}.vectors import {', '.join(_USED)}", "")
    code(*(f"{name} = np.int64({value})" for name, value in plan.constants().items()))
    second = plan.program.second
    for training in (True, False):
        convolve_1(code, plan, training=training)
        if second:
            convolve_2(code, plan, second, training=training)
    convolve_1_gradient(code, plan)
    if second:
        convolve_2_gradient(code, plan, second)
    image_layers.shortcuts(code, plan)
    for training in (True, False):
        image_layers.forward_image(code, plan, training=training)
    image_layers.backward_image(code, plan)
    image_layers.to_lanes(code, plan)
    image_layers.from_lanes(code, plan)
    lane_layers.forward(code, plan)
    lane_layers.backward(code, plan)
    return "\n".join([*code.lines, ""])
