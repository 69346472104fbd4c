"""A finished run as one page: what was run, its claims, its tables and figures."""

from __future__ import annotations

import html
import math
import re
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pandas as pd
from docutils.core import publish_parts

from ..audit.significance import DIFFERENT, POWER, detectable_by
from ..files.storage import DataFileError, read_text, reading_from
from .accuracies import BASELINE, display_name
from .finished import Run, known_of, read_jobs
from .layout import HTML, NOT_KNOWN, PAGES
from .summaries import HELD_OUT, WHOLE
from .tables.novelty import derives
from .tables.published import mean_outside

# what would have been seen where networks are too few
NOTHING = "nothing"
BODY = re.compile(r"<body>\n(.*)</body>", re.S)


class Claim(NamedTuple):
    """One number of a run and what it says; texts are HTML.

    Attributes:
        what: The quantity.
        zoo: Heading of its zoo.
        number: With its interval.
        n: Networks and groups.
        verdict: What is to be said of it.
        seen: The difference that would have been found, where none was.
    """

    what: str
    zoo: str
    number: str
    n: str
    verdict: str = NOT_KNOWN
    seen: str = NOT_KNOWN


class Part(NamedTuple):
    """A table or figure of the page.

    Attributes:
        kind: table or figure.
        name: Of its files.
        caption: Of a figure, as HTML; tables bring theirs.
        body: The table, or the picture as data.
        width: Of a picture in pixels.
    """

    kind: str
    name: str
    caption: str
    body: str
    width: int = 0


def page(run: Run, *, captions: Path, config: dict[str, Any], machine: str) -> str:
    """Returns the page, which needs no other file and no network.

    Args:
        run: With tables or figures.
        captions: Folder of them, as reStructuredText.
        config: Settings of the run.
        machine: Where the page is made.

    Raises:
        DataFileError: If there is neither table nor figure, or a file is damaged.
    """
    parts = [*_figures(run.results, captions, config), *_tables(run.results)]
    if not parts:
        raise DataFileError(
            f"{run.results}: holds no table and no figure; run snakemake first"
        )
    jobs = read_jobs(run)
    level = config["statistics"]["confidence"]
    return PAGES.get_template("report.html").render(
        config=config,
        known=known_of(run, jobs),
        machine=html.escape(machine),
        settings=read_text(run.results / "config.yaml"),
        claims=list(claims(run.results / "tables", confidence=level)),
        often=f"{100 * POWER:g} %",
        parts=parts,
    )


def claims(tables: Path, *, confidence: float) -> Iterator[Claim]:
    """Yields the claims of a run, as far as its tables hold them.

    Args:
        tables: Folder of the CSV files.
        confidence: Level of the intervals.
    """
    for name, made in (
        ("reconstruction", _reconstructed),
        ("significance_in_distribution", _normalised),
        ("novelty", _audited),
        ("in_distribution", _accuracies),
    ):
        path = tables / f"{name}.csv"
        if path.exists():
            yield from made(pd.read_csv(path), confidence)


def _reconstructed(frame: pd.DataFrame, _: float) -> Iterator[Claim]:
    """Yields R2 of held-out networks by zoo and variant."""
    wanted = (frame["split"] == HELD_OUT) & (frame["quantity"] == "r2")
    row: Any
    for row in frame[wanted & (frame["layer"] == WHOLE)].itertuples():
        number = _number(row.mean, row.ci_low, row.ci_high, form=".2f")
        what = f"R² of held-out networks, {html.escape(row.variant)}"
        n = f"{row.networks} networks, {row.hyper_reps} hyper-representations"
        yield Claim(what, _heading(row.zoo), number, n)


def _accuracies(frame: pd.DataFrame, confidence: float) -> Iterator[Claim]:
    """Yields the first and last mean of every method, beside the published one."""
    first, last = _ends(frame)
    chosen = last | (first & (frame["method"] != BASELINE))
    keys = [frame["target"], frame["method"]]
    known = frame["published_mean"].notna().groupby(keys).any()
    row: Any
    for row in frame[chosen & ~frame["reference"]].itertuples():
        number = _number(row.mean, row.ci_low, row.ci_high, form=".1%")
        what = f"accuracy of {HTML.name(row.method)}, epoch {row.epoch}"
        n = f"{row.n} networks, {row.groups} groups"
        said = _beside(row, confidence) if known[row.target, row.method] else ()
        yield Claim(what, _heading(row.target), number, n, *said)


def _normalised(frame: pd.DataFrame, _: float) -> Iterator[Claim]:
    """Yields what layer-wise normalisation changes, at the first and last epoch."""
    twins = frame["method"].str.replace("S_", "B_", n=1) == frame["other"]
    pairs = frame[frame["method"].str.startswith("S_") & twins]
    first, last = _ends(pairs)
    row: Any
    for row in pairs[first | last].itertuples():
        names = " over ".join(map(HTML.name, (row.method, row.other)))
        what = f"accuracy of {names} in points, epoch {row.epoch}"
        ours = (100 * x for x in (row.difference, row.ci_low, row.ci_high))
        number = _number(*ours, form="+.1f")
        n = f"{row.observations} and {row.observations_other} {row.unit}s"
        seen = NOT_KNOWN if row.verdict == DIFFERENT else _points(row.detectable)
        yield Claim(what, _heading(row.target), number, n, row.verdict, seen)


def _audited(frame: pd.DataFrame, confidence: float) -> Iterator[Claim]:
    """Yields whether samples of each method derive from training networks.

    A part of exact copies lowers the ratio of distances by that part.
    """
    shown = frame[~frame["reference"] & (frame["measure"] == "training_over_unseen")]
    row: Any
    for row in shown.itertuples():
        what = f"distance to training / to unseen runs, {HTML.name(row.population)}"
        number = _number(row.value, row.ci_low, row.ci_high, form=".2f")
        n = f"{row.n} networks, {row.groups} groups"
        said = ["derived from training"]
        if not derives(row):
            share = detectable_by(row.ci_high - row.value, confidence=confidence)
            some = f"copies among them, from {share:.0%} on"
            said = ["not shown to be derived", some if share < 1 else NOTHING]
        yield Claim(what, _heading(row.zoo), number, n, *said)


def _ends(frame: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Returns which rows are of the first and of the last epoch of their method."""
    epochs = frame.groupby(["target", "method"])["epoch"]
    first, last = epochs.transform("min"), epochs.transform("max")
    return frame["epoch"] == first, frame["epoch"] == last


def _heading(zoo: str) -> str:
    return html.escape(display_name(zoo))


def _number(value: float, low: float, high: float, *, form: str) -> str:
    ends = f" <small>[{low:{form}}, {high:{form}}]</small>"
    return f"{value:{form}}" + ("" if math.isnan(low) else ends)


def _beside(row: Any, confidence: float) -> tuple[str, ...]:
    """Returns whether our interval holds the published mean, and what it would not."""
    if math.isnan(row.published_mean):
        return ("nothing published",)
    said = f"published {row.published_mean:.1%}"
    if math.isnan(apart := mean_outside(row)):
        return f"{said}; no interval", NOTHING
    if apart:
        return (f"{said}: outside by {100 * abs(apart):.1f} points",)
    reach = (row.ci_high - row.ci_low) / 2
    return f"{said}: inside", _points(detectable_by(reach, confidence=confidence))


def _points(difference: float) -> str:
    """Returns a difference of accuracies that would have been seen."""
    known = difference < 1
    return f"{100 * difference:.1f} points" if known else NOTHING


def _tables(results: Path) -> Iterator[Part]:
    """Yields the pages of the tables, with names of their own for their cells."""
    for path in sorted((results / "tables").glob("*.html")):
        found = BODY.search(read_text(path))
        if found is None:
            raise DataFileError(f"{path}: is no page of a table; make it again")
        body = found[1].replace("T_table", f"T_{path.stem}")
        body = re.sub(r"<(/?)h[12]>", r"<\1h4>", body)
        yield Part("table", path.stem, "", body)


def _figures(results: Path, captions: Path, config: dict[str, Any]) -> Iterator[Part]:
    """Yields the figures; the config has the captions of those of a user's own."""
    pages = PAGES.overlay(trim_blocks=True, lstrip_blocks=True)
    about = SimpleNamespace(config=config)
    for path in sorted((results / "figures").glob("*.png")):
        with reading_from(path):
            data = path.read_bytes()
        # where PNG has it
        width = int.from_bytes(data[16:20], "big")
        text = config.get("own_results", {}).get(path.stem, {}).get("caption", "")
        ours = captions / f"figure_{path.stem}.rst"
        if ours.exists():
            text = pages.from_string(read_text(ours)).render(snakemake=about)
        body = f"data:image/png;base64,{b64encode(data).decode('ascii')}"
        yield Part("figure", path.stem, _as_html(text), body, width)


def _as_html(text: str) -> str:
    """Returns reStructuredText as HTML, which says itself where it is none."""
    quiet = {"report_level": 2, "warning_stream": False}
    return str(publish_parts(text, writer="html5", settings_overrides=quiet)["body"])
