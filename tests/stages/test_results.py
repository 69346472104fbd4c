"""make_table.py and make_figure.py as a user runs them, on two small made-up zoos."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import h5py
import jinja2
import numpy as np
import pandas as pd
import pytest
from docutils.core import publish_parts

from hyperreps.config.config_files import read_over_shipped
from hyperreps.files.storage import write_arrays

from ..processes import python

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "workflow" / "scripts"
ZOOS = ("mnist", "digits")
SETTINGS = {
    "S_KDE30": {"sampler": "kde", "hyper_rep": "normalized", "top": 0.3},
    "released": {"sampler": "kde", "hyper_rep": "normalized", "published": "S_KDE30"},
    "soup": {"sampler": "mean", "top": 0.3},
}


def write(path: Path, arrays: dict, **attributes: str) -> Path:
    """Writes a file of the project."""
    write_arrays(path, arrays, attributes=attributes)
    return path


def write_zoo(folder: Path, zoo: str, rng: np.random.Generator) -> Path:
    """Writes a zoo of 20 models and three epochs, four of them in the test split."""
    arrays = {
        "accuracy/test": rng.uniform(0.1, 0.6, (20, 4)).astype(np.float32),
        "split": np.array(["train"] * 13 + ["val"] * 3 + ["test"] * 4, "S"),
    }
    return write(folder / f"zoos/{zoo}.h5", arrays, kind="zoo", zoo=zoo)


def write_method(folder: Path, zoo: str, method: str, rng: np.random.Generator) -> Path:
    """Writes six finetuned networks of two seeds; of a reference one, not finetuned."""
    reference = method == "soup"
    shape = (1,) if reference else (6, 4)
    seeds = [-1] if reference else [1, 1, 1, 2, 2, 2]
    arrays = {
        "accuracy/test": rng.uniform(0.2, 0.7, shape).astype(np.float32),
        "hyper_rep_seed": np.array(seeds),
        "source_model": np.full((len(seeds), 5), -1),
    }
    kind, place = ("samples", zoo) if reference else ("finetuned", f"{zoo}-{zoo}")
    attributes = {"kind": kind, "source": zoo, "target": zoo, "method": method}
    settings = json.dumps(SETTINGS[method])
    return write(
        folder / kind / place / f"{method}.h5", arrays, settings=settings, **attributes
    )


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> list[str]:
    """Returns the flags of two zoos with two methods and one reference each."""
    folder = tmp_path_factory.mktemp("a run")
    rng = np.random.default_rng(0)
    flags = {
        "--zoos": [write_zoo(folder, zoo, rng) for zoo in ZOOS],
        "--finetuned": [
            write_method(folder, zoo, method, rng)
            for zoo in ZOOS
            for method in ("S_KDE30", "released")
        ],
        "--references": [write_method(folder, zoo, "soup", rng) for zoo in ZOOS],
        "--published": [ROOT / "config" / "published.yaml"],
        "--epochs": [0, 1, 3],
        "--seed": [3],
    }
    return [str(part) for flag, values in flags.items() for part in (flag, *values)]


def run(script: str, *arguments: str | Path, fails: bool = False) -> str:
    """Runs a script and returns what it printed, or its errors where it must fail."""
    done = python([str(SCRIPTS / script), *map(str, arguments)])
    assert (done.returncode != 0) == fails, done.stderr
    return done.stderr if fails else done.stdout


def paths(flags: list[str], flag: str) -> list[Path]:
    """Returns the values of one flag."""
    start = flags.index(flag) + 1
    rest = [i for i in range(start, len(flags)) if flags[i].startswith("--")]
    return [Path(value) for value in flags[start : min(rest, default=len(flags))]]


def accuracy(path: Path) -> np.ndarray:
    """Returns the test accuracy in a file."""
    with h5py.File(path) as file:
        return np.float64(file["accuracy/test"][()])


@pytest.fixture(scope="module")
def table(inputs, tmp_path_factory) -> tuple[Path, str]:
    """Makes a table; returns its CSV and what was printed."""
    output = tmp_path_factory.mktemp("tables") / "table.csv"
    return output, run("make_table.py", *inputs, "--output", output)


class TestTable:
    """make_table.py."""

    def test_numbers(self, table, inputs):
        summary = pd.read_csv(table[0]).set_index(["source", "method", "epoch"])
        assert len(summary) == 2 * (3 * 3 + 1)
        for path in paths(inputs, "--finetuned"):
            method, zoo = path.stem, path.parent.name.split("-")[0]
            for epoch in (0, 1, 3):
                row = summary.loc[(zoo, method, epoch)]
                values = accuracy(path)[:, epoch]
                assert row["n"] == 6
                assert row["mean"] == pytest.approx(values.mean())
                assert row["std"] == pytest.approx(values.std(ddof=0))
                assert row["ci_low"] < row["mean"] < row["ci_high"]
        for path in paths(inputs, "--zoos"):
            row = summary.loc[(path.stem, "B_T", 3)]
            assert row["n"] == 4
            assert row["mean"] == pytest.approx(accuracy(path)[-4:, 3].mean())

    def test_published(self, table):
        keys = ["source", "method", "epoch"]
        summary = pd.read_csv(table[0]).set_index(keys).sort_index()
        for method in ("S_KDE30", "released"):
            assert summary.loc[("mnist", method, 1), "published_mean"] == 0.837
        assert summary.loc["digits", "published_mean"].isna().all()

    def test_best_is_bold(self, table):
        summary = pd.read_csv(table[0])
        html = table[0].with_suffix(".html").read_text()
        rules = re.findall(r"([^{}]*)\{\s*font-weight: bold;\s*\}", html)
        cells = [c for rule in rules for c in re.findall(r"#(\w+)", rule)]
        bold = {re.search(rf'id="{cell}"[^>]*>([\d.]+) ±', html)[1] for cell in cells}
        others = summary[summary["method"] != "soup"]
        best = others.groupby(["source", "epoch"])["mean"].max()
        assert bold == {f"{100 * mean:.1f}" for mean in best}
        assert table[0].with_suffix(".tex").read_text().count(r"\bfseries") == len(best)

    def test_page_stands_alone_and_explains_itself(self, table):
        html = table[0].with_suffix(".html").read_text()
        assert html.startswith("<!doctype html>")
        assert "http" not in html
        for words in (
            "ddof 0",
            "Of one group: the interval is over its networks",
            "95 % confidence interval",
            "best 30 % by validation accuracy",
            "hyper-representations trained per zoo: 2",
            "Base seed 3",
            ">references<",
        ):
            assert words in html

    def test_printed(self, table):
        printed = table[1]
        assert printed.index("MNIST") < printed.index("Digits")
        assert re.search(r"references +soup† +1 +\d\d\.\d \[n = 1\]", printed)

    def test_same_again(self, table, inputs, tmp_path):
        again = tmp_path / "table.csv"
        run("make_table.py", *inputs, "--output", again)
        for suffix in (".csv", ".tex", ".html"):
            first = table[0].with_suffix(suffix).read_bytes()
            assert again.with_suffix(suffix).read_bytes() == first

    def test_no_references(self, inputs, tmp_path):
        start = inputs.index("--references") + 1
        flags = inputs[:start] + inputs[start + 2 :]
        run("make_table.py", *flags, "--output", tmp_path / "table.csv")
        assert "soup" not in (tmp_path / "table.csv").read_text()

    def test_failure_is_one_line_and_leaves_the_old_table(self, inputs, tmp_path):
        old = tmp_path / "table.csv"
        old.write_text("old")
        missing = ["none.h5" if "soup" in flag else flag for flag in inputs]
        message = run("make_table.py", *missing, "--output", old, fails=True)
        assert "error: none.h5: no such file" in message
        assert "Traceback" not in message
        assert old.read_text() == "old"

    def test_output_must_be_csv(self, inputs, tmp_path):
        output = tmp_path / "table.html"
        message = run("make_table.py", *inputs, "--output", output, fails=True)
        assert "must end in .csv" in message

    def test_help(self):
        assert "--statistics.confidence" in run("make_table.py", "--help")


@pytest.fixture(scope="module")
def figures(inputs, tmp_path_factory) -> dict[str, pd.DataFrame]:
    """Draws all figures and returns the numbers beside each."""
    folder = tmp_path_factory.mktemp("figures")
    data = {}
    for name in ("finetuning", "epoch_zero", "zoo"):
        output = folder / f"{name}.pdf"
        run("make_figure.py", "--figure", name, *inputs, "--output", output)
        assert output.read_bytes().startswith(b"%PDF")
        assert output.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
        data[name] = pd.read_csv(output.with_suffix(".csv"))
    return data


@pytest.fixture(scope="module")
def samplers(tmp_path_factory) -> list[str]:
    """Returns the flags of the table samplers: nothing is finetuned."""
    folder = tmp_path_factory.mktemp("samplers")
    rng = np.random.default_rng(1)
    methods = {"S_U": 0.12, "S_Neigh30": 0.3, "S_GAN30": 0.4, "S_KDE30": 0.7}
    references = {"B_F": 0.8, "B_F30": 0.85, "soup": 0.5}
    files = {}
    for method, level in (methods | references).items():
        count = 1 if method == "soup" else 8
        accuracy = rng.normal(level, 0.04, count).clip(0, 1)
        arrays = {
            "accuracy/test": accuracy.astype(np.float32),
            "hyper_rep_seed": np.repeat([1, 2], 4)[:count],
            "source_model": np.full((count, 5), -1),
        }
        about = {"kind": "samples", "source": "mnist", "method": method}
        latent = "normalized" if method in methods else ""
        settings = json.dumps({"sampler": "kde", "hyper_rep": latent})
        path = folder / f"{method}.h5"
        files[method] = write(path, arrays, settings=settings, **about)
    flags = {
        "--zoos": [write_zoo(folder, "mnist", rng)],
        "--samples": [files[name] for name in methods],
        "--references": [files[name] for name in references],
        "--published": [ROOT / "config" / "published.yaml"],
        "--epochs": [0, 3],
        "--table": ["samplers"],
    }
    return [str(part) for flag, values in flags.items() for part in (flag, *values)]


class TestSamplers:
    """The table and the figure of samplers."""

    def test_table(self, samplers, tmp_path):
        output = tmp_path / "samplers.csv"
        printed = run("make_table.py", *samplers, "--output", output)
        summary = pd.read_csv(output).set_index(["method", "epoch"])
        # B_T at both epochs, all others as they are sampled
        assert len(summary) == 2 + 4 + 3
        for path in paths(samplers, "--samples") + paths(samplers, "--references"):
            row, values = summary.loc[(path.stem, 0)], accuracy(path)
            assert row["n"] == len(values)
            assert row["mean"] == pytest.approx(values.mean())
            assert row["std"] == pytest.approx(values.std(ddof=0))
            assert row["median"] == pytest.approx(np.median(values))
        zoo = accuracy(paths(samplers, "--zoos")[0])[-4:]
        for epoch in (0, 3):
            row = summary.loc[("B_T", epoch)]
            assert row["mean"] == pytest.approx(zoo[:, epoch].mean())
        assert summary.loc[("S_KDE30", 0), "published_median"] == 0.745
        assert summary["published_mean"].isna().all()
        apart = summary.index[summary["reference"]].get_level_values("method")
        assert list(apart) == ["B_F", "B_F30", "soup"]
        # references are better here, but do not compete
        assert re.search(r"S_KDE30 .* median \d\d\.\d \* +median ≈ 74\.5", printed)
        assert re.search(r"references +B_F† .*\n +B_F30† .*\n +soup† ", printed)
        assert list(summary.index[summary["trivial"]]) == [(x, 0) for x in apart]
        html = output.with_suffix(".html").read_text()
        assert "read off a plot by eye" in html

    def test_figure(self, samplers, tmp_path):
        output = tmp_path / "samplers.pdf"
        run(
            *("make_figure.py", "--figure", "samplers", *samplers),
            *("--output", output),
        )
        data = pd.read_csv(output.with_suffix(".csv"))
        shown = data.set_index(["method", "epoch", "statistic"]).sort_index()[
            "accuracy"
        ]
        for path in paths(samplers, "--samples"):
            values = accuracy(path)
            np.testing.assert_allclose(shown.loc[(path.stem, 0, "sample")], values)
            median = shown.loc[(path.stem, 0, "median")].item()
            assert median == pytest.approx(np.median(values))
        assert shown.loc[("S_GAN30", 0, "published_median")].item() == 0.37
        assert len(shown.loc[("B_T", 3, "sample")]) == 4


@pytest.fixture(scope="module")
def transfer(tmp_path_factory) -> list[str]:
    """Returns the flags of a transfer in both directions and its zoos."""
    folder = tmp_path_factory.mktemp("transfer")
    rng = np.random.default_rng(2)
    pairs = (("svhn", "mnist"), ("mnist", "svhn"))
    files = []
    for source, target in pairs:
        for method in ("B_F", "S_KDE30"):
            arrays = {
                "accuracy/test": rng.uniform(0.2, 0.7, (6, 4)).astype(np.float32),
                "hyper_rep_seed": np.full(6, -1),
                "source_model": np.arange(6),
            }
            about = {"source": source, "target": target, "method": method}
            path = folder / f"finetuned/{source}-{target}/{method}.h5"
            settings = json.dumps({"sampler": "identity"})
            files.append(
                write(path, arrays, kind="finetuned", settings=settings, **about)
            )
    flags = {
        "--zoos": [write_zoo(folder, target, rng) for _, target in pairs],
        "--finetuned": files,
        "--published": [ROOT / "config" / "published.yaml"],
        "--epochs": [0, 1, 3],
        "--table": ["transfer"],
    }
    return [str(part) for flag, values in flags.items() for part in (flag, *values)]


class TestTransfer:
    """The table and the figure of transfer."""

    def test_table(self, transfer, tmp_path):
        output = tmp_path / "transfer.csv"
        printed = run("make_table.py", *transfer, "--output", output)
        keys = ["source", "target", "method", "epoch"]
        summary = pd.read_csv(output).set_index(keys).sort_index()
        assert len(summary) == 2 * 3 * 3
        for path in paths(transfer, "--zoos"):
            # from scratch is the target's own zoo, whatever the source
            (source,) = {"mnist", "svhn"} - {path.stem}
            row = summary.loc[(source, path.stem, "B_T", 3)]
            assert row["mean"] == pytest.approx(accuracy(path)[-4:, 3].mean())
        for path in paths(transfer, "--finetuned"):
            pair = path.parent.name.split("-")
            row = summary.loc[(*pair, path.stem, 1)]
            assert row["mean"] == pytest.approx(accuracy(path)[:, 1].mean())
        assert summary.loc[("svhn", "mnist", "B_T", 1), "published_mean"] == 0.206
        assert summary.loc[("svhn", "mnist", "B_F", 0), "published_mean"] == 0.334
        assert summary.loc[("mnist", "svhn")]["published_mean"].isna().all()
        assert printed.index("SVHN → MNIST") < printed.index("MNIST → SVHN")

    def test_figure(self, transfer, tmp_path):
        output = tmp_path / "transfer.pdf"
        run(
            *("make_figure.py", "--figure", "transfer", *transfer),
            *("--output", output),
        )
        keys = ["source", "target", "method", "epoch"]
        data = pd.read_csv(output.with_suffix(".csv")).set_index(keys).sort_index()
        assert len(data) == 2 * 3 * 4
        for path in paths(transfer, "--finetuned"):
            shown = data.loc[(*path.parent.name.split("-"), path.stem), "mean"]
            np.testing.assert_allclose(shown, accuracy(path).mean(axis=0))


class TestFigure:
    """make_figure.py."""

    def test_finetuning_shows_every_epoch_and_no_reference(self, figures, inputs):
        keys = ["source", "method", "epoch"]
        data = figures["finetuning"].set_index(keys).sort_index()["mean"]
        assert len(data) == 2 * 3 * 4
        for path in paths(inputs, "--finetuned"):
            zoo = path.parent.name.split("-")[0]
            shown = data.loc[(zoo, path.stem)]
            np.testing.assert_allclose(shown, accuracy(path).mean(axis=0))

    def test_finetuning_agrees_with_the_table(self, figures, table):
        keys = ["source", "method", "epoch"]
        shown = figures["finetuning"].set_index(keys)
        summary = pd.read_csv(table[0]).set_index(keys)
        both = summary.index.intersection(shown.index)
        assert len(both) == 18
        told = shown.loc[both, summary.columns]
        pd.testing.assert_frame_equal(summary.loc[both], told)

    def test_epoch_zero_shows_every_network(self, figures, inputs):
        data = figures["epoch_zero"].set_index(["source", "method", "statistic"])
        data = data.sort_index()["accuracy"]
        for path in paths(inputs, "--finetuned"):
            zoo = path.parent.name.split("-")[0]
            values = accuracy(path)[:, 0]
            np.testing.assert_allclose(data.loc[(zoo, path.stem, "sample")], values)
            for statistic, q in (("q05", 0.05), ("median", 0.5), ("q75", 0.75)):
                shown = data.loc[(zoo, path.stem, statistic)].item()
                assert shown == pytest.approx(np.quantile(values, q))
        for path in paths(inputs, "--references"):
            shown = data.loc[(path.parent.name, "soup", "sample")].item()
            assert shown == pytest.approx(accuracy(path)[0])
        assert data.loc[("mnist", "released", "published_mean")].item() == 0.686

    def test_zoo_shows_all_models(self, figures, inputs):
        data = figures["zoo"].set_index(["target", "epoch"])
        for path in paths(inputs, "--zoos"):
            shown = data.loc[path.stem]
            assert set(shown["n"]) == {20}
            for statistic, q in (("q25", 0.25), ("median", 0.5), ("q95", 0.95)):
                expected = np.quantile(accuracy(path), q, axis=0)
                np.testing.assert_allclose(shown[statistic], expected)
        assert data.loc[("mnist", 1), "published_mean"] == 0.206
        assert data.loc[("mnist", 1), "published_std"] == 0.016

    def test_same_again(self, inputs, tmp_path):
        for name in ("one", "two"):
            output = tmp_path / f"{name}.pdf"
            run("make_figure.py", "--figure", "zoo", *inputs, "--output", output)
        for suffix in (".pdf", ".png", ".csv"):
            one, two = ((tmp_path / n).with_suffix(suffix) for n in ("one", "two"))
            assert one.read_bytes() == two.read_bytes()

    def test_unknown_figure(self, inputs, tmp_path):
        output = tmp_path / "figure.pdf"
        message = run(
            "make_figure.py", "--figure", "zo", *inputs, "--output", output, fails=True
        )
        assert (
            "unknown 'zo'; settings/sections.py has finetuning, epoch_zero, zoo,"
            in message
        )

    def test_output_must_be_pdf(self, inputs, tmp_path):
        output = tmp_path / "figure.png"
        message = run(
            "make_figure.py", "--figure", "zoo", *inputs, "--output", output, fails=True
        )
        assert "must end in .pdf" in message


@pytest.mark.parametrize(
    "path", sorted((ROOT / "workflow/report").glob("*.rst")), ids=str
)
@pytest.mark.parametrize("whole", [True, False])
def test_captions_render(path, whole):
    """Captions are valid reStructuredText for the paper's config and for none."""
    config = read_over_shipped(ROOT / "config") if whole else {}
    # as snakemake does
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(path.read_text(encoding="utf-8"))
    caption = template.render(snakemake=SimpleNamespace(config=config))
    strict = {"halt_level": 2, "report_level": 2}
    assert publish_parts(caption, writer="html", settings_overrides=strict)["body"]
