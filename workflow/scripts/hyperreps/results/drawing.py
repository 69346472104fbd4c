"""How figures are drawn: their style, colours, names, panels and legends."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import StringIO
from itertools import cycle
from pathlib import Path
from typing import Any, ClassVar

import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ..files.storage import DataFileError, read_text, replacing, write_text
from ..settings.sections import FONTS, Figures
from ..settings.stages import SettingsError
from .accuracies import BASELINE, TRIVIAL, display_name
from .result import Result, Sources

STYLE = Path(__file__).with_name("paper.mplstyle")
# Okabe and Ito's colours, then others of a family's hue: chosen so that any two stay
# apart for readers without red or green cones as well
PALETTES = {
    "B_T": ("#222222",),
    "S_": ("#0072B2", "#56B4E9", "#001860", "#0048F0"),
    "B_": ("#D55E00", "#E69F00", "#603000", "#D8A860"),
    "": ("#009E73", "#CC79A7", "#D81848", "#901860", "#6000A8"),
}
# whose colour does not depend on what else a figure shows, in the order of PALETTES
FIXED = {
    "B_T": ("B_T",),
    "S_": ("S_KDE30", "S_KDE30_released"),
    "B_": ("B_KDE30", "B_KDE30_released", "B_F30"),
    "": ("noise_top30", "soup16_top30", "mean_top30", "reconstruction"),
}
OWN_COLOURS = {
    method: colour
    for family, methods in FIXED.items()
    for method, colour in zip(methods, PALETTES[family], strict=False)
}
QUANTILES = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}
GREY, LIGHT_GREY = "#4d4d4d", "#9a9a9a"
# how published numbers look
PUBLISHED_LOOK: dict[str, Any] = {"marker": "D", "markerfacecolor": "white", "ls": ""}


def style(look: Figures) -> list[Any]:
    """Returns the style of all figures, for matplotlib.style.context().

    Raises:
        SettingsError: If there is no such font.
    """
    try:
        findfont(FontProperties(family=look.font), fallback_to_default=False)
    except ValueError:
        raise SettingsError(
            f"figures.font: no font {look.font!r} is installed here; one of"
            f" {', '.join(FONTS)} is everywhere"
        ) from None
    slopes = {"rm": "", "sf": "", "cal": "", "tt": "", "it": ":italic", "bf": ":bold"}
    chosen = {f"mathtext.{name}": look.font + slope for name, slope in slopes.items()}
    chosen |= {"mathtext.fontset": "custom", "font.family": look.font}
    return [STYLE, {**chosen, "font.size": look.font_size}]


class Drawing(Result):
    """A figure: how its numbers become panels.

    Heights are those for text of 8 pt; they grow with the text.
    """

    kind: ClassVar = "figure"

    @abstractmethod
    def draw(self, data: pd.DataFrame) -> Figure:
        """Draws the numbers of frame(), in the style that is set.

        Of the sources it is told how figures look, and nothing else.

        Args:
            data: As it is read from the CSV file: an empty text is NaN.
        """

    def write(self, output: Path) -> None:
        """Writes the figure as PDF and PNG, and its numbers as CSV.

        Args:
            output: The PDF; the others go beside it. Equal numbers give equal bytes.

        Raises:
            SettingsError: If there is no such font.
            DataFileError: If the given numbers are not those of this figure.
        """
        given, look = self.sources.numbers, self.sources.figures
        known = given != Path()
        numbers = read_text(given) if known else self.frame().to_csv(index=False)
        # without the other sources: what it is drawn from can only be its CSV
        alone = type(self)(Sources(numbers=output.with_suffix(".csv"), figures=look))
        with matplotlib.style.context(style(look)):
            try:
                figure = alone.draw(read_numbers(numbers))
            except (KeyError, ValueError) as error:
                if not known:
                    raise
                reason = " ".join(str(error).split())
                raise DataFileError(
                    f"{given}: not the numbers of this figure ({reason}); give the CSV"
                    " that this version wrote beside it"
                ) from error
            # without a date, files differ only where the figures do
            metadata = {".png": {"Software": None}, ".pdf": {"CreationDate": None}}
            for suffix, about in metadata.items():
                with replacing(output.with_suffix(suffix)) as temporary:
                    figure.savefig(temporary, format=suffix[1:], metadata=about)
        write_text(output.with_suffix(".csv"), numbers)

    def with_level(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Returns a frame with the level of its intervals, for level_of()."""
        return frame.assign(confidence=self.sources.statistics.confidence)

    def new_figure(self, height: float, *, width: float | None = None) -> Figure:
        """Returns an empty figure.

        Args:
            height: In inches, for text of 8 pt.
            width: In inches; that of the text if not given.
        """
        look = self.sources.figures
        size = (width or look.text_width, height * look.font_size / 8)
        return Figure(figsize=size)

    def panels(
        self,
        data: pd.DataFrame,
        keys: Sequence[str] = ("source", "target"),
        *,
        height: float,
        title: Callable[..., str] = display_name,
        wide: bool = False,
        legend: tuple[float, float] = (0.35, 0.75),
        share_y: bool = False,
        **look: Any,
    ) -> tuple[Figure, Iterator[tuple[Axes, pd.DataFrame]]]:
        """Returns a figure with one panel per key, two abreast, and their rows.

        Args:
            data: With columns of these keys.
            keys: What a panel is about.
            height: Of one panel in inches.
            title: Makes its title of the values of the keys.
            wide: Whether a panel that is alone is as wide as the text, not the column.
            legend: Height in inches of what is below the panels: where there is the
                width for one line, and where there is not.
            share_y: Whether panels side by side have one y axis.
            **look: Of the titles.
        """
        groups = list(data.groupby(list(keys), sort=False))
        columns = min(2, len(groups))
        lines = -(-len(groups) // columns)
        in_column = columns == 1 and not wide
        figure = self.new_figure(
            height * lines + legend[in_column],
            width=self.sources.figures.column_width if in_column else None,
        )
        grid = figure.subplots(
            lines, columns, squeeze=False, sharey="row" if share_y else False
        )
        for axes in grid.flat[len(groups) :]:
            axes.set_axis_off()

        def drawn() -> Iterator[tuple[Axes, pd.DataFrame]]:
            key: Any
            for axes, (key, part) in zip(grid.flat, groups, strict=False):
                axes.set_title(title(*key), **look)
                yield axes, part

        return figure, drawn()

    def zoo_rows(
        self,
        data: pd.DataFrame,
        columns: int,
        keys: Sequence[str] = ("zoo",),
        *,
        height: float,
        lines: int = 1,
        title: Callable[..., str] = display_name,
        legend: float = 0.45,
        **grid: Any,
    ) -> tuple[Figure, Iterator[tuple[str, np.ndarray, pd.DataFrame]]]:
        """Returns a figure as wide as the text with some lines of panels per zoo.

        Args:
            data: With columns of these keys.
            columns: Panels of a line.
            keys: What zoos differ in.
            height: Of a line in inches.
            lines: Of a zoo.
            title: Makes its title of the values of the keys.
            legend: Height in inches of what is below the panels.
            **grid: What axes share, and their widths.

        Returns:
            The figure; and of each zoo its title, its axes and its rows.
        """
        zoos: list[Any] = list(data.groupby(list(keys), sort=False))
        count = lines * len(zoos)
        figure = self.new_figure(height * count + legend)
        axes = figure.subplots(count, columns, squeeze=False, **grid)
        blocks = axes.reshape(len(zoos), lines * columns)
        rows = (
            (title(*key), block, part)
            for block, (key, part) in zip(blocks, zoos, strict=True)
        )
        return figure, rows

    def legend(
        self,
        figure: Figure,
        *handles: Artist,
        published: str = "",
        ncols: int | None = None,
    ) -> None:
        """Puts one legend below all panels.

        Args:
            figure: Without a legend.
            *handles: What it explains.
            published: Name of the published numbers; none if they are not shown.
            ncols: Most entries of a line, if there is the width.
        """
        if published:
            handles = (*handles, line(published, **PUBLISHED_LOOK))
        for abreast in range(ncols or len(handles), 0, -1):
            look: dict[str, Any] = {"loc": "outside lower center", "ncols": abreast}
            made = figure.legend(handles=list(handles), **look)
            if made.get_window_extent().width <= figure.bbox.width:
                return
            if abreast > 1:
                made.remove()


def read_numbers(text: str) -> pd.DataFrame:
    """Reads the CSV of a figure; only an empty text stands for none."""
    return pd.read_csv(StringIO(text), keep_default_na=False, na_values=[""])


def level_of(data: pd.DataFrame) -> str:
    """Returns the level of the intervals of a figure, such as "95 %"."""
    return f"{100 * data['confidence'].iloc[0]:g} %"


def method_colours(methods: Iterable[str]) -> dict[str, str]:
    """Gives every method a colour of its family, the methods of FIXED always theirs.

    The others take what these leave, in their order.
    """
    names = tuple(dict.fromkeys(methods))
    chosen = {m: OWN_COLOURS[m] for m in names if m in OWN_COLOURS}
    free = {
        family: cycle([c for c in palette if c not in chosen.values()] or palette)
        for family, palette in PALETTES.items()
    }
    return {m: chosen.get(m) or next(free[method_family(m)]) for m in names}


def method_family(method: str) -> str:
    """Returns the key of PALETTES that a method belongs to."""
    family = next(prefix for prefix in PALETTES if method.startswith(prefix))
    return "B_" if family == BASELINE != method else family


def shown_name(method: str, epoch: int = 0, *, trivial: bool = False) -> str:
    """Returns a method's name with the subscript of the paper, in mathtext."""
    after = (TRIVIAL if trivial else "") + (f", epoch {epoch}" if epoch else "")
    match = re.fullmatch(r"([A-Z])_([\w.]+)", method)
    if match is None:
        return method.replace("_", " ") + after
    subscript = match[2].replace("_", r"\ ")
    return rf"{match[1]}$_{{\mathsf{{{subscript}}}}}${after}"


def percent(axis: Axis, *, bins: int = 6) -> None:
    """Labels an axis of accuracies in whole percent."""
    axis.set_major_locator(MaxNLocator(nbins=bins, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(PercentFormatter(1, decimals=0))


def open_markers(axes: Axes, x: Any, y: Any, colour: str) -> None:
    """Draws published numbers: white diamonds, whole even on the edge of the axes."""
    if not np.isnan(y).all():
        look = {**PUBLISHED_LOOK, "color": colour, "markeredgewidth": 1.1, "zorder": 5}
        axes.plot(x, y, clip_on=False, **look)


def line(label: str, *, color: str = GREY, **look: Any) -> Line2D:
    """Returns a line for a legend."""
    return Line2D([], [], color=color, label=label, **look)
