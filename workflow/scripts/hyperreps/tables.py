"""Tables of accuracies, typeset in percent as plain text, LaTeX and HTML."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import pandas as pd
from pandas.io.formats.style import Styler

from .evaluations import BASELINE, TRIVIAL, display_name
from .files.storage import replacing
from .settings.stages import Method, Statistics

NOT_KNOWN = "—"


class Layout(NamedTuple):
    """How numbers and names are written in one kind of table."""

    name: Callable[[str], str]
    heading: Callable[[str], str]
    interval: Callable[[str], str]
    plus_minus: str
    about: str
    percent: str
    trivial: str


def _with_subscript(name: str, pattern: str) -> str:
    """Fills pattern with letter and subscript of "S_KDE30"; others stay as they are."""
    match = re.fullmatch(r"([A-Z])_(\w+)", name)
    return pattern.format(*match.groups()) if match else name


def _latex_name(name: str) -> str:
    shown = _with_subscript(name, r"${}_{{\mathrm{{{}}}}}$")
    # the underscore before a brace is the subscript's own
    return re.sub(r"_(?!\{)", r"\\_", shown)


TEXT = Layout(str, str, str, " ± ", "≈ ", "%", TRIVIAL)


HTML = Layout(
    name=lambda name: _with_subscript(html.escape(name), "{}<sub>{}</sub>"),
    heading=html.escape,
    interval=lambda text: f"<small>{text}</small>",
    plus_minus=" ± ",
    about="≈ ",
    percent="%",
    trivial=f"<sup>{TRIVIAL}</sup>",
)


LATEX = Layout(
    name=_latex_name,
    heading=lambda text: text.replace("_", r"\_").replace("→", r"$\to$"),
    interval=lambda text: rf"{{\mdseries\scriptsize {text}}}",
    plus_minus=r" $\pm$ ",
    about=r"$\approx$ ",
    percent=r"\%",
    trivial=r"$^\dagger$",
)


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
    table["name"] = table["method"].map(layout.name)
    table["name"] += table["trivial"].map({True: layout.trivial, False: ""})
    table["ours"] = [_ours(row, layout) for row in rows]
    table["theirs"] = [_theirs(row, layout) for row in rows]
    means = table["mean"].mask(table["reference"])
    rivals = means.groupby([table["heading"], table["epoch"]])
    table["best"] = (means == rivals.transform("max")) & (rivals.transform("count") > 1)
    return table.sort_values(["epoch", "reference"], kind="stable")


def text_table(summary: pd.DataFrame) -> str:
    """Sets a summary as plain text in percent, one block per population.

    Args:
        summary: As summarise() returns it, or as read back from its CSV.

    Returns:
        Lines of about 80 characters; * marks the best mean of an epoch.
    """
    blocks = []
    for heading, part in _laid_out(summary, TEXT).groupby("heading", sort=False):
        shown = pd.DataFrame(
            {
                "": part["block"].mask(part["block"] == part["block"].shift(), ""),
                "method": part["name"],
                "n": part["n"].astype(str),
                "mean ± std [interval] (± seeds)": part["ours"]
                + part["best"].map(" *".__mul__),
                "published": part["theirs"],
            }
        )
        if part["theirs"].eq(NOT_KNOWN).all():
            shown = shown.drop(columns="published")
        pad = {
            str(name): f"{{:<{column.str.len().max()}}}".format
            for name, column in shown.items()
        }
        text = shown.to_string(index=False, justify="left", formatters=pad)
        blocks.append(f"{heading}\n{text}")
    note = (
        "Test accuracy in %: mean ± standard deviation over n networks [confidence\n"
        "interval of the mean, from how hyper-representations or zoo models differ;\n"
        "of one group: for its networks only] (± standard deviation between the means\n"
        "of the hyper-representations); * best mean of its epoch, references left\n"
        f"out; {TRIVIAL} no hyper-representation has made them."
    )
    return "\n\n".join([*blocks, note])


def _styled(summary: pd.DataFrame, layout: Layout) -> Styler:
    """Returns the wide table: a row per epoch and method, columns per population."""
    table = _laid_out(summary, layout)
    headings = list(dict.fromkeys(table["heading"]))
    rows = pd.MultiIndex.from_frame(table[["block", "name"]].drop_duplicates())
    wide = table.pivot(
        index=["block", "name"],
        columns="heading",
        values=["n", "ours", "theirs", "best"],
    ).reindex(index=rows)
    cells = pd.DataFrame(index=rows, columns=pd.MultiIndex.from_tuples([("", "n")]))
    cells["", "n"] = wide["n"].apply(_joined, axis=1)
    css = pd.DataFrame("", index=rows, columns=cells.columns)
    for heading in headings:
        cells[heading, "this run"] = wide["ours", heading].fillna(NOT_KNOWN)
        best = wide["best", heading].eq(True)
        css[heading, "this run"] = best.map({True: "font-weight: bold", False: ""})
        theirs = wide["theirs", heading].fillna(NOT_KNOWN)
        if theirs.ne(NOT_KNOWN).any():
            cells[heading, "published"] = theirs
            css[heading, "published"] = ""
    columns: list[Any] = list(cells.columns)
    classes = pd.DataFrame(
        {(top, name): name.replace(" ", "_") for top, name in columns}, index=rows
    )
    styler = cells.style.apply(lambda _: css, axis=None).set_td_classes(classes)
    return styler.hide(names=True)


def _joined(counts: pd.Series) -> str:
    """Returns "150", or "150 / 148" where the populations' sizes differ."""
    return " / ".join(dict.fromkeys(str(int(n)) for n in counts.dropna()))


def latex_table(summary: pd.DataFrame, *, statistics: Statistics) -> str:
    """Sets a summary as LaTeX tables in percent; see text_table().

    Two populations stand side by side in each table, so that it can be read in print.
    """
    populations = summary["source"] + "-" + summary["target"]
    names = list(dict.fromkeys(populations))
    parts: list[str] = []
    for pair in (names[i : i + 2] for i in range(0, len(names), 2)):
        caption = "Continued." if parts else caption_text(statistics, LATEX)
        styler = _styled(summary[populations.isin(pair)], LATEX)
        parts.append(latex_float(styler, caption=caption))
    return "\n".join([LATEX_NEEDS, *parts])


def latex_float(styler: Styler, *, caption: str) -> str:
    """Sets one table of two levels of rows, as wide as the text at most."""
    tabular = styler.to_latex(
        hrules=True,
        clines="skip-last;data",
        convert_css=True,
        multicol_align="c",
        multirow_align="t",
        column_format="ll" + "r" * len(styler.columns),
    )
    # \cline touches booktabs' rules, and none is wanted above the last of those
    tabular = re.sub(r"\\cline\{.*?\}\n\\bottomrule", r"\\bottomrule", tabular)
    tabular = re.sub(r"\\cline\{.*?\}", r"\\midrule", tabular)
    return LATEX_TABLE.format(caption=caption, tabular=tabular.strip())


def write_table(data: pd.DataFrame, *, page: str, latex: str, output: Path) -> None:
    """Writes a table in its three forms.

    Args:
        data: Long form, for the CSV.
        page: HTML.
        latex: LaTeX.
        output: The CSV; .html and .tex go beside it.
    """
    texts = {".html": page, ".tex": latex, ".csv": data.to_csv(index=False)}
    for suffix, text in texts.items():
        with replacing(output.with_suffix(suffix)) as temporary:
            temporary.write_text(text, encoding="utf-8")


LATEX_NEEDS = "% needs \\usepackage{adjustbox,booktabs,multirow}"
LATEX_TABLE = r"""\begin{{table}}
\caption{{{caption}}}
\smallskip
\centering\footnotesize\setlength{{\tabcolsep}}{{4pt}}
\begin{{adjustbox}}{{max width=\linewidth}}
{tabular}
\end{{adjustbox}}
\end{{table}}
"""


def caption_text(statistics: Statistics, layout: Layout) -> str:
    """Returns what the numbers of a table mean, in plain sentences."""
    mean_std = f"mean{layout.plus_minus}"
    level = f"{100 * statistics.confidence:g} {layout.percent}"
    return (
        f"Test accuracy in {layout.percent} of networks as sampled (epoch 0) and after"
        f" finetuning; {layout.name(BASELINE)} is trained from scratch for as many"
        f" epochs. This run: {mean_std}population standard deviation (ddof 0) over n"
        f" networks, and in brackets the {level} confidence interval of the mean, by"
        " Student's t from how the groups differ that networks come from"
        " (hyper-representations or zoo models; each network of"
        f" {layout.name(BASELINE)} is one). Of one group: the interval is over its"
        " networks and holds for it alone. In parentheses the standard deviation (ddof"
        " 1) between the means of the hyper-representations, trained with different"
        " seeds. Published:"
        f" {mean_std}standard deviation of Schürholt et al. 2022;"
        f" {layout.about}where only an approximate value is given, medians where they"
        " were read off a plot by eye. Bold: best mean of"
        " this run at its epoch, whichever method has it;"
        f" {layout.trivial} marks networks that no hyper-representation has made."
        " References are not finetuned: they are known at epoch 0 and do not compete."
    )


def describe(method: Method) -> str:
    """Returns in words where a method draws from and how its pool was selected."""
    if method.hyper_rep:
        space = f"in the latent space of hyper-representation {method.hyper_rep}"
    else:
        space = "in weight space"
        if method.alignment == "weight_matching":
            space += ", aligned by weight matching"
    accuracy = {"val": "validation", "test": "test"}[method.select_on]
    pool = f"all models of the {method.split} split"
    if min(method.top, method.bottom) < 1:
        end, kept = ("best", method.top) if method.top < 1 else ("worst", method.bottom)
        pool = (
            f"the {end} {100 * kept:g} % by {accuracy} accuracy of the models of the"
            f" {method.split} split"
        )
    epochs = {"window": "epochs of the zoo's window", "last": "last epoch"}
    options = ", ".join(f"{key} {value}" for key, value in method.options.items())
    sampler = f"{method.sampler} ({options})" if options else method.sampler
    return f"sampler {sampler} {space}, from {pool} ({epochs[method.epochs]})"


def html_page(
    summary: pd.DataFrame,
    *,
    methods: Mapping[str, Method],
    statistics: Statistics,
    seed: int,
    title: str,
) -> str:
    """Sets a summary as a web page of its own, in percent; see text_table().

    Args:
        summary: As summarise() returns it.
        methods: Settings of the sampled methods, for the notes below the table.
        statistics: Of the intervals.
        seed: Base seed of the run, stated in the caption.
        title: Heading of the page.
    """
    styler = _styled(summary, HTML)
    table = styler.set_uuid("table").to_html(sparse_index=True)
    notes = {HTML.name(BASELINE): "the zoo's test split, from its own training"}
    for name, method in methods.items():
        seeds = summary.loc[summary["method"] == name, "seeds"].max()
        trained = f"; hyper-representations trained per zoo: {seeds}" if seeds else ""
        notes[HTML.name(name)] = html.escape(describe(method) + trained)
    page: str = jinja2.Template(HTML_PAGE).render(
        title=html.escape(title),
        table=table,
        notes=notes,
        caption=f"{caption_text(statistics, HTML)} Base seed {seed}.",
    )
    return page


HTML_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
body { font: 14px/1.5 "Helvetica Neue", Arial, "Liberation Sans", sans-serif;
  color: #1c2430; background: #fff; margin: 1.5rem auto; padding: 0 1.5rem;
  max-width: 82rem; }
h1 { font-size: 1.35rem; margin: 0 0 .4rem; }
h2 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
p { max-width: 62rem; margin: 0 0 1.2rem; color: #44505f; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums;
  border-top: 2px solid #1c2430; border-bottom: 2px solid #1c2430; }
th, td { padding: .2rem .5rem; text-align: right; white-space: nowrap; }
thead th { font-weight: 600; }
thead tr:first-child th { text-align: center; }
thead tr:last-child th { border-bottom: 1px solid #9aa5b1; }
tbody th { font-weight: 400; text-align: left; vertical-align: top; }
tbody th.level0 { font-weight: 600; padding-right: 1rem; }
tbody tr:has(th.level0) > * { border-top: 1px solid #ccd3da; }
td.published { color: #44505f; }
td.this_run { padding-left: 1.6rem; }
small { color: #6b7785; font-weight: 400; font-size: .85em; }
sub { font-size: .78em; line-height: 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem;
  max-width: 62rem; margin: 0; }
dd { margin: 0; color: #44505f; }
</style>
</head>
<body>
<h1>{{ title }}</h1>
<p>{{ caption }}</p>
<div class="scroll">
{{ table }}
</div>
<h2>{{ notes_title | default("Methods") }}</h2>
<dl>
{%- for name, text in notes.items() %}
<dt>{{ name }}</dt><dd>{{ text }}</dd>
{%- endfor %}
</dl>
</body>
</html>
"""
