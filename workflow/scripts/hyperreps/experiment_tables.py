"""Tables of ensembles, reconstructions and probes, as plain text, LaTeX and HTML."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jinja2
import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from . import experiments
from .evaluations import BASELINE, display_name
from .experiments import HELD_OUT, SEEN, WHOLE, Experiment
from .settings.stages import Statistics
from .tables import (
    HTML,
    HTML_PAGE,
    LATEX,
    LATEX_NEEDS,
    NOT_KNOWN,
    TEXT,
    Layout,
    latex_float,
)

SPLIT_NAMES = {SEEN: "training networks", HELD_OUT: "held-out networks"}
PROPERTY_NAMES = {"accuracy": "test accuracy", "gap": "generalisation gap"}
FEATURE_NAMES = {
    "weights": "W",
    "weights_aligned": "W, aligned",
    "statistics": "s(W)",
}
SCORE_NAMES = {"r2": "R²", "tau": "Kendall's tau", "accuracy": "accuracy"}


class Table(NamedTuple):
    """How a table is made.

    Attributes:
        summarise: From files to numbers in long form.
        cells: From numbers to the cells of a table, in its order: zoo, block and name
            of the row, heading and column, text, and whether it is the best.
        title: Its heading.
        caption: What the numbers mean; names in braces are filled in by caption_text().
        notes: What the names of rows and columns mean.
    """

    summarise: Callable[[Experiment], pd.DataFrame]
    cells: Callable[[pd.DataFrame, Layout], pd.DataFrame]
    title: str
    caption: str
    notes: dict[str, str]


def ensemble_cells(summary: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    """Sets single networks beside the largest ensembles that all populations allow."""
    sizes = [set(part["size"]) for _, part in summary.groupby(["zoo", "method"])]
    common = set.intersection(*sizes)
    table = summary[summary["size"].isin({min(common), max(common)})].copy()
    headings = {
        "accuracy": (f"accuracy, {layout.percent}", 100, 1),
        "nll": ("NLL, nats", 1, 2),
        "ece": (f"ECE, {layout.percent}", 100, 1),
        "disagreement": (f"disagreement, {layout.percent}", 100, 1),
    }
    table["block"] = "epoch " + table["epoch"].astype(str)
    table["name"] = table["method"].map(layout.name)
    table["heading"] = table["metric"].map(lambda metric: headings[metric][0])
    table["column"] = "size " + table["size"].astype(str)
    table["text"] = [
        f"{scale * row.mean:.{digits}f}{layout.plus_minus}{scale * row.std:.{digits}f}"
        for row in table.itertuples()
        for _, scale, digits in [headings[str(row.metric)]]
    ]
    last = table.groupby(["zoo", "method"])["epoch"].transform("max")
    table["rival"] = table["mean"].where(last == table["epoch"].max())
    rivals = table.groupby(["zoo", "epoch", "size", "metric"])["rival"]
    best = rivals.transform("min").mask(
        table["metric"] == "accuracy", rivals.transform("max")
    )
    table["best"] = (table["rival"] == best) & (table["metric"] != "disagreement")
    return table


def reconstruction_cells(summary: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    """Sets the variants below each other, R2 by layer and accuracies beside."""
    accuracies = summary["quantity"].isin(["original", "reconstruction"])
    whole = summary["layer"] == WHOLE
    wanted = summary["split"].isin(SPLIT_NAMES) & (
        whole | (summary["quantity"] != "mse")
    )
    summary, accuracies = summary[wanted], accuracies[wanted]
    headings = summary["quantity"].map({"r2": SCORE_NAMES["r2"], "mse": "MSE"})
    table = summary.assign(
        block=summary["split"].map(SPLIT_NAMES),
        name=summary["variant"].map(layout.heading),
        heading=headings.mask(accuracies, f"accuracy, {layout.percent}"),
        column=summary["layer"].mask(accuracies, summary["quantity"]),
        best=False,
    )
    table["text"] = [_reconstructed(row, layout) for row in table.itertuples()]
    peaks = table[table["published"].notna()].copy()
    peaks["column"] = "published " + peaks["quantity"]
    peaks["text"] = [f"{layout.about}{100 * p:.0f}" for p in peaks["published"]]
    return pd.concat([table, peaks])


def _reconstructed(row: Any, layout: Layout) -> str:
    if row.quantity == "r2" and row.layer != WHOLE:
        return f"{row.mean:.2f}"
    scale, digits = {"r2": (1, 2), "mse": (1, 4)}.get(row.quantity, (100, 1))
    return _interval(row, layout, scale=scale, digits=digits)


def property_cells(summary: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    """Sets the inputs of the probes beside each other, with the published numbers."""
    names = summary["features"].map(lambda name: FEATURE_NAMES.get(name, f"z {name}"))
    table = summary.assign(
        block=summary["property"].map(lambda name: PROPERTY_NAMES.get(name, name)),
        name=summary["metric"].map(SCORE_NAMES),
        heading=names.map(layout.heading),
        column="this run",
    )
    rows: list[Any] = list(table.itertuples())
    table["text"] = [_interval(row, layout, scale=1, digits=2) for row in rows]
    rivals = table.groupby(["zoo", "property", "metric"])["mean"]
    table["best"] = table["mean"] == rivals.transform("max")
    beside = table[table["published"].notna()].copy()
    beside = beside.assign(column="published", best=False)
    beside["text"] = [f"{value:.2f}" for value in beside["published"]]
    # a published number stands behind ours of the same inputs
    order = table["heading"].unique().tolist()
    both = pd.concat([table, beside])
    return both.sort_values("heading", key=lambda h: h.map(order.index), kind="stable")


def _interval(row: Any, layout: Layout, *, scale: float, digits: int) -> str:
    """Returns "0.91 [0.85, 0.94]", or the number alone where it has no interval."""
    number = f"{scale * row.mean:.{digits}f}"
    if math.isnan(row.ci_low):
        return number
    ends = f"[{scale * row.ci_low:.{digits}f}, {scale * row.ci_high:.{digits}f}]"
    return f"{number} {layout.interval(ends)}"


TABLES = {
    "ensembles": Table(
        experiments.ensembles,
        ensemble_cells,
        title="Ensembles of sampled networks",
        caption=(
            "Networks that vote by the mean of their class probabilities, on test"
            " images: mean{pm}standard deviation (ddof 0) over random ensembles, drawn"
            " from all networks of a method without replacement. The sizes are one"
            " network, and the largest that every method allows; the CSV file has all"
            " sizes, and the number of networks and ensembles. NLL: mean negative"
            " log-likelihood. ECE: expected calibration error, 15 bins of equal width."
            " Disagreement: images that two members classify differently, mean over"
            " pairs. Bold: best of its epoch, of those that are finetuned or trained."
            " The paper's numbers were not recovered."
        ),
        notes={
            BASELINE: "the zoo's test split, trained from scratch for as many epochs",
            "B_T30": "the 30 % of the zoo's train split with the best validation"
            " accuracy, trained from scratch for as many epochs",
            "others": "methods of the config, finetuned for as many epochs; those that"
            " are not finetuned are known at epoch 0 only",
        },
    ),
    "reconstruction": Table(
        experiments.reconstruction,
        reconstruction_cells,
        title="Networks and their reconstructions",
        caption=(
            "The last epoch of the zoo's window, encoded and decoded by"
            " hyper-representations with and without layer-wise loss normalisation."
            " R²: explained variance of the weights against predicting the mean"
            " training network, on the same networks, by layer and of all weights"
            " alike. MSE: mean squared error per"
            " weight. Accuracy: mean test accuracy in {percent} of the networks and of"
            " their reconstructions. In brackets: {level} confidence interval by"
            " Student's t, from how networks and hyper-representations differ (of one"
            " hyper-representation it holds for that one; the CSV file counts them)."
            " Published: peak of a histogram, read by eye,"
            " where the images and which networks are shown is inferred; without"
            " normalisation the published reconstructions have no peak but spread over"
            " 5 to 20 {percent} (SVHN)."
        ),
        notes={
            "training networks": "the zoo's train split, which the"
            " hyper-representations were trained on",
            "held-out networks": "the zoo's test split, which nothing has seen",
        },
    ),
    "properties": Table(
        experiments.properties,
        property_cells,
        title="What linear probes read",
        caption=(
            "Ridge regression on standardised inputs, fitted on the networks of the"
            " train split at all epochs of the window, its penalty chosen on the val"
            " split; R² and Kendall's tau on the test split. In brackets: {level}"
            " confidence interval by Student's t, from how networks, each with all its"
            " epochs, and hyper-representations differ (of one hyper-representation it"
            " holds for that one; the CSV file counts them). Bold: best inputs."
            " Published: R² of a later paper of the same group (SANE, 2406.09997, read"
            " in a summary) on zoos of the same recipes, where the epochs are not"
            " stated: an orientation."
        ),
        notes={
            "W": "all weights",
            "W, aligned": "all weights, in the coordinates that the latents are made"
            " from (weight matching)",
            "s(W)": "mean, variance and percentiles 1, 25, 50, 75, 99 of each layer's"
            " weights and biases",
            "z": "latents of a hyper-representation, by variant",
            "generalisation gap": "training accuracy, a running mean over the epoch,"
            " minus test accuracy",
        },
    ),
}


def caption_text(table: Table, *, statistics: Statistics, layout: Layout) -> str:
    """Returns what the numbers of a table mean."""
    return table.caption.format(
        pm=layout.plus_minus,
        percent=layout.percent,
        level=f"{100 * statistics.confidence:g} {layout.percent}",
    )


def _wide(
    cells: pd.DataFrame, values: str, missing: Any, *, levels: Sequence[str]
) -> pd.DataFrame:
    """Pivots cells; rows and columns keep the order of their first appearance."""
    index, header = _ordered(cells, levels), _ordered(cells, ("heading", "column"))
    wide = cells.set_index([*levels, "heading", "column"])[values]
    wide = wide.unstack(["heading", "column"], fill_value=missing)
    return wide.reindex(index=index, columns=header)


def _ordered(cells: pd.DataFrame, levels: Sequence[str]) -> pd.MultiIndex:
    """Returns all keys, those with the same first part side by side, and so on."""
    keys = cells[list(levels)].drop_duplicates()
    ranks = [pd.factorize(keys[level])[0] for level in levels]
    # the last level keeps its order
    return pd.MultiIndex.from_frame(keys.iloc[np.lexsort(ranks[-2::-1])])


def _styled(cells: pd.DataFrame, *, levels: Sequence[str]) -> Styler:
    text = _wide(cells, "text", NOT_KNOWN, levels=levels)
    best = _wide(cells, "best", False, levels=levels)
    css = best.map({True: "font-weight: bold", False: ""}.get)
    columns: list[Any] = list(text.columns)
    classes = pd.DataFrame(
        {(top, name): name.split()[0] for top, name in columns}, index=text.index
    )
    styler = text.style.apply(lambda _: css, axis=None).set_td_classes(classes)
    return styler.hide(names=True)


def _cells(table: Table, summary: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    cells = table.cells(summary, layout)
    names = {zoo: layout.heading(display_name(zoo, zoo)) for zoo in cells["zoo"]}
    return cells.assign(zoo=cells["zoo"].map(names))


def text_table(table: Table, summary: pd.DataFrame) -> str:
    """Sets a summary as plain text, one block per zoo; * marks the best."""
    parts = []
    for zoo, cells in _cells(table, summary, TEXT).groupby("zoo", sort=False):
        marked = cells.assign(text=cells["text"] + cells["best"].map(" *".__mul__))
        wide = _wide(marked, "text", NOT_KNOWN, levels=("block", "name"))
        nameless = wide.rename_axis(index=[None, None], columns=[None, None])
        parts.append(f"{zoo}\n{nameless.to_string()}")
    return "\n\n".join(parts)


def latex_table(table: Table, summary: pd.DataFrame, *, statistics: Statistics) -> str:
    """Sets a summary as LaTeX tables, one per zoo."""
    caption = caption_text(table, statistics=statistics, layout=LATEX)
    parts = [LATEX_NEEDS]
    for zoo, cells in _cells(table, summary, LATEX).groupby("zoo", sort=False):
        styler = _styled(cells, levels=("block", "name"))
        parts.append(latex_float(styler, caption=f"{zoo}. {caption}"))
        caption = "Continued."
    return "\n".join(parts)


def html_page(
    table: Table, summary: pd.DataFrame, *, statistics: Statistics, seed: int
) -> str:
    """Sets a summary as a web page of its own.

    Args:
        table: How.
        summary: As table.summarise() returns it.
        statistics: Of the intervals.
        seed: Base seed of the run, stated in the caption.
    """
    styler = _styled(_cells(table, summary, HTML), levels=("zoo", "block", "name"))
    caption = caption_text(table, statistics=statistics, layout=HTML)
    page: str = jinja2.Template(HTML_PAGE).render(
        title=table.title,
        table=styler.set_uuid("table").to_html(sparse_index=True),
        notes={
            HTML.name(name): html.escape(text) for name, text in table.notes.items()
        },
        caption=f"{caption} Base seed {seed}.",
    )
    return page
