"""Tables of accuracies: methods beside each other, ours beside the published ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from ...representation.curves import R2_HELD_OUT, read_curves
from ...settings.stages import Method
from ..accuracies import OfAccuracies, display_name
from ..layout import NOT_KNOWN, PAGES, TEXT, Layout, Table, read_words

WORDS = "accuracies.yaml"
# above our numbers in plain text
OURS = "mean ± std [interval] (± seeds)"
# of held-out networks
R2 = "R²"


class Accuracies(OfAccuracies, Table):
    """Mean accuracy of every method at some epochs, in percent."""

    words: ClassVar = WORDS
    levels: ClassVar = ("block", "name")

    def frame(self) -> pd.DataFrame:
        """Returns the summary of every method at the epochs of the table.

        Where curves are given, r2_held_out says how well the hyper-representations of a
        method give back networks that they have not seen: R2 of weights in units of
        their layers, the mean over seeds; NaN for methods without any.
        """
        summary = self.summary(self.networks, self.sources.epochs)
        if not self.sources.curves:
            return summary
        curves = read_curves(self.sources.curves)
        last = curves.groupby(["zoo", "variant", "seed"])[R2_HELD_OUT].last()
        known = last.groupby(["zoo", "variant"]).mean()
        settings = self.networks.groupby("method")["settings"].first()
        variants = [getattr(settings[m], "hyper_rep", "") for m in summary["method"]]
        keys = pd.MultiIndex.from_arrays([summary["source"], variants])
        return summary.assign(r2_held_out=known.reindex(keys).to_numpy())

    def values(self) -> dict[str, Any]:
        """Returns whether R2 of held-out networks is known."""
        return {"curves": bool(self.sources.curves)}

    def cells(self, frame: pd.DataFrame, layout: Layout) -> pd.DataFrame:
        """Sets a row per epoch and method, with columns per pair of zoos."""
        table = _laid_out(frame, layout)
        rows = table.groupby(["block", "name"], sort=False)
        shared = [
            rows[column]
            .agg(lambda texts: " / ".join(dict.fromkeys(map(str, texts))))
            .reset_index(name="text")
            .assign(heading="", column=column, best=False)
            for column in ("n", R2)
            if column in table
        ]
        ours = table.assign(column="this run", text=table["ours"])
        theirs = table.assign(column="published", text=table["theirs"], best=False)
        known = theirs["theirs"].ne(NOT_KNOWN).groupby(theirs["heading"])
        theirs = theirs[known.transform("any")]
        return pd.concat([*shared, ours, theirs])

    def floats(
        self, frame: pd.DataFrame, layout: Layout
    ) -> Iterator[tuple[str, pd.DataFrame]]:
        """Yields two pairs of zoos at a time, so that they can be read in print."""
        pairs = frame["source"] + "-" + frame["target"]
        names = list(dict.fromkeys(pairs))
        for abreast in (names[i : i + 2] for i in range(0, len(names), 2)):
            yield "", self.cells(frame[pairs.isin(abreast)], layout)

    def text(self, frame: pd.DataFrame) -> str:
        """Returns the table as text_table() does."""
        return text_table(frame)

    def notes(self, frame: pd.DataFrame) -> dict[str, str]:
        """Returns how the networks of each method came about."""
        notes = super().notes(frame)
        seeds = frame.groupby("method")["seeds"].max()
        settings = self.networks.groupby("method", sort=False)["settings"].first()
        for name, method in settings.dropna().items():
            notes[name] = describe(method)
            if count := seeds.get(name):
                notes[name] += f"; hyper-representations trained per zoo: {count}"
        return notes


def _ours(row: Any, layout: Layout) -> str:
    """Returns "68.6 ± 6.7 [66.8, 70.4] (± 1.1)" in percent.

    In parentheses is the spread between hyper-representations; a single network has no
    spread, and a single group is named, since others may differ from it. The median
    follows where the published number is one.
    """
    if row.n == 1:
        return f"{100 * row.mean:.1f} {layout.interval('[n = 1]')}"
    single = "; one group" if row.groups == 1 else ""
    ends = f"[{100 * row.ci_low:.1f}, {100 * row.ci_high:.1f}{single}]"
    interval = layout.interval(ends)
    text = f"{100 * row.mean:.1f}{layout.plus_minus}{100 * row.std:.1f} {interval}"
    if not math.isnan(row.seed_std):
        between = f"({layout.plus_minus.strip()} {100 * row.seed_std:.1f})"
        text += f" {layout.interval(between)}"
    if not math.isnan(row.published_median):
        text += f" median {100 * row.median:.1f}"
    return text


def _theirs(row: Any, layout: Layout) -> str:
    if not math.isnan(row.published_median):
        return f"median {layout.about}{100 * row.published_median:.1f}"
    if math.isnan(row.published_mean):
        return NOT_KNOWN
    if math.isnan(row.published_std):
        return f"{layout.about}{100 * row.published_mean:.1f}"
    mean, std = 100 * row.published_mean, 100 * row.published_std
    return f"{mean:.1f}{layout.plus_minus}{std:.1f}"


def _laid_out(summary: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    """Turns a summary into text: adds heading, block, name, ours, theirs and best.

    References follow the methods of epoch 0 in a block of their own. They are never
    marked as best, nor is a method that is alone at its epoch. Finetuned networks that
    no hyper-representation has made compete with the others, and bear a mark.
    """
    table = summary.copy()
    rows: list[Any] = list(table.itertuples())
    table["heading"] = [layout.heading(display_name(r.source, r.target)) for r in rows]
    block = "epoch " + table["epoch"].astype(str)
    table["block"] = block.mask(table["reference"], "references")
    table["name"] = [layout.method(r.method, trivial=r.trivial) for r in rows]
    table["ours"] = [_ours(row, layout) for row in rows]
    if "r2_held_out" in table:
        known = table["r2_held_out"].map("{:.2f}".format)
        table[R2] = known.mask(table["r2_held_out"].isna(), NOT_KNOWN)
    table["theirs"] = [_theirs(row, layout) for row in rows]
    means = table["mean"].mask(table["reference"])
    rivals = means.groupby([table["heading"], table["epoch"]])
    table["best"] = (means == rivals.transform("max")) & (rivals.transform("count") > 1)
    return table.sort_values(["epoch", "reference"], kind="stable")


def text_table(summary: pd.DataFrame) -> str:
    """Sets a summary as plain text in percent, one block per pair of zoos.

    Args:
        summary: As summarise() returns it, or as read back from its CSV.

    Returns:
        Lines of about 80 characters; * marks the best mean of an epoch.
    """
    blocks = []
    for heading, part in _laid_out(summary, TEXT).groupby("heading", sort=False):
        first = part["block"] != part["block"].shift()
        shown = pd.DataFrame(
            {
                "": part["block"].where(first, ""),
                "method": part["name"],
                "n": part["n"].astype(str),
                OURS: part["ours"] + part["best"].map(" *".__mul__),
                "published": part["theirs"],
            }
        )
        if R2 in part:
            shown.insert(3, R2, part[R2])
        if part["theirs"].eq(NOT_KNOWN).all():
            shown = shown.drop(columns="published")
        padded = shown.apply(lambda texts: texts.str.ljust(texts.str.len().max()))
        text = padded.to_string(index=False, justify="left")
        blocks.append(f"{heading}\n{text}")
    words = read_words(Path(__file__).with_name(WORDS))
    notes = words["text"] + (words["r2_text"] if "r2_held_out" in summary else "")
    return "\n\n".join([*blocks, notes.strip()])


def describe(method: Method) -> str:
    """Returns in words where a method draws from and how its pool was selected."""
    words = read_words(Path(__file__).with_name(WORDS))["method"]
    return PAGES.from_string(words).render(method.model_dump()).strip()
