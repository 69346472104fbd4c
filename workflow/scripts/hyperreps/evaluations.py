"""Evaluations: the accuracy of every network of a run, and the published numbers.

Accuracies are test accuracies in [0, 1]. "Network" is one model of a population: of a
zoo or of a method's samples.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import yaml
from pydantic import ValidationError

from .files.storage import DataFileError, opened, read_arrays
from .numbers.shapes import Float, Int
from .settings.limits import Epoch
from .settings.stages import Method, SettingsError, Statistics, Strict
from .zoo.members import sound_networks
from .zoo.zoos import zoo_epochs

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


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Populations whose accuracies a table or figure compares.

    Attributes:
        zoos: HDF5 files of the zoos.
        statistics: Of the confidence intervals.
        finetuned: HDF5 files of the finetuned methods, in the order of the config.
        samples: HDF5 files of samples that are compared at epoch 0 only.
        references: HDF5 files of samples that are shown apart, at epoch 0.
        epochs: Finetuning epochs to show.
        seed: Base seed of the run, for the caption.
    """

    zoos: tuple[Path, ...]
    statistics: Statistics
    finetuned: tuple[Path, ...] = ()
    samples: tuple[Path, ...] = ()
    references: tuple[Path, ...] = ()
    epochs: tuple[int, ...] = (0, 1, 25, 50)
    seed: int = 0

    def networks(self) -> pd.DataFrame:
        """Reads the accuracy of every network; see collect()."""
        return collect(
            self.zoos,
            self.finetuned,
            samples=self.samples,
            references=self.references,
        )

    def methods(self) -> dict[str, Method]:
        """Reads the settings of every method; see read_methods()."""
        methods = read_methods(self.finetuned, kind="finetuned")
        sampled = [*self.samples, *self.references]
        return methods | read_methods(sampled, kind="samples")


def display_name(source: str, target: str) -> str:
    """Returns the heading of a population: "MNIST" or "SVHN → MNIST"."""
    names = [DISPLAY_NAMES.get(name, name) for name in (source, target)]
    return names[1] if source == target else " → ".join(names)


class PublishedTable(Strict):
    """One published table: population -> method -> epoch -> number as printed."""

    source: str
    unit: Literal["percent", "fraction"]
    statistic: Literal["mean", "median", "mode"]
    accuracy: dict[str, dict[str, dict[Epoch, str | float]]]


def read_published(path: Path) -> dict[Any, Any]:
    """Returns the tables of published.yaml by name, not checked.

    Raises:
        SettingsError: If the file is missing or no YAML.
    """
    if not path.exists():
        raise SettingsError(f"{path}: no such file; it comes with the repository")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    # bad bytes, dates and numbers are ValueErrors
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise SettingsError(f"{path}: not YAML: {reason}") from error
    return content if isinstance(content, dict) else {}


def load_published(path: Path, *, table: str = "in_distribution") -> pd.DataFrame:
    """Reads one table of published.yaml.

    Args:
        path: The file; its head describes the format.
        table: Key of the table.

    Returns:
        One row per number: source, target, method, epoch, statistic ("mean", "median"
        or "mode"), value and std in [0, 1]; std is NaN where none is printed.

    Raises:
        SettingsError: If the file or a number cannot be read, or the table is unknown.
    """
    content = read_published(path)
    if table not in content:
        known = ", ".join(map(str, content)) or "nothing"
        raise SettingsError(f"{path}: no table {table!r}; it has {known}")
    try:
        entries = PublishedTable.model_validate(content[table])
    except ValidationError as error:
        key = ".".join(str(part) for part in error.errors()[0]["loc"])
        message = f"{path}: {table}.{key}: {error.errors()[0]['msg']}"
        raise SettingsError(message) from error
    columns = ["source", "target", "method", "epoch", "statistic", "value", "std"]
    return pd.DataFrame(_published_rows(entries, f"{path}: {table}"), columns=columns)


def _published_rows(table: PublishedTable, where: str) -> Iterator[tuple[Any, ...]]:
    percent = 100 if table.unit == "percent" else 1
    for population, methods in table.accuracy.items():
        source, _, target = population.partition("-")
        for method, epochs in methods.items():
            for epoch, printed in epochs.items():
                key = f"{where}.{population}.{method}.{epoch}"
                value, std = (float(x / percent) for x in _parse(str(printed), key))
                if not 0 <= value <= 1:
                    raise SettingsError(f"{key}: {printed!r} is no {table.unit}")
                yield (
                    source,
                    target or source,
                    method,
                    epoch,
                    table.statistic,
                    value,
                    std,
                )


def _parse(text: str, key: str) -> tuple[Decimal, Decimal]:
    """Returns mean and standard deviation (or NaN) of "20.6 ± 1.6" or "≈10"."""
    number = r"(\d+(?:\.\d+)?)"
    match = re.fullmatch(rf"[≈~]?\s*{number}(?:\s*±\s*{number})?", text.strip())
    if match is None:
        raise SettingsError(f"{key}: {text!r} is not like '20.6 ± 1.6', '≈10' or '10'")
    return Decimal(match[1]), Decimal(match[2] or "nan")


def collect_zoos(zoos: Sequence[Path]) -> pd.DataFrame:
    """Reads the accuracy of every network of every zoo over its training.

    Args:
        zoos: HDF5 files of kind "zoo".

    Returns:
        One row per network and epoch: zoo, model (row of the file), split (of the
        models: train, val, test), epoch, accuracy.

    Raises:
        DataFileError: If a file is damaged, or two files hold the same zoo.
    """
    frames: dict[str, pd.DataFrame] = {}
    for path in zoos:
        arrays, attributes = read_arrays(path, "accuracy/test", "split", kind="zoo")
        name = _attribute(attributes, "zoo", path)
        if name in frames:
            raise DataFileError(f"{path}: zoo {name!r} is given twice; list it once")
        with opened(path, kind="zoo") as file:
            recorded = zoo_epochs(file)
        accuracy = _checked_accuracy(arrays["accuracy/test"], path, recorded.tolist())
        models, columns = np.indices(accuracy.shape)
        frames[name] = pd.DataFrame(
            {
                "zoo": name,
                "model": models.ravel(),
                "split": arrays["split"].astype(str)[models.ravel()],
                "epoch": recorded[columns.ravel()],
                "accuracy": accuracy.ravel(),
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
        that no hyper-representation has made).

    Raises:
        DataFileError: If a file is missing, damaged, or given twice.
    """
    frames: list[pd.DataFrame] = []
    seen: dict[tuple[str, str, str], Path] = {}
    files = (("finetuned", finetuned), ("samples", samples), ("samples", references))
    for kind, paths in files:
        for path in paths:
            frame = _sampled(path, kind).assign(reference=paths is references)
            key = tuple(frame.loc[0, ["source", "target", "method"]])
            if key[2] == BASELINE or key in seen:
                other = seen.get(key, f"the zoo's own networks ({BASELINE})")
                raise DataFileError(f"{path}: {key[2]} is already given by {other}")
            seen[key] = path
            frames.append(frame)
    return pd.concat([*_baselines(zoos, list(seen)), *frames], ignore_index=True)


def _baselines(
    zoos: Sequence[Path], sampled: Sequence[tuple[str, str, str]]
) -> Iterator[pd.DataFrame]:
    """Yields B_T for each zoo with itself or, where there are, with its sources."""
    own = _baseline(collect_zoos(zoos))
    for zoo, frame in own.groupby("target", sort=False):
        sources = [source for source, target, _ in sampled if target == zoo]
        for source in dict.fromkeys(sources or [zoo]):
            yield frame.assign(source=source)


def _baseline(zoos: pd.DataFrame) -> pd.DataFrame:
    """Returns the test split of each zoo, as networks of that zoo."""
    held_out = zoos[zoos["split"] == "test"]
    missing = set(zoos["zoo"]) - set(held_out["zoo"])
    if missing:
        raise DataFileError(
            f"zoo {sorted(missing)[0]!r} has no models in its test split, which"
            f" {BASELINE} needs; give the zoo more models or another split"
        )
    return pd.DataFrame(
        {
            "source": held_out["zoo"],
            "target": held_out["zoo"],
            "method": BASELINE,
            "sample": held_out["model"],
            "group": "sample " + held_out["model"].astype(str),
            "epoch": held_out["epoch"],
            "accuracy": held_out["accuracy"],
            "published": BASELINE,
            "reference": False,
            "trivial": False,
        }
    )


def _sampled(path: Path, kind: str) -> pd.DataFrame:
    """Returns the rows of one file of kind "finetuned" or "samples"."""
    names = ("accuracy/test", "hyper_rep_seed", "source_model")
    arrays, attributes = read_arrays(path, *names, kind=kind)
    accuracy = np.asarray(arrays["accuracy/test"])
    accuracy = accuracy.reshape(len(accuracy), -1)
    accuracy = _checked_accuracy(accuracy, path, range(accuracy.shape[1]))
    groups = sample_groups(arrays["hyper_rep_seed"], arrays["source_model"])
    source = _attribute(attributes, "source", path)
    method = _attribute(attributes, "method", path)
    settings = _method(attributes, path)
    samples, epochs = np.indices(accuracy.shape)
    sound = sound_networks(path, kind=kind, networks=len(accuracy))[samples.ravel()]
    columns = {
        "source": source,
        "target": source
        if kind == "samples"
        else _attribute(attributes, "target", path),
        "method": method,
        "sample": samples.ravel(),
        "group": groups[samples.ravel()],
        "epoch": epochs.ravel(),
        "accuracy": accuracy.ravel(),
        "published": settings.published or method,
        "trivial": not settings.hyper_rep,
    }
    return pd.DataFrame(columns)[sound].reset_index(drop=True)


def sample_groups(
    seeds: Int[np.ndarray, "samples"], models: Int[np.ndarray, "samples ..."]
) -> np.ndarray:
    """Returns what each sample shares its luck with, as a name; see collect()."""
    rows = np.arange(len(seeds))
    # drawn from several models at once, one per latent dimension: none to share
    single = models if models.ndim == 1 else np.full(len(seeds), -1)
    kinds = np.select([seeds >= 0, single >= 0], ["seed", "model"], "sample")
    numbers = np.select([seeds >= 0, single >= 0], [seeds, single], rows)
    names = [f"{k} {n}" for k, n in zip(kinds, numbers, strict=True)]
    return np.array(names, dtype=object)


def _checked_accuracy(
    accuracy: np.ndarray, path: Path, epochs: Sequence[int]
) -> Float[np.ndarray, "models epochs"]:
    if accuracy.ndim != 2 or not accuracy.size:
        raise DataFileError(
            f"{path}: accuracy/test has shape {accuracy.shape}, but networks x epochs"
            " is needed; move the file away and run again"
        )
    bad = np.argwhere(~((accuracy >= 0) & (accuracy <= 1)))
    if len(bad):
        model, column = bad[0]
        raise DataFileError(
            f"{path}: accuracy/test of network {model} at epoch {epochs[column]} is"
            f" {accuracy[model, column]}, but must lie in [0, 1]; move the file away"
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


def read_methods(paths: Sequence[Path], *, kind: str) -> dict[str, Method]:
    """Reads the settings of each method from files of kind "finetuned" or "samples".

    Raises:
        DataFileError: If a method's settings differ between two files.
    """
    methods: dict[str, Method] = {}
    for path in paths:
        with opened(path, kind=kind) as file:
            attributes = dict(file.attrs)
        name = _attribute(attributes, "method", path)
        method = _method(attributes, path)
        if methods.setdefault(name, method) != method:
            raise DataFileError(
                f"{path}: settings of {name} differ from those in another file of this"
                " table; run the stage again"
            )
    return methods
