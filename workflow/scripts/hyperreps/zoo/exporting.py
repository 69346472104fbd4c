"""Networks of a file for other programs: plain tensors, and what evaluates them.

docs/own_zoo.md describes the folder. What is made here, folders.py reads again.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import h5py
import numpy as np
import torch
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from ..data.images import SPLITS, Images
from ..files.provenance import provenance
from ..files.storage import DataFileError, identity, new_folder, opened
from ..networks.architectures import IMAGE_SIZE, Architecture, layer_data
from ..numbers.shapes import Float, Int
from ..settings.stages import Recipe, SettingsError, Zoo
from .folders import POPULATION
from .zoos import epoch_columns, read_architecture

log = logging.getLogger(__name__)

Form = Literal["safetensors", "state_dict", "stacked"]
KINDS = ("zoo", "samples", "finetuned")
STACKED, IMAGES = "stacked.safetensors", "images.safetensors"
# attributes that say how networks were made, and arrays that say it of each
MADE_BY = (
    *("zoo", "source", "target", "method", "settings", "recipe", "alignment"),
    "imported",
)
OF_EACH = ("seed", "split", "hyper_rep_seed", "source_model", "source_epoch")


class Chosen(NamedTuple):
    """Networks of a population's file, one per row.

    Attributes:
        weights: In the vector order of docs/data_format.md.
        row: Of the file.
        epoch: Of its training.
        network: What they are.
        entries: What the file says of each, for JSON.
        about: What it says of all.
        attributes: Of the file.
    """

    weights: Float[np.ndarray, "networks parameters"]
    row: Int[np.ndarray, networks]
    epoch: Int[np.ndarray, networks]
    network: Architecture
    entries: list[dict[str, Any]]
    about: dict[str, Any]
    attributes: dict[str, Any]


def choose(
    path: Path, *, epochs: Sequence[int] = (), rows: Sequence[int] = ()
) -> Chosen:
    """Reads networks of a zoo, of samples or of finetuned networks.

    Args:
        path: The file.
        epochs: Wanted; none: the last of a zoo's window or of a finetuning.
        rows: Of the file; none: all whose weights are finite and that did not diverge.

    Raises:
        DataFileError: If the file is missing, damaged or of another kind, or a network
            that is asked for has no finite weights at an epoch.
        SettingsError: If there is no such row.
    """
    with opened(path, kind=KINDS) as file:
        attributes = dict(file.attrs)
        network = read_architecture(attributes, path)
        recorded = [0] if "epochs" not in file else file["epochs"][()].tolist()
        epochs = sorted({*epochs}) or [_last(attributes, recorded)]
        columns = epoch_columns(path, recorded, wanted=epochs)
        chosen = _rows(path, rows, count=len(file["weights"]))
        weights = np.stack([_weights(file, column)[chosen] for column in columns])
        sound = np.isfinite(weights).all(axis=(0, 2))
        if "diverged" in file:
            sound &= file["diverged"][()][chosen] < 0
        if not sound.all():
            _leave_out(path, chosen[~sound].tolist(), epochs, strict=bool(rows))
        if not sound.any():
            raise DataFileError(f"{path}: no network is finite at all of {epochs}")
        chosen, weights = chosen[sound], weights[:, sound]
        entries = [_entry(file, int(row), epoch) for row in chosen for epoch in epochs]
    return Chosen(
        weights.swapaxes(0, 1).reshape(-1, network.parameters),
        chosen.repeat(len(epochs)),
        np.tile(epochs, len(chosen)),
        network,
        entries,
        _about(path, attributes, network),
        attributes,
    )


def _last(attributes: Mapping[str, Any], recorded: Sequence[int]) -> int:
    """Returns the epoch that is exported where none is asked for."""
    if attributes["kind"] != "zoo":
        return recorded[-1]
    return Zoo(**json.loads(attributes["settings"])).window[1]


def _weights(file: h5py.File, column: int) -> Float[np.ndarray, "models parameters"]:
    values = file["weights"]
    return values[()] if values.ndim == 2 else values[:, column]


def _rows(path: Path, rows: Sequence[int], *, count: int) -> np.ndarray:
    if strange := sorted({*rows} - {*range(count)}):
        raise SettingsError(
            f"--networks: {path} has networks 0..{count - 1}, not {strange}"
        )
    return np.array(sorted({*rows}) or range(count))


def _leave_out(
    path: Path, rows: Sequence[int], epochs: Sequence[int], *, strict: bool
) -> None:
    """Logs which networks are left out, or refuses them where they were asked for."""
    problem = (
        f"{path}: {len(rows)} networks diverged or are not finite at all of"
        f" {list(epochs)}, network {rows[0]} first"
    )
    if strict:
        raise DataFileError(f"{problem}; ask for others")
    log.info("%s; they are left out", problem)


def _entry(file: h5py.File, row: int, epoch: int) -> dict[str, Any]:
    """Returns what a file says of a network."""
    entry: dict[str, Any] = {"row": row, "epoch": epoch}
    for name in OF_EACH:
        # samples of several models have a list of them
        if name in file and file[name].ndim == 1:
            value = file[name][row]
            entry[name] = value.decode() if isinstance(value, bytes) else value.tolist()
    for kind in ("accuracy", "loss"):
        of_splits = {s: file[f"{kind}/{s}"] for s in SPLITS if f"{kind}/{s}" in file}
        entry[kind] = {
            split: _number(values[row] if values.ndim == 1 else values[row, epoch])
            for split, values in of_splits.items()
        }
    return entry


def _number(value: np.floating[Any]) -> float | None:
    """Returns a number as JSON has it, which has none that are not finite."""
    return float(value) if math.isfinite(value) else None


def _about(
    path: Path, attributes: Mapping[str, Any], network: Architecture
) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "kind": attributes["kind"],
        "file": {"name": identity(path), "sha256": digest, **_code(attributes)},
        "exported": _code(provenance()),
        "made": {key: _plain(attributes[key]) for key in MADE_BY if key in attributes},
        "architecture": {
            "name": network.name,
            "channels": network.channels,
            "parameters": network.parameters,
            "layers": [layer_data(layer) for layer in network.layers],
            "tensors": network.shapes(),
        },
    }


def _code(attributes: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("git_commit", "versions", "own_parts")
    return {key: _plain(attributes[key]) for key in keys if key in attributes}


def _plain(value: Any) -> Any:
    """Returns an attribute as JSON has it; what HDF5 cannot hold is JSON there."""
    if isinstance(value, str) and value.startswith(("{", "[")):
        return json.loads(value)
    return value.tolist() if isinstance(value, np.generic) else value


class Evaluation(NamedTuple):
    """What it takes to evaluate the networks of a file.

    Attributes:
        activations: Of each network.
        images: How they are prepared, for JSON.
        test: The images whose accuracies are recorded.
    """

    activations: list[str]
    images: dict[str, Any]
    test: Images


def evaluation(
    path: Path, chosen: Chosen, *, zoo: Path | None, dataset: Path | None
) -> Evaluation:
    """Finds out how networks were evaluated.

    Args:
        path: Their file.
        chosen: The networks.
        zoo: File of the zoo that they were made from, or finetuned for; None: where a
            run of the workflow has it, beside the file.
        dataset: Of its images; None: as before.

    Raises:
        DataFileError: If one of these files is missing or damaged.
        SettingsError: If they are others than the networks were evaluated with.
    """
    attributes = chosen.attributes
    kind = attributes["kind"]
    results = path.parents[1 if kind == "zoo" else 2]
    name = attributes[{"zoo": "zoo", "samples": "source", "finetuned": "target"}[kind]]
    zoo = path if kind == "zoo" else zoo or results / "zoos" / f"{name}.h5"
    with opened(_there(zoo, "zoo"), kind="zoo") as file:
        _same(zoo, "zoo", str(file.attrs["zoo"]), str(name))
        settings = Zoo(**json.loads(file.attrs["settings"]))
        image_set = str(file.attrs["dataset"])
    dataset = dataset or results / "datasets" / f"{image_set}.h5"
    with opened(_there(dataset, "dataset"), kind="dataset") as file:
        _same(dataset, "dataset", str(file.attrs["dataset"]), image_set)
        keys = ("dataset", "source", "sha256", "settings", "mean", "std")
        images = {key: _plain(file.attrs[key]) for key in keys if key in file.attrs}
        test = Images(
            torch.from_numpy(file["test/images"][()]),
            torch.from_numpy(file["test/labels"][()]).long(),
            torch.tensor(images["mean"]),
            torch.tensor(images["std"]),
        )
    recipe = settings.recipe
    if kind == "finetuned":
        recipe = Recipe(**json.loads(attributes["recipe"]))
    recipes = [
        settings.recipe_of(entry["seed"]) if kind == "zoo" else recipe
        for entry in chosen.entries
    ]
    about = {
        "size": IMAGE_SIZE,
        "normalised": "(pixel / 255 - mean) / std, per channel",
    }
    return Evaluation([r.activation for r in recipes], images | about, test)


def _there(path: Path, flag: str) -> Path:
    if not path.exists():
        raise DataFileError(f"{path}: no such file; name it by --{flag}")
    return path


def _same(path: Path, flag: str, found: str, wanted: str) -> None:
    if found != wanted:
        raise SettingsError(
            f"--{flag}: {path} is {found!r}, but the networks were evaluated with"
            f" {wanted!r}"
        )


def to_folder(
    chosen: Chosen,
    folder: Path,
    *,
    evaluation: Evaluation,
    forms: Collection[Form],
    images: bool = False,
) -> None:
    """Writes networks and a JSON file about them, whole or not at all.

    Args:
        chosen: The networks.
        folder: To make.
        evaluation: Of the networks.
        forms: safetensors and state_dict: a file per network, in a folder of that name;
            stacked: one file whose tensors have the networks as first axis.
        images: Whether to write the test images too.

    Raises:
        OutputError: If there is something of this name, or it cannot be written.
    """
    states = [_tensors(row, chosen.network) for row in chosen.weights]
    names = _names(chosen)
    with new_folder(folder) as temporary:
        for form, suffix in (("safetensors", ".safetensors"), ("state_dict", ".pt")):
            if form in forms:
                (temporary / form).mkdir()
                for name, state in zip(names, states, strict=True):
                    path = temporary / form / f"{name}{suffix}"
                    path.write_bytes(_bytes(state, suffix))
        if "stacked" in forms:
            stacked = {
                name: torch.stack([state[name] for state in states])
                for name in chosen.network.shapes()
            }
            (temporary / STACKED).write_bytes(_bytes(stacked, ".safetensors"))
        if images:
            test = {"pixels": evaluation.test.pixels, "labels": evaluation.test.labels}
            (temporary / IMAGES).write_bytes(_bytes(test, ".safetensors"))
        about = chosen.about | {
            "forms": sorted(forms),
            "images": evaluation.images,
            "networks": [
                {"file": name, "activation": activation, **entry}
                for name, activation, entry in zip(
                    names, evaluation.activations, chosen.entries, strict=True
                )
            ],
        }
        (temporary / POPULATION).write_text(_json(about), encoding="utf-8")


def _json(about: dict[str, Any]) -> str:
    """Returns an object as JSON: a line for each of its values, or of its networks."""

    def line(value: Any) -> str:
        return json.dumps(value, allow_nan=False)

    parts = []
    for key, value in about.items():
        if isinstance(value, list):
            lines = ",\n  ".join(map(line, value))
            parts.append(f'"{key}": [\n  {lines}\n ]')
        else:
            parts.append(f'"{key}": {line(value)}')
    return "{\n " + ",\n ".join(parts) + "\n}\n"


def _names(chosen: Chosen) -> list[str]:
    """Returns a name per network, of equal length."""
    rows, epochs = (len(str(max(x))) for x in (chosen.row, chosen.epoch))
    return [
        f"network_{row:0{rows}}_epoch_{epoch:0{epochs}}"
        for row, epoch in zip(chosen.row, chosen.epoch, strict=True)
    ]


def _tensors(
    row: Float[np.ndarray, parameters], network: Architecture
) -> dict[str, Tensor]:
    """Returns a weight vector as a state dict, in vector order."""
    shapes = network.shapes()
    parts = torch.from_numpy(row).split([math.prod(shape) for shape in shapes.values()])
    # copies: a view would be saved with all of the vector
    return {
        name: part.reshape(shape).clone()
        for (name, shape), part in zip(shapes.items(), parts, strict=True)
    }


def _bytes(state: dict[str, Tensor], suffix: str) -> bytes:
    # libraries that write files themselves hide why they could not
    if suffix == ".safetensors":
        return safetensors_bytes(state, metadata={"format": "pt"})
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()
