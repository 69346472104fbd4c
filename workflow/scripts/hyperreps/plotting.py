"""Figures of a run, each with the numbers it shows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, PercentFormatter
from scipy.optimize import isotonic_regression

from .evaluations import BASELINE, TRIVIAL, display_name
from .files.storage import replacing
from .numbers.shapes import Float
from .numbers.statistics import summarise
from .settings.stages import Statistics

STYLE = Path(__file__).with_name("paper.mplstyle")
# Okabe and Ito's colours that a colour-blind reader can tell apart, with darker and
# lighter relatives of the same hue for the methods of one family
PALETTES = {
    "B_T": ("#222222",),
    "S_": ("#0072B2", "#56B4E9", "#00395C", "#7FA8D1"),
    "B_": ("#D55E00", "#E69F00", "#7A2E00", "#F0B98A"),
    "": ("#009E73", "#CC79A7", "#8A8A8A", "#6B4C9A", "#A6761D"),
}
# inches: the text width of a two-column page, and about half of it
WIDE, NARROW = 6.75, 3.8
QUANTILES = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}
POPULATION = ["source", "target", "method", "epoch", "published"]


@dataclass(frozen=True)
class Inputs:
    """What figures are made from.

    Attributes:
        populations: As evaluations.collect() returns it.
        zoos: As evaluations.collect_zoos() returns it.
        published: As evaluations.load_published() returns it.
        epochs: Finetuning epochs to mark on the axis.
        statistics: Of the confidence intervals.
    """

    populations: pd.DataFrame
    zoos: pd.DataFrame
    published: pd.DataFrame
    epochs: Sequence[int]
    statistics: Statistics


def method_colours(methods: Sequence[str]) -> dict[str, str]:
    """Gives every method a colour by its family and its place in the family.

    References come after the methods, so a figure without them has the same colours.
    """
    taken = dict.fromkeys(PALETTES, 0)
    colours = {}
    for method in dict.fromkeys(methods):
        family = method_family(method)
        palette = PALETTES[family]
        colours[method] = palette[taken[family] % len(palette)]
        taken[family] += 1
    return colours


def method_family(method: str) -> str:
    """Returns the key of PALETTES that a method belongs to."""
    family = next(prefix for prefix in PALETTES if method.startswith(prefix))
    return "B_" if family == BASELINE != method else family


def shown_name(method: str, epoch: int = 0, *, trivial: bool = False) -> str:
    """Returns a method's name with the subscript of the paper, in mathtext."""
    after = (TRIVIAL if trivial else "") + (f", epoch {epoch}" if epoch else "")
    match = re.fullmatch(r"([A-Z])_(\w+)", method)
    if match is None:
        return method.replace("_", " ") + after
    subscript = match[2].replace("_", r"\ ")
    return rf"{match[1]}$_{{\mathsf{{{subscript}}}}}${after}"


def finetuning(inputs: Inputs) -> tuple[Figure, pd.DataFrame]:
    """Mean accuracy over finetuning epochs with its confidence interval, per method."""
    frame = inputs.populations[~inputs.populations["reference"]]
    data = summarise(
        frame,
        epochs=sorted(set(frame["epoch"])),
        published=inputs.published,
        statistics=inputs.statistics,
    )
    compared = frame.drop_duplicates("method").set_index("method")["published"]
    colours = method_colours(list(compared.index))
    figure, panels = _panels(data, height=2.5)
    for axes, part in panels:
        labels = []
        # one marker for all methods that are compared with the same one
        marked = set()
        method: Any
        for method, line in part.groupby("method", sort=False):
            colour = colours[method]
            band = (line["ci_low"], line["ci_high"])
            axes.fill_between(line["epoch"], *band, color=colour, alpha=0.25, lw=0)
            trivial = bool(line["trivial"].iloc[0])
            style = "--" if trivial else "-"
            axes.plot(line["epoch"], line["mean"], style, color=colour)
            name = shown_name(method, trivial=trivial)
            labels.append((name, colour, line["epoch"].iloc[-1], line["mean"].iloc[-1]))
            if compared[method] not in marked:
                _open_markers(axes, line["epoch"], line["published_mean"], colour)
                marked.add(compared[method])
        _epoch_axis(axes, inputs.epochs, last=int(part["epoch"].max()))
        _label_lines(axes, labels)
    level = f"{100 * inputs.statistics.confidence:g} %"
    handles: list[Any] = [
        Line2D([], [], color="#4d4d4d", label="mean"),
        Patch(color="#4d4d4d", alpha=0.25, label=f"{level} interval of the mean"),
    ]
    if data["trivial"].any():
        text = f"{TRIVIAL} no hyper-representation"
        handles.insert(1, Line2D([], [], color="#4d4d4d", ls="--", label=text))
    _finish(figure, handles, bool(data["published_mean"].notna().any()))
    return figure, data


def transfer(inputs: Inputs) -> tuple[Figure, pd.DataFrame]:
    """The same on other images, as far as the networks from elsewhere are finetuned."""
    epoch = inputs.populations["epoch"]
    known = inputs.populations[epoch <= max(inputs.epochs)]
    return finetuning(replace(inputs, populations=known))


def epoch_zero(inputs: Inputs) -> tuple[Figure, pd.DataFrame]:
    """Distribution of accuracy before finetuning, per method and reference."""
    frame = inputs.populations[inputs.populations["epoch"] == 0]
    return _distributions(frame, inputs, colours=method_colours(frame["method"]))


def architectures(inputs: Inputs) -> tuple[Figure, pd.DataFrame]:
    """Distribution of accuracy per method at each finetuning epoch after the first.

    Means hide it if a part of a population learns and a part does not.
    """
    frame = inputs.populations
    later = frame["epoch"].isin(inputs.epochs) & (frame["epoch"] > 0)
    frame = frame[later & (frame["method"] != BASELINE)]
    frame = frame.sort_values("epoch", kind="stable")
    colours = method_colours(frame["method"])
    return _distributions(frame, inputs, colours=colours, label="test accuracy")


def samplers(inputs: Inputs) -> tuple[Figure, pd.DataFrame]:
    """Distribution of accuracy per sampler and reference, and of B_T as it trains."""
    frame = inputs.populations[inputs.populations["epoch"].isin(inputs.epochs)]
    colours = {m: PALETTES[method_family(m)][0] for m in frame["method"].unique()}
    return _distributions(frame, inputs, colours=colours)


def _distributions(
    frame: pd.DataFrame,
    inputs: Inputs,
    *,
    colours: dict[str, str],
    label: str = "test accuracy, not finetuned",
) -> tuple[Figure, pd.DataFrame]:
    """Draws one box per method and epoch, the references below a line."""
    data = _distribution_numbers(frame, inputs.published)
    trivial = frame.groupby("method")["trivial"].first()
    apart = frame.set_index(["method", "epoch"])["reference"]
    rows = [*apart[~apart].index.unique(), *apart[apart].index.unique()]
    figure, panels = _panels(data, height=0.55 + 0.24 * len(rows), share_y=True)
    references = frame.loc[frame["reference"], "method"].nunique()
    key: Any
    for axes, part in panels:
        for key, numbers in part.groupby(["method", "epoch"], sort=False):
            _box(axes, numbers, position=rows.index(key), colour=colours[key[0]])
        if references:
            axes.axhline(len(rows) - references - 0.5, color="#b3b3b3", linewidth=0.8)
        labels = [shown_name(*row, trivial=trivial[row[0]]) for row in rows]
        axes.set_yticks(range(len(rows)), labels)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(0, min(1, 1.08 * part["accuracy"].max()))
        _percent(axes.xaxis)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(label)
    handles: list[Any] = [
        Line2D([], [], color="#4d4d4d", marker=".", linestyle="", label="network"),
        Patch(
            facecolor="#d9d9d9",
            edgecolor="#4d4d4d",
            label="quartiles and median; whiskers 5 to 95 %",
        ),
    ]
    shown = data["statistic"].drop_duplicates()
    published = shown[shown.str.startswith("published")]
    names = " or ".join(published.str.replace("_", " "))
    _finish(figure, handles, bool(names), label=names)
    return figure, data


def _distribution_numbers(frame: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Returns all plotted numbers.

    Columns: source, target, method, epoch, statistic, sample, accuracy; sample is -1
    for what belongs to the whole population.
    """
    keys = ["source", "target", "method", "epoch"]
    paper = known.set_index(keys)[["statistic", "value"]].T.to_dict("list")
    rows: list[tuple[Any, ...]] = []
    cell: Any
    for cell, members in frame.groupby(POPULATION, sort=False):
        source, target, method, epoch, compared = cell
        numbers = [
            ("sample", *m)
            for m in zip(members["sample"], members["accuracy"], strict=True)
        ]
        quantiles = members["accuracy"].quantile(list(QUANTILES.values()))
        numbers += [(n, -1, q) for n, q in zip(QUANTILES, quantiles, strict=True)]
        if (source, target, compared, epoch) in paper:
            statistic, value = paper[source, target, compared, epoch]
            numbers.append((f"published_{statistic}", -1, value))
        rows += [(source, target, method, epoch, *number) for number in numbers]
    return pd.DataFrame(rows, columns=[*keys, "statistic", "sample", "accuracy"])


def _box(axes: Axes, rows: pd.DataFrame, *, position: int, colour: str) -> None:
    """Draws one population: a box of its quantiles and a faint point per network."""
    samples = rows[rows["statistic"] == "sample"]
    numbers = rows[rows["statistic"] != "sample"].set_index("statistic")["accuracy"]
    if len(samples) > 1:
        box = {
            "whislo": numbers["q05"],
            "q1": numbers["q25"],
            "med": numbers["median"],
            "q3": numbers["q75"],
            "whishi": numbers["q95"],
        }
        line = {"color": colour, "linewidth": 1}
        axes.bxp(
            [box],
            positions=[position],
            orientation="horizontal",
            widths=0.6,
            showfliers=False,
            patch_artist=True,
            manage_ticks=False,
            boxprops={"facecolor": (colour, 0.18), "edgecolor": colour, "linewidth": 1},
            medianprops={"color": colour, "linewidth": 2},
            whiskerprops=line,
            capprops=line,
        )
    # golden-ratio steps spread neighbours evenly and the same way every time
    spread = (np.arange(len(samples)) * 0.6180339887) % 1 - 0.5
    alone = len(samples) == 1
    axes.scatter(
        samples["accuracy"],
        position + (0 if alone else 0.5 * spread),
        s=14 if alone else 4,
        color=colour,
        alpha=1 if alone else 0.35,
        linewidths=0,
        zorder=3,
    )
    for value in numbers[numbers.index.str.startswith("published")]:
        _open_markers(axes, [value], [position], colour)
    axes.annotate(
        f"n = {len(samples)}",
        (1, position),
        xycoords=("axes fraction", "data"),
        xytext=(3, 0),
        textcoords="offset points",
        va="center",
        fontsize=7,
        color="#6b6b6b",
        annotation_clip=False,
    )


def zoo(inputs: Inputs) -> tuple[Figure, pd.DataFrame]:
    """Test accuracy of all models of each zoo over their training."""
    data = _zoo_numbers(inputs.zoos, inputs.published)
    figure, panels = _panels(data, height=2.2)
    colour = method_colours([BASELINE])[BASELINE]
    fill = PALETTES["S_"][0]
    for axes, part in panels:
        epochs = part["epoch"]
        axes.fill_between(
            epochs, part["q05"], part["q95"], color=fill, alpha=0.18, lw=0
        )
        axes.fill_between(
            epochs, part["q25"], part["q75"], color=fill, alpha=0.35, lw=0
        )
        axes.plot(epochs, part["median"], color=fill)
        paper = part[part["published_mean"].notna()]
        # even an empty series would take up space in the layout
        if len(paper):
            axes.errorbar(
                paper["epoch"],
                paper["published_mean"],
                paper["published_std"].fillna(0),
                linestyle="",
                marker="D",
                color=colour,
                markerfacecolor="white",
                capsize=2.5,
                elinewidth=0.9,
                clip_on=False,
                zorder=5,
            )
        axes.set_xlim(0, epochs.max())
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.set_ylim(bottom=0)
        _percent(axes.yaxis)
        axes.set(xlabel="training epoch", ylabel="test accuracy")
        _annotate_corner(axes, f"n = {part['n'].iloc[0]}")
    handles: list[Any] = [
        Line2D([], [], color=fill, label="median"),
        Patch(facecolor=fill, alpha=0.5, label="quartiles"),
        Patch(facecolor=fill, alpha=0.18, label="5 to 95 %"),
    ]
    known = bool(data["published_mean"].notna().any())
    _finish(
        figure, handles, known, label=f"published {shown_name(BASELINE)}, mean ± std"
    )
    return figure, data


def _zoo_numbers(zoos: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Returns one row per zoo and epoch: n, quantiles over models, published B_T."""
    accuracy = zoos.groupby(["zoo", "epoch"], sort=False)["accuracy"]
    numbers = accuracy.quantile(np.array([*QUANTILES.values()])).unstack()
    numbers.columns = pd.Index(QUANTILES)
    numbers.insert(0, "n", accuracy.size())
    known = published.query("method == @BASELINE and statistic == 'mean'")
    known = known[known["source"] == known["target"]]
    known = known.rename(columns={"value": "published_mean", "std": "published_std"})
    known = known.set_index(["source", "epoch"])[["published_mean", "published_std"]]
    known.index.names = numbers.index.names
    data = numbers.join(known).reset_index().rename(columns={"zoo": "target"})
    data.insert(0, "source", data["target"])
    return data


def _panels(
    data: pd.DataFrame, *, height: float, share_y: bool = False
) -> tuple[Figure, Iterator[tuple[Axes, pd.DataFrame]]]:
    """Returns a figure with one panel per population, two abreast, and their rows.

    Args:
        data: With columns source and target.
        height: Of one panel in inches.
        share_y: Whether panels side by side have one y axis.
    """
    populations = data[["source", "target"]].drop_duplicates()
    columns = min(2, len(populations))
    lines = -(-len(populations) // columns)
    # below the panels a legend of one line, or of several where there is no width
    width, legend = (WIDE, 0.35) if columns == 2 else (NARROW, 0.75)
    size = (width, height * lines + legend)
    figure = Figure(figsize=size)
    grid = figure.subplots(
        lines, columns, squeeze=False, sharey="row" if share_y else False
    )
    for axes in grid.flat[len(populations) :]:
        axes.set_axis_off()

    def panels() -> Iterator[tuple[Axes, pd.DataFrame]]:
        names = zip(populations["source"], populations["target"], strict=True)
        for axes, (source, target) in zip(grid.flat, names, strict=False):
            axes.set_title(display_name(source, target))
            same = (data["source"] == source) & (data["target"] == target)
            yield axes, data[same]

    return figure, panels()


def _open_markers(axes: Axes, x: Any, y: Any, colour: str) -> None:
    """Draws published numbers: white diamonds, whole even on the edge of the axes."""
    if np.isnan(y).all():
        return
    axes.plot(
        x,
        y,
        linestyle="",
        marker="D",
        markeredgecolor=colour,
        markerfacecolor="white",
        markeredgewidth=1.1,
        clip_on=False,
        zorder=5,
    )


def _percent(axis: Axis) -> None:
    """Labels an axis of accuracies in whole percent."""
    axis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(PercentFormatter(1, decimals=0))


def _epoch_axis(axes: Axes, epochs: Sequence[int], *, last: int) -> None:
    """Sets an axis that is linear up to epoch 1 and logarithmic beyond."""
    axes.set_xscale("symlog", linthresh=1, linscale=0.6)
    axes.set_xlim(0, last)
    ticks = sorted({0, last, *(e for e in epochs if e <= last)})
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:g}")
    _percent(axes.yaxis)
    axes.set(xlabel="epoch (logarithmic after 1)", ylabel="test accuracy")


def _label_lines(axes: Axes, lines: Sequence[tuple[str, str, float, float]]) -> None:
    """Writes the name of each line beside its end, apart from one another.

    Args:
        axes: Its limits must be final.
        lines: Name, colour and end point (epoch, accuracy) of each line.
    """
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    ends = np.array([(y - low) / (high - low) for *_, y in lines])
    # 11 pt for a line of text, as a fraction of the panel's height
    gap = 11 / 72 * axes.figure.dpi / axes.get_window_extent().height
    for (name, colour, x, y), place in zip(lines, spread(ends, gap=gap), strict=True):
        axes.annotate(
            name,
            (x, y),
            xytext=(1.06, place),
            textcoords="axes fraction",
            color=colour,
            va="center",
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linewidth": 0.6,
                "shrinkA": 1,
                "shrinkB": 0,
                "relpos": (0, 0.5),
            },
            annotation_clip=False,
        )


def spread(positions: Float[np.ndarray, "lines"], *, gap: float) -> np.ndarray:
    """Moves positions as little as possible (least squares) until they are gap apart.

    Args:
        positions: On an axis from 0 to 1, in any order.
        gap: Smallest distance wanted; less where they would not fit into 0 ... 1.
    """
    order = np.argsort(positions, kind="stable")
    gap = min(gap, 1 / max(len(positions) - 1, 1))
    offsets = gap * np.arange(len(positions))
    # a sequence with gaps is an increasing one plus fixed offsets
    increasing = isotonic_regression(positions[order] - offsets).x
    moved = np.empty(len(positions))
    moved[order] = np.clip(increasing, 0, 1 - offsets[-1]) + offsets
    return moved


def _annotate_corner(axes: Axes, text: str) -> None:
    axes.annotate(
        text, (0.98, 0.05), xycoords="axes fraction", ha="right", color="#4d4d4d"
    )


def _finish(
    figure: Figure,
    handles: list[Any],
    published: bool,
    *,
    label: str = "published mean",
) -> None:
    """Puts one legend below all panels, in one line if there is the width."""
    if published:
        style: dict[str, Any] = {"marker": "D", "markerfacecolor": "white", "ls": ""}
        handles = [*handles, Line2D([], [], color="#4d4d4d", label=label, **style)]
    ncols = len(handles) if figure.get_figwidth() == WIDE else 1
    figure.legend(handles=handles, loc="outside lower center", ncols=ncols)


FIGURES: dict[str, Callable[[Inputs], tuple[Figure, pd.DataFrame]]] = {
    "finetuning": finetuning,
    "epoch_zero": epoch_zero,
    "zoo": zoo,
    "samplers": samplers,
    "transfer": transfer,
    "architectures": architectures,
}


def write_figure(
    drawn: Callable[[], tuple[Figure, pd.DataFrame]], *, output: Path
) -> None:
    """Writes a figure as PDF and PNG, and its numbers as CSV.

    Args:
        drawn: Draws the figure, in the style that is set here.
        output: The PDF; the others go beside it. Equal inputs give equal bytes.
    """
    with matplotlib.style.context(STYLE):
        figure, data = drawn()
        # without a date, files differ only where the figures do
        metadata = {".png": {"Software": None}, ".pdf": {"CreationDate": None}}
        for suffix, about in metadata.items():
            with replacing(output.with_suffix(suffix)) as temporary:
                figure.savefig(temporary, format=suffix[1:], metadata=about)
    with replacing(output.with_suffix(".csv")) as temporary:
        data.to_csv(temporary, index=False)
