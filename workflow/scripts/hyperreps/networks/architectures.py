"""The small networks, declared as data: layers, vector layout and symmetries.

A model is a row of `weights [models, parameters]`. An Architecture says what each entry
means: per layer the weight row-major, then the bias. Engines interpret the declaration
(engines/), and so do augmentation, alignment and tokens. No torch in here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from math import prod
from typing import Any, get_args

import numpy as np

from ..files.own_parts import find_part, is_own, one_line
from ..settings.stages import SettingsError

IMAGE_SIZE = 28
CLASSES = 10
# what layers in shortcuts are called
SHORTCUT = "skip"


@dataclass(frozen=True)
class Convolution:
    """Square convolution, stride 1, no padding."""

    channels: int
    kernel: int
    bias: bool = True


@dataclass(frozen=True)
class MaxPool:
    """Max pooling; leftover pixels drop. Without stride, windows lie side by side."""

    size: int
    stride: int | None = None


@dataclass(frozen=True)
class Activation:
    """The activation function of the recipe."""


@dataclass(frozen=True)
class Linear:
    """Fully connected layer; takes the flattened features, channel outermost."""

    features: int
    bias: bool = True


@dataclass(frozen=True)
class Crop:
    """Drops pixels at all four borders."""

    border: int


@dataclass(frozen=True)
class Subsample:
    """Keeps every so many pixels of rows and columns, from the first on."""

    stride: int


@dataclass(frozen=True)
class Residual:
    """The sum of two branches that give feature maps of the same shape."""

    body: tuple[Layer, ...]
    shortcut: tuple[Layer, ...]


Layer = Convolution | MaxPool | Activation | Linear | Crop | Subsample | Residual
KINDS = {kind.__name__: kind for kind in get_args(Layer)}


def layer_data(layer: Layer) -> dict[str, Any]:
    """Returns a layer as JSON has it: its kind, and what it is made with."""
    values = {field.name: getattr(layer, field.name) for field in fields(layer)}
    return {"kind": type(layer).__name__} | {
        name: [layer_data(part) for part in value]
        if isinstance(value, tuple)
        else value
        for name, value in values.items()
    }


def layer_from(data: Mapping[str, Any]) -> Layer:
    """Returns the layer that layer_data() has described.

    Raises:
        LookupError: If it is of no known kind, or without one.
        TypeError: If it cannot be made with these values.
    """
    values = {
        name: tuple(map(layer_from, value)) if isinstance(value, list) else value
        for name, value in data.items()
        if name != "kind"
    }
    found: Layer = KINDS[data["kind"]](**values)
    return found


@dataclass(frozen=True)
class Weighted:
    """A layer with parameters, and where they lie in the vector.

    The weight is seen as [units, inputs, block]: `inputs` are the units of the layer
    before, and `block` counts the entries per input that move with it (positions of a
    kernel, or pixels of a flattened feature map). The bias follows the weight.

    Attributes:
        name: "conv1", "linear2" and so on; "skip1" in a shortcut.
        layer: The declaration it belongs to.
        units: Output channels or features; each becomes one token.
        inputs: Units of the previous layer, or image channels.
        block: Entries per unit and input.
        start: Index of its first entry.
        units_axis: Name of the permutation that acts on its units; None: fixed.
        inputs_axis: Name of the permutation that acts on its inputs; None: fixed.
        sign_symmetric: Whether negating a unit here and in the next layer preserves the
            function of a network with an odd activation. Max pooling between the two
            and sums of branches forbid it.
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
    def shortcut(self) -> bool:
        """Whether it lies in the shortcut of a Residual."""
        return self.name.startswith(SHORTCUT)

    @property
    def ends(self) -> tuple[str, str]:
        """What its units are called, and its inputs, among all of a network.

        Layers that share an axis share its units; what no permutation moves is its own.
        """
        return (
            self.units_axis or self.name,
            self.inputs_axis or f"inputs of {self.name}",
        )

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


class _Walk:
    """Follows the layers of a network and notes what has parameters."""

    def __init__(self, *, units: int) -> None:
        self.size, self.units = IMAGE_SIZE, units
        self.axis: str | None = None
        self.start = 0
        self.counts: Counter[str] = Counter()
        self.items: list[Weighted] = []
        self.feature_sizes: list[int] = []
        # axes that a sum ties together: the second moves with the first
        self.tied: dict[str, str | None] = {}

    def through(self, layers: tuple[Layer, ...], *, shortcut: bool = False) -> None:
        """Takes one branch after where the walk is."""
        for index, layer in enumerate(layers):
            if isinstance(layer, Residual):
                self._residual(layer)
            elif isinstance(layer, Convolution | Linear):
                kind = "conv" if isinstance(layer, Convolution) else "linear"
                odd = _odd_until_next(layers[index + 1 :])
                self._weighted(layer, SHORTCUT if shortcut else kind, odd=odd)
            elif isinstance(layer, MaxPool):
                stride = layer.stride or layer.size
                self.size = (self.size - layer.size) // stride + 1
            elif isinstance(layer, Crop):
                self.size -= 2 * layer.border
            elif isinstance(layer, Subsample):
                self.size = -(-self.size // layer.stride)
            elif not isinstance(layer, Activation):
                raise TypeError(f"{layer!r} is none of the layers of architectures.py")
            if min(self.size, self.units) < 1:
                raise ValueError(f"{layer} leaves nothing of its input")
            self.feature_sizes.append(self.units * self.size**2)

    def _weighted(self, layer: Convolution | Linear, kind: str, *, odd: bool) -> None:
        self.counts[kind] += 1
        name = f"{kind}{self.counts[kind]}"
        if isinstance(layer, Convolution):
            units, block = layer.channels, layer.kernel**2
            self.size += 1 - layer.kernel
        else:
            units, block = layer.features, self.size**2
            self.size = 1
        item = Weighted(
            name=name,
            layer=layer,
            units=units,
            inputs=self.units,
            block=block,
            start=self.start,
            units_axis=name,
            inputs_axis=self.axis,
            sign_symmetric=odd,
        )
        self.items.append(item)
        self.start, self.units, self.axis = item.bias.stop, units, name

    def _residual(self, layer: Residual) -> None:
        before = self.size, self.units, self.axis
        self.through(layer.body)
        after, axis = (self.size, self.units), self.axis
        self.size, self.units, self.axis = before
        self.through(layer.shortcut, shortcut=True)
        if (self.size, self.units) != after:
            raise ValueError(
                f"branches of a Residual end with {after} and"
                f" {(self.size, self.units)} (side, channels); make them equal"
            )
        # a body without parameters ends where it began
        if axis not in (None, self.axis):
            self.tied[axis] = self.axis

    def finished(self) -> tuple[Weighted, ...]:
        """Returns the layers with their final axes; the last has none."""
        tied = {name for pair in self.tied.items() for name in pair}

        def root(axis: str | None) -> str | None:
            while axis in self.tied:
                axis = self.tied[axis]
            return None if axis == self.items[-1].units_axis else axis

        return tuple(
            replace(
                item,
                units_axis=root(item.units_axis),
                inputs_axis=root(item.inputs_axis),
                sign_symmetric=item.sign_symmetric and item.units_axis not in tied,
            )
            for item in self.items
        )


def _odd_until_next(layers: tuple[Layer, ...]) -> bool:
    """Returns whether only activations come before the next layer with parameters."""
    for layer in layers:
        if isinstance(layer, Convolution | Linear):
            return True
        if not isinstance(layer, Activation):
            return False
    return False


@dataclass(frozen=True)
class Architecture:
    """A network as a sequence of layers on 28 x 28 images.

    Attributes:
        name: Its key in ARCHITECTURES, or FILE.py:NAME.
        channels: Channels of the images.
        layers: From images to class scores.
    """

    name: str
    channels: int
    layers: tuple[Layer, ...]

    @cached_property
    def _walked(self) -> _Walk:
        walk = _Walk(units=self.channels)
        walk.through(self.layers)
        return walk

    @cached_property
    def weighted(self) -> tuple[Weighted, ...]:
        """The layers that have parameters, in vector order: body before shortcut."""
        return self._walked.finished()

    @property
    def feature_sizes(self) -> list[int]:
        """Numbers in the output of each layer, for one image."""
        return self._walked.feature_sizes

    @property
    def parameters(self) -> int:
        """Length of the weight vector."""
        return self.weighted[-1].bias.stop

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


def _stage(channels: int, kernel: int) -> tuple[Layer, ...]:
    """Pooling comes before the activation, as in the release."""
    return (Convolution(channels, kernel), MaxPool(2), Activation())


def cnn(channels: int) -> Architecture:
    """Returns the network of the paper's zoos: 2464 (1 channel) or 2864 parameters.

    Source: class CNN of the authors' release.
    """
    layers = (
        *_stage(8, 5),
        *_stage(6, 5),
        *(Convolution(4, 2), Activation()),
        *(Linear(20), Activation(), Linear(CLASSES)),
    )
    return Architecture("cnn", channels, layers)


def cnn_res_skip(channels: int) -> Architecture:
    """Returns the cnn with a 1 x 1 convolution around each stage: 2562 or 2978.

    Source: class ResCNN of the authors' release; the paper's "3-conv + res-skip".
    """
    layers = (
        Residual(_stage(8, 5), (MaxPool(5, 2), Convolution(8, 1))),
        Residual(_stage(6, 5), (MaxPool(5, 2), Convolution(6, 1))),
        Residual((Convolution(4, 2), Activation()), (MaxPool(2, 1), Convolution(4, 1))),
        *(Linear(20), Activation(), Linear(CLASSES)),
    )
    return Architecture("cnn_res_skip", channels, layers)


def cnn_one_skip(channels: int) -> Architecture:
    """Returns three convolutions and one 1 x 1 shortcut: 2464 or 2864 parameters.

    Source: class CNN_residual of the authors' release.
    """
    body = (*_stage(6, 5), Convolution(4, 2, bias=False), Activation())
    layers = (
        *(Convolution(8, 5, bias=False), MaxPool(2), Activation()),
        Residual(body, (Convolution(4, 1, bias=False), Subsample(4))),
        *(Linear(20, bias=False), Activation(), Linear(CLASSES)),
    )
    return Architecture("cnn_one_skip", channels, layers)


def _four_convolutions() -> tuple[tuple[Layer, ...], ...]:
    """Returns the first two, the last two and the linear layers."""
    return (
        (*_stage(8, 5), Convolution(4, 5, bias=False), Activation()),
        (
            *(Convolution(6, 4, bias=False), Activation()),
            *(Convolution(4, 3, bias=False), Activation()),
        ),
        (Linear(18), Activation(), Linear(CLASSES)),
    )


def cnn_4conv(channels: int) -> Architecture:
    """Returns a network of four convolutions: 2464 or 2864 parameters.

    Source: class CNN_more_layers of the authors' release; the paper's "4-conv".
    """
    first, second, head = _four_convolutions()
    return Architecture("cnn_4conv", channels, (*first, *second, *head))


def cnn_4conv_id_skip(channels: int) -> Architecture:
    """Returns cnn_4conv with a shortcut without parameters: 2464 or 2864.

    Source: class CNN_more_layers_residual; the paper's "4-conv + idskip".
    """
    first, second, head = _four_convolutions()
    skip = Residual(second, (Crop(1), Subsample(2)))
    return Architecture("cnn_4conv_id_skip", channels, (*first, skip, *head))


ARCHITECTURES: dict[str, Callable[[int], Architecture]] = {
    function.__name__: function
    for function in (cnn, cnn_res_skip, cnn_one_skip, cnn_4conv, cnn_4conv_id_skip)
}


def build(name: str, *, channels: int) -> Architecture:
    """Returns an architecture by its name in ARCHITECTURES, or of a user's file.

    Raises:
        SettingsError: If there is none of this name, or the user's cannot be.
    """
    function = find_part(name, ARCHITECTURES, where="architectures.py")
    return _own(function, name, channels) if is_own(name) else function(channels)


def _own(function: Any, name: str, channels: int) -> Architecture:
    """Returns what a user's function declares, once it is known to be a network."""
    try:
        found = function(channels)
    except Exception as error:
        raise SettingsError(
            f"{name}: function(channels={channels}) fails ({one_line(error)})"
        ) from error
    if not isinstance(found, Architecture):
        raise SettingsError(
            f"{name}: is no architecture: function(channels) must return an"
            f" Architecture, not {type(found).__name__}"
        )
    if found.channels != channels:
        raise SettingsError(
            f"{name}: declares {found.channels} channel(s) where images have {channels}"
        )
    try:
        last = found.weighted[-1:]
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{name}: {error}") from error
    if not last or last[0].layer != found.layers[-1] or last[0].units != CLASSES:
        raise SettingsError(f"{name}: its last layer must be Linear({CLASSES})")
    # by which files that hold its networks find it again
    return replace(found, name=name)
