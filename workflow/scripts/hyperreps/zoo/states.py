"""State dicts that others saved, as weight vectors: only tensors are unpickled."""

from __future__ import annotations

import io
import pickle
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load as load_safetensors
from torch import Tensor

from ..data.official_files import reading
from ..files.storage import DataFileError, reading_from
from ..networks.architectures import Architecture
from ..numbers.shapes import Float
from .folders import natural

# keys under which checkpoints keep their state dict
WRAPPED = ("model_state_dict", "state_dict")
# what wrappers of modules put before each key
PREFIXES = ("module.", "_orig_mod.")


def read_state(path: Path) -> dict[str, Tensor]:
    """Reads a state dict: safetensors by the suffix, else a file of torch.save.

    Safetensors files do not keep the order of keys. Theirs are sorted by layer, numbers
    by their value, the weight before the bias.

    Raises:
        DataFileError: If the file is missing, damaged, would have to be unpickled by
            running code, or holds anything else than tensors.
    """
    with reading_from(path):
        content = path.read_bytes()
    with reading(str(path), "state dict"):
        if path.suffix == ".safetensors":
            state = load_safetensors(content)
            return {key: state[key] for key in sorted(state, key=_by_layer)}
        try:
            # it warns of old files before it refuses them
            with warnings.catch_warnings(action="ignore"):
                found = torch.load(
                    io.BytesIO(content), map_location="cpu", weights_only=True
                )
        except pickle.UnpicklingError as error:
            raise DataFileError(
                f"{path}: holds more than weights, which is not unpickled, or is no"
                " file of torch.save; write it by torch.save(model.state_dict(), path)"
            ) from error
    return _state(found, path)


def _by_layer(key: str) -> tuple[list[str | int], bool]:
    layer, _, name = key.rpartition(".")
    return natural(layer), name != "weight"


def _state(found: object, path: Path) -> dict[str, Tensor]:
    remedy = "write it by torch.save(model.state_dict(), path)"
    if isinstance(found, Mapping):
        inner = next((found[key] for key in WRAPPED if key in found), found)
        found = inner if isinstance(inner, Mapping) else found
    if not isinstance(found, Mapping):
        kind = type(found).__name__
        raise DataFileError(f"{path}: holds a {kind}, not a state dict; {remedy}")
    for key, value in found.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            kind = type(value).__name__
            raise DataFileError(f"{path}: key {key!r} is a {kind}; {remedy}")
    return dict(found)


def vector(
    state: Mapping[str, Tensor], network: Architecture, *, path: Path
) -> Float[np.ndarray, parameters]:
    """Returns the weights of a state dict in the vector order of docs/data_format.md.

    Its tensors are those of the architecture by name, if it has just these names, else
    by order, if their shapes agree one by one.

    Args:
        state: Of any float type; what is too large for float32 becomes infinite.
        network: What it has to be.
        path: Its file, for messages.

    Raises:
        DataFileError: With the first key that does not fit.
    """
    shapes = network.shapes()
    keys = {_plain(key): key for key in state}
    named = keys.keys() == shapes.keys() and len(keys) == len(state)
    ordered = [keys[name] for name in shapes] if named else list(state)
    if problem := _misfit(state, ordered, shapes):
        raise DataFileError(
            f"{path}: {problem}, in architecture {network.name} with {network.channels}"
            " image channels; set architecture to what the files hold, or save its"
            f" tensors in this order: {', '.join(shapes)}"
        )
    with reading(str(path), "state dict"):
        return np.concatenate([state[key].float().flatten() for key in ordered])


def _misfit(
    state: Mapping[str, Tensor],
    ordered: Sequence[str],
    shapes: Mapping[str, tuple[int, ...]],
) -> str:
    """Returns what is wrong with the first key that does not fit; "" if all do."""
    for (name, shape), key in zip(shapes.items(), ordered, strict=False):
        tensor = state[key]
        if tuple(tensor.shape) != shape or not tensor.is_floating_point():
            found = f"{tensor.dtype} {tuple(tensor.shape)}".removeprefix("torch.")
            return f"key {key!r} is {found}, where {name} is float {shape}"
    if len(ordered) > len(shapes):
        return (
            f"key {ordered[len(shapes)]!r} is one more than the {len(shapes)} tensors"
        )
    if len(ordered) < len(shapes):
        return f"no key is left for {list(shapes)[len(ordered)]}"
    return ""


def _plain(key: str) -> str:
    for prefix in PREFIXES:
        key = key.removeprefix(prefix)
    return key
