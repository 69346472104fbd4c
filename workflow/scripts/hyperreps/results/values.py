"""Numbers of a run as LaTeX commands, so that a paper never has one typed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..files.storage import DataFileError, reading_from
from .layout import PAGES
from .summaries import HELD_OUT, WHOLE


def latex_values(tables: Sequence[Path]) -> str:
    """Returns a file of LaTeX commands: accuracies in percent, the rest as it is.

    Args:
        tables: CSV files of tables: reconstruction, novelty, others of accuracies.

    Raises:
        DataFileError: If one is missing, or none of these.
    """
    values = [value for path in tables for value in _read(path)]
    return PAGES.get_template("values.tex").render(values=values) + "\n"


def _read(path: Path) -> list[tuple[str, str]]:
    try:
        with reading_from(path):
            return list(_values(path.stem, pd.read_csv(path)))
    except (ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise DataFileError(
            f"{path}: not the numbers of such a table ({reason}); make it again"
        ) from error


def _values(table: str, frame: pd.DataFrame) -> Iterator[tuple[str, str]]:
    row: Any
    for row in frame.itertuples():
        if table == "novelty":
            zoo = row.zoo + ("" if row.coordinates == "none" else "-aligned")
            key = f"novelty/{zoo}/{row.population}/{row.measure}"
            yield from _number(key, row, row.value, scale=1.0, digits=3)
        elif table == "reconstruction":
            if (row.split, row.quantity, row.layer) == (HELD_OUT, "r2", WHOLE):
                key = f"reconstruction/{row.zoo}/{row.variant}/r2"
                yield from _number(key, row, row.mean, scale=1.0, digits=2)
        else:
            pair = "-".join(dict.fromkeys((row.source, row.target)))
            key = f"{table}/{pair}/{row.method}/{row.epoch}"
            yield from _number(key, row, row.mean, scale=100.0, digits=1)


def _number(
    key: str, row: Any, value: float, *, scale: float, digits: int
) -> Iterator[tuple[str, str]]:
    """Yields a value, the ends of its interval and the number of networks."""
    for end, number in (("", value), ("/low", row.ci_low), ("/high", row.ci_high)):
        if not math.isnan(number):
            yield key + end, f"{scale * number:.{digits}f}"
    yield f"{key}/n", str(row.n if hasattr(row, "n") else row.networks)
