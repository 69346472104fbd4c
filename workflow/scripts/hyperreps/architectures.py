"""The small networks, declared as data: layers, vector layout and symmetries.

A model is a row of `weights [models, parameters]`. An Architecture says what each entry
means: per layer the weight row-major, then the bias. Engines interpret the declaration
(population.py), and so do augmentation, alignment and tokens. No torch in here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from .settings import SettingsError

IMAGE_SIZE = 28
CLASSES = 10


@dataclass(frozen=True)
class Convolution:
    """Square convolution, stride 1, no padding."""

    channels: int
    kernel: int
    bias: bool = True


@dataclass(frozen=True)
class MaxPool:
    """Max pooling with window and stride of the same size; leftover pixels drop."""

    size: int


@dataclass(frozen=True)
class Activation:
    """The activation function of the recipe."""


@dataclass(frozen=True)
class Linear:
    """Fully connected layer; takes the flattened features, channel outermost."""

    features: int
    bias: bool = True


Layer = Convolution | MaxPool | Activation | Linear


@dataclass(frozen=True)
class Weighted:
    """A layer with parameters, and where they lie in the vector.

    The weight is seen as [units, inputs, block]: `inputs` are the units of the layer
    before, and `block` counts the entries per input that move with it (positions of a
    kernel, or pixels of a flattened feature map). The bias follows the weight.

    Attributes:
        name: "conv1", "linear2" and so on.
        layer: The declaration it belongs to.
        units: Output channels or features; each becomes one token.
        inputs: Units of the previous layer, or image channels.
        block: Entries per unit and input.
        start: Index of its first entry.
        units_axis: Name of the permutation that acts on its units; None: fixed.
        inputs_axis: Name of the permutation that acts on its inputs; None: fixed.
        sign_symmetric: Whether negating a unit here and in the next layer preserves the
            function of a network with an odd activation. Max pooling between the two
            forbids it.
    """

    name: str
    layer: Convolution | Linear
    units: int
    inputs: int
    block: int
    start: int
    units_axis: str | None
    inputs_axis: str | None
    sign_symmetric: bool

    @property
    def fan_in(self) -> int:
        """Entries of the weight per unit."""
        return self.inputs * self.block

    @property
    def weight(self) -> slice:
        """Where the weight lies in the vector."""
        return slice(self.start, self.start + self.units * self.fan_in)

    @property
    def bias(self) -> slice:
        """Where the bias lies; an empty slice without bias."""
        stop = self.weight.stop
        return slice(stop, stop + (self.units if self.layer.bias else 0))

    @property
    def whole(self) -> slice:
        """Weight and bias."""
        return slice(self.start, self.bias.stop)


@dataclass(frozen=True)
class Architecture:
    """A network as a sequence of layers on 28 x 28 images.

    Attributes:
        name: Its key in ARCHITECTURES.
        channels: Channels of the images.
        layers: From images to class scores.
    """

    name: str
    channels: int
    layers: tuple[Layer, ...]

    @cached_property
    def weighted(self) -> tuple[Weighted, ...]:
        """The layers that have parameters, in vector order."""
        return tuple(self._walk())

    def _walk(self) -> Iterator[Weighted]:
        size, units = IMAGE_SIZE, self.channels
        positions, start, axis = size * size, 0, None
        last = max(i for i, x in enumerate(self.layers) if isinstance(x, Linear))
        counts = {Convolution: 0, Linear: 0}
        for index, layer in enumerate(self.layers):
            if isinstance(layer, MaxPool):
                size //= layer.size
            elif isinstance(layer, Convolution | Linear):
                counts[type(layer)] += 1
                if isinstance(layer, Convolution):
                    name, out = "conv", layer.channels
                    block = layer.kernel**2
                    size += 1 - layer.kernel
                    positions = size * size
                else:
                    name, out = "linear", layer.features
                    block, positions = positions, 1
                name += str(counts[type(layer)])
                item = Weighted(
                    name=name,
                    layer=layer,
                    units=out,
                    inputs=units,
                    block=block,
                    start=start,
                    units_axis=None if index == last else name,
                    inputs_axis=axis,
                    sign_symmetric=index != last and self._odd_until_next(index),
                )
                yield item
                start, units, axis = item.bias.stop, out, item.units_axis
            if isinstance(layer, MaxPool):
                positions = size * size

    def _odd_until_next(self, index: int) -> bool:
        for layer in self.layers[index + 1 :]:
            if isinstance(layer, MaxPool):
                return False
            if isinstance(layer, Convolution | Linear):
                return True
        return False

    @property
    def parameters(self) -> int:
        """Length of the weight vector."""
        return self.weighted[-1].bias.stop

    @property
    def feature_sizes(self) -> list[int]:
        """Numbers in the output of each layer, for one image."""
        size, units, sizes = IMAGE_SIZE, self.channels, []
        for layer in self.layers:
            if isinstance(layer, Convolution):
                size, units = size + 1 - layer.kernel, layer.channels
            elif isinstance(layer, MaxPool):
                size //= layer.size
            elif isinstance(layer, Linear):
                size, units = 1, layer.features
            sizes.append(units * size**2)
        return sizes

    @cached_property
    def layer_index(self) -> np.ndarray:
        """Which weighted layer each entry belongs to: int64 [parameters]."""
        sizes = [item.whole.stop - item.start for item in self.weighted]
        return np.repeat(np.arange(len(sizes)), sizes)

    @cached_property
    def symmetric_axes(self) -> dict[str, int]:
        """Size of each axis whose units may be permuted, by name."""
        return {w.units_axis: w.units for w in self.weighted if w.units_axis}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Returns PyTorch's shapes of weights and biases by name, in vector order."""
        found: dict[str, tuple[int, ...]] = {}
        for item in self.weighted:
            shape: tuple[int, ...]
            if isinstance(item.layer, Convolution):
                kernel = item.layer.kernel
                shape = (item.units, item.inputs, kernel, kernel)
            else:
                shape = (item.units, item.fan_in)
            found[f"{item.name}.weight"] = shape
            if item.layer.bias:
                found[f"{item.name}.bias"] = (item.units,)
        assert sum(map(prod, found.values())) == self.parameters
        return found


def cnn(channels: int) -> Architecture:
    """Returns the network of the paper's zoos: 2464 (1 channel) or 2864 parameters.

    Pooling comes before the activation. Source: class CNN of the authors' release.
    """
    return Architecture(
        "cnn",
        channels,
        (
            Convolution(8, 5),
            MaxPool(2),
            Activation(),
            Convolution(6, 5),
            MaxPool(2),
            Activation(),
            Convolution(4, 2),
            Activation(),
            Linear(20),
            Activation(),
            Linear(CLASSES),
        ),
    )


ARCHITECTURES: dict[str, Callable[[int], Architecture]] = {"cnn": cnn}


def build(name: str, *, channels: int) -> Architecture:
    """Returns an architecture by its name in ARCHITECTURES.

    Raises:
        SettingsError: If the name is not registered.
    """
    if name not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise SettingsError(f"unknown architecture {name!r}; choose one of {known}")
    return ARCHITECTURES[name](channels)
