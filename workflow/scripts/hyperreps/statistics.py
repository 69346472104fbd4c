"""Accuracies of populations: gathered, summarised with uncertainty, set as tables.

Accuracies are test accuracies in [0, 1] everywhere but in the typeset tables, which are
in percent. "Network" is one model of a population: of a zoo or of a method's samples.
"""

from __future__ import annotations

import hashlib
import html
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jinja2
import numpy as np
import pandas as pd
import yaml
from pandas.io.formats.style import Styler
from pydantic import ValidationError

from .settings import Epoch, Method, SettingsError, Statistics, Strict
from .shapes import Float, Int
from .storage import DataFileError, opened, read_arrays

# the zoo's own networks, from initialisation through their training
BASELINE = "B_T"
NOT_KNOWN = "—"
SUMMARY_COLUMNS = [
    "source",
    "target",
    "method",
    "epoch",
    "n",
    "mean",
    "std",
    "ci_low",
    "ci_high",
    "published_mean",
    "published_std",
]
DISPLAY_NAMES = {
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "svhn": "SVHN",
    "cifar10": "CIFAR-10",
    "stl10": "STL-10",
    "digits": "Digits",
}


class PublishedTable(Strict):
    """One published table: population -> method -> epoch -> number as printed."""

    source: str
    unit: Literal["percent", "fraction"]
    statistic: Literal["mean", "median"]
    accuracy: dict[str, dict[str, dict[Epoch, str | float]]]


def load_published(path: Path, *, table: str = "in_distribution") -> pd.DataFrame:
    """Reads one table of published.yaml.

    Args:
        path: The file; its head describes the format.
        table: Key of the table.

    Returns:
        One row per number: source, target, method, epoch, statistic ("mean" or
        "median"), value and std in [0, 1]; std is NaN where none is printed.

    Raises:
        SettingsError: If the file or a number cannot be read, or the table is unknown.
    """
    if not path.exists():
        raise SettingsError(f"{path}: no such file; it comes with the repository")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: not YAML: {error}") from error
    if not isinstance(content, dict) or table not in content:
        known = ", ".join(content) if isinstance(content, dict) else "nothing"
        raise SettingsError(f"{path}: no table {table!r}; it has {known}")
    try:
        entries = PublishedTable.model_validate(content[table])
    except ValidationError as error:
        key = ".".join(str(part) for part in error.errors()[0]["loc"])
        message = f"{path}: {table}.{key}: {error.errors()[0]['msg']}"
        raise SettingsError(message) from error
    columns = ["source", "target", "method", "epoch", "statistic", "value", "std"]
    return pd.DataFrame(_published_rows(entries, f"{path}: {table}"), columns=columns)


def _published_rows(table: PublishedTable, where: str) -> Iterator[tuple[Any, ...]]:
    percent = 100 if table.unit == "percent" else 1
    for population, methods in table.accuracy.items():
        source, _, target = population.partition("-")
        for method, epochs in methods.items():
            for epoch, printed in epochs.items():
                key = f"{where}.{population}.{method}.{epoch}"
                value, std = (float(x / percent) for x in _parse(str(printed), key))
                yield (
                    source,
                    target or source,
                    method,
                    epoch,
                    table.statistic,
                    value,
                    std,
                )


def _parse(text: str, key: str) -> tuple[Decimal, Decimal]:
    """Returns mean and standard deviation (or NaN) of "20.6 ± 1.6" or "≈10"."""
    number = r"(\d+(?:\.\d+)?)"
    match = re.fullmatch(rf"[≈~]?\s*{number}(?:\s*±\s*{number})?", text.strip())
    if match is None:
        raise SettingsError(f"{key}: {text!r} is not like '20.6 ± 1.6', '≈10' or '10'")
    return Decimal(match[1]), Decimal(match[2] or "nan")


def collect_zoos(zoos: Sequence[Path]) -> pd.DataFrame:
    """Reads the accuracy of every network of every zoo over its training.

    Args:
        zoos: HDF5 files of kind "zoo".

    Returns:
        One row per network and epoch: zoo, model (row of the file), split (of the
        models: train, val, test), epoch, accuracy.

    Raises:
        DataFileError: If a file is damaged, or two files hold the same zoo.
    """
    frames: dict[str, pd.DataFrame] = {}
    for path in zoos:
        arrays, attributes = read_arrays(path, "accuracy/test", "split", kind="zoo")
        name = _attribute(attributes, "zoo", path)
        if name in frames:
            raise DataFileError(f"{path}: zoo {name!r} is given twice; list it once")
        accuracy = _checked_accuracy(arrays["accuracy/test"], path)
        models, epochs = np.indices(accuracy.shape)
        columns = {
            "zoo": name,
            "model": models.ravel(),
            "split": arrays["split"].astype(str)[models.ravel()],
            "epoch": epochs.ravel(),
            "accuracy": accuracy.ravel(),
        }
        frames[name] = pd.DataFrame(columns)
    return pd.concat(frames.values(), ignore_index=True)


def collect(
    zoos: Sequence[Path],
    finetuned: Sequence[Path] = (),
    *,
    references: Sequence[Path] = (),
) -> pd.DataFrame:
    """Gathers the accuracy of every network of a run.

    Args:
        zoos: Files of kind "zoo"; the test split of each is the method B_T.
        finetuned: Files of kind "finetuned", in the order of the config.
        references: Files of kind "samples", known at epoch 0 only.

    Returns:
        One row per network and epoch, in the order given: source and target (zoos the
        networks come from and are evaluated on), method, sample (row of the file),
        group (what the bootstrap resamples first: the seed of the
        hyper-representation, else the zoo's model the sample was made from, else the
        sample itself), epoch, accuracy, published (method it is compared with),
        reference (True for those of references).

    Raises:
        DataFileError: If a file is missing, damaged, or given twice.
    """
    frames = [_baseline(collect_zoos(zoos))]
    seen: dict[tuple[str, str, str], Path] = {}
    for kind, paths in (("finetuned", finetuned), ("samples", references)):
        for path in paths:
            frame = _sampled(path, kind)
            key = tuple(frame.loc[0, ["source", "target", "method"]])
            if key[2] == BASELINE or key in seen:
                other = seen.get(key, f"the zoo's own networks ({BASELINE})")
                raise DataFileError(f"{path}: {key[2]} is already given by {other}")
            seen[key] = path
            frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _baseline(zoos: pd.DataFrame) -> pd.DataFrame:
    held_out = zoos[zoos["split"] == "test"]
    missing = set(zoos["zoo"]) - set(held_out["zoo"])
    if missing:
        raise DataFileError(
            f"zoo {sorted(missing)[0]!r} has no models in its test split, which"
            f" {BASELINE} needs; give the zoo more models or another split"
        )
    return pd.DataFrame(
        {
            "source": held_out["zoo"],
            "target": held_out["zoo"],
            "method": BASELINE,
            "sample": held_out["model"],
            "group": "sample " + held_out["model"].astype(str),
            "epoch": held_out["epoch"],
            "accuracy": held_out["accuracy"],
            "published": BASELINE,
            "reference": False,
        }
    )


def _sampled(path: Path, kind: str) -> pd.DataFrame:
    """Returns the rows of one file of kind "finetuned" or "samples"."""
    names = ("accuracy/test", "hyper_rep_seed", "source_model")
    arrays, attributes = read_arrays(path, *names, kind=kind)
    accuracy = np.asarray(arrays["accuracy/test"])
    accuracy = _checked_accuracy(accuracy.reshape(len(accuracy), -1), path)
    groups = _groups(arrays["hyper_rep_seed"], arrays["source_model"])
    source = _attribute(attributes, "source", path)
    method = _attribute(attributes, "method", path)
    samples, epochs = np.indices(accuracy.shape)
    columns = {
        "source": source,
        "target": source
        if kind == "samples"
        else _attribute(attributes, "target", path),
        "method": method,
        "sample": samples.ravel(),
        "group": groups[samples.ravel()],
        "epoch": epochs.ravel(),
        "accuracy": accuracy.ravel(),
        "published": _method(attributes, path).published or method,
        "reference": kind == "samples",
    }
    return pd.DataFrame(columns)


def _groups(
    seeds: Int[np.ndarray, "samples"], models: Int[np.ndarray, "samples ..."]
) -> np.ndarray:
    """Returns what each sample shares its luck with, as a name; see collect()."""
    rows = np.arange(len(seeds))
    # drawn from several models at once, one per latent dimension: none to share
    single = models if models.ndim == 1 else np.full(len(seeds), -1)
    kinds = np.select([seeds >= 0, single >= 0], ["seed", "model"], "sample")
    numbers = np.select([seeds >= 0, single >= 0], [seeds, single], rows)
    names = [f"{k} {n}" for k, n in zip(kinds, numbers, strict=True)]
    return np.array(names, dtype=object)


def _checked_accuracy(
    accuracy: np.ndarray, path: Path
) -> Float[np.ndarray, "models epochs"]:
    if accuracy.ndim != 2 or not accuracy.size:
        raise DataFileError(
            f"{path}: accuracy/test has shape {accuracy.shape}, but networks x epochs"
            " is needed; delete the file and run again"
        )
    bad = np.argwhere(~((accuracy >= 0) & (accuracy <= 1)))
    if len(bad):
        model, epoch = bad[0]
        raise DataFileError(
            f"{path}: accuracy/test of network {model} at epoch {epoch} is"
            f" {accuracy[model, epoch]}, but must lie in [0, 1]; delete the file and"
            " run again"
        )
    return accuracy.astype(np.float64)


def _attribute(attributes: dict[str, Any], name: str, path: Path) -> str:
    if name not in attributes:
        raise DataFileError(f"{path}: no attribute {name!r}; run the stage again")
    return str(attributes[name])


def _method(attributes: dict[str, Any], path: Path) -> Method:
    text = _attribute(attributes, "settings", path)
    try:
        return Method.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        raise DataFileError(
            f"{path}: attribute settings: {key}: {problem['msg']}; made by another"
            " version, run the stage again"
        ) from error


def read_methods(paths: Sequence[Path], *, kind: str) -> dict[str, Method]:
    """Reads the settings of each method from files of kind "finetuned" or "samples".

    Raises:
        DataFileError: If a method's settings differ between two files.
    """
    methods: dict[str, Method] = {}
    for path in paths:
        with opened(path, kind=kind) as file:
            attributes = dict(file.attrs)
        name = _attribute(attributes, "method", path)
        method = _method(attributes, path)
        if methods.setdefault(name, method) != method:
            raise DataFileError(
                f"{path}: settings of {name} differ from those in another file of this"
                " table; run the stage again"
            )
    return methods


def bootstrap_interval(
    values: Float[np.ndarray, "samples"],
    groups: np.ndarray,
    *,
    resamples: int,
    confidence: float,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Confidence interval of a mean of grouped values, by a two-level bootstrap.

    Groups are drawn with replacement, then as many members as it has from each drawn
    group, again with replacement (Davison and Hinkley 1997, section 3.8). With one
    member per group it is the plain percentile bootstrap. With one group only, the
    interval holds for that group: it cannot know how groups differ.

    Args:
        values: One number per sample, in any order.
        groups: The group of each sample: numbers or strings.
        resamples: Number of bootstrap means, at least 1.
        confidence: Level in (0, 1).
        rng: Source of randomness; the result does not depend on the order of samples.

    Returns:
        Lower and upper end; NaN and NaN for fewer than two values.
    """
    if len(values) < 2:
        return math.nan, math.nan
    _, labels = np.unique(np.asarray(groups), return_inverse=True)
    ordered = values[np.lexsort((values, labels))]
    sizes = np.bincount(labels)
    starts = np.cumsum(sizes) - sizes
    drawn = rng.integers(len(sizes), size=(resamples, len(sizes)))
    counts = sizes[drawn].sum(axis=1)
    # one entry per member of every drawn group, resample after resample
    groups_drawn = np.repeat(drawn.ravel(), sizes[drawn].ravel())
    within = (rng.random(len(groups_drawn)) * sizes[groups_drawn]).astype(np.int64)
    sums = np.add.reduceat(
        ordered[starts[groups_drawn] + within], np.cumsum(counts) - counts
    )
    tail = (1 - confidence) / 2
    low, high = np.quantile(sums / counts, [tail, 1 - tail])
    return float(low), float(high)


def _cell_rng(seed: int, *key: str) -> np.random.Generator:
    """Returns the generator of one cell of a table, from seed and key alone."""
    digest = hashlib.sha256(json.dumps(key).encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest, "big")])


def summarise(
    frame: pd.DataFrame,
    *,
    epochs: Sequence[int],
    published: pd.DataFrame,
    statistics: Statistics,
    seed: int,
) -> pd.DataFrame:
    """Summarises every population at some epochs, beside the published numbers.

    Args:
        frame: As collect() returns it.
        epochs: Epochs wanted; a population that ends before one has no row there.
        published: As load_published() returns it; medians are left out.
        statistics: Of the confidence intervals.
        seed: Base seed; each cell draws from its own stream, so that its interval does
            not depend on the other cells.

    Returns:
        One row per source, target, epoch and method, in the order of frame: n, mean,
        std (ddof 0), ci_low, ci_high, published_mean, published_std; all in [0, 1].

    Raises:
        SettingsError: If no population has one of the epochs.
    """
    last = int(frame["epoch"].max())
    if set(epochs) - set(frame["epoch"]):
        raise SettingsError(
            f"epochs: got {list(epochs)}, but the networks were trained to epoch"
            f" {last}; leave later epochs out, or train longer"
        )
    paper: dict[tuple[Any, ...], tuple[float, float]] = {
        (row.source, row.target, row.method, row.epoch): (row.value, row.std)
        for row in _rows(published[published["statistic"] == "mean"])
    }
    keys = ["source", "target", "method", "epoch", "published"]
    wanted = frame[frame["epoch"].isin(epochs)]
    cells: list[tuple[Any, ...]] = []
    key: Any
    for key, members in wanted.groupby(keys, sort=False):
        *cell, compared = key
        numbers = _summary(members, statistics, _cell_rng(seed, *map(str, cell)))
        beside = paper.get((*cell[:2], compared, cell[3]), (math.nan, math.nan))
        cells.append((*cell, *numbers, *beside))
    return _in_table_order(pd.DataFrame(cells, columns=SUMMARY_COLUMNS))


def _rows(frame: pd.DataFrame) -> Iterator[Any]:
    """Iterates over rows as named tuples, whose types no stub knows."""
    return iter(frame.itertuples())


def _summary(
    members: pd.DataFrame, statistics: Statistics, rng: np.random.Generator
) -> tuple[int, float, float, float, float]:
    """Returns n, mean, std (ddof 0) and both ends of the interval of the mean."""
    accuracy = members["accuracy"].to_numpy(np.float64)
    interval = bootstrap_interval(
        accuracy,
        members["group"].to_numpy(),
        resamples=statistics.resamples,
        confidence=statistics.confidence,
        rng=rng,
    )
    return len(accuracy), float(accuracy.mean()), float(accuracy.std()), *interval


def _in_table_order(summary: pd.DataFrame) -> pd.DataFrame:
    """Sorts by population, epoch, method; names in order of first appearance."""
    populations = pd.factorize(summary["source"] + "-" + summary["target"])[0]
    methods = pd.factorize(summary["method"])[0]
    order = np.lexsort((methods, summary["epoch"], populations))
    return summary.iloc[order].reset_index(drop=True)


class Layout(NamedTuple):
    """How numbers and names are written in one kind of table."""

    name: Callable[[str], str]
    heading: Callable[[str], str]
    interval: Callable[[str], str]
    plus_minus: str
    about: str
    percent: str


def _with_subscript(name: str, pattern: str) -> str:
    """Fills pattern with letter and subscript of "S_KDE30"; others stay as they are."""
    match = re.fullmatch(r"([A-Z])_(\w+)", name)
    return pattern.format(*match.groups()) if match else name


def _latex_name(name: str) -> str:
    shown = _with_subscript(name, r"${}_{{\mathrm{{{}}}}}$")
    # the underscore before a brace is the subscript's own
    return re.sub(r"_(?!\{)", r"\\_", shown)


TEXT = Layout(str, str, str, " ± ", "≈ ", "%")
HTML = Layout(
    name=lambda name: _with_subscript(html.escape(name), "{}<sub>{}</sub>"),
    heading=html.escape,
    interval=lambda text: f"<small>{text}</small>",
    plus_minus=" ± ",
    about="≈ ",
    percent="%",
)
LATEX = Layout(
    name=_latex_name,
    heading=lambda text: text.replace("_", r"\_").replace("→", r"$\to$"),
    interval=lambda text: rf"{{\mdseries\scriptsize {text}}}",
    plus_minus=r" $\pm$ ",
    about=r"$\approx$ ",
    percent=r"\%",
)


def display_name(source: str, target: str) -> str:
    """Returns the heading of a population: "MNIST" or "SVHN → MNIST"."""
    names = [DISPLAY_NAMES.get(name, name) for name in (source, target)]
    return names[1] if source == target else " → ".join(names)


def _ours(row: Any, layout: Layout) -> str:
    """Returns "68.6 ± 6.7 [66.8, 70.4]" in percent; a single network has no spread."""
    if row.n == 1:
        return f"{100 * row.mean:.1f} {layout.interval('[n = 1]')}"
    interval = layout.interval(f"[{100 * row.ci_low:.1f}, {100 * row.ci_high:.1f}]")
    return f"{100 * row.mean:.1f}{layout.plus_minus}{100 * row.std:.1f} {interval}"


def _theirs(row: Any, layout: Layout) -> str:
    if math.isnan(row.published_mean):
        return NOT_KNOWN
    if math.isnan(row.published_std):
        return f"{layout.about}{100 * row.published_mean:.1f}"
    mean, std = 100 * row.published_mean, 100 * row.published_std
    return f"{mean:.1f}{layout.plus_minus}{std:.1f}"


def _laid_out(
    summary: pd.DataFrame, layout: Layout, references: Sequence[str] | None
) -> pd.DataFrame:
    """Turns a summary into text: adds heading, block, name, ours, theirs and best.

    References are methods known at epoch 0 only, unless they are given; they follow
    the methods of epoch 0 in a block of their own and are never marked as best.
    """
    if references is None:
        last = summary.groupby("method")["epoch"].max()
        references = list(last.index[last == 0]) if last.any() else []
    table = summary.copy()
    rows = list(_rows(table))
    table["heading"] = [layout.heading(display_name(r.source, r.target)) for r in rows]
    table["reference"] = table["method"].isin(references)
    block = "epoch " + table["epoch"].astype(str)
    table["block"] = block.mask(table["reference"], "references")
    table["name"] = table["method"].map(layout.name)
    table["ours"] = [_ours(row, layout) for row in rows]
    table["theirs"] = [_theirs(row, layout) for row in rows]
    means = table["mean"].mask(table["reference"])
    best = means.groupby([table["heading"], table["epoch"]]).transform("max")
    table["best"] = means == best
    return table.sort_values(["epoch", "reference"], kind="stable")


def text_table(
    summary: pd.DataFrame, *, references: Sequence[str] | None = None
) -> str:
    """Sets a summary as plain text in percent, one block per population.

    Args:
        summary: As summarise() returns it, or as read back from its CSV.
        references: Methods to show apart; None: those that are known at epoch 0 only
            while others have more epochs.

    Returns:
        Lines of about 80 characters; * marks the best mean of an epoch.
    """
    blocks = []
    for heading, part in _laid_out(summary, TEXT, references).groupby(
        "heading", sort=False
    ):
        shown = pd.DataFrame(
            {
                "": part["block"].mask(part["block"] == part["block"].shift(), ""),
                "method": part["name"],
                "n": part["n"].astype(str),
                "mean ± std [interval]": part["ours"] + part["best"].map(" *".__mul__),
                "published": part["theirs"],
            }
        )
        if part["published_mean"].isna().all():
            shown = shown.drop(columns="published")
        pad = {
            str(name): f"{{:<{column.str.len().max()}}}".format
            for name, column in shown.items()
        }
        text = shown.to_string(index=False, justify="left", formatters=pad)
        blocks.append(f"{heading}\n{text}")
    note = (
        "Test accuracy in %: mean ± standard deviation over n networks [confidence\n"
        "interval of the mean]; * best mean of its epoch, references left out."
    )
    return "\n\n".join([*blocks, note])


def _styled(
    summary: pd.DataFrame, layout: Layout, references: Sequence[str] | None
) -> Styler:
    """Returns the wide table: a row per epoch and method, columns per population."""
    table = _laid_out(summary, layout, references)
    headings = list(dict.fromkeys(table["heading"]))
    rows = pd.MultiIndex.from_frame(table[["block", "name"]].drop_duplicates())
    wide = table.pivot(
        index=["block", "name"],
        columns="heading",
        values=["n", "ours", "theirs", "best", "published_mean"],
    ).reindex(index=rows)
    cells = pd.DataFrame(index=rows, columns=pd.MultiIndex.from_tuples([("", "n")]))
    cells["", "n"] = wide["n"].apply(_joined, axis=1)
    css = pd.DataFrame("", index=rows, columns=cells.columns)
    for heading in headings:
        cells[heading, "this run"] = wide["ours", heading].fillna(NOT_KNOWN)
        best = wide["best", heading].eq(True)
        css[heading, "this run"] = best.map({True: "font-weight: bold", False: ""})
        if wide["published_mean", heading].notna().any():
            cells[heading, "published"] = wide["theirs", heading].fillna(NOT_KNOWN)
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


def latex_table(
    summary: pd.DataFrame,
    *,
    statistics: Statistics,
    references: Sequence[str] | None = None,
) -> str:
    """Sets a summary as LaTeX tables in percent; see text_table().

    Two populations stand side by side in each table, so that it can be read in print.
    """
    populations = summary["source"] + "-" + summary["target"]
    names = list(dict.fromkeys(populations))
    parts: list[str] = []
    for pair in (names[i : i + 2] for i in range(0, len(names), 2)):
        styler = _styled(summary[populations.isin(pair)], LATEX, references)
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
        caption = "Continued." if parts else caption_text(statistics, LATEX)
        parts.append(LATEX_TABLE.format(caption=caption, tabular=tabular.strip()))
    return "\n".join(["% needs \\usepackage{adjustbox,booktabs,multirow}", *parts])


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
        f" networks, and in brackets the {level} confidence interval of the mean"
        f" ({statistics.resamples} bootstrap resamples, first of the"
        " hyper-representations or zoo models that networks come from, then of"
        f" networks). Published: {mean_std}standard deviation of Schürholt et al. 2022;"
        f" {layout.about}where only an approximate value is given. Bold: best mean of"
        " this run at its epoch. References are not finetuned: they are known at epoch"
        " 0 and do not compete."
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
    if method.top < 1:
        pool = (
            f"the best {100 * method.top:g} % by {accuracy} accuracy of the models of"
            f" the {method.split} split"
        )
    epochs = {"window": "epochs of the zoo's window", "last": "last epoch"}
    options = ", ".join(f"{key} {value}" for key, value in method.options.items())
    sampler = f"{method.sampler} ({options})" if options else method.sampler
    return f"sampler {sampler} {space}, from {pool} ({epochs[method.epochs]})"


def html_page(
    summary: pd.DataFrame,
    frame: pd.DataFrame,
    *,
    methods: Mapping[str, Method],
    statistics: Statistics,
    seed: int,
    title: str,
    references: Sequence[str] | None = None,
) -> str:
    """Sets a summary as a web page of its own, in percent; see text_table().

    Args:
        summary: As summarise() returns it.
        frame: What was summarised, for the number of hyper-representations.
        methods: Settings of the sampled methods, for the notes below the table.
        statistics: Of the intervals.
        seed: Base seed of the run, stated in the caption.
        title: Heading of the page.
        references: As in text_table().
    """
    styler = _styled(summary, HTML, references)
    table = styler.set_uuid("table").to_html(sparse_index=True)
    notes = {HTML.name(BASELINE): "the zoo's test split, from its own training"}
    for name, method in methods.items():
        groups = frame.loc[frame["method"] == name, "group"]
        seeds = groups[groups.str.startswith("seed ")].nunique()
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
<h2>Methods</h2>
<dl>
{%- for name, text in notes.items() %}
<dt>{{ name }}</dt><dd>{{ text }}</dd>
{%- endfor %}
</dl>
</body>
</html>
"""
