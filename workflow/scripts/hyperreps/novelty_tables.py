"""Tables of the audit and of significance, typeset as plain text, LaTeX and HTML."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import pandas as pd

from .audit.significance import DIFFERENT, EQUIVALENT, POWER, UNDECIDED
from .evaluations import display_name
from .novelty_results import PANEL, panel_name
from .settings.sections import Novelty
from .settings.stages import Statistics
from .tables import HTML, HTML_PAGE, LATEX, NOT_KNOWN, TEXT, Layout, write_table


class Column(NamedTuple):
    """One column of the novelty table.

    Attributes:
        heading: Above the numbers; no character that LaTeX treats apart.
        measure: Of novelty_summary().
        form: Format of the value and of both ends of its interval.
        percent: Whether it is a share.
        interval: Whether the interval is shown.
        meaning: A sentence for the notes.
    """

    heading: str
    measure: str
    form: str
    percent: bool
    interval: bool
    meaning: str


COLUMNS = (
    Column("accuracy", "accuracy", ".1f", True, True, "Mean test accuracy in percent."),
    Column(
        "raw L2",
        "raw",
        ".2f",
        False,
        False,
        "Median distance to the nearest training network (any epoch of the window), as"
        " the weights are.",
    ),
    Column(
        "aligned L2",
        "aligned",
        ".2f",
        False,
        True,
        "The same after the best permutation (and sign flips, for tanh) found by weight"
        " matching: an upper bound of the distance up to symmetry, exact for copies.",
    ),
    Column(
        "at least",
        "bound",
        ".2f",
        False,
        False,
        "Median of what no permutation or sign flip can go below.",
    ),
    Column(
        "relative",
        "relative",
        ".2f",
        False,
        False,
        "Aligned distance divided by the zoo's median leave-one-out distance.",
    ),
    Column(
        "other runs",
        "other_aligned",
        ".2f",
        False,
        False,
        "Aligned distance to the nearest network of runs that it was not made from.",
    ),
    Column(
        "errors shared",
        "overlap",
        ".2f",
        False,
        True,
        "Median of the largest intersection over union of wrong predictions with a"
        " training network; 1 for the same behaviour.",
    ),
    Column(
        "disagreement",
        "disagreement",
        ".3f",
        False,
        False,
        "Median of the smallest share of test images answered differently.",
    ),
    Column(
        "ZU",
        "z_u",
        ".1f",
        False,
        True,
        "Data-copying statistic: about 0 where samples are as far from training as"
        " held-out networks, far below 0 for copies, far above for what is unlike any."
        " Saturated: every sample is nearer than every held-out network, or farther;"
        " the number is the end of the scale for so many networks, not a measurement.",
    ),
    Column(
        "copies",
        "copies",
        ".0f",
        True,
        True,
        "Percent as near to a training network as 95 % of training networks are to"
        " another epoch of their own run.",
    ),
    Column(
        "new",
        "new",
        ".0f",
        True,
        True,
        "Percent as far from all training networks as 95 % of training networks are"
        " from all other runs.",
    ),
    Column(
        "new and good",
        "novel_and_performant",
        ".0f",
        True,
        True,
        "Percent farther than the first multiple of the leave-one-out distance and"
        " above the accuracy bar.",
    ),
    Column(
        "sources",
        "effective_sources",
        ".1f",
        False,
        False,
        "Effective number of nearest training runs, exp(entropy).",
    ),
    Column(
        "pairs L2",
        "pair_distance",
        ".2f",
        False,
        False,
        "Mean aligned distance between two networks of the population.",
    ),
    Column(
        "pairs disagree",
        "pair_disagreement",
        ".3f",
        False,
        False,
        "Mean share of images that two networks of the population answer differently.",
    ),
)

Cells = Callable[[Layout], pd.DataFrame]


def novelty_cells(
    summary: pd.DataFrame, layout: Layout, *, settings: Novelty
) -> pd.DataFrame:
    """Lays the summary out: a row per population, methods first, a block per zoo."""
    first = f"{settings.multiples[0]:g}"
    chosen = summary[
        (summary["measure"] != "novel_and_performant") | (summary["against"] == first)
    ]
    rows: dict[tuple[str, str], dict[str, str]] = {}
    key: Any
    order = chosen.sort_values("reference", kind="stable")
    for key, part in order.groupby([*PANEL, "population"], sort=False):
        numbers = {row.measure: row for row in part.itertuples()}
        heading = layout.heading(panel_name(*key[:2]))
        counts = part.iloc[0]
        cells = {"n (groups)": f"{counts['n']} ({counts['groups']})"}
        cells |= {c.heading: _cell(numbers[c.measure], c, layout) for c in COLUMNS}
        if numbers["nearer"].value in (0, 1):
            cells["ZU"] += " saturated"
        rows[heading, layout.name(key[2])] = cells
    table = pd.DataFrame.from_dict(rows, orient="index")
    # a block per zoo, in order of appearance
    blocks = dict.fromkeys(table.index.get_level_values(0))
    return pd.concat([table.loc[[block]] for block in blocks])


def _cell(row: Any, column: Column, layout: Layout) -> str:
    if math.isnan(row.value):
        return NOT_KNOWN
    factor = 100 if column.percent else 1
    text = f"{factor * row.value:{column.form}}"
    if column.interval and not math.isnan(row.ci_low):
        ends = (f"{factor * x:{column.form}}" for x in (row.ci_low, row.ci_high))
        text += " " + layout.interval(f"[{', '.join(ends)}]")
    return text


def significance_cells(table: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    """Lays comparisons out: a row per pair, a block per population and epoch."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    row: Any
    for row in table.itertuples():
        block = f"epoch {row.epoch}"
        if row.block == "references":
            block += ", references"
        heading = layout.heading(f"{display_name(row.source, row.target)}, {block}")
        names = (layout.name(row.method), layout.name(row.other))
        ends = f"[{100 * row.ci_low:+.1f}, {100 * row.ci_high:+.1f}]"
        known = not math.isnan(row.ci_low)
        rows[heading, " vs ".join(names)] = {
            "difference": f"{100 * row.difference:+.1f}"
            + (f" {layout.interval(ends)}" if known else ""),
            "verdict": row.verdict,
            "detectable": NOT_KNOWN
            if math.isnan(row.detectable)
            else f"{100 * row.detectable:.1f}",
            "medians": f"{100 * row.difference_of_medians:+.1f}",
            "g": _number(row.hedges_g),
            "delta": _number(row.cliffs_delta),
            "p t": _p_value(row.p_t_holm),
            "p ranks": _p_value(row.p_ranks_holm),
            "observations": _observations(row),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _observations(row: Any) -> str:
    """Returns "5 pairs", "5 / 80 groups" or "5 / 3 groups, 3 paired"."""
    if row.pairs == row.observations == row.observations_other:
        return f"{row.pairs} pairs"
    paired = f", {row.pairs} paired" if row.pairs else ""
    return f"{row.observations} / {row.observations_other} {row.unit}s{paired}"


def _number(value: float) -> str:
    return NOT_KNOWN if math.isnan(value) else f"{value:+.2f}"


def _p_value(value: float) -> str:
    if math.isnan(value):
        return NOT_KNOWN
    return "0.000" if value < 0.0005 else f"{value:.3f}"


def novelty_caption(settings: Novelty, statistics: Statistics, layout: Layout) -> str:
    """Returns what the novelty table shows, in plain sentences."""
    level = f"{100 * statistics.confidence:g} {layout.percent}"
    bar = f"{100 * settings.accuracy_bar:g} {layout.percent}"
    return (
        "Distance of networks to those that the hyper-representation was trained on:"
        " methods, then references whose novelty is known. Medians over n networks of"
        " so many groups (hyper-representations or runs); in brackets the"
        f" {level} interval, from how groups differ: Student's t of means, Woodruff's"
        " of medians, Wilson's of shares, on the number of networks that groups are"
        " worth. With one group it holds for that group's networks only. The accuracy"
        f" bar is {bar} of the held-out networks' median accuracy, the novelty bar"
        f" {settings.multiples[0]:g} times the median leave-one-out distance."
    )


def significance_caption(statistics: Statistics, layout: Layout) -> str:
    """Returns what the significance table shows, in plain sentences."""
    level = f"{100 * statistics.confidence:g} {layout.percent}"
    margin = f"{100 * statistics.equivalence_margin:g}"
    return (
        "Differences of mean test accuracy in points between the methods of a block,"
        f" and their {level} interval by Student's t. Observations are groups (all"
        " networks of one hyper-representation or zoo model), those of the same seed or"
        " zoo model paired; or networks where a method has one group only: then the row"
        " holds for that group. Verdicts, each from its own interval:"
        f" {EQUIVALENT} ({margin} points, fixed beforehand) where the whole interval"
        f" is, else {DIFFERENT} where it leaves out zero, else {UNDECIDED}. Verdicts"
        " are not corrected for the number of pairs; p values, of t and of ranks, are,"
        " by Holm's method over the block: a pair that is picked for its result must"
        " have a small one as well."
    )


SIGNIFICANCE_NOTES = {
    "detectable": "Smallest difference in points that as many groups, varying as much,"
    f" would have shown to be different in {100 * POWER:g} % of runs. What is undecided"
    " is no larger than the interval's ends, and may well be as large.",
    "medians": "Difference of medians; where it is far from that of means, a population"
    " has two peaks or a long tail.",
    "g": "Difference of means in pooled standard deviations of networks, corrected for"
    " small n.",
    "delta": "P(greater) - P(less) of one network of each; rank-biserial correlation.",
    "p t": "Of the same t as the interval; paired or Welch's.",
    "p ranks": "Wilcoxon's signed ranks of pairs; Mann and Whitney's U where groups are"
    " not all paired. With five pairs it cannot be below 0.0625.",
    "block": "One population at one epoch; comparisons with references, which no"
    " hyper-representation has made, are a block of their own.",
}


def novelty_notes() -> dict[str, str]:
    """Returns the meaning of each column."""
    return {column.heading: column.meaning for column in COLUMNS}


def make_table(
    data: pd.DataFrame,
    cells: Cells,
    *,
    title: str,
    caption: Callable[[Layout], str],
    notes: Mapping[str, str],
    output: Path,
) -> str:
    """Writes the numbers as CSV, the table as LaTeX and HTML; returns it as text.

    Args:
        data: Long form, for the CSV.
        cells: Gives the text of every cell in a layout; rows have two levels.
        title: Of the page.
        caption: In a layout.
        notes: Explanations below the page's table.
        output: The CSV; the others go beside it.
    """
    table = cells(HTML).style.hide(names=True).set_uuid("table")
    page: str = jinja2.Template(HTML_PAGE).render(
        title=html.escape(title),
        table=table.to_html(sparse_index=True),
        notes={name: html.escape(text) for name, text in notes.items()},
        notes_title="Notes",
        caption=caption(HTML),
    )
    styler, about = cells(LATEX).style.hide(names=True), caption(LATEX)
    tabular = styler.to_latex(
        environment="longtable",
        hrules=True,
        multirow_align="naive",
        column_format="ll" + "r" * len(styler.columns),
        caption=about,
    )
    again = tabular.replace(rf"\caption[]{{{about}}}", r"\caption[]{Continued.}")
    latex = LATEX_PAGE.format(tabular=again.strip())
    write_table(data, page=page, latex=latex, output=output)
    return cells(TEXT).to_string(justify="left")


LATEX_PAGE = r"""% needs \usepackage{{booktabs,longtable,multirow}}; it is wide
{{\scriptsize\setlength{{\tabcolsep}}{{3pt}}
{tabular}
}}
"""
