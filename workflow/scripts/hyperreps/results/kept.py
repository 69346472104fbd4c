"""Runs that are kept in the repository: what is in one, and whether it still holds.

Of a run is kept what its tables are made from, without weights, and how each was made:
the flags of its script. So its numbers can be made again, by the class that made them.
"""

from __future__ import annotations

import shlex
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from io import StringIO
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import tyro
import yaml

from ..files.storage import DataFileError, read_text, reading_from, write_text
from ..running.commands import UNPREFIXED
from .layout import Table
from .result import Result, Sources, find
from .tables.published import Numbers, Published

RUN_FILE = "run.yaml"
INPUTS = "inputs.tar.xz"
PUBLISHED = "published.yaml"
# of two numbers that are the same: processors and libraries round differently
RELATIVE, ABSOLUTE = 1e-6, 1e-9


class Made(NamedTuple):
    """How a table or figure was made.

    Attributes:
        kind: table or figure.
        name: Of its files.
        again: Whether what is kept is enough to make its numbers again.
        flags: That its script was given, but output and figure; files are relative to
            the results of the run.
    """

    kind: Literal["table", "figure"]
    name: str
    again: bool
    flags: str

    def file(self, suffix: str) -> str:
        """Returns the place of one of its files in the run."""
        return f"{self.kind}s/{self.name}{suffix}"

    @property
    def sources(self) -> Sources:
        """What its flags say.

        Raises:
            DataFileError: If one is no longer known.
        """

        def told(*, sources: Annotated[Sources, UNPREFIXED]) -> Sources:
            return sources

        words = shlex.split(self.flags)
        try:
            return tyro.cli(told, args=words, config=(tyro.conf.FlagConversionOff,))
        except SystemExit:
            raise DataFileError(
                f"{self.file('')}: was made with flags that are no longer known; keep a"
                " run of this version"
            ) from None

    @property
    def inputs(self) -> list[Path]:
        """The files of stages that it was made from."""
        return [path for given in self.sources.files.values() for path in given]

    def result(self, folder: Path) -> Result:
        """Returns the table or figure, to be made from files below a folder."""
        sources = self.sources
        there: dict[str, Any] = {
            flag: tuple(folder / path for path in given)
            for flag, given in sources.files.items()
        }
        if sources.published != Path():
            there["published"] = folder / sources.published
        made_by = find(self.kind, sources.made_by or self.name)
        found: Result = made_by(replace(sources, **there))
        return found


class Kept:
    """A run that is kept.

    Args:
        folder: Of the run.

    Raises:
        DataFileError: If the folder holds none.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        text = read_text(folder / RUN_FILE)
        try:
            self.about: dict[str, Any] = yaml.safe_load(text)
            self.made = [Made(**entry) for entry in self.about["results"]]
        except (yaml.YAMLError, KeyError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise DataFileError(
                f"{folder / RUN_FILE}: damaged ({reason}); restore it"
            ) from error

    @contextmanager
    def unpacked(self) -> Iterator[Path]:
        """Yields a folder with the files that its tables are made from."""
        path = self.folder / INPUTS
        with TemporaryDirectory() as name:
            try:
                with reading_from(path), tarfile.open(path) as archive:
                    archive.extractall(name, filter="data")
            except (tarfile.TarError, EOFError) as error:
                raise DataFileError(f"{path}: damaged ({error}); restore it") from error
            write_text(Path(name, PUBLISHED), read_text(self.folder / PUBLISHED))
            yield Path(name)

    def shown(self) -> list[Numbers]:
        """Returns its tables, and those figures whose numbers are kept."""
        found = []
        with self.unpacked() as folder:
            for made in self.made:
                path = self.folder / made.file(".csv")
                if made.kind == "table" or path.exists():
                    result = made.result(folder)
                    again = result.frame() if made.again else None
                    frame = read_like(path, again)
                    found.append(Numbers(made.name, result, frame, again))
        return found


def runs(folder: Path) -> list[Kept]:
    """Returns all runs that are kept in a folder, by name.

    Raises:
        DataFileError: If there is none.
    """
    found = [Kept(path.parent) for path in sorted(folder.glob(f"*/{RUN_FILE}"))]
    if not found:
        raise DataFileError(f"{folder}: no run is kept there (FOLDER/RUN/{RUN_FILE})")
    return found


def read_like(path: Path, like: pd.DataFrame | None) -> pd.DataFrame:
    """Reads a CSV as the frame that it was written from.

    Args:
        path: The file.
        like: A frame whose columns have the types; without it, and where a text is no
            number, they are what their texts look like.
    """
    with reading_from(path):
        if like is not None:
            # only a number can be missing
            missing = {name: [""] for name in like.select_dtypes("float")}
            known: dict[str, Any] = {"dtype": dict(like.dtypes), "na_values": missing}
            with suppress(ValueError):
                return pd.read_csv(path, keep_default_na=False, **known)
        return pd.read_csv(path)


def check(kept: Kept) -> Iterator[str]:
    """Yields what of a kept run is not what it has been made from.

    Numbers are made again from the inputs, where these are kept, and have to agree to
    six digits; texts are made again from the kept numbers, and have to be the same.
    """
    shown = kept.shown()
    for one in shown:
        if one.again is not None:
            for difference in different(one.frame, one.again):
                yield f"{kept.folder / one.file}.csv: {difference}"
    yield from other_texts(kept.folder, texts(shown))


def texts(shown: Sequence[Numbers]) -> dict[str, str]:
    """Returns all that follows from the kept numbers of a run, by the name of its file.

    These are its tables as plain text and as LaTeX, and the table of statements on the
    published numbers.

    Raises:
        DataFileError: If the numbers are those of another version.
    """
    tables = [one for one in shown if isinstance(one.result, Table)]
    published = Published(tables)
    frame = published.frame()
    found = {}
    if len(frame):
        tables.append(Numbers("published", published, frame, frame))
        found["tables/published.csv"] = frame.to_csv(index=False)
    for one in tables:
        assert isinstance(one.result, Table)
        try:
            found[f"{one.file}.txt"] = one.result.text(one.frame) + "\n"
            found[f"{one.file}.tex"] = one.result.latex(one.frame)
        except (LookupError, AttributeError) as error:
            raise DataFileError(
                f"{one.file}.csv: not the numbers of such a table ({error}); make it"
                " again"
            ) from error
    return found


def other_texts(folder: Path, wanted: Mapping[str, str]) -> Iterator[str]:
    """Yields what differs in each file from what is wanted: of a text the first line.

    Numbers of a CSV have to agree to six digits.
    """
    for name, text in wanted.items():
        path = folder / name
        if not path.exists():
            yield f"{path}: is missing"
        elif path.suffix == ".csv":
            frame = pd.read_csv(StringIO(text))
            found = different(read_like(path, frame), frame)
            yield from (f"{path}: {difference}" for difference in found)
        else:
            lines = zip_longest(read_text(path).splitlines(), text.splitlines())
            for number, (old, new) in enumerate(lines, start=1):
                if old != new:
                    yield f"{path}: line {number} is {old!r}, made again {new!r}"
                    break


def write_texts(folder: Path, wanted: Mapping[str, str]) -> None:
    """Writes files by their names below a folder, each whole or not at all."""
    for name, text in wanted.items():
        write_text(folder / name, text)


def different(kept: pd.DataFrame, again: pd.DataFrame) -> Iterator[str]:
    """Yields each number or text of a frame that is not as it is made again."""
    if list(kept.columns) != list(again.columns) or len(kept) != len(again):
        sizes = (f"{len(x)} rows of {', '.join(x.columns)}" for x in (kept, again))
        yield "{}; made again {}".format(*sizes)
        return
    again = again.reset_index(drop=True)
    numeric = pd.api.types.is_float_dtype
    named = [name for name in again if not numeric(again[name].dtype)]
    for name in kept.columns:
        old, new = kept[name], again[name]
        if numeric(old.dtype) and numeric(new.dtype):
            same = np.isclose(old, new, RELATIVE, ABSOLUTE, equal_nan=True)
        else:
            # a CSV does not tell an empty text from none
            old, new = (x.astype(object).where(x.notna(), "") for x in (old, new))
            same = (old.astype(str) == new.astype(str)).to_numpy()
        for row in np.flatnonzero(~same):
            about = ", ".join(str(x) for x in kept.loc[row, named[:5]] if x != "")
            yield (
                f"line {row + 2} ({about}): {name} is {old[row]}, made again {new[row]}"
            )
