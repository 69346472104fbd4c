"""What the CUDA kernel is told: sizes, places in shared memory and order of weights.

The kernel itself is kernel.cu. A Plan fixes how many images of a batch can be in
flight in a thread block; larger batches are cut into chunks whose gradients add up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ...networks.architectures import (
    CLASSES,
    IMAGE_SIZE,
    Activation,
    Architecture,
    Convolution,
    Linear,
    MaxPool,
)
from ...numbers.shapes import Int
from ..plan import ACTIVATIONS

SOURCE = Path(__file__).with_name("kernel.cu")
THREADS = 256
# two models share a multiprocessor: one computes while the other waits at a barrier
BLOCKS = 2
# with fewer images in flight most threads of a block are idle
ENOUGH_IMAGES = 3
# of torch.optim.Adam
ADAM = {"BETA_1": 0.9, "BETA_2": 0.999, "EPSILON": 1e-8}
# shared memory that CUDA keeps for itself, per block
RESERVED = 1024


@dataclass(frozen=True)
class Limits:
    """Shared memory of a GPU.

    Attributes:
        block: Bytes that one block may ask for.
        multiprocessor: Bytes that all blocks of a multiprocessor share.
    """

    block: int
    multiprocessor: int


# H100 and H200, from the CUDA programming guide: 227 of 228 KiB
HOPPER = Limits(block=227 * 1024, multiprocessor=228 * 1024)


_LAYERS = (
    *(Convolution, MaxPool, Activation),
    *(Convolution, MaxPool, Activation),
    *(Convolution, Activation, Linear, Activation, Linear),
)


def _unsupported_layers(architecture: Architecture) -> str | None:
    layers = architecture.layers
    if tuple(type(layer) for layer in layers) != _LAYERS:
        return "the fused CUDA engine knows conv-pool-conv-pool-conv-linear-linear only"
    pools = [layer for layer in layers if isinstance(layer, MaxPool)]
    if any(pool.size != 2 or pool.stride not in (None, 2) for pool in pools):
        return "the fused CUDA engine pools 2 x 2 only"
    if not all(item.layer.bias for item in architecture.weighted):
        return "the fused CUDA engine needs a bias in every layer"
    conv_1, conv_2, conv_3, _, last = (item.layer for item in architecture.weighted)
    assert isinstance(conv_1, Convolution)
    assert isinstance(conv_2, Convolution)
    assert isinstance(conv_3, Convolution)
    assert isinstance(last, Linear)
    if conv_1.channels != 8 or conv_2.channels > 8 or last.features != CLASSES:
        return (
            "the fused CUDA engine needs 8 channels, at most 8 channels and 10 classes"
        )
    if conv_1.kernel > 8:
        return "the fused CUDA engine needs a first kernel of at most 8 x 8"
    size_1 = IMAGE_SIZE + 1 - conv_1.kernel
    size_2 = size_1 // 2 + 1 - conv_2.kernel
    size_3 = size_2 // 2 + 1 - conv_3.kernel
    if size_1 % 4 or size_2 % 2 or not 1 <= size_3 <= 4:
        return "the fused CUDA engine cannot tile the feature maps"
    return None


def unsupported(architecture: Architecture) -> str | None:
    """Returns why the kernel cannot be compiled for an architecture; None: it can."""
    reason = _unsupported_layers(architecture)
    if reason:
        return reason
    plan = Plan(architecture, activation=ACTIVATIONS[0], images=1, blocks=1)
    _, second, _ = plan.kernels
    _, units_2, units_3, units_4, _ = plan.units
    side_2, side_3 = plan.sides[1:]
    if units_2 % 2 or side_2 % 2 or second - 1 > 2 * side_2:
        return "the fused CUDA engine cannot tile the second convolution"
    if units_3 * side_3**2 % 4 or units_4 % 4 or units_4 > 32:
        return "the fused CUDA engine cannot tile the linear layers"
    return None


@dataclass(frozen=True)
class Plan:
    """What is compiled into a kernel.

    Attributes:
        architecture: The network; must be supported.
        activation: An entry of ACTIVATIONS.
        images: Images that can be in flight in a block.
        blocks: Blocks that share a multiprocessor.
    """

    architecture: Architecture
    activation: str
    images: int
    blocks: int

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

    @cached_property
    def starts(self) -> list[int]:
        """First word of each weighted layer, and the end; divisible by 4."""
        sizes = (w.whole.stop - w.start for w in self.architecture.weighted)
        return np.cumsum([0, *map(_aligned, sizes)]).tolist()

    @cached_property
    def layout(self) -> dict[str, int]:
        """First word of each array in shared memory, and the end under "end"."""
        units, sides, images = self.units, self.sides, self.images
        features = [
            *(u * s**2 for u, s in zip(units[:3], sides, strict=True)),
            *units[3:],
        ]
        planes = self.architecture.channels * IMAGE_SIZE**2
        sizes = {
            "weights": self.starts[-1],
            "gradient": self.starts[-1] + self.starts[1],
            "x": images * planes,
            **{f"a{k + 1}": images * features[k] for k in range(4)},
            **{f"d{k + 1}": images * n for k, n in enumerate(features)},
            "spread": images * units[1] * (2 * sides[1]) ** 2,
            **{f"code{k + 1}": -(-images * features[k] // 4) for k in range(2)},
            "labels": -(-images // 4),
        }
        ends = np.cumsum([0, *map(_aligned, sizes.values())]).tolist()
        return dict(zip([*sizes, "end"], ends, strict=True))

    @property
    def shared_bytes(self) -> int:
        """Shared memory of a block."""
        return 4 * self.layout["end"]

    def constants(self) -> dict[str, int]:
        """Returns what the kernel calls by names in capitals."""
        found = {
            "THREADS": THREADS,
            "BLOCKS": self.blocks,
            "COPY": self.starts[1],
            "PADDED": self.starts[-1],
            "PARAMETERS": self.architecture.parameters,
            "CHANNELS": self.architecture.channels,
            "CLASSES": self.units[-1],
            "SIDE_0": IMAGE_SIZE,
        }
        found |= {f"SIDE_{k + 1}": x for k, x in enumerate(self.sides)}
        found |= {f"KERNEL_{k + 1}": x for k, x in enumerate(self.kernels)}
        found |= {f"UNITS_{k + 1}": x for k, x in enumerate(self.units[:-1])}
        for k, item in enumerate(self.architecture.weighted):
            found[f"WEIGHT_{k + 1}"] = self.starts[k]
            found[f"BIAS_{k + 1}"] = self.starts[k] + item.units * item.fan_in
        found |= {f"AT_{k.upper()}": x for k, x in self.layout.items() if k != "end"}
        found |= {name.upper(): k for k, name in enumerate(ACTIVATIONS)}
        return found | {"ACTIVATION": ACTIVATIONS.index(self.activation)}

    def chunk(self, batch_size: int) -> int:
        """Returns how many images of a batch to have in flight: equal chunks."""
        chunks = -(-batch_size // self.images)
        return -(-batch_size // chunks)

    def places(self) -> Int[np.ndarray, padded]:
        """Returns the index into PyTorch's order of each word of weights, or -1.

        In the first two convolutions units are innermost, so that a thread reads the
        weights of several units at once; each layer starts at a multiple of 4 words.
        """
        places = np.full(self.starts[-1], -1, np.int32)
        for k, item in enumerate(self.architecture.weighted):
            index = np.arange(item.whole.start, item.whole.stop)
            if k < 2:
                size = item.units * item.fan_in
                index[:size] = index[:size].reshape(item.units, -1).T.ravel()
            places[self.starts[k] : self.starts[k] + len(index)] = index
        return places


def _aligned(words: int) -> int:
    return -(-words // 4) * 4


def make_plan(
    architecture: Architecture, *, activation: str, limits: Limits = HOPPER
) -> Plan:
    """Chooses how many images are in flight and how many blocks share their place.

    Args:
        architecture: The network; must be supported.
        activation: An entry of ACTIVATIONS.
        limits: Shared memory of the GPU.

    Raises:
        ValueError: If not even one image fits.
    """
    for blocks in range(BLOCKS, 0, -1):
        limit = min(limits.block, limits.multiprocessor // blocks - RESERVED)
        plan = Plan(architecture, activation=activation, images=1, blocks=blocks)
        while replace(plan, images=plan.images + 1).shared_bytes <= limit:
            plan = replace(plan, images=plan.images + 1)
        if plan.images >= (ENOUGH_IMAGES if blocks > 1 else 1) and (
            plan.shared_bytes <= limit
        ):
            return plan
    raise ValueError(
        f"{architecture.name} with {architecture.channels} channels needs"
        f" {plan.shared_bytes} bytes of shared memory, a block of this GPU can have"
        f" {limit}; use another engine"
    )


def kernel_source(plan: Plan) -> str:
    """Returns the CUDA source of a plan: its constants and the kernel."""
    lines = [f"constexpr int {k} = {v};" for k, v in plan.constants().items()]
    # 1 - beta as PyTorch rounds it, which matters for 0.999
    adam = {"NEW_1": 1 - ADAM["BETA_1"], "NEW_2": 1 - ADAM["BETA_2"], **ADAM}
    lines += [f"constexpr float {k} = {v}f;" for k, v in adam.items()]
    return "\n".join([*lines, SOURCE.read_text(encoding="utf-8")])
