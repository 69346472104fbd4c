"""Writes the reference of the fused CPU kernel: its generated half, to read."""

from pathlib import Path

import tyro

from hyperreps.engines.fused.kernel import unrolled_source
from hyperreps.engines.plan import Plan
from hyperreps.networks.architectures import build

REFERENCE = Path(__file__).parents[2] / "docs" / "fused_kernel_reference.py"
# the zoo's network for MNIST, on a CPU with AVX-512
PLAN = Plan(build("cnn", channels=1), lanes=16, registers=32)
HEAD = '''"""The fused CPU kernel of `cnn` with 1 channel, with vectors of 16 lanes.

Written by workflow/scripts/make_kernel_reference.py, to be read beside
docs/fused_kernel.md; nothing imports it. hyperreps/engines/fused/steps.py, which calls
these functions, is the other half of the module that numba compiles.
"""

'''


def reference() -> str:
    """Returns the text of docs/fused_kernel_reference.py."""
    return HEAD + unrolled_source(PLAN)


def main() -> None:
    """Writes docs/fused_kernel_reference.py."""
    REFERENCE.write_text(reference(), encoding="utf-8")


if __name__ == "__main__":
    tyro.cli(main)
