"""Which networks the fused engines can do, and the sizes of the kernel on a CPU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..networks.architectures import (
    CLASSES,
    IMAGE_SIZE,
    Activation,
    Architecture,
    Convolution,
    Linear,
    MaxPool,
)
from ..numbers.shapes import Int

ACTIVATIONS = ("tanh", "relu", "leaky_relu", "sigmoid", "silu", "gelu")
# entries between rows of an image: two cache lines
ROW = 32

_LAYERS = (
    *(Convolution, MaxPool, Activation),
    *(Convolution, MaxPool, Activation),
    *(Convolution, Activation, Linear, Activation, Linear),
)


def unsupported(architecture: Architecture) -> str | None:
    """Returns why no kernel can be written for an architecture; None: it can."""
    layers = architecture.layers
    if tuple(type(layer) for layer in layers) != _LAYERS:
        return "the fused engine knows conv-pool-conv-pool-conv-linear-linear only"
    pools = [layer for layer in layers if isinstance(layer, MaxPool)]
    if any(pool.size != 2 or pool.stride not in (None, 2) for pool in pools):
        return "the fused engine pools 2 x 2 only"
    if not all(item.layer.bias for item in architecture.weighted):
        return "the fused engine needs a bias in every layer"
    conv_1, conv_2, conv_3, _, last = (item.layer for item in architecture.weighted)
    assert isinstance(conv_1, Convolution)
    assert isinstance(conv_2, Convolution)
    assert isinstance(conv_3, Convolution)
    assert isinstance(last, Linear)
    if conv_1.channels != 8 or conv_2.channels > 8 or last.features != CLASSES:
        return "the fused engine needs 8 channels, at most 8 channels and 10 classes"
    if conv_1.kernel > 8:
        return "the fused engine needs a first kernel of at most 8 x 8"
    size_1 = IMAGE_SIZE + 1 - conv_1.kernel
    size_2 = size_1 // 2 + 1 - conv_2.kernel
    size_3 = size_2 // 2 + 1 - conv_3.kernel
    if size_1 % 4 or size_2 % 2 or not 1 <= size_3 <= 4:
        return "the fused engine cannot tile the feature maps"
    return None


@dataclass(frozen=True)
class Sizes:
    """The sizes of a supported network.

    Attributes:
        architecture: The network.
    """

    architecture: Architecture

    @property
    def kernels(self) -> list[int]:
        """Sides of the kernels of the convolutions."""
        layers = self.architecture.layers
        return [x.kernel for x in layers if isinstance(x, Convolution)]

    @property
    def units(self) -> list[int]:
        """Units of the weighted layers."""
        return [item.units for item in self.architecture.weighted]

    @property
    def sides(self) -> list[int]:
        """Sides of the feature maps after each convolution and its pooling."""
        first, second, third = self.kernels
        side_1 = (IMAGE_SIZE + 1 - first) // 2
        side_2 = (side_1 + 1 - second) // 2
        return [side_1, side_2, side_2 + 1 - third]


@dataclass(frozen=True)
class Plan(Sizes):
    """The sizes of a kernel.

    Attributes:
        lanes: float32 per vector in the convolutions, 8 or 16.
        registers: Vector registers of the CPU, 16 or 32.
    """

    lanes: int
    registers: int

    @property
    def weights_at(self) -> list[int]:
        """Offsets of the weights of each layer."""
        return [item.weight.start for item in self.architecture.weighted]

    @property
    def biases_at(self) -> list[int]:
        """Offsets of the biases of each layer."""
        return [item.bias.start for item in self.architecture.weighted]

    @property
    def sums(self) -> int:
        """Registers that hold sums; the rest is for what is multiplied."""
        return 26 if self.registers == 32 else 12

    @property
    def rows_per_vector(self) -> int:
        """Output rows side by side in a vector of the first convolution."""
        return self.lanes // 8

    @property
    def vectors_per_tap_row(self) -> int:
        """Vectors that hold a tap row of the second convolution."""
        return -(-self.kernels[1] * 8 // self.lanes)

    @property
    def table_row(self) -> int:
        """Entries of such a row in the table, where it may be moved by a column."""
        return -(-(self.kernels[1] + 1) * 8 // self.lanes) * self.lanes

    def constants(self) -> dict[str, int]:
        """Returns what fused/steps.py calls by names in capitals.

        Counts of entries, unless the name says otherwise; docs/fused_kernel.md draws
        the arrays.
        """
        taps_1, taps_2, _ = self.kernels
        side_1, side_2, side_3 = self.sides
        units_2, units_3, units_4 = self.units[1:4]
        plane = IMAGE_SIZE * ROW
        # the second copy of an image starts half a cache line later
        copy = self.architecture.channels * plane + 8
        table_taps_1 = taps_1 + self.rows_per_vector - 1
        shift = (taps_2 + 2) * self.table_row
        sums_row_2 = self.vectors_per_tap_row * self.lanes
        return {
            "PLANES": self.architecture.channels,
            "SIDE": IMAGE_SIZE,
            "ROW": ROW,
            "COPY": copy,
            "IMAGE": 2 * copy + 16,
            "LANES": self.lanes,
            "PARAMETERS": self.architecture.parameters,
            "PADDED_PARAMETERS": -(-self.architecture.parameters // 16) * 16,
            "TAPS_1": taps_1,
            "TABLE_TAPS_1": table_taps_1,
            "TABLE_1": self.architecture.channels * table_taps_1 * taps_1 * self.lanes,
            "SUMS_1": self.architecture.channels * 8 * taps_1 * 8,
            "FEATURES_1": side_1**2 * 8,
            "TAPS_2": taps_2,
            "UNITS_2": units_2,
            "WEIGHTS_2": self.weights_at[1],
            "TABLE_ROW_2": self.table_row,
            "TABLE_SHIFT_2": shift,
            "TABLE_UNIT_2": 2 * shift,
            "TABLE_2": units_2 * 2 * shift,
            "SUMS_ROW_2": sums_row_2,
            "SUMS_2": units_2 * taps_2 * sums_row_2,
            "POSITIONS_2": side_2**2,
            "FEATURES_2": units_2 * side_2**2 * 16,
            "FEATURES_3": units_3 * side_3**2 * 16,
            "FEATURES_4": units_4 * 16,
            "CLASSES": CLASSES,
            "SCORES": CLASSES * 16,
            **{name.upper(): i for i, name in enumerate(ACTIVATIONS)},
        }


def kernel_order(architecture: Architecture) -> Int[np.ndarray, parameters]:
    """Returns the index into PyTorch's order of each entry in kernel order."""
    order = np.arange(architecture.parameters)
    first, second = architecture.weighted[:2]
    index = order[first.weight].reshape(first.units, first.inputs, first.block)
    order[first.weight] = index.transpose(1, 2, 0).ravel()
    index = order[second.weight].reshape(second.units, second.inputs, second.block)
    order[second.weight] = index.transpose(0, 2, 1).ravel()
    return order
