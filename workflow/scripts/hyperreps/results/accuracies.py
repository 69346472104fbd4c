"""The accuracy of every network of a run.

Accuracies are test accuracies in [0, 1]. "Network" is one model of a population: of a
zoo or of a method's samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import ValidationError

from ..files.storage import DataFileError, read_arrays
from ..numbers.shapes import Float
from ..numbers.statistics import summarise
from ..settings.stages import Method
from ..zoo.members import (
    DRAWING_TIME,
    EPOCH_TIME,
    LEARNING_TIME,
    sample_groups,
    sound_networks,
)
from .published import load_published
from .result import Result

# the zoo's own networks, from initialisation through their training
BASELINE = "B_T"
# behind the names of methods whose networks no hyper-representation has made
TRIVIAL = "†"

DISPLAY_NAMES = {
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "svhn": "SVHN",
    "cifar10": "CIFAR-10",
    "stl10": "STL-10",
    "digits": "Digits",
}


def display_name(*zoos: str) -> str:
    """Returns the heading of a zoo, or of source and target: "SVHN → MNIST"."""
    names = (DISPLAY_NAMES.get(zoo, zoo) for zoo in dict.fromkeys(zoos))
    return " → ".join(names)


class OfAccuracies(Result):
    """A result that shows the accuracy of networks beside the published numbers."""

    needs: ClassVar[tuple[str, ...]] = ("zoos", "published")

    @cached_property
    def networks(self) -> pd.DataFrame:
        """The accuracy of every network; see collect()."""
        files = self.sources
        sampled = {"samples": files.samples, "references": files.references}
        return collect(files.zoos, files.finetuned, **sampled)

    @cached_property
    def published(self) -> pd.DataFrame:
        """The published numbers of the table; see load_published()."""
        return load_published(self.sources.published, table=self.sources.table)

    def summary(self, networks: pd.DataFrame, epochs: Sequence[int]) -> pd.DataFrame:
        """Summarises networks at some epochs; see statistics.summarise()."""
        return summarise(
            networks,
            epochs=epochs,
            published=self.published,
            statistics=self.sources.statistics,
        )


def collect_zoos(zoos: Sequence[Path]) -> pd.DataFrame:
    """Reads the accuracy of every network of every zoo over its training.

    Args:
        zoos: HDF5 files of kind "zoo".

    Returns:
        One row per network and epoch that it was evaluated at: zoo, model (row of the
        file), split (of the models: train, val, test), epoch, accuracy.

    Raises:
        DataFileError: If a file is damaged, or two files hold the same zoo.
    """
    frames: dict[str, pd.DataFrame] = {}
    for path in zoos:
        arrays, attributes = read_arrays(path, "accuracy/test", "split", kind="zoo")
        name = _attribute(attributes, "zoo", path)
        if name in frames:
            raise DataFileError(f"{path}: zoo {name!r} is given twice; list it once")
        accuracy = _checked_accuracy(arrays["accuracy/test"], path)
        models, epochs = np.nonzero(np.isfinite(accuracy))
        frames[name] = pd.DataFrame(
            {
                "zoo": name,
                "model": models,
                "split": arrays["split"].astype(str)[models],
                "epoch": epochs,
                "accuracy": accuracy[models, epochs],
            }
        )
    return pd.concat(frames.values(), ignore_index=True)


def collect(
    zoos: Sequence[Path],
    finetuned: Sequence[Path] = (),
    *,
    samples: Sequence[Path] = (),
    references: Sequence[Path] = (),
) -> pd.DataFrame:
    """Gathers the accuracy of every network of a table.

    Args:
        zoos: Files of kind "zoo"; the test split of each is the method B_T, for all
            networks that are evaluated on its images.
        finetuned: Files of kind "finetuned", in the order of the config.
        samples: Files of kind "samples", known at epoch 0 only.
        references: The same, to be shown apart.

    Returns:
        One row per network and epoch, in the order given: source and target (zoos the
        networks come from and are evaluated on), method, sample (row of the file),
        group (what networks share their luck with: the seed of the
        hyper-representation, else the zoo's model the sample was made from, else the
        sample itself), epoch, accuracy, published (method it is compared with),
        reference (True for those of references), trivial (True for sampled networks
        that no hyper-representation has made), settings (of the method) and cost (see
        costs_of()), both none of B_T.

    Raises:
        DataFileError: If a file is missing, damaged, or given twice, or a method's
            settings differ between two files.
    """
    frames: list[pd.DataFrame] = []
    seen: dict[tuple[str, str, str], Path] = {}
    methods: dict[str, Method] = {}
    files = (("finetuned", finetuned), ("samples", samples), ("samples", references))
    for kind, paths in files:
        for path in paths:
            frame = _sampled(path, kind).assign(reference=paths is references)
            *key, settings = frame.loc[0, ["source", "target", "method", "settings"]]
            if key[2] == BASELINE or tuple(key) in seen:
                other = seen.get(tuple(key), f"the zoo's own networks ({BASELINE})")
                raise DataFileError(f"{path}: {key[2]} is already given by {other}")
            if methods.setdefault(key[2], settings) != settings:
                raise DataFileError(
                    f"{path}: settings of {key[2]} differ from those in another file of"
                    " this table; run the stage again"
                )
            seen[*key] = path
            frames.append(frame)
    return pd.concat([*_baselines(zoos, list(seen)), *frames], ignore_index=True)


def _baselines(
    zoos: Sequence[Path], sampled: Sequence[tuple[str, str, str]]
) -> Iterator[pd.DataFrame]:
    """Yields B_T for each zoo with itself or, where there are, with its sources."""
    for zoo, models in collect_zoos(zoos).groupby("zoo", sort=False):
        held_out = models[models["split"] == "test"]
        if held_out.empty:
            raise DataFileError(
                f"zoo {zoo!r} has no models in its test split, which {BASELINE} needs;"
                " give the zoo more models or another split"
            )
        own = held_out.rename(columns={"zoo": "target", "model": "sample"}).assign(
            method=BASELINE,
            group="sample " + held_out["model"].astype(str),
            published=BASELINE,
            reference=False,
            trivial=False,
        )
        sources = [source for source, target, _ in sampled if target == zoo]
        for source in dict.fromkeys(sources or [zoo]):
            yield own.drop(columns="split").assign(source=source)


def _sampled(path: Path, kind: str) -> pd.DataFrame:
    """Returns the rows of one file of kind "finetuned" or "samples"."""
    names = ("accuracy/test", "hyper_rep_seed", "source_model")
    arrays, attributes = read_arrays(path, *names, kind=kind)
    accuracy = np.asarray(arrays["accuracy/test"])
    accuracy = accuracy.reshape(len(accuracy), -1)
    accuracy = _checked_accuracy(accuracy, path, together=True)
    groups = sample_groups(arrays["hyper_rep_seed"], arrays["source_model"])
    named = ("source", "method", *(("target",) if kind == "finetuned" else ()))
    about = {name: _attribute(attributes, name, path) for name in named}
    settings = _method(attributes, path)
    samples, epochs = np.nonzero(np.isfinite(accuracy))
    columns = {
        "target": about["source"],
        **about,
        "sample": samples,
        "group": groups[samples],
        "epoch": epochs,
        "accuracy": accuracy[samples, epochs],
        "published": settings.published or about["method"],
        "trivial": not settings.hyper_rep,
        "settings": [settings] * len(samples),
        "cost": [costs_of(attributes, len(accuracy))] * len(samples),
    }
    sound = sound_networks(path, kind=kind, networks=len(accuracy))[samples]
    return pd.DataFrame(columns)[sound].reset_index(drop=True)


def costs_of(attributes: Mapping[str, Any], networks: int) -> dict[str, float]:
    """Returns what a sampled network took before it was finetuned.

    Args:
        attributes: Of its file.
        networks: In it.

    Returns:
        Seconds of CPU time of one network: drawing it, and its share of learning what
        it was drawn from; epochs: both, in epochs of training one. NaN where it is not
        known.
    """
    *made, epoch = (
        float(attributes.get(name, math.nan))
        for name in (DRAWING_TIME, LEARNING_TIME, EPOCH_TIME)
    )
    drawing, learning = (time / networks for time in made)
    epochs = (drawing + learning) / epoch
    return {"drawing": drawing, "learning": learning, "epochs": epochs}


def _checked_accuracy(
    accuracy: np.ndarray, path: Path, *, together: bool = False
) -> Float[np.ndarray, "models epochs"]:
    """Returns accuracies that are in [0, 1], or NaN at epochs without evaluation.

    Networks that are evaluated together are so at the same epochs, among them the first
    and the last.
    """
    if accuracy.ndim != 2 or not accuracy.size:
        raise DataFileError(
            f"{path}: accuracy/test has shape {accuracy.shape}, but networks x epochs"
            " is needed; move the file away and run again"
        )
    sound = (accuracy >= 0) & (accuracy <= 1)
    gap = np.isnan(accuracy) & sound.any(axis=1, keepdims=True)
    if together:
        gap &= ~sound.any(axis=0)
        gap[:, [0, -1]] = False
    bad = np.argwhere(~(sound | gap))
    if len(bad):
        model, epoch = bad[0]
        raise DataFileError(
            f"{path}: accuracy/test of network {model} at epoch {epoch} is"
            f" {accuracy[model, epoch]}, but must lie in [0, 1]; move the file away"
            " and run again"
        )
    return accuracy.astype(np.float64)


def _attribute(attributes: dict[str, Any], name: str, path: Path) -> str:
    if name not in attributes:
        raise DataFileError(f"{path}: no attribute {name!r}; run the stage again")
    return str(attributes[name])


def _method(attributes: dict[str, Any], path: Path) -> Method:
    text = _attribute(attributes, "settings", path)
    try:
        return Method.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        raise DataFileError(
            f"{path}: attribute settings: {key}: {problem['msg']}; made by another"
            " version, run the stage again"
        ) from error
