"""Figures: their look, and colours as readers without red or green cones see them."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from pydantic import ValidationError

from hyperreps.files.storage import DataFileError
from hyperreps.results.drawing import (
    FIXED,
    PALETTES,
    Drawing,
    line,
    method_colours,
    shown_name,
    style,
)
from hyperreps.results.figures.copies import ENTRIES
from hyperreps.results.result import Sources, find
from hyperreps.settings.sections import Figures, declared
from hyperreps.settings.stages import SettingsError, Statistics

ROOT = Path(__file__).parents[2]
MEASURED = ROOT / "docs" / "measurements"
KEPT = ROOT / "results" / "reference" / "2026-11-27_cifar10" / "figures"

# linear RGB as it is seen: Machado, Oliveira and Fernandes 2009, severity 1
SEEN = {
    "all cones": np.eye(3),
    "no red cones": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "no green cones": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}
XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
)
WHITE = np.array([0.9505, 1, 1.089])
# of CIELAB; about 2 is the least that is noticed
APART = 15


def lab(colour: str, seen: np.ndarray) -> np.ndarray:
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    x = XYZ @ np.clip(np.array(seen) @ linear, 0, 1) / WHITE
    f = np.where(x > 0.008856, np.cbrt(x), 7.787 * x + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("seen", SEEN.values(), ids=SEEN)
def test_any_two_colours_of_methods_are_told_apart(seen: np.ndarray) -> None:
    colours = [colour for family in PALETTES.values() for colour in family]
    for one, other in combinations(colours, 2):
        distance = np.linalg.norm(lab(one, seen) - lab(other, seen))
        assert distance > APART, (one, other)


def test_a_method_has_one_colour_in_all_company() -> None:
    fixed = [method for family in FIXED.values() for method in family]
    together = method_colours(["S_U", *fixed, "interpolation_top30"])
    assert len(set(together.values())) == len(together)
    for method in fixed:
        others = ["S_GAN30", "S_Neigh30", "B_F", "B_F_epoch", "mean_top30_aligned"]
        company = method_colours([*others, method])
        assert company[method] == together[method]
        assert len(set(company.values())) == len(company)


def test_a_family_with_more_methods_than_colours_begins_again() -> None:
    many = [f"S_{number}" for number in range(2 * len(PALETTES["S_"]))]
    assert set(method_colours(many).values()) == set(PALETTES["S_"])


class Bars(Drawing):
    """A figure of its own: what all have in common."""

    def frame(self) -> pd.DataFrame:
        """Returns two panels, a text that looks like none, and one that is none."""
        rows = [("mnist", "mnist", "nan", "", 1 / 3), ("svhn", "svhn", "B_T", "x", 0.5)]
        data = pd.DataFrame(rows, columns=["source", "target", "method", "note", "y"])
        return data.head(self.sources.seed)

    def draw(self, data: pd.DataFrame) -> Figure:
        """Draws a bar per panel."""
        shown = slice(len(data))
        assert data["method"].tolist() == ["nan", "B_T"][shown]
        assert data["note"].isna().tolist() == [True, False][shown]
        assert data["y"].tolist() == [1 / 3, 0.5][shown]
        figure, drawn = self.panels(data, height=2.0)
        for axes, part in drawn:
            axes.bar(part["method"].map(shown_name), part["y"])
        self.legend(figure, line("a line"))
        return figure


def drawn(output: Path, **look: Any) -> Path:
    """Draws Bars with one panel, unless sources say otherwise."""
    panels = look.pop("panels", 1)
    numbers = look.pop("numbers", Path())
    Bars(Sources(seed=panels, figures=Figures(**look), numbers=numbers)).write(output)
    return output


def numbers_of(figure: str) -> str:
    """Returns the CSV of a figure: one that is kept, or one made up here."""
    held = {
        "ablation": MEASURED / "ablation.csv",
        "capacity": MEASURED / "audit_capacity.csv",
        "judgement": MEASURED / "judgement.csv",
        "architectures": KEPT / "epoch_zero.csv",
    }
    path = held.get(figure, KEPT / f"{figure}.csv")
    if path.exists():
        return path.read_text(encoding="utf-8")
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 12))
    panel = {"zoo": "mnist", "coordinates": "none", "sample": [0] * 6 + [1] * 6}
    population = ["S_KDE30", "held_out"] * 6
    made = {
        "latents": {
            **{"zoo": "mnist", "model": range(12), "epoch": [4, 5] * 6},
            **{"accuracy": np.abs(x), "PCA_x": x, "PCA_y": y, "UMAP_x": y, "UMAP_y": x},
        },
        "novelty": {
            **{**panel, "population": population, "reference": [False, True] * 6},
            **{"accuracy": 0.5, "distance": np.abs(x)},
            **{"snapshots": 0.1, "runs": 0.9, "good": 0.4},
        },
    }
    if figure in made:
        return pd.DataFrame(made[figure]).to_csv(index=False)
    assert figure == "copies"
    rows = pd.DataFrame({**panel, "population": population, "row": "matched"})
    rows = rows.loc[rows.index.repeat(ENTRIES)]
    return rows.assign(weight=rng.normal(size=len(rows))).to_csv(index=False)


def inches(path: Path) -> list[float]:
    """Returns width and height of the page of a PDF."""
    box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", path.read_bytes())
    return [float(side) / 72 for side in box.groups()]


class TestLook:
    """The section figures of the config."""

    @pytest.mark.parametrize(("panels", "width"), [(1, 3.5), (2, 7.0)])
    def test_widths_are_those_of_the_paper(self, tmp_path, panels, width):
        look = {"column_width": 3.5, "text_width": 7.0}
        path = drawn(tmp_path / "a.pdf", panels=panels, **look)
        assert inches(path)[0] == pytest.approx(width, abs=1e-4)

    @pytest.mark.parametrize("font", ["DejaVu Sans", "DejaVu Serif", "STIXGeneral"])
    def test_all_text_is_in_one_font_and_embedded_as_truetype(self, tmp_path, font):
        content = drawn(tmp_path / "a.pdf", font=font).read_bytes()
        names = set(re.findall(rb"/BaseFont /(?:[A-Z]{6}\+)?(\w+)", content))
        assert names == {font.replace(" ", "").encode()}
        described = content.count(b"/Type /FontDescriptor")
        assert content.count(b"/FontFile2 ") == described > 0
        assert not re.search(rb"/Subtype /Type[13]\b", content)

    def test_larger_text_has_more_height(self, tmp_path):
        small, large = (
            inches(drawn(tmp_path / f"{size}.pdf", font_size=size))
            for size in (8.0, 12.0)
        )
        assert large == pytest.approx([small[0], 1.5 * small[1]], rel=1e-4)

    @pytest.mark.parametrize("width", [1.5, 3.0, 6.0])
    def test_a_legend_is_no_wider_than_its_figure(self, width):
        figures = [Bars(Sources()).new_figure(2.0, width=width) for _ in "ab"]
        for figure, names in zip(figures, (["name"], ["a name"] * 5), strict=True):
            Bars(Sources()).legend(figure, *map(line, names))
        (alone,), (five,) = (
            [x.get_window_extent() for x in figure.legends] for figure in figures
        )
        assert five.width <= 100 * width
        assert (five.height > 1.5 * alone.height) == (width < 6)

    def test_long_names_leave_the_axis_room(self):
        path = KEPT.parents[1] / "2026-11-27_svhn_10k_audit/figures/architectures.csv"
        sources = Sources(numbers=path, table="architectures")
        with matplotlib.style.context(style(Figures())):
            figure = find("figure", "architectures")(sources).draw(pd.read_csv(path))
            figure.draw_without_rendering()
        (axes,) = figure.axes
        low, high = axes.get_xlim()
        boxes = [
            label.get_window_extent()
            for label, at in zip(axes.get_xticklabels(), axes.get_xticks(), strict=True)
            if low <= at <= high
        ]
        assert len(boxes) > 2
        assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))

    def test_a_font_that_is_not_there_is_named(self, tmp_path):
        with pytest.raises(SettingsError, match=r"figures\.font: no font 'Helvetico'"):
            drawn(tmp_path / "a.pdf", font="Helvetico")
        assert not list(tmp_path.iterdir())

    def test_a_column_is_no_wider_than_the_text(self):
        with pytest.raises(ValidationError, match=r"exceed text_width \(3\), got 4"):
            Figures(column_width=4, text_width=3)


class TestNumbers:
    """A figure from the CSV beside it."""

    def test_it_is_the_same_to_the_byte(self, tmp_path):
        first = drawn(tmp_path / "a.pdf", panels=2)
        numbers = first.with_suffix(".csv")
        again = drawn(tmp_path / "b.pdf", panels=2, numbers=numbers)
        for suffix in (".pdf", ".png", ".csv"):
            one, two = (
                path.with_suffix(suffix).read_bytes() for path in (first, again)
            )
            assert one == two

    @pytest.mark.parametrize("name", declared("figure"))
    def test_no_flag_and_no_other_file_is_needed(self, name, tmp_path):
        """Whatever else they say, its numbers give the figure to the byte."""
        numbers = tmp_path / "numbers.csv"
        numbers.write_text(numbers_of(name))
        others = {
            "epochs": (0, 3),
            "noise": ("B_F30", "noise_0.1"),
            "soup": ("B_F30", "held_out"),
            "reconstructions": ("S_KDE30",),
            "statistics": Statistics(confidence=0.5),
            "seed": 7,
        }
        drawings = []
        for number, told in enumerate(({}, others)):
            output = tmp_path / f"{number}.pdf"
            find("figure", name)(Sources(numbers=numbers, **told)).write(output)
            drawings.append(
                [output.with_suffix(s).read_bytes() for s in (".pdf", ".png", ".csv")]
            )
        assert drawings[0] == drawings[1]
        assert drawings[0][2] == numbers.read_bytes()

    @pytest.mark.parametrize("text", ["", "source,target\na,a\n"])
    def test_other_numbers_are_refused_by_name(self, tmp_path, text):
        numbers = tmp_path / "numbers.csv"
        numbers.write_text(text)
        with pytest.raises(DataFileError, match=r"numbers\.csv: not the numbers of"):
            drawn(tmp_path / "a.pdf", numbers=numbers)
        assert list(tmp_path.iterdir()) == [numbers]

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(DataFileError, match=r"none\.csv: no such file"):
            drawn(tmp_path / "a.pdf", numbers=tmp_path / "none.csv")
