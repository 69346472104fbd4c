"""Numbers of a run as LaTeX commands, so that a paper never has one typed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from .experiments import HELD_OUT, WHOLE

HEAD = r"""% \hyperval{TABLE/ZOO/METHOD/EPOCH}; of transfer ZOO is SOURCE-TARGET.
% \hyperval{reconstruction/ZOO/VARIANT/r2}, \hyperval{novelty/ZOO/POPULATION/MEASURE}
% With /low and /high behind it an end of the interval, with /n the networks.
\newcommand{\hyperval}[1]{\ifcsname hyper/#1\endcsname\csname hyper/#1\endcsname
  \else\errmessage{values.tex has no #1}\fi}
"""
ACCURACIES = ("in_distribution", "samplers", "transfer", "architectures")


def latex_values(tables: Path) -> str:
    """Returns a file of LaTeX commands: accuracies in percent, the rest as it is.

    Args:
        tables: Folder of the CSV files of tables; those that are there are taken.
    """
    lines = [
        rf"\expandafter\newcommand\csname hyper/{name}\endcsname{{{text}}}"
        for name, text in _values(tables)
    ]
    return HEAD + "\n".join(lines) + "\n"


def _values(tables: Path) -> Iterator[tuple[str, str]]:
    row: Any
    for name in ACCURACIES:
        for row in _rows(tables / f"{name}.csv"):
            pair = dict.fromkeys((row.source, row.target))
            key = f"{name}/{'-'.join(pair)}/{row.method}/{row.epoch}"
            yield from _number(key, row, row.mean, scale=100, digits=1)
    for row in _rows(tables / "reconstruction.csv"):
        if (row.split, row.quantity, row.layer) == (HELD_OUT, "r2", WHOLE):
            key = f"reconstruction/{row.zoo}/{row.variant}/r2"
            yield from _number(key, row, row.mean, scale=1, digits=2)
    for row in _rows(tables / "novelty.csv"):
        zoo = row.zoo + ("" if row.coordinates == "none" else "-aligned")
        key = f"novelty/{zoo}/{row.population}/{row.measure}"
        yield from _number(key, row, row.value, scale=1, digits=3)


def _rows(path: Path) -> Iterator[Any]:
    if path.exists():
        yield from pd.read_csv(path).itertuples()


def _number(
    key: str, row: Any, value: float, *, scale: float, digits: int
) -> Iterator[tuple[str, str]]:
    """Yields a value, the ends of its interval and the number of networks."""
    for end, number in (("", value), ("/low", row.ci_low), ("/high", row.ci_high)):
        if not math.isnan(number):
            yield key + end, f"{scale * number:.{digits}f}"
    yield f"{key}/n", str(row.n if hasattr(row, "n") else row.networks)
