"""Random numbers on devices that are functions of seeds and epochs alone.

A counter-based source (the finalizer of SplitMix64, Steele et al. 2014) in int64
arithmetic, which wraps around alike on every device: the same keys on CPU and GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from .seeds import derived_seed
from .shapes import Int

# the 64 bit constants of SplitMix64, as signed integers
_STEP = 0x9E3779B97F4A7C15 - 2**64
_MIX_1 = 0xBF58476D1CE4E5B9 - 2**64
_MIX_2 = 0x94D049BB133111EB - 2**64


def _shifted(x: Tensor, bits: int) -> Tensor:
    # int64 shifts keep the sign; the mask makes them logical
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def mix(x: Int[Tensor, ...]) -> Int[Tensor, ...]:
    """Returns well mixed 64 bit integers, one per input."""
    x = x + _STEP
    x = (x ^ _shifted(x, 30)) * _MIX_1
    x = (x ^ _shifted(x, 27)) * _MIX_2
    return x ^ _shifted(x, 31)


def batch_order(
    seeds: Int[Tensor, models], *, epoch: int, count: int
) -> Int[Tensor, "models images"]:
    """Returns in which order each model sees the images in an epoch.

    A function of (seed, epoch) alone, equal on every device.

    Args:
        seeds: One per model; the result is on their device.
        epoch: Counted from 1.
        count: Number of images.
    """
    keys = mix(mix(seeds) + epoch)[:, None]
    position = torch.arange(count, device=seeds.device)
    return mix(keys + position).argsort(dim=1, stable=True)


@contextmanager
def torch_seeded(*parts: int | str, device: torch.device) -> Iterator[None]:
    """Seeds torch's own random numbers inside the block and restores them afterwards.

    For modules such as dropout, which take no torch.Generator.
    """
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derived_seed(*parts))
        yield
