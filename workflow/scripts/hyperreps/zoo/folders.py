"""Folders of networks that were trained elsewhere: whose file is which, at what epoch.

docs/own_zoo.md describes them. Names are read here, not weights, and without torch: the
Snakefile asks for the files too.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..files.places import content_digest
from ..files.storage import DataFileError, reading_from
from ..settings.stages import Zoo

CHECKPOINTS = "checkpoints"
# forms of folders, by the suffix of their files; checkpoints have none
FORMS = {".safetensors": "safetensors", ".pt": "state dicts", ".pth": "state dicts"}
# what stands beside networks: of one, of all in the folder, of all in an export
RESULTS, PARAMETERS, INDEX = "result.json", "params.json", "index_dict.json"
POPULATION = "population.json"
CHECKPOINT = re.compile(r"checkpoint_(\d+)", re.ASCII)
EPOCH = re.compile(r"(.+?)[._-]epoch[._-]?(\d+)", re.ASCII)
NUMBER = re.compile(r"(\d+)", re.ASCII)


class Listing(NamedTuple):
    """The files of a folder.

    Attributes:
        form: checkpoints, safetensors or state dicts.
        networks: By name, in natural order, a file per epoch; epoch None: the file's
            name has none.
        others: What is beside them and no network.
    """

    form: str
    networks: dict[str, dict[int | None, Path]]
    others: list[Path]


def natural(name: str) -> list[str | int]:
    """Returns a key that sorts numbers in names by their value."""
    parts = NUMBER.split(name)
    return [int(part) if index % 2 else part for index, part in enumerate(parts)]


def listing(folder: Path) -> Listing:
    """Finds the networks of a folder.

    Raises:
        DataFileError: If there is none, if they are of several forms, or if two files
            are the same epoch of one network.
    """
    forms: dict[str, dict[str, dict[int | None, Path]]] = {}
    others = []
    with reading_from(folder):
        entries = sorted(folder.iterdir(), key=lambda path: natural(path.name))
    for entry in entries:
        found = list(_networks(entry))
        if not found and entry.name != INDEX and not entry.name.startswith("."):
            others.append(entry)
        for form, name, epoch, path in found:
            epochs = forms.setdefault(form, {}).setdefault(name, {})
            if epoch in epochs:
                raise DataFileError(
                    f"{path}: is the same epoch of {name} as {epochs[epoch]}; move one"
                    " of them away"
                )
            epochs[epoch] = path
    if len(forms) != 1:
        ways = "checkpoint_NUMBER/checkpoints in folders, .safetensors, .pt or .pth"
        raise DataFileError(
            f"{folder}: holds {' and '.join(sorted(forms)) or 'no networks'}; it must"
            f" hold one of {ways} (docs/own_zoo.md)"
        )
    [(form, networks)] = forms.items()
    return Listing(form, networks, others)


def _networks(entry: Path) -> Iterable[tuple[str, str, int | None, Path]]:
    """Yields form, network, epoch and file of what is in a folder of networks."""
    if form := FORMS.get(entry.suffix):
        match = EPOCH.fullmatch(entry.stem)
        name, epoch = (match[1], int(match[2])) if match else (entry.stem, None)
        yield form, name, epoch, entry
    elif entry.is_dir():
        for folder in entry.iterdir():
            match = CHECKPOINT.fullmatch(folder.name)
            if match and (folder / CHECKPOINTS).is_file():
                yield CHECKPOINTS, entry.name, int(match[1]), folder / CHECKPOINTS


def of_epochs(
    folder: Path, networks: dict[str, dict[int | None, Path]], settings: Zoo
) -> dict[int, list[Path]]:
    """Returns the file of every network, in order, by epoch.

    Epochs are those of the zoo's window, and of keep those that all networks have. A
    file without epoch is the window, if that is one epoch.

    Raises:
        DataFileError: If a network has not all epochs of the window.
    """
    first, last = settings.window
    window = range(first, last + 1)
    if first == last:
        networks = {
            name: {first: files[None]} if files.keys() == {None} else files
            for name, files in networks.items()
        }
    lacking = {
        name: missing
        for name, files in networks.items()
        if (missing := [epoch for epoch in window if epoch not in files])
    }
    if lacking:
        name, missing = next(iter(lacking.items()))
        raise DataFileError(
            f"{folder}: {len(lacking)} of {len(networks)} networks have not every epoch"
            f" of window {first}..{last}; the first is {name}, without epoch"
            f" {missing[0]}; move them away and set models to what is left, or set"
            " window to epochs that all have (a file names its epoch as"
            " NETWORK_epoch_NUMBER)"
        )
    return {
        epoch: [files[epoch] for files in networks.values()]
        for epoch in settings.kept_epochs
        if all(epoch in files for files in networks.values())
    }


def files_read(path: Path, settings: Zoo) -> list[Path]:
    """Returns the files that the import of a zoo reads, in order.

    Args:
        path: The npz file or folder of its networks.
        settings: Of the zoo.

    Raises:
        DataFileError: As listing() and of_epochs().
    """
    if not path.is_dir():
        return [path]
    form, networks, _ = listing(path)
    files = of_epochs(path, networks, settings)
    read = [file for rows in files.values() for file in rows]
    if form == CHECKPOINTS:
        read += [
            path / n / beside for n in networks for beside in (RESULTS, PARAMETERS)
        ]
    # what an export says of its networks stands above them
    return [*read, path / INDEX, path.parent / POPULATION]


def networks_digest(path: Path, settings: Zoo) -> str:
    """Returns a hash of the files that the import of a zoo reads, wherever they lie.

    It is that of the one file, where there is one; nothing for what cannot be read,
    which the import has to say.
    """
    if not path.is_dir():
        return content_digest(path)
    try:
        files = files_read(path, settings)
    except DataFileError:
        return ""
    digest = hashlib.sha256()
    for file in filter(Path.is_file, files):
        name = file.relative_to(path.parent if file.parent == path.parent else path)
        digest.update(f"{name} {content_digest(file)}\n".encode())
    return digest.hexdigest()[:16]


def read_json(path: Path, *, lines: bool = False) -> list[dict[str, Any]]:
    """Reads what stands beside networks: an object, or one per line.

    Returns:
        The objects; none if there is no such file.

    Raises:
        DataFileError: If it is damaged.
    """
    if not path.is_file():
        return []
    with reading_from(path):
        text = path.read_text(encoding="utf-8", errors="replace")
    found = []
    for number, part in enumerate(text.splitlines() if lines else [text], start=1):
        try:
            value = json.loads(part)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            where = f"line {number}" if lines else "it"
            raise DataFileError(
                f"{path}: {where} is no JSON object; mend the file or move it away, the"
                " networks are evaluated all the same"
            )
        found.append(value)
    return found


def seeds_of(names: Sequence[str], given: Sequence[Any]) -> tuple[list[int], str]:
    """Returns a seed per network, all different, and where they are from.

    Args:
        names: Of the networks, in order.
        given: What each says of its seed; None: nothing.
    """
    if all(type(seed) is int for seed in given) and len({*given}) == len(given):
        return list(given), "of their parameters"
    numbers = [int((NUMBER.findall(name) or [-1])[-1]) for name in names]
    if min(numbers) >= 0 and len({*numbers}) == len(numbers):
        return numbers, "the last number of each name"
    return list(range(len(names))), "places in the order of names"
