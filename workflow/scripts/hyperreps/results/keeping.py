"""Keeps a finished run: a copy small enough for the repository (kept.py reads it).

How a table was made is in the first line of its log.
"""

from __future__ import annotations

import shlex
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np
import yaml
from PIL import Image

from ..files.storage import (
    SEALS,
    DataFileError,
    add_array,
    dataset_names,
    opened,
    read_text,
    reading_from,
    replacing,
    sealed,
    write_text,
)
from ..representation.curves import read_curves
from .finished import COMMAND, DONE, Run, known_of, read_jobs
from .kept import INPUTS, PUBLISHED, RUN_FILE, Kept, Made
from .result import find
from .summaries import HELD_OUT

# arrays that no table reads
UNREAD = (
    *("*weights", "*latents", "predictions", "members", "loss/*", "alpha/*"),
    *("accuracy/train", "accuracy/val", "source_epoch", "seed"),
)
# kinds of which tables show this split only
SPLITS = {"properties": HELD_OUT}
# bytes of a figure's numbers, beyond which only the picture is kept
LARGEST = 180_000


def keep(run: Run, folder: Path, *, published: Path, about: Mapping[str, Any]) -> Kept:
    """Writes a small copy of a run, without what kept.texts() makes of it.

    Args:
        run: The run.
        folder: New, for the copy.
        published: YAML file of the published numbers that its tables show.
        about: What is known of it beside its files.

    Raises:
        DataFileError: If a file is missing or damaged, or there is no table.
    """
    made = list(_made(run))
    if not any(one.kind == "table" for one in made):
        raise DataFileError(f"{run.results}: holds no table; run snakemake first")
    jobs = read_jobs(run)
    curves = read_curves(sorted((run.results / "hyper_reps").glob("*/*_seed*.csv")))
    write_text(folder / PUBLISHED, read_text(published))
    write_text(folder / "config.yaml", read_text(run.results / "config.yaml"))
    write_text(folder / "jobs.csv", jobs.to_csv(index=False))
    if len(curves):
        write_text(folder / "autoencoders.csv", curves.round(6).to_csv(index=False))
    for one in made:
        numbers = run.results / one.file(".csv")
        if one.kind == "table" or numbers.stat().st_size <= LARGEST:
            write_text(folder / one.file(".csv"), read_text(numbers))
        if one.kind == "figure":
            _shrink(run.results / one.file(".png"), folder / one.file(".png"))
    with TemporaryDirectory() as name:
        small = Path(name)
        for path in sorted({path for one in made for path in one.inputs}):
            if (run.results / path).exists():
                slim(run.results / path, small / path)
        _pack(small, folder / INPUTS)
        write_text(small / PUBLISHED, read_text(published))
        made = [one._replace(again=_enough(one, small, folder)) for one in made]
    said = {**about, **known_of(run, jobs)}
    results = {"results": [one._asdict() for one in made]}
    text = yaml.safe_dump(
        said | results, sort_keys=False, allow_unicode=True, width=2**20
    )
    write_text(folder / RUN_FILE, text)
    return Kept(folder)


def redraw(kept: Kept) -> list[str]:
    """Draws the figures of a kept run again, those whose numbers are kept.

    Returns:
        Their names.
    """
    drawn = []
    with TemporaryDirectory() as name:
        for one in kept.made:
            numbers = kept.folder / one.file(".csv")
            if one.kind == "figure" and numbers.exists():
                figure = Path(name, f"{one.name}.pdf")
                sources = replace(one.sources, numbers=numbers)
                find(one.kind, one.name)(sources).write(figure)
                _shrink(figure.with_suffix(".png"), kept.folder / one.file(".png"))
                drawn.append(one.name)
    return drawn


def _made(run: Run) -> Iterator[Made]:
    """Yields tables and figures as their logs say that they were made."""
    for kind in ("table", "figure"):
        for path in sorted((run.results / f"{kind}s").glob("*.csv")):
            flags = _flags(run.logs / f"{kind}s" / f"{path.stem}.log")
            yield Made(kind, path.stem, again=True, flags=flags)


def _flags(log: Path) -> str:
    """Returns the flags of the command in a log, without output and figure.

    Raises:
        DataFileError: If the log is missing, or of a job that has not finished.
    """
    lines = read_text(log).splitlines() or [""]
    if COMMAND not in lines[0] or DONE not in lines[-1]:
        raise DataFileError(
            f"{log}: does not say how a job that finished was started; run it again"
        )
    # behind the interpreter and the script
    words = shlex.split(lines[0].partition(COMMAND)[2])[2:]
    results = Path(words[words.index("--output") + 1]).parents[1]
    for flag in ("--output", "--figure"):
        if flag in words:
            del words[words.index(flag) : words.index(flag) + 2]
    for place, word in enumerate(words):
        if word.endswith((".h5", ".csv")):
            words[place] = Path(word).relative_to(results).as_posix()
    if "--published" in words:
        words[words.index("--published") + 1] = PUBLISHED
    return shlex.join(words)


def _enough(one: Made, small: Path, folder: Path) -> bool:
    """Tells whether the numbers of a result can be made from what is kept.

    Some figures show weights or latents, and inputs may be lost.
    """
    known = (folder / one.file(".csv")).exists()
    if not known or not all((small / path).exists() for path in one.inputs):
        return False
    try:
        one.result(small).frame()
    except ValueError:
        if one.kind == "table":
            raise
        return False
    return True


def slim(source: Path, output: Path) -> None:
    """Copies a file without the arrays that no table reads.

    Its attributes stay as they are: what it is, and what made it.

    Args:
        source: HDF5 file of a stage, or a curve.
        output: To write; its last two parts must be those of source.
    """
    if source.suffix == ".csv":
        write_text(output, read_text(source))
        return
    with reading_from(source), h5py.File(source, "r", locking=False) as file:
        kind = str(file.attrs.get("kind"))
    with opened(source, kind=kind) as file, sealed(output) as small:
        for name in [name for name in file.attrs if name not in SEALS]:
            small.attrs[name] = file.attrs[name]
        part = SPLITS.get(kind)
        chosen = file["split"].asstr()[()] == part if part else np.ones(0, bool)
        for name in dataset_names(file):
            if any(fnmatchcase(name, pattern) for pattern in UNREAD):
                continue
            values = file[name][()]
            if part and values.shape[-1:] == chosen.shape:
                values = values[..., chosen]
            if name == "source_model" and values.ndim > 1:
                # of one source per dimension tables read that it is not a single one
                values = np.full(len(values), -1)
            add_array(small, name, values)


def _pack(source: Path, output: Path) -> None:
    """Packs a folder; equal files give equal bytes."""
    with replacing(output) as temporary, tarfile.open(temporary, "w:xz") as archive:
        for path in sorted(source.rglob("*.*")):
            entry = tarfile.TarInfo(path.relative_to(source).as_posix())
            entry.size = path.stat().st_size
            with path.open("rb") as file:
                archive.addfile(entry, file)


def _shrink(source: Path, output: Path) -> None:
    """Copies a picture in 256 colours: a third of the bytes, the same to the eye."""
    with reading_from(source), Image.open(source) as image:
        small = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    with replacing(output) as temporary:
        small.save(temporary, "PNG", optimize=True)
