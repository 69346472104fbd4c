"""Numbers of a run as LaTeX commands, so that a paper never has one typed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..files.storage import DataFileError, reading_from
from .summaries import HELD_OUT, WHOLE

HEAD = r"""% \hyperval{TABLE/ZOO/METHOD/EPOCH}; of transfer ZOO is SOURCE-TARGET.
% \hyperval{reconstruction/ZOO/VARIANT/r2}, \hyperval{novelty/ZOO/POPULATION/MEASURE}
% With /low and /high behind it an end of the interval, with /n the networks.
\newcommand{\hyperval}[1]{\ifcsname hyper/#1\endcsname\csname hyper/#1\endcsname
  \else\errmessage{values.tex has no #1}\fi}
"""


def latex_values(tables: Sequence[Path]) -> str:
    """Returns a file of LaTeX commands: accuracies in percent, the rest as it is.

    Args:
        tables: CSV files of tables: reconstruction, novelty, others of accuracies.

    Raises:
        DataFileError: If one is missing, or none of these.
    """
    lines = [
        rf"\expandafter\newcommand\csname hyper/{name}\endcsname{{{text}}}"
        for path in tables
        for name, text in _read(path)
    ]
    return HEAD + "\n".join(lines) + "\n"


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
