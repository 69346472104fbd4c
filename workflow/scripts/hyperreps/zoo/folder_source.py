"""Networks of a folder, and what stands beside them: seeds, accuracies, parameters."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from ..files.storage import DataFileError
from ..networks.architectures import Architecture
from ..numbers.shapes import Float, Int
from ..settings.stages import Zoo
from .folders import (
    CHECKPOINTS,
    INDEX,
    PARAMETERS,
    POPULATION,
    RESULTS,
    listing,
    of_epochs,
    read_json,
    seeds_of,
)
from .states import read_state, vector

log = logging.getLogger(__name__)


class FolderSource:
    """A folder with a state dict per network and epoch; a Source (imported.py).

    Attributes:
        form: checkpoints, safetensors or state dicts.
        epochs: Of every network, increasing.
        seeds: Per network, in the natural order of their names.
        accuracy: On test images, as the folder says; NaN where it does not.
    """

    form: str
    epochs: Int[np.ndarray, epochs]
    seeds: Int[np.ndarray, models]
    accuracy: Float[np.ndarray, "models epochs"]

    def __init__(self, path: Path, settings: Zoo, network: Architecture) -> None:
        """Finds the files and what they say of themselves; reads no weights.

        Args:
            path: The folder.
            settings: Of the zoo.
            network: What each file has to be.

        Raises:
            DataFileError: If files lack, or what stands beside them does not fit.
        """
        self.path, self.network = path, network
        self.form, networks, others = listing(path)
        if others:
            shown = ", ".join(other.name for other in others[:3])
            log.info("%s: %d others left aside: %s", path, len(others), shown)
        if len(networks) != settings.models:
            raise DataFileError(
                f"{path}: holds {len(networks)} networks, but models ="
                f" {settings.models}; set models to {len(networks)}, or move networks"
                " away"
            )
        by_epoch = of_epochs(path, networks, settings)
        if unread := sorted({*settings.keep} - by_epoch.keys()):
            log.info("%s: not every network has epochs %s of keep", path, unread)
        self.columns = {epoch: column for column, epoch in enumerate(by_epoch)}
        self.files = list(zip(*by_epoch.values(), strict=True))
        self.first_keys: list[str] = []
        _check_index(path / INDEX, network)
        self.epochs = np.array(list(by_epoch))
        self.accuracy = np.full((len(networks), len(by_epoch)), np.nan)
        names = list(networks)
        said = (
            self._beside_checkpoints(names, settings)
            if self.form == CHECKPOINTS
            else self._of_export()
        )
        seeds, origin = seeds_of(names, said)
        log.info("%s: seeds are %s", path, origin)
        self.seeds = np.array(seeds)

    def _beside_checkpoints(self, names: list[str], settings: Zoo) -> list[Any]:
        """Reads accuracies; returns what each network says of its seed."""
        for model, name in enumerate(names):
            for line in read_json(self.path / name / RESULTS, lines=True):
                self._record(
                    model, line.get("training_iteration"), line.get("test_acc")
                )
        return [_seed(self.path / name / PARAMETERS, settings) for name in names]

    def _of_export(self) -> list[Any]:
        """Reads what an export says of these files, if it does; returns as above."""
        path = self.path.parent / POPULATION
        said: dict[str, dict[str, Any]] = {}
        try:
            for about in read_json(path):
                said |= {str(entry["file"]): entry for entry in about["networks"]}
            for model, files in enumerate(self.files):
                for epoch, file in zip(self.columns, files, strict=True):
                    if file.stem in said:
                        self._record(model, epoch, said[file.stem]["accuracy"]["test"])
        except (LookupError, TypeError) as error:
            raise DataFileError(
                f"{path}: is not what export.py writes ({error!r}); move it away"
            ) from error
        return [said.get(files[0].stem, {}).get("seed") for files in self.files]

    def _record(self, model: int, epoch: object, value: object) -> None:
        # the authors write -999 for what was not measured
        if epoch in self.columns and isinstance(value, float | int) and 0 <= value <= 1:
            self.accuracy[model, self.columns[epoch]] = value

    def read(self, model: int) -> Float[np.ndarray, "epochs parameters"]:
        """Returns the weights of a network.

        Raises:
            DataFileError: If a file is damaged, does not fit the architecture, or has
                other keys than the first that was read.
        """
        return np.stack([self._read(file) for file in self.files[model]])

    def _read(self, file: Path) -> Float[np.ndarray, parameters]:
        state = read_state(file)
        row = vector(state, self.network, path=file)
        self.first_keys = self.first_keys or list(state)
        for key, other in zip(state, self.first_keys, strict=True):
            if key != other:
                raise DataFileError(
                    f"{file}: key {key!r} is {other!r} in {self.files[0][0]}; all"
                    " networks of a zoo must have the same keys: move one kind away"
                )
        return row


def _check_index(path: Path, network: Architecture) -> None:
    """Compares the layers that a folder says its vectors have with the architecture's.

    Raises:
        DataFileError: If they are larger or smaller.
    """
    sizes = [item.whole.stop - item.whole.start for item in network.weighted]
    for index in read_json(path):
        lengths = index.get("idx_length", sizes)
        if lengths != sizes:
            raise DataFileError(
                f"{path}: idx_length is {lengths}, but layers of {network.name} have"
                f" {sizes}; set architecture and dataset to those of the folder"
            )


def _seed(path: Path, settings: Zoo) -> Any:
    """Returns what the parameters of a network say of its seed.

    Raises:
        DataFileError: If they have another activation than the recipe.
    """
    wanted = settings.recipe.activation
    for parameters in read_json(path):
        given = parameters.get("model::nlin", wanted)
        if str(given).replace("_", "") != wanted.replace("_", ""):
            raise DataFileError(
                f"{path}: model::nlin is {given!r}, but recipe.activation is"
                f" {wanted!r}; set it to that, or move the network away"
            )
        return parameters.get("seed")
    return None
