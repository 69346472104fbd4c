"""Tables of accuracies, and helpers of the figures."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from hyperreps.files.storage import DataFileError
from hyperreps.numbers import statistics
from hyperreps.results.drawing import QUANTILES, method_colours, shown_name
from hyperreps.results.figures.curves import spread
from hyperreps.results.layout import HTML, LATEX, TEXT, wide, with_interval
from hyperreps.results.result import Sources, find
from hyperreps.results.tables.accuracies import Accuracies, describe, text_table
from hyperreps.settings.sections import declared
from hyperreps.settings.stages import Method, SettingsError, Statistics

from .result_files import finetuned_file, zoo_file

FILES = {"zoos": (Path("zoo.h5"),), "published": Path("published.yaml")}
TABLE = Accuracies(Sources(**FILES, statistics=Statistics(confidence=0.9)))
PUBLISHED = Path(__file__).parents[2] / "config" / "published.yaml"
# instead of those of the files, which are not there
TABLE.networks = pd.DataFrame({"method": [], "settings": []})
REPORT = Path(__file__).parents[2] / "workflow" / "report"


class TestTables:
    """Text, LaTeX and the notes of the web page."""

    @pytest.fixture
    def summary(self) -> pd.DataFrame:
        nan = math.nan
        cells = [
            ("B_T", 0, 30, 0.1, 0.01, 0.09, 0.11, 0.1, nan, (0, nan, 30)),
            ("S_KDE30", 0, 50, 0.686, 0.067, 0.667, 0.7, 0.6, 0.05, (5, 0.012, 5)),
            ("mean_top", 0, 1, 0.9, 0, nan, nan, nan, nan, (0, nan, 1)),
            ("B_T", 1, 30, 0.7, 0.01, 0.69, 0.71, 0.2, 0.016, (0, nan, 30)),
            ("S_KDE30", 1, 50, 0.6, 0.01, 0.59, 0.61, nan, nan, (1, nan, 1)),
        ]
        rows = [
            (
                *("mnist", "mnist", *cell, 0.6, 0.7, 0.8, nan, cell[0] == "mean_top"),
                *(*of, cell[0] in ("mean_top", "noise")),
            )
            for *cell, of in cells
        ]
        return pd.DataFrame(rows, columns=statistics.SUMMARY_COLUMNS)

    def test_text(self, summary):
        lines = [" ".join(x.split()) for x in text_table(summary).splitlines()]
        assert lines[:7] == [
            "MNIST",
            "method n mean ± std [interval] (± seeds) published",
            "epoch 0 B_T 30 10.0 ± 1.0 [9.0, 11.0] ≈ 10.0",
            "S_KDE30 50 68.6 ± 6.7 [66.7, 70.0] (± 1.2) * 60.0 ± 5.0",
            "references mean_top† 1 90.0 [n = 1] —",
            "epoch 1 B_T 30 70.0 ± 1.0 [69.0, 71.0] * 20.0 ± 1.6",
            "S_KDE30 50 60.0 ± 1.0 [59.0, 61.0; one group] —",
        ]

    def test_text_from_csv(self, summary):
        again = pd.read_csv(io.StringIO(summary.to_csv(index=False)))
        assert text_table(again) == text_table(summary)

    def test_no_published_column_without_published_numbers(self, summary):
        summary[["published_mean", "published_std"]] = math.nan
        assert "published" not in text_table(summary)

    def test_published_median_stands_beside_our_median(self, summary):
        summary.loc[1, ["published_mean", "published_std"]] = math.nan
        summary.loc[1, "published_median"] = 0.745
        text = " ".join(text_table(summary).split())
        ours = "S_KDE30 50 68.6 ± 6.7 [66.7, 70.0] (± 1.2) median 70.0"
        assert f"{ours} * median ≈ 74.5" in text
        assert text.count("median") == 2

    def test_a_method_alone_at_its_epoch_is_not_the_best(self, summary):
        alone = summary.drop(index=4)
        shown, _ = text_table(alone).split("Test accuracy")
        assert shown.count(" *") == 1

    def test_latex(self, summary):
        latex = TABLE.latex(summary)
        bold = [line for line in latex.splitlines() if r"\bfseries" in line]
        assert len(bold) == 2
        assert r"\bfseries 68.6 $\pm$ 6.7" in bold[0]
        assert r"\bfseries 70.0 $\pm$ 1.0" in bold[1]
        assert r"$S_{\mathrm{KDE30}}$" in latex
        assert r"mean\_top$^\dagger$" in latex
        assert r"$S_{\mathrm{KDE30}}$$^\dagger$" not in latex
        assert r"$\approx$ 10.0" in latex

    def test_what_no_representation_has_made_competes_and_is_marked(self, summary):
        """The best row says so itself if it needed no hyper-representation."""
        noise = summary.iloc[[1]].assign(method="noise", mean=0.8, trivial=True)
        both = pd.concat([summary, noise], ignore_index=True)
        rows, _ = text_table(both).split("\n\n")
        best = [line.split() for line in rows.splitlines() if " *" in line]
        assert len(best) == 2
        assert best[0][0] == "noise†"
        assert "B_T" in best[1]
        page = TABLE.page(both)
        assert "noise<sup>†</sup>" in page
        assert "† no hyper-representation has made them" in text_table(both)

    def test_latex_sets_two_populations_side_by_side(self, summary):
        zoos = [summary.assign(source=z, target=z) for z in ("mnist", "svhn", "stl10")]
        latex = TABLE.latex(pd.concat(zoos))
        assert latex.count(r"\begin{table*}") == 2
        assert "Continued." in latex

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            (
                {"sampler": "kde", "hyper_rep": "normalized", "top": 0.3},
                "sampler kde in the latent space of hyper-representation normalized,"
                " from the best 30 % by validation accuracy of the models of the train"
                " split (epochs of the zoo's window)",
            ),
            (
                {"sampler": "identity", "bottom": 0.3, "split": "test"},
                "sampler identity in weight space, from the worst 30 % by validation"
                " accuracy of the models of the test split (epochs of the zoo's"
                " window)",
            ),
            (
                {"sampler": "identity", "split": "test", "epochs": "last"},
                "sampler identity in weight space, from all models of the test split"
                " (last epoch)",
            ),
            (
                {"sampler": "noise", "top": 0.5, "select_on": "test"}
                | {"alignment": "weight_matching", "options": {"sigma": 0.1}},
                "sampler noise (sigma 0.1) in weight space, aligned by weight matching,"
                " from the best 50 % by test accuracy of the models of the train split"
                " (epochs of the zoo's window)",
            ),
        ],
    )
    def test_description_of_a_method(self, settings, words):
        assert describe(Method(**settings)) == words


@pytest.fixture
def with_curves(tmp_path: Path) -> Sources:
    """Two methods of a zoo, one of them from two hyper-representations."""
    latent = {"settings": {"hyper_rep": "normalized"}, "hyper_rep_seed": [1, 2]}
    rates = [[0.5, 0.6], [0.4, 0.5]]
    finetuned = [
        finetuned_file(tmp_path, rates, **latent),
        finetuned_file(tmp_path, rates, method="noise"),
    ]
    curves = []
    for name, last in (("normalized_seed1", 0.6), ("normalized_seed2", 0.75)):
        curves.append(tmp_path / "hyper_reps" / "mnist" / f"{name}.csv")
        curves[-1].parent.mkdir(parents=True, exist_ok=True)
        curves[-1].write_text(f"epoch,r2_scaled_held_out\n1,\n2,0.3\n3,{last}\n")
    return Sources(
        zoos=(zoo_file(tmp_path),),
        finetuned=tuple(finetuned),
        published=PUBLISHED,
        curves=tuple(curves),
        epochs=(0, 1),
    )


class TestRSquared:
    """How well networks are given back stands beside what is sampled."""

    def test_it_is_the_mean_over_seeds_at_the_end(self, with_curves):
        frame = Accuracies(with_curves).frame()
        known = frame.set_index(["method", "epoch"])["r2_held_out"]
        assert known["S_KDE30"].tolist() == pytest.approx([0.675, 0.675])
        assert known[["B_T", "noise"]].isna().all()

    def test_every_form_of_the_table_has_it(self, with_curves):
        table = Accuracies(with_curves)
        frame = table.frame()
        text = text_table(pd.read_csv(io.StringIO(frame.to_csv(index=False))))
        lines = [line.split() for line in text.splitlines()]
        sampled = next(line for line in lines if "S_KDE30" in line)
        assert sampled[sampled.index("S_KDE30") + 1 :][:2] == ["2", "0.68"]
        assert "R²: of held-out networks" in text
        for made, mark in ((table.latex(frame), " & "), (table.page(frame), ">")):
            assert made.count("R$^2$" if mark == " & " else "R²") > 1
            assert f"{mark}0.68" in made

    def test_without_curves_there_is_no_such_column(self, with_curves):
        table = Accuracies(replace(with_curves, curves=()))
        frame = table.frame()
        assert "r2_held_out" not in frame
        made = table.text(frame) + table.latex(frame) + table.page(frame)
        assert "R²" not in made
        assert "R$^2$" not in made

    @pytest.mark.parametrize(
        "content",
        [
            None,
            b"",
            b"\xff\xfe",
            b"seed,accuracy\n1,0.5\n",
            b'epoch,"',
            b"r2_scaled_held_out\n",
        ],
        ids=str,
    )
    def test_a_missing_or_damaged_curve_is_named(self, with_curves, content):
        if content is None:
            with_curves.curves[0].unlink()
        else:
            with_curves.curves[0].write_bytes(content)
        with pytest.raises(DataFileError, match=r"normalized_seed1\.csv"):
            Accuracies(with_curves).frame()


class TestDeclarations:
    """Tables and figures that the sections of the config declare."""

    @pytest.mark.parametrize(
        ("kind", "name"),
        [(kind, name) for kind in ("table", "figure") for name in declared(kind)],
    )
    def test_each_has_its_class_and_captions(self, kind, name):
        made_by = find(kind, name)
        if kind == "figure":
            assert (REPORT / f"figure_{name}.rst").exists()
        else:
            files = {flag: (Path("file"),) for flag in made_by.needs}
            given = Sources(table=name, **{**files, "published": Path("file")})
            table = made_by(given)
            for layout in (TEXT, LATEX, HTML):
                caption = table.said("caption", layout, page=True)
                assert "{" not in caption.replace(r"_{\mathrm{", "")
                assert f"95 {layout.percent} " in caption or name == "ensembles"
            assert table.said("title", HTML)
            assert all(table.said("notes", HTML).values())

    def test_a_missing_file_is_named_by_its_flag(self):
        with pytest.raises(SettingsError, match="--published: none given"):
            Accuracies(Sources(zoos=(Path("zoo.h5"),)))

    def test_unknown_name(self):
        with pytest.raises(SettingsError, match="--table: unknown 'none'; settings/"):
            find("table", "none")


class TestDrawing:
    """Helpers of the figures."""

    def test_colours_do_not_depend_on_references(self):
        methods = ["B_T", "S_KDE30", "B_KDE30", "S_KDE"]
        alone = method_colours(methods)
        more = method_colours([*methods, "S_U", "noise"])
        assert len(set(more.values())) == 6
        assert {name: more[name] for name in methods} == alone

    def test_baseline_name_is_no_family(self):
        colours = method_colours(["B_T", "B_TOP"])
        assert colours["B_TOP"] != colours["B_T"]

    def test_names(self):
        assert shown_name("S_KDE30") == r"S$_{\mathsf{KDE30}}$"
        assert shown_name("mean_top30") == "mean top30"

    def test_labels_are_moved_apart_and_stay_inside(self):
        ends = np.array([0.98, 0.5, 0.99, 1.0, 0.1])
        moved = spread(ends, gap=0.1)
        assert np.diff(np.sort(moved)).min() >= 0.1 - 1e-12
        assert moved.max() <= 1
        np.testing.assert_allclose(moved[[1, 4]], [0.5, 0.1])
        assert list(np.argsort(moved)) == list(np.argsort(ends))

    def test_quantiles_are_increasing(self):
        assert list(QUANTILES.values()) == sorted(QUANTILES.values())


def test_rows_and_columns_keep_their_order_within_what_they_belong_to():
    cells = pd.DataFrame(
        [
            ("A", "y", "MNIST", "ours"),
            ("A", "y", "MNIST", "published"),
            ("A", "y", "STL-10", "ours"),
            ("B", "x", "STL-10", "published"),
            ("A", "x", "MNIST", "ours"),
            ("B", "y", "MNIST", "ours"),
        ],
        columns=["block", "name", "heading", "column"],
    ).assign(text="1")
    table = wide(cells, "text", "-", levels=("block", "name"))
    assert [*table.index] == [("A", "y"), ("A", "x"), ("B", "x"), ("B", "y")]
    assert [*table.columns] == [
        ("MNIST", "ours"),
        ("MNIST", "published"),
        ("STL-10", "ours"),
        ("STL-10", "published"),
    ]
    assert table.to_numpy().tolist()[2] == ["-", "-", "-", "1"]


@pytest.mark.parametrize(
    ("value", "low", "form", "text"),
    [
        (0.914, 0.85, ".2f", "0.91 [0.85, 0.95]"),
        (0.914, 0.85, "+.1%", "+91.4 [+85.0, +95.0]"),
        (0.914, math.nan, ".0%", "91"),
        (math.nan, 0.85, ".2f", "—"),
        (math.inf, math.nan, ".2f", "—"),
    ],
)
def test_a_number_with_its_interval(value, low, form, text):
    """None is a dash, whatever its interval; percent have no sign of their own."""
    row = SimpleNamespace(ci_low=low, ci_high=0.95)
    assert with_interval(value, row, form, TEXT) == text


@pytest.mark.parametrize(
    ("name", "html", "latex"),
    [
        ("B_T", "B<sub>T</sub>", r"$B_{\mathrm{T}}$"),
        (
            "A_gaussian30_0.7",
            "A<sub>gaussian30_0.7</sub>",
            r"$A_{\mathrm{gaussian30\_0.7}}$",
        ),
        ("noise_top30_0.1", "noise_top30_0.1", r"noise\_top30\_0.1"),
    ],
)
def test_letters_have_subscripts(name, html, latex):
    assert HTML.name(name) == html
    assert LATEX.name(name) == latex
