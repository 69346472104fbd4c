"""Models as safetensors files, with a checksum in their metadata."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from .provenance import provenance
from .storage import DataFileError, check_identity, identity, reading_from, replacing


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], *, kind: str, about: Mapping[str, str]
) -> None:
    """Writes a model's tensors.

    Args:
        path: File to create or replace.
        tensors: By name, on any device.
        kind: Of model, such as "hyper_rep".
        about: What the reader needs to build the model.
    """
    metadata = {"kind": kind, **about, **provenance(), "name": identity(path)}
    plain = {name: x.detach().cpu().contiguous() for name, x in tensors.items()}
    metadata["checksum"] = _checksum(plain, metadata)
    with replacing(path) as temporary:
        temporary.write_bytes(save(plain, metadata=metadata))


def read_tensors(path: Path, *, kind: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Reads a model's tensors and what the file says about it.

    Args:
        path: The file.
        kind: Of model that is needed.

    Raises:
        DataFileError: If the file is missing, damaged, of another kind, or has the name
            of another file.
    """
    # not by safetensors, which maps the file: a disk that fails would kill the process
    with reading_from(path):
        content = path.read_bytes()
    try:
        tensors = load(content)
        header = content[8 : 8 + int.from_bytes(content[:8], "little")]
        metadata = json.loads(header).get("__metadata__", {})
    except SafetensorError as error:
        raise _damaged(path, str(error)) from error
    check_identity(path, metadata, kind=kind)
    if metadata.pop("checksum", None) != _checksum(tensors, metadata):
        raise _damaged(path, "the checksum differs")
    return tensors, metadata


def _damaged(path: Path, reason: str) -> DataFileError:
    return DataFileError(f"{path}: damaged ({reason}); move it away and run again")


def _checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Returns the sha256 of tensors and metadata, whose order in the file varies."""
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        array = tensors[name].numpy()
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
