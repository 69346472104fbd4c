"""Writes the source of the fused engine's kernel for one architecture and CPU.

steps.py holds what plain loops can say. The functions that pooled_layers.py and
small_layers.py write unroll their inner loops, so that sums and taps stay in registers.
Words and memory are drawn in docs/fused_kernel.md, and docs/fused_kernel_reference.py
is what is written for one network and CPU.
"""

from __future__ import annotations

from pathlib import Path

from ..plan import Plan
from .pooled_layers import (
    convolve_1,
    convolve_1_gradient,
    convolve_2,
    convolve_2_gradient,
)
from .small_layers import convolve_3, convolve_3_gradient, linear, linear_gradient
from .source import Source

STEPS = Path(__file__).with_name("steps.py")
# of vectors.py, by the functions that are written
_USED = (
    *("filled", "fma", "folded", "load", "load_filled", "part", "store"),
    *("store_integers", "where_greater"),
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
    for training in (True, False):
        convolve_1(code, plan, training=training)
        convolve_2(code, plan, training=training)
    convolve_1_gradient(code, plan)
    convolve_2_gradient(code, plan)
    convolve_3(code, plan)
    convolve_3_gradient(code, plan)
    for number in (1, 2):
        linear(code, plan, number)
        linear_gradient(code, plan, number)
    return "\n".join([*code.lines, ""])
