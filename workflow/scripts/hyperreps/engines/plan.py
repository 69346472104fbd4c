"""Which networks the fused engine can do on a CPU, and the plan of their kernel.

A kernel takes images through a network in two ways. One image at a time: a first pooled
convolution, a second one where there is one, and what shortcuts pool around them. Then
16 images in the lanes of vectors: everything else, step by step.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ..networks.architectures import (
    CLASSES,
    IMAGE_SIZE,
    Activation,
    Architecture,
    Convolution,
    Crop,
    Layer,
    Linear,
    MaxPool,
    Residual,
    Subsample,
    Weighted,
)
from ..numbers.shapes import Int

ACTIVATIONS = ("tanh", "relu", "leaky_relu", "sigmoid", "silu", "gelu")
# entries between rows of an image: two cache lines
ROW = 32
# images in the lanes
IMAGES = 16
# room for the units at a position, where images go one at a time
UNITS = 8

_Layers = tuple[Layer, ...]


class UnsupportedError(Exception):
    """No kernel can be written for a network; says why."""


class Window(NamedTuple):
    """Max pooling, one image at a time; side is that of the result."""

    size: int
    stride: int
    side: int


class Stage(NamedTuple):
    """A convolution and 2 x 2 maximum, one image at a time.

    Attributes:
        item: The convolution.
        kernel: Side of its kernel.
        side: Of its feature maps after pooling.
    """

    item: Weighted
    kernel: int
    side: int


class Maps(NamedTuple):
    """Feature maps of 16 images in the lanes, or what a shortcut takes of them.

    Attributes:
        start: Where in the arrays of features they begin.
        units: How many maps.
        whole: Their side.
        side: That of what is taken.
        first: Row and column of its first position.
        stride: Rows and columns from one position to the next.
    """

    start: int
    units: int
    whole: int
    side: int
    first: int = 0
    stride: int = 1

    @property
    def unit(self) -> int:
        """Entries of one map."""
        return self.whole**2 * IMAGES

    @property
    def entries(self) -> int:
        """Entries of all maps."""
        return self.units * self.unit

    @property
    def row(self) -> int:
        """Entries from one row to the next."""
        return self.stride * self.whole * IMAGES

    @property
    def column(self) -> int:
        """Entries from one column to the next."""
        return self.stride * IMAGES

    @property
    def at(self) -> int:
        """Where the first position lies."""
        return self.start + self.first * (self.whole + 1) * IMAGES

    @property
    def complete(self) -> bool:
        """Whether all of the maps is taken."""
        return self.side == self.whole


class Handover(NamedTuple):
    """What goes from single images to the lanes, and its gradient back.

    Attributes:
        maps: Where it goes.
        at: Where it begins in what an image hands over.
        stride: Of the rows and columns of features_1 that are taken as they are;
            0: others wrote there what is taken.
        pooling: By which it was pooled from features_1.
    """

    maps: Maps
    at: int
    stride: int = 0
    pooling: Window | None = None


class Activate(NamedTuple):
    """The activation function, in place."""

    maps: Maps


class Convolve(NamedTuple):
    """A convolution or a linear layer; that of a shortcut is added to its target."""

    item: Weighted
    source: Maps
    target: Maps
    added: bool = False

    @property
    def kernel(self) -> int:
        """Side of its kernel; of a linear layer, of its feature maps."""
        return self.source.side + 1 - self.target.side


class Pool(NamedTuple):
    """Max pooling; winners: where among the slopes it is noted who won."""

    size: int
    source: Maps
    target: Maps
    stride: int
    winners: int


class Add(NamedTuple):
    """The sum with a shortcut without parameters."""

    source: Maps
    target: Maps


Step = Activate | Convolve | Pool | Add


class Program:
    """What a kernel does, in order.

    Attributes:
        first: The first convolution.
        around: Pooling and convolution in the shortcut around it.
        second: The second convolution, if it is pooled too.
        handovers: What goes to the lanes.
        steps: What is done there.
        size: Entries of all feature maps there.
        scores: The last of them.
    """

    def __init__(self, architecture: Architecture) -> None:
        """Reads an architecture.

        Raises:
            UnsupportedError: If no kernel can be written for it.
        """
        self.around: tuple[Window, Weighted] | None = None
        self.second: Stage | None = None
        self.handovers: list[Handover] = []
        self.steps: list[Step] = []
        self.size = 0
        self._items = iter(architecture.weighted)
        self._activated: set[int] = set()
        maps, rest = self._second(self._first(architecture.layers))
        self.scores = scores = self._through(rest, maps)
        if scores.entries != CLASSES * IMAGES:
            raise _unsupported("needs 10 classes")

    @property
    def handed(self) -> int:
        """Entries of an image that are handed over."""
        return sum(handover.maps.side**2 * UNITS for handover in self.handovers)

    def _first(self, layers: _Layers) -> _Layers:
        """Reads the first convolution; returns the layers behind it."""
        body, shortcut, rest = _block(layers)
        layer = _pooled(body)
        if layer is None:
            raise _unsupported("begins with conv-pool-activation only")
        self.first = self._stage(layer, IMAGE_SIZE)
        if layer.channels != UNITS or layer.kernel > 8 or self.first.side % 2:
            raise _unsupported(
                "needs 8 channels, a kernel of at most 8 x 8 and an even side at first"
            )
        if shortcut is not None:
            self.around = self._around(body, shortcut)
        return body[3:] + rest

    def _around(self, body: _Layers, shortcut: _Layers) -> tuple[Window, Weighted]:
        """Reads the shortcut around the first convolution."""
        match shortcut:
            case (MaxPool() as pool, Convolution(kernel=1)) if len(body) == 3:
                return _window(pool, IMAGE_SIZE), next(self._items)
        raise _unsupported(
            "knows pool and 1 x 1 convolution around the first convolution only"
        )

    def _second(self, layers: _Layers) -> tuple[Maps, _Layers]:
        """Reads the second convolution if it is pooled; returns what is left."""
        body, shortcut, rest = _block(layers)
        layer, side = _pooled(body), self.first.side
        if layer is None or layer.channels > UNITS or (side + 1 - layer.kernel) % 2:
            return self._hand(UNITS, side, stride=1), layers
        self.second = self._stage(layer, side)
        maps = self._hand(layer.channels, self.second.side)
        maps = self._through(body[2:], maps)
        if shortcut is not None:
            self._join(*self._hand_around(shortcut, side), maps)
        return maps, rest

    def _hand_around(self, shortcut: _Layers, side: int) -> tuple[_Layers, Maps]:
        """Takes features_1 into a shortcut; returns its other layers and its start."""
        match shortcut:
            case (MaxPool() as pool, *_):
                window = _window(pool, side)
                return shortcut[1:], self._hand(UNITS, window.side, pooling=window)
            case (Convolution(kernel=1), Subsample(stride=stride)):
                maps = self._hand(UNITS, -(-side // stride), stride=stride)
                return shortcut[:1], maps
        raise _unsupported(
            "knows pooling and strided 1 x 1 convolutions around the second only"
        )

    def _stage(self, layer: Convolution, side: int) -> Stage:
        item = next(self._items)
        return Stage(item, layer.kernel, (side + 1 - layer.kernel) // 2)

    def _hand(
        self, units: int, side: int, *, stride: int = 0, pooling: Window | None = None
    ) -> Maps:
        maps, at = self._maps(units, side), self.handed
        self.handovers.append(Handover(maps, at, stride, pooling))
        return maps

    def _maps(self, units: int, side: int) -> Maps:
        maps = Maps(self.size, units, side, side)
        self.size += maps.entries
        return maps

    def _through(self, layers: _Layers, maps: Maps) -> Maps:
        """Adds the steps of layers; returns where they end."""
        for layer in layers:
            maps = self._layer(layer, maps)
        return maps

    def _layer(self, layer: Layer, maps: Maps) -> Maps:
        if isinstance(layer, Activation):
            if maps.start in self._activated or not maps.complete:
                raise _unsupported("activates whole feature maps, once")
            self._activated.add(maps.start)
            self.steps.append(Activate(maps))
            return maps
        if isinstance(layer, Crop):
            inside = maps.side - 2 * layer.border
            first = maps.first + layer.border * maps.stride
            return maps._replace(side=inside, first=first)
        if isinstance(layer, Subsample):
            left = -(-maps.side // layer.stride)
            return maps._replace(side=left, stride=maps.stride * layer.stride)
        if isinstance(layer, Residual):
            # both branches read it: neither may change it
            self._activated.add(maps.start)
            end = self._through(layer.body, maps)
            if end.start == maps.start:
                raise _unsupported("needs a layer in the body of a sum")
            return self._join(layer.shortcut, maps, end)
        if isinstance(layer, MaxPool):
            window = _window(layer, maps.side)
            target, winners = (self._maps(maps.units, window.side) for _ in range(2))
            step = Pool(layer.size, maps, target, window.stride, winners.start)
            self.steps.append(step)
            return target
        return self._convolve(layer, maps)

    def _convolve(
        self, layer: Convolution | Linear, maps: Maps, target: Maps | None = None
    ) -> Maps:
        item = next(self._items)
        kernel = layer.kernel if isinstance(layer, Convolution) else maps.side
        added = target is not None
        target = target or self._maps(item.units, maps.side + 1 - kernel)
        self.steps.append(Convolve(item, maps, target, added))
        return target

    def _join(self, shortcut: _Layers, start: Maps, end: Maps) -> Maps:
        """Adds a shortcut from start to the feature maps at the end of a body."""
        if not end.complete:
            raise _unsupported("adds to whole feature maps only")
        if shortcut and isinstance(shortcut[-1], Convolution):
            self._convolve(shortcut[-1], self._through(shortcut[:-1], start), end)
        else:
            self.steps.append(Add(self._through(shortcut, start), end))
        return end


def _unsupported(what: str) -> UnsupportedError:
    return UnsupportedError(f"the fused engine {what}")


def _block(layers: _Layers) -> tuple[_Layers, _Layers | None, _Layers]:
    """Splits off a body of layers, with its shortcut if there is one."""
    match layers:
        case (Residual(body=body, shortcut=shortcut), *_):
            return body, shortcut, layers[1:]
    return layers[:3], None, layers[3:]


def _pooled(layers: _Layers) -> Convolution | None:
    """Returns the convolution that layers begin with, if 2 x 2 pooling follows."""
    match layers:
        case (
            Convolution() as layer,
            MaxPool(size=2, stride=None | 2),
            Activation(),
            *_,
        ):
            return layer
    return None


def _window(layer: MaxPool, side: int) -> Window:
    stride = layer.stride or layer.size
    return Window(layer.size, stride, (side - layer.size) // stride + 1)


def unsupported(architecture: Architecture) -> str | None:
    """Returns why no kernel can be written for an architecture; None: it can."""
    try:
        Program(architecture)
    except UnsupportedError as error:
        return str(error)
    return None


@dataclass(frozen=True)
class Plan:
    """The program of a kernel, and its sizes on a kind of CPU.

    Attributes:
        architecture: The network; must be supported.
        lanes: float32 per vector in the pooled convolutions, 8 or 16.
        registers: Vector registers of the CPU, 16 or 32.
    """

    architecture: Architecture
    lanes: int
    registers: int

    @cached_property
    def program(self) -> Program:
        """What the kernel does."""
        return Program(self.architecture)

    @property
    def sums(self) -> int:
        """Registers that hold sums; the rest is for what is multiplied."""
        return 26 if self.registers == 32 else 12

    @property
    def wide_registers(self) -> int:
        """Registers for vectors of 16 lanes; narrow CPUs need two for each."""
        return self.registers * self.lanes // 16

    @property
    def rows_per_vector(self) -> int:
        """Output rows side by side in a vector of the first convolution."""
        return self.lanes // 8

    @property
    def vectors_per_tap_row(self) -> int:
        """Vectors that hold a tap row of the second convolution."""
        second = self.program.second
        return -(-second.kernel * 8 // self.lanes) if second else 0

    @property
    def table_row(self) -> int:
        """Entries of such a row in the table, where it may be moved by a column."""
        second = self.program.second
        return -(-(second.kernel + 1) * 8 // self.lanes) * self.lanes if second else 0

    @property
    def features_1_handed(self) -> bool:
        """Whether features_1 themselves go to the lanes."""
        return any(handover.stride for handover in self.program.handovers)

    def constants(self) -> dict[str, int]:
        """Returns what fused/steps.py calls by names in capitals.

        Counts of entries, unless the name says otherwise; docs/fused_kernel.md draws
        the arrays.
        """
        program, planes = self.program, self.architecture.channels
        first = program.first
        # the second copy of an image starts half a cache line later
        copy = planes * IMAGE_SIZE * ROW + 8
        shrunk = planes * first.side**2 if program.around else 0
        table_taps_1 = first.kernel + self.rows_per_vector - 1
        features_1 = first.side**2 * 8
        return {
            "PLANES": planes,
            "SIDE": IMAGE_SIZE,
            "ROW": ROW,
            "COPY": copy,
            "SHRUNK": 2 * copy + 16,
            "IMAGE": 2 * copy + 16 + shrunk,
            "LANES": self.lanes,
            "PARAMETERS": self.architecture.parameters,
            "PADDED_PARAMETERS": -(-self.architecture.parameters // 16) * 16,
            "TAPS_1": first.kernel,
            "TABLE_TAPS_1": table_taps_1,
            "TABLE_1": planes * table_taps_1 * first.kernel * self.lanes,
            "SUMS_1": planes * 8 * first.kernel * 8,
            "FEATURES_1": features_1,
            # in evaluation: those of all 16 images, where they go to the lanes
            "KEPT_1": features_1 * (IMAGES if self.features_1_handed else 1),
            **self._constants_2(),
            "HANDED": program.handed,
            "FEATURES": program.size,
            "SCORES_AT": program.scores.start,
            "CLASSES": CLASSES,
            **{name.upper(): i for i, name in enumerate(ACTIVATIONS)},
        }

    def _constants_2(self) -> dict[str, int]:
        """Returns those of the second convolution; zeros if there is none."""
        second = self.program.second
        units, taps, side, weights = (
            (second.item.units, second.kernel, second.side, second.item.start)
            if second
            else (0, 0, 0, 0)
        )
        shift = (taps + 2) * self.table_row
        sums_row = self.vectors_per_tap_row * self.lanes
        return {
            "TAPS_2": taps,
            "UNITS_2": units,
            "WEIGHTS_2": weights,
            "TABLE_ROW_2": self.table_row,
            "TABLE_SHIFT_2": shift,
            "TABLE_UNIT_2": 2 * shift,
            "TABLE_2": units * 2 * shift,
            "SUMS_ROW_2": sums_row,
            "SUMS_2": units * taps * sums_row,
            "POSITIONS_2": side**2,
        }


def kernel_order(architecture: Architecture) -> Int[np.ndarray, parameters]:
    """Returns the index into PyTorch's order of each entry in kernel order."""
    program = Program(architecture)
    order = np.arange(architecture.parameters)

    def move(item: Weighted, *axes: int) -> None:
        index = order[item.weight].reshape(item.units, item.inputs, item.block)
        order[item.weight] = index.transpose(axes).ravel()

    move(program.first.item, 1, 2, 0)
    if program.around:
        move(program.around[1], 1, 2, 0)
    if program.second:
        move(program.second.item, 0, 2, 1)
    return order
