"""What all tables and figures have in common: their flags, files and numbers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import pandas as pd

from ..files.own_parts import is_own, own_part
from ..numbers.statistics import SHARE, Ends, Estimate, mean_interval
from ..settings.sections import Figures, declared
from ..settings.stages import SettingsError, Statistics


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What a table or figure is made from; each needs some of it.

    Attributes:
        table: The table, or for a figure the one whose numbers it shows; also the
            table of the published numbers that accuracies are compared with.
        zoos: HDF5 files of the zoos.
        finetuned: HDF5 files of the finetuned methods, in the order of the config.
        samples: HDF5 files of samples that are compared at epoch 0 only.
        references: HDF5 files of what is shown apart: samples at epoch 0, or the
            audit's references (audit_references.py).
        audits: HDF5 files of the audit (audit.py), in the order of the config.
        curves: CSV files of trainings, as pretrain.py names them: of the
            hyper-representations whose samples are compared.
        inputs: HDF5 files of ensembles, reconstructions or properties.
        published: YAML file of the published numbers.
        epochs: Finetuning epochs to show.
        noise: Methods whose populations are a curve that others are judged by.
        soup: The same.
        reconstructions: Methods whose accuracy is drawn as a line.
        statistics: Of the confidence intervals.
        seed: Base seed of the run: of maps, and for captions.
        figures: Look of figures.
        numbers: CSV file of a figure, to draw it again from that alone.
        made_by: Class of a user's own table or figure, FILE.py:NAME.
    """

    table: str = "in_distribution"
    zoos: tuple[Path, ...] = ()
    finetuned: tuple[Path, ...] = ()
    samples: tuple[Path, ...] = ()
    references: tuple[Path, ...] = ()
    audits: tuple[Path, ...] = ()
    curves: tuple[Path, ...] = ()
    inputs: tuple[Path, ...] = ()
    published: Path = Path()
    epochs: tuple[int, ...] = (0, 1, 25, 50)
    noise: tuple[str, ...] = ()
    soup: tuple[str, ...] = ()
    reconstructions: tuple[str, ...] = ()
    statistics: Statistics = field(default_factory=Statistics)
    seed: int = 0
    figures: Figures = field(default_factory=Figures)
    numbers: Path = Path()
    made_by: str = ""

    @property
    def files(self) -> dict[str, tuple[Path, ...]]:
        """The files of stages, by the flags that name them."""
        return {
            flag: given
            for flag, given in vars(self).items()
            if isinstance(given, tuple) and all(isinstance(x, Path) for x in given)
        }


class Measured(NamedTuple):
    """What a measure of a population is, and the ends of its interval; NaN for none."""

    measure: str
    value: float
    ci_low: float = math.nan
    ci_high: float = math.nan

    @classmethod
    def of(
        cls, measure: str, mean: Estimate, *, confidence: float, limits: Ends = SHARE
    ) -> Measured:
        """Returns a mean with its interval; see statistics.mean_interval()."""
        ends = mean_interval(mean, confidence=confidence, limits=limits)
        return cls(measure, mean.value, *ends)


class Result(ABC):
    """A table or a figure.

    Args:
        sources: What it is made from.

    Attributes:
        kind: table or figure.
        needs: Flags of the files that it cannot be made without.

    Raises:
        SettingsError: If one of these is not given.
    """

    kind: ClassVar[str] = ""
    needs: ClassVar[tuple[str, ...]] = ()

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        # a figure is drawn from its numbers alone, where they are given
        known = self.kind == "figure" and sources.numbers != Path()
        for flag in () if known else self.needs:
            if getattr(sources, flag) in ((), Path()):
                raise SettingsError(f"--{flag}: none given; name what to make it from")

    @classmethod
    def missing(cls) -> list[str]:
        """Returns what it lacks to be made: methods."""
        return sorted(cls.__abstractmethods__)

    @property
    def level(self) -> str:
        """The confidence level, such as "95 %"."""
        return f"{100 * self.sources.statistics.confidence:g} %"

    @abstractmethod
    def frame(self) -> pd.DataFrame:
        """Returns all numbers it shows, in long form: the CSV beside it."""


def find(kind: Literal["table", "figure"], name: str) -> type:
    """Returns the class of a table or figure; only its own module is imported.

    Args:
        kind: What it is.
        name: Of the table or figure, or of a user's class: FILE.py:NAME.

    Raises:
        SettingsError: If no section of the config declares one of this name, or the
            user's is no such class.
    """
    if is_own(name):
        return _own(name, kind)
    known = declared(kind)
    if name not in known:
        there = ", ".join(known)
        raise SettingsError(
            f"--{kind}: unknown {name!r}; settings/sections.py has {there}"
        )
    module, _, made_by = known[name].partition(".")
    found: type = getattr(import_module(f"{__package__}.{kind}s.{module}"), made_by)
    return found


def _own(name: str, kind: str) -> type:
    """Returns a user's class, once it is known to be one of that kind."""
    found = own_part(name)
    is_result = isinstance(found, type) and issubclass(found, Result)
    if not is_result or found.kind != kind:
        base = {"table": "layout.Table", "figure": "drawing.Drawing"}[kind]
        raise SettingsError(
            f"{name}: is no {kind}: it must be a class derived from results.{base}"
        )
    if missing := found.missing():
        raise SettingsError(
            f"{name}: is an unfinished {kind}: it lacks {', '.join(missing)}"
        )
    return found
