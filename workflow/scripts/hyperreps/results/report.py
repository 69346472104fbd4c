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

from ..files.storage import DataFileError, reading_from
from .accuracies import BASELINE, display_name
from .experiments import HELD_OUT, WHOLE
from .keeping import Run, known_of, read_jobs
from .kept import read_text
from .layout import HTML, NOT_KNOWN, PAGES
from .tables.novelty import derives
from .tables.published import ABOUT, PRINTED, outside

BODY = re.compile(r"<body>\n(.*)</body>", re.S)


class Claim(NamedTuple):
    """One number of a run with what is published of it; texts are HTML."""

    what: str
    zoo: str
    number: str
    n: str
    verdict: str = NOT_KNOWN


class Part(NamedTuple):
    """A table or figure of the page.

    Attributes:
        kind: table or figure.
        name: Of its files.
        caption: Of a figure, as HTML; tables bring theirs.
        body: The table, or the picture as data.
    """

    kind: str
    name: str
    caption: str
    body: str


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
    parts = [*_tables(run.results), *_figures(run.results, captions, config)]
    if not parts:
        raise DataFileError(
            f"{run.results}: holds no table and no figure; run snakemake first"
        )
    jobs = read_jobs(run)
    return PAGES.get_template("report.html").render(
        config=config,
        known=known_of(run, jobs),
        machine=html.escape(machine),
        settings=read_text(run.results / "config.yaml"),
        claims=list(claims(run.results / "tables")),
        parts=parts,
    )


def claims(tables: Path) -> Iterator[Claim]:
    """Yields the claims of a run, as far as its tables hold them.

    Args:
        tables: Folder of the CSV files.
    """
    for name, made in (
        ("reconstruction", _reconstructed),
        ("in_distribution", _accuracies),
        ("novelty", _audited),
    ):
        path = tables / f"{name}.csv"
        if path.exists():
            yield from made(pd.read_csv(path))


def _reconstructed(frame: pd.DataFrame) -> Iterator[Claim]:
    """Yields R2 of held-out networks by zoo and variant."""
    wanted = (frame["split"] == HELD_OUT) & (frame["quantity"] == "r2")
    row: Any
    for row in frame[wanted & (frame["layer"] == WHOLE)].itertuples():
        number = _number(row.mean, row.ci_low, row.ci_high, form=".2f")
        what = f"R² of held-out networks, {html.escape(row.variant)}"
        n = f"{row.networks} networks, {row.hyper_reps} hyper-representations"
        yield Claim(what, _heading(row.zoo), number, n)


def _accuracies(frame: pd.DataFrame) -> Iterator[Claim]:
    """Yields the first and last mean of every method, beside the published one."""
    ends = frame.groupby(["target", "method"])["epoch"]
    first, last = ends.transform("min"), ends.transform("max")
    chosen = frame["epoch"].eq(last) | (
        frame["epoch"].eq(first) & (frame["method"] != BASELINE)
    )
    row: Any
    for row in frame[chosen & ~frame["reference"]].itertuples():
        number = _number(row.mean, row.ci_low, row.ci_high, form=".1%")
        what = f"accuracy of {HTML.name(row.method)}, epoch {row.epoch}"
        n = f"{row.n} networks, {row.groups} groups"
        yield Claim(what, _heading(row.target), number, n, _beside(row))


def _audited(frame: pd.DataFrame) -> Iterator[Claim]:
    """Yields whether samples of each method derive from training networks."""
    shown = frame[~frame["reference"] & (frame["measure"] == "training_over_unseen")]
    row: Any
    for row in shown.itertuples():
        what = f"distance to training / to unseen runs, {HTML.name(row.population)}"
        number = _number(row.value, row.ci_low, row.ci_high, form=".2f")
        verdict = "derived from training" if derives(row) else "not shown to be derived"
        n = f"{row.n} networks, {row.groups} groups"
        yield Claim(what, _heading(row.zoo), number, n, verdict)


def _heading(zoo: str) -> str:
    return html.escape(display_name(zoo, zoo))


def _number(value: float, low: float, high: float, *, form: str) -> str:
    ends = f" <small>[{low:{form}}, {high:{form}}]</small>"
    return f"{value:{form}}" + ("" if math.isnan(low) else ends)


def _beside(row: Any) -> str:
    """Returns the published mean, and whether our interval holds it."""
    if math.isnan(row.published_mean):
        return "nothing published"
    printed = ABOUT if math.isnan(row.published_std) else PRINTED
    ours = row.published_mean, row.mean, row.ci_low, row.ci_high
    apart = outside(*ours, tolerance=printed)
    if math.isnan(apart):
        return f"published {row.published_mean:.1%}; no interval"
    where = "inside" if apart == 0 else f"outside by {100 * abs(apart):.1f} points"
    return f"published {row.published_mean:.1%}: {where}"


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
    for path in sorted((results / "figures").glob("*.png")):
        with reading_from(path):
            data = b64encode(path.read_bytes()).decode("ascii")
        text = _caption(captions / f"figure_{path.stem}.rst", config)
        yield Part("figure", path.stem, text, f"data:image/png;base64,{data}")


def _caption(path: Path, config: dict[str, Any]) -> str:
    """Returns a caption as HTML; none where a figure of one's own has none."""
    if not path.exists():
        return ""
    pages = PAGES.overlay(trim_blocks=True, lstrip_blocks=True)
    about = SimpleNamespace(config=config)
    text = pages.from_string(read_text(path)).render(snakemake=about)
    return str(publish_parts(text, writer="html5")["body"])
