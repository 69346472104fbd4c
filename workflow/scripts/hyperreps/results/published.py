"""The numbers that papers printed, from config/published.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import pandas as pd
import yaml
from pydantic import Field, ValidationError

from ..settings.limits import Epoch
from ..settings.stages import SettingsError, Strict

Checked = TypeVar("Checked", bound=Strict)


class PublishedTable(Strict):
    """One published table: pair of zoos -> method -> epoch -> number as printed."""

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


def _table(path: Path, name: str, model: type[Checked]) -> Checked:
    content = read_published(path)
    if name not in content:
        known = ", ".join(map(str, content)) or "nothing"
        raise SettingsError(f"{path}: no table {name!r}; it has {known}")
    try:
        return model.model_validate(content[name])
    except ValidationError as error:
        key = ".".join(str(part) for part in (name, *error.errors()[0]["loc"]))
        raise SettingsError(f"{path}: {key}: {error.errors()[0]['msg']}") from error


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
    rows = _published_rows(_table(path, table, PublishedTable), f"{path}: {table}")
    columns = ["source", "target", "method", "epoch", "statistic", "value", "std"]
    return pd.DataFrame(rows, columns=columns)


def _published_rows(table: PublishedTable, where: str) -> Iterator[tuple[Any, ...]]:
    percent = 100 if table.unit == "percent" else 1
    for pair, methods in table.accuracy.items():
        source, _, target = pair.partition("-")
        for method, epochs in methods.items():
            for epoch, printed in epochs.items():
                key = f"{where}.{pair}.{method}.{epoch}"
                value, std = (float(x / percent) for x in _parse(str(printed), key))
                if not 0 <= value <= 1:
                    raise SettingsError(f"{key}: {printed!r} is no {table.unit}")
                about = source, target or source, method, epoch, table.statistic
                yield *about, value, std


def _parse(text: str, key: str) -> tuple[Decimal, Decimal]:
    """Returns mean and standard deviation (or NaN) of "20.6 ± 1.6" or "≈10"."""
    number = r"(\d+(?:\.\d+)?)"
    match = re.fullmatch(rf"[≈~]?\s*{number}(?:\s*±\s*{number})?", text.strip())
    if match is None:
        raise SettingsError(f"{key}: {text!r} is not like '20.6 ± 1.6', '≈10' or '10'")
    return Decimal(match[1]), Decimal(match[2] or "nan")


class PublishedProperties(Strict):
    """Published probes: zoo -> features -> property -> R2."""

    source: str
    r2: dict[
        str, dict[str, dict[str, Annotated[float, Field(le=1, allow_inf_nan=False)]]]
    ]


def load_published_properties(path: Path) -> dict[tuple[str, str, str, str], float]:
    """Reads the table properties of published.yaml.

    Returns:
        Number by zoo, features, property and metric.

    Raises:
        SettingsError: If the table is missing or cannot be read.
    """
    table = _table(path, "properties", PublishedProperties)
    return {
        (zoo, features, name, "r2"): value
        for zoo, by_features in table.r2.items()
        for features, by_name in by_features.items()
        for name, value in by_name.items()
    }
