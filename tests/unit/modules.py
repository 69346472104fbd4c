"""The declared architectures as ordinary PyTorch modules, independent of our engines.

Their parameters stand in vector order.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from hyperreps.networks.architectures import Architecture

from .conftest import MODULES, plain_model


class ResCnn(nn.Module):
    """The cnn with pooled 1 x 1 shortcuts."""

    def __init__(self, channels: int, act: nn.Module) -> None:
        super().__init__()
        self.conv1, self.skip1 = nn.Conv2d(channels, 8, 5), nn.Conv2d(channels, 8, 1)
        self.conv2, self.skip2 = nn.Conv2d(8, 6, 5), nn.Conv2d(8, 6, 1)
        self.conv3, self.skip3 = nn.Conv2d(6, 4, 2), nn.Conv2d(6, 4, 1)
        self.linear1, self.linear2 = nn.Linear(36, 20), nn.Linear(20, 10)
        self.pool, self.around = nn.MaxPool2d(2), nn.MaxPool2d(5, 2)
        self.last, self.act = nn.MaxPool2d(2, 1), act

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.pool(self.conv1(x))) + self.skip1(self.around(x))
        x = self.act(self.pool(self.conv2(x))) + self.skip2(self.around(x))
        x = self.act(self.conv3(x)) + self.skip3(self.last(x))
        return self.linear2(self.act(self.linear1(x.flatten(1))))


class OneSkip(nn.Module):
    """Three convolutions and one strided 1 x 1 shortcut."""

    def __init__(self, channels: int, act: nn.Module) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 8, 5, bias=False)
        self.conv2 = nn.Conv2d(8, 6, 5)
        self.conv3 = nn.Conv2d(6, 4, 2, bias=False)
        self.skip1 = nn.Conv2d(8, 4, 1, stride=4, bias=False)
        self.linear1 = nn.Linear(36, 20, bias=False)
        self.linear2 = nn.Linear(20, 10)
        self.pool, self.act = nn.MaxPool2d(2), act

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.pool(self.conv1(x)))
        y = self.act(self.conv3(self.act(self.pool(self.conv2(x)))))
        x = y + self.skip1(x)
        return self.linear2(self.act(self.linear1(x.flatten(1))))


class FourConvolutions(nn.Module):
    """Four convolutions, with or without an identity shortcut."""

    def __init__(self, channels: int, act: nn.Module, *, skip: bool) -> None:
        super().__init__()
        self.skip = skip
        self.conv1 = nn.Conv2d(channels, 8, 5)
        self.conv2 = nn.Conv2d(8, 4, 5, bias=False)
        self.conv3 = nn.Conv2d(4, 6, 4, bias=False)
        self.conv4 = nn.Conv2d(6, 4, 3, bias=False)
        self.linear1, self.linear2 = nn.Linear(36, 18), nn.Linear(18, 10)
        self.pool, self.act = nn.MaxPool2d(2), act

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.conv2(self.act(self.pool(self.conv1(x)))))
        y = self.act(self.conv4(self.act(self.conv3(x))))
        x = y + x[:, :, 1:-1:2, 1:-1:2] if self.skip else y
        return self.linear2(self.act(self.linear1(x.flatten(1))))


# beside the cnn, which conftest.py has
OTHERS: dict[str, Callable[[int, nn.Module], nn.Module]] = {
    "cnn_res_skip": ResCnn,
    "cnn_one_skip": OneSkip,
    "cnn_4conv": functools.partial(FourConvolutions, skip=False),
    "cnn_4conv_id_skip": functools.partial(FourConvolutions, skip=True),
}


def ordinary(
    row: torch.Tensor, architecture: Architecture, *, activation: str
) -> nn.Module:
    """Returns a network as a module."""
    channels = architecture.channels
    if architecture.name == "cnn":
        return plain_model(row, channels=channels, activation=activation)
    model = OTHERS[architecture.name](channels, MODULES[activation]())
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    assert list(shapes.items()) == list(architecture.shapes().items())
    nn.utils.vector_to_parameters(row.clone(), model.parameters())
    return model
