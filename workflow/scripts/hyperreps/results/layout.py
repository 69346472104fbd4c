"""Tables as plain text, LaTeX and HTML: from cells in long form to what one reads.

Cells are rows of a frame: the levels of the table's rows (zoo, block, name), heading
and, where there are two levels of them, column, then text and best. Rows and columns
stand in the order in which they first appear.
"""

from __future__ import annotations

import html
import inspect
import math
import re
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import jinja2
import numpy as np
import pandas as pd
import yaml
from pandas.io.formats.style import Styler

from ..files.storage import write_text
from .accuracies import TRIVIAL, display_name
from .result import Result

NOT_KNOWN = "—"
# of a line of a long table in print, and between two columns
CHARACTERS, GAP = 112, 2
FOLDER = Path(__file__).parent
PAGES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(FOLDER), undefined=jinja2.StrictUndefined
)
# named here so that an edit of it counts as one of what makes the pages
PAGES.globals["style"] = "page.css"


class Layout(NamedTuple):
    """How numbers and names are written in one kind of table: here as plain text."""

    name: Callable[[str], str] = str
    heading: Callable[[str], str] = str
    interval: Callable[[str], str] = str
    plus_minus: str = " ± "
    about: str = "≈ "
    percent: str = "%"
    trivial: str = TRIVIAL

    def method(self, name: str, *, trivial: bool) -> str:
        """Returns the name of a method, marked if it is trivial."""
        return self.name(name) + self.trivial * trivial


def with_subscript(pattern: str) -> Callable[[str], str]:
    """Returns what fills pattern with letter and subscript of names like S_KDE30."""
    return lambda name: re.sub(r"^([A-Z])_([\w.]+)$", pattern, name)


TEXT = Layout()
HTML = Layout(
    name=lambda name: with_subscript(r"\1<sub>\2</sub>")(html.escape(name)),
    heading=html.escape,
    interval="<small>{}</small>".format,
    trivial=f"<sup>{TRIVIAL}</sup>",
)
LATEX = Layout(
    # the underscore before a brace is the subscript's own
    name=lambda name: re.sub(
        r"_(?!\{)", r"\\_", with_subscript(r"$\1_{\\mathrm{\2}}$")(name)
    ),
    heading=lambda text: text.replace("_", r"\_").replace("→", r"$\to$"),
    interval=r"{{\mdseries\scriptsize {}}}".format,
    plus_minus=r" $\pm$ ",
    about=r"$\approx$ ",
    percent=r"\%",
    trivial=r"$^\dagger$",
)


class Table(Result):
    """A table: how its numbers become cells, and what is said around them.

    Attributes:
        words: YAML file beside the class: title, caption and notes, in which settings
            and signs stand in double braces.
        levels: Of the rows of the page. A zoo as the first has a table of its own in
            plain text and in LaTeX.
    """

    kind: ClassVar = "table"
    words: ClassVar[str]
    levels: ClassVar[tuple[str, ...]] = ("zoo", "block", "name")

    @abstractmethod
    def cells(self, frame: pd.DataFrame, layout: Layout) -> pd.DataFrame:
        """Returns the cells in long form, as the head of this module describes them."""

    def floats(
        self, frame: pd.DataFrame, layout: Layout
    ) -> Iterator[tuple[str, pd.DataFrame]]:
        """Yields the parts that are set one by one: title and cells."""
        yield from self.cells(frame, layout).groupby("zoo", sort=False)

    def values(self) -> dict[str, Any]:
        """Returns what the words name beside the level, the seed and signs."""
        return {}

    def notes(self, frame: pd.DataFrame) -> dict[str, str]:
        """Returns what names in the table mean, for the page."""
        found: dict[str, str] = self.said("notes", HTML)
        return found

    def said(self, key: str, layout: Layout, **more: Any) -> Any:
        """Returns words of the table, a text or a dictionary of texts."""
        percent = layout.percent
        values = {
            **layout._asdict(),
            "table": self.sources.table.replace("_", " "),
            "level": self.level.replace("%", percent),
            "seed": self.sources.seed,
            **self.values(),
            **more,
        }

        words = read_words(self.words_file())[key]
        if isinstance(words, str):
            return PAGES.from_string(words).render(values)
        return {
            name: PAGES.from_string(text).render(values) for name, text in words.items()
        }

    @classmethod
    def words_file(cls) -> Path:
        """Returns the file of the table's words, beside the class that names it."""
        owner = next(c for c in cls.__mro__ if "words" in vars(c))
        return Path(inspect.getfile(owner)).with_name(cls.words)

    @classmethod
    def missing(cls) -> list[str]:
        """Returns what it lacks to be made: methods, words."""
        lacks = super().missing()
        if not hasattr(cls, "words"):
            return [*lacks, "words"]
        file = cls.words_file()
        return lacks if file.is_file() else [*lacks, f"the file {file.name} beside it"]

    def text(self, frame: pd.DataFrame) -> str:
        """Returns the table as plain text, one block per zoo; * marks the best."""
        parts = []
        for zoo, cells in self.cells(frame, TEXT).groupby("zoo", sort=False):
            marked = cells.assign(text=cells["text"] + cells["best"].map(" *".__mul__))
            rows = wide(marked, "text", NOT_KNOWN, levels=self.levels[1:])
            parts.append(f"{zoo}\n{rows.to_string(justify='left')}")
        return "\n\n".join(parts)

    def latex(self, frame: pd.DataFrame) -> str:
        """Returns the table as LaTeX floats."""
        caption = self.said("caption", LATEX, page=False)
        parts = []
        for title, cells in self.floats(frame, LATEX):
            levels = [level for level in self.levels if level != "zoo"]
            tabular = _latex(styled(cells, levels=levels), clines="skip-last;data")
            parts.append((f"{title}. {caption}" if title else caption, tabular))
            caption = "Continued."
        return _typed(PAGES.get_template("table.tex").render(parts=parts))

    def page(self, frame: pd.DataFrame) -> str:
        """Returns the table as a web page of its own."""
        styler = styled(self.cells(frame, HTML), levels=self.levels)
        notes = self.notes(frame)
        return PAGES.get_template("page.html").render(
            title=html.escape(self.said("title", HTML)),
            table=styler.set_uuid("table").to_html(sparse_index=True),
            notes_title=read_words(self.words_file()).get("notes_title", "Methods"),
            notes={HTML.name(name): html.escape(text) for name, text in notes.items()},
            caption=self.said("caption", HTML, page=True),
        )

    def write(self, output: Path) -> str:
        """Writes the numbers as CSV, the table as LaTeX and HTML; returns it as text.

        Args:
            output: The CSV; .tex and .html go beside it.
        """
        frame = self.frame()
        texts = {
            ".html": self.page(frame),
            ".tex": self.latex(frame),
            ".csv": frame.to_csv(index=False),
        }
        for suffix, text in texts.items():
            write_text(output.with_suffix(suffix), text)
        return self.text(frame)


# zoo, name and the texts of a row by their headings
Row = tuple[str, str, dict[str, str]]


class Column(NamedTuple):
    """One column of a table of measures; what it means is in the table's words.

    Attributes:
        heading: Above the numbers; no character that LaTeX treats apart.
        measure: What it shows.
        form: Format of the value and of both ends of its interval; with % in percent.
        interval: Whether the interval is shown.
    """

    heading: str
    measure: str
    form: str = ".2f"
    interval: bool = True

    def text(self, row: Any | None, layout: Layout) -> str:
        """Returns the text of a measure; a dash where there is none."""
        if row is None:
            return NOT_KNOWN
        if not self.interval:
            return rounded(row.value, self.form)
        return with_interval(row.value, row, self.form, layout)


class LongTable(Table):
    """A table with a row for each of many names, which LaTeX may break over pages.

    Attributes:
        columns: Of a table of measures.
        keys: Of its frame: what blocks differ in, and at last populations.
        block: Makes the title of a block of the values of its keys.
    """

    levels: ClassVar = ("zoo", "name")
    columns: ClassVar[tuple[Column, ...]] = ()
    keys: ClassVar[tuple[str, ...]] = ()
    block: ClassVar[Callable[..., str]] = staticmethod(display_name)

    def rows(self, frame: pd.DataFrame, layout: Layout) -> Iterator[Row]:
        """Yields the rows: of measures, one per population, references at last."""
        if "reference" in frame:
            frame = frame.sort_values("reference", kind="stable")
        key: Any
        for (*key, name), part in frame.groupby([*self.keys], sort=False):
            numbers = {row.measure: row for row in part.itertuples()}
            some = part.iloc[0]
            shown = layout.method(name, trivial=bool(some.get("trivial")))
            counts = {"n (groups)": f"{some['n']} ({some['groups']})"}
            texts = counts | self.measured(numbers, layout)
            yield layout.heading(self.block(*key)), shown, texts

    def measured(self, numbers: Mapping[str, Any], layout: Layout) -> dict[str, str]:
        """Returns the texts of the columns of measures.

        Args:
            numbers: By measure: value, ci_low and ci_high.
            layout: Of the table.
        """
        return {c.heading: c.text(numbers.get(c.measure), layout) for c in self.columns}

    def cells(self, frame: pd.DataFrame, layout: Layout) -> pd.DataFrame:
        """Returns the cells of the rows; none is marked as the best."""
        cells = [
            (zoo, name, heading, text, False)
            for zoo, name, texts in self.rows(frame, layout)
            for heading, text in texts.items()
        ]
        return pd.DataFrame(cells, columns=[*self.levels, "heading", "text", "best"])

    def latex(self, frame: pd.DataFrame) -> str:
        """Returns the table as longtables, as many columns abreast as the page has."""
        caption = self.said("caption", LATEX, page=False)
        cells = self.cells(frame, LATEX)
        parts = []
        for headings in _abreast(cells, self.levels):
            shown = cells[cells["heading"].isin(headings)]
            styler = styled(shown, levels=self.levels)
            tabular = _latex(styler, environment="longtable", caption=caption)
            again = rf"\caption[]{{{caption}}}"
            parts.append(tabular.replace(again, r"\caption[]{Continued.}"))
            caption = "Continued."
        page = PAGES.get_template("longtable.tex")
        return _typed(page.render(tabular="\n".join(parts)))


def _typed(latex: str) -> str:
    """Returns a file of LaTeX; its own font has no ² but as a bitmap."""
    return latex.replace("²", "$^2$") + "\n"


def _abreast(cells: pd.DataFrame, levels: Sequence[str]) -> Iterator[list[str]]:
    """Yields headings that fit beside each other on a page, by their characters."""

    def width(texts: pd.Series) -> int:
        # without the commands of LaTeX, which take no width
        plain = texts.str.replace(r"\\\w+|[{}$_\\]", "", regex=True)
        return int(plain.str.len().max()) + GAP

    names = sum(width(cells[level]) for level in levels)
    taken: list[str] = []
    used = names
    for heading, column in cells.groupby("heading", sort=False)["text"]:
        needed = max(width(column), len(str(heading)) + GAP)
        if taken and used + needed > CHARACTERS:
            yield taken
            taken, used = [], names
        taken.append(str(heading))
        used += needed
    yield taken


def zoo_headings(frame: pd.DataFrame, layout: Layout) -> pd.Series:
    """Returns the zoo of each row as it is shown."""
    return frame["zoo"].map(display_name).map(layout.heading)


def rounded(value: float, form: str) -> str:
    """Returns a number as format() does, percent without its sign; a dash for none."""
    known = math.isfinite(value)
    return format(value, form).removesuffix("%") if known else NOT_KNOWN


def with_interval(value: float, row: Any, form: str, layout: Layout) -> str:
    """Returns "0.91 [0.85, 0.94]", or the number alone where it has no interval.

    Args:
        value: The number.
        row: With the ends of its interval, ci_low and ci_high.
        form: Format of all three; with % in percent.
        layout: Of the table.
    """
    if not math.isfinite(value) or math.isnan(row.ci_low):
        return rounded(value, form)
    ends = ", ".join(rounded(end, form) for end in (row.ci_low, row.ci_high))
    return f"{rounded(value, form)} {layout.interval(f'[{ends}]')}"


@cache
def read_words(path: Path) -> dict[str, Any]:
    """Returns the words of a table, from its YAML file."""
    words: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return words


def wide(
    cells: pd.DataFrame, values: str, missing: Any, *, levels: Sequence[str]
) -> pd.DataFrame:
    """Pivots cells; rows and columns keep the order of their first appearance."""
    columns = [name for name in ("heading", "column") if name in cells]
    table = cells.set_index([*levels, *columns])[values]
    table = table.unstack(columns, fill_value=missing)
    index, header = _ordered(cells, levels), _ordered(cells, columns)
    table = table.reindex(index=index, columns=header)
    return table.rename_axis(
        index=[None] * index.nlevels, columns=[None] * header.nlevels
    )


def _ordered(cells: pd.DataFrame, levels: Sequence[str]) -> pd.Index:
    """Returns all keys, those with the same first part side by side, and so on."""
    keys = cells[list(levels)].drop_duplicates()
    if len(levels) == 1:
        return pd.Index(keys[levels[0]])
    ranks = [pd.factorize(keys[level])[0] for level in levels]
    # the last level keeps its order
    return pd.MultiIndex.from_frame(keys.iloc[np.lexsort(ranks[-2::-1])])


def styled(cells: pd.DataFrame, *, levels: Sequence[str]) -> Styler:
    """Returns a table to be written as HTML or LaTeX, the best in bold."""
    text = wide(cells, "text", NOT_KNOWN, levels=levels)
    best = wide(cells, "best", False, levels=levels)
    css = best.map({True: "font-weight: bold", False: ""}.get)
    styler = text.style.apply(lambda _: css, axis=None)
    if text.columns.nlevels > 1:
        columns: list[Any] = list(text.columns)
        classes = {column: _css_class(column[-1]) for column in columns}
        styler.set_td_classes(pd.DataFrame(classes, index=text.index))
    return styler


def _css_class(column: str) -> str:
    known = column.startswith("published")
    return "published" if known else column.replace(" ", "_")


def _latex(styler: Styler, **look: Any) -> str:
    """Returns the tabular of a table, with the rules of booktabs."""
    latex = styler.to_latex(
        hrules=True,
        convert_css=True,
        multicol_align="c",
        multirow_align="naive",
        column_format="l" * styler.index.nlevels + "r" * len(styler.columns),
        **look,
    )
    # \cline touches booktabs' rules, and none is wanted above the last of those
    latex = re.sub(r"\\cline\{.*?\}\n\\bottomrule", r"\\bottomrule", latex)
    return re.sub(r"\\cline\{.*?\}", r"\\midrule", latex).strip()
