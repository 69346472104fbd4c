"""The whole DAG at its smallest: what it leaves, how long it takes, its report."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file

from hyperreps.config.config_files import read_config
from hyperreps.config.configuration import load_settings
from hyperreps.config.costs import Speeds, Work
from hyperreps.config.space import folders
from hyperreps.results.result import Sources, find
from hyperreps.settings.sections import declared

from ..conftest import SmokeRun
from .project import (
    FIGURES,
    NOVELTY_FIGURES,
    NOVELTY_JOBS,
    RESULT_JOBS,
    RESULTS,
    TABLES,
    Project,
    arrays,
    assert_same_arrays,
    job_counts,
)

GENERATED = ("S_KDE30", "S_KDE30_released", "B_KDE30", "B_KDE30_released")
# finetuned as well, but no hyper-representation has made them
TRIVIAL = ("B_F30", "noise_top30", "soup16_top30")
FINETUNED = (*GENERATED, *TRIVIAL)
REFERENCES = ("mean_top30", "reconstruction")
COMPARED = ("S_U", "S_Neigh", "S_GAN30", "jump", "S_KDE_worst30", "B_F")
# with the architecture that they become and its number of parameters
TRANSPLANTED = {
    "R_res_skip": ("cnn_res_skip", 2562),
    "S_KDE30_res_skip": ("cnn_res_skip", 2562),
    "S_KDE30_4conv_vector": ("cnn_4conv", 2464),
}
SAMPLED = (*FINETUNED, *REFERENCES, *COMPARED, *TRANSPLANTED)
TRANSFERRED = ("B_F", "S_KDE30")
AUDITED = ("S_KDE30", "S_KDE30_released", "mean_top30")
TRAINED = [f"{kind}_seed{seed}" for kind in ("baseline", "normalized") for seed in "12"]
PARAMETERS = 2464  # of the CNN with one channel, as in the paper

# every promised file, by the kind that HDF5 files carry as an attribute
HDF5 = {
    "datasets/digits.h5": "dataset",
    "zoos/digits.h5": "zoo",
    "zoos/digits.aligned.h5": "zoo",
    "zoos/digits_fan_in.h5": "zoo",
    **{f"samples/digits/{name}.h5": "samples" for name in SAMPLED},
    **{
        f"finetuned/digits-digits/{name}.h5": "finetuned"
        for name in (*FINETUNED, *TRANSPLANTED)
    },
    **{f"finetuned/digits-digits_fan_in/{n}.h5": "finetuned" for n in TRANSFERRED},
    "novelty/digits.aligned.h5": "novelty_references",
    **{f"novelty/digits/{name}.h5": "novelty" for name in AUDITED},
}
OTHERS = {
    "config.yaml",
    *(f"hyper_reps/digits/{name}.safetensors" for name in TRAINED),
    *(f"hyper_reps/digits/{name}.csv" for name in TRAINED),
    *(
        f"{name}_seed{n}.{end}"
        for name in ("generators/digits/S_GAN30", "jumps/digits/jump")
        for n in "12"
        for end in ("safetensors", "csv")
    ),
    *(
        f"tables/{name}.{suffix}"
        for name in (*TABLES, *(f"significance_{table}" for table in TABLES), "novelty")
        for suffix in ("csv", "tex", "html")
    ),
    "tables/values.tex",
    *(
        f"figures/{name}.{suffix}"
        for name in FIGURES + NOVELTY_FIGURES
        for suffix in ("pdf", "png", "csv")
    ),
}
COLUMNS = (
    "source,target,method,epoch,n,mean,std,ci_low,ci_high,published_mean,published_std,"
    "q25,median,q75,published_median,reference,seeds,seed_std,groups,trivial,r2_held_out"
)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_all_jobs_run_in_the_time_that_is_promised(
    smoke_run: SmokeRun, tried: Counter[str]
) -> None:
    tried["smoke run: seconds of wall time"] += round(smoke_run.wall)
    tried["smoke run: seconds of CPU time"] += round(smoke_run.cpu)
    assert job_counts(smoke_run.output) == {
        "prepare_dataset": 1,
        "train_zoo": 3,  # 8 models in shards of 4, and 3
        "merge_zoo": 2,
        "align_zoo": 1,
        "pretrain": 4,  # 2 variants, 2 seeds
        "train_gan": 2,
        "train_jump": 2,
        "sample": len(SAMPLED),
        "finetune": len(FINETUNED) + len(TRANSFERRED) + len(TRANSPLANTED),
        "audit_references": 1,
        "audit": len(AUDITED),
        **RESULT_JOBS,
        **NOVELTY_JOBS,
    }
    # what two idle cores would need: other load on this machine does not count
    assert min(smoke_run.wall, smoke_run.cpu / 2) < 300


def test_a_run_leaves_the_promised_files_and_no_others(finished: Project) -> None:
    found = {
        str(path.relative_to(finished.results))
        for path in finished.results.rglob("*")
        if path.is_file()
    }
    assert found == HDF5.keys() | OTHERS


@pytest.mark.parametrize("name", HDF5)
def test_hdf5_files_say_what_they_are(finished: Project, name: str) -> None:
    values, attributes = arrays(finished.results / name)
    assert attributes["kind"] == HDF5[name]
    assert json.loads(attributes["versions"]).keys() >= {"python", "torch", "numpy"}
    assert attributes["git_commit"]
    if "weights" in values:
        known = TRANSPLANTED.get(Path(name).stem, ("cnn", PARAMETERS))
        assert (attributes["architecture"], values["weights"].shape[-1]) == known
        assert values["weights"].dtype == np.float32
        assert np.isfinite(values["weights"]).all()


def test_shapes_are_those_of_the_settings(finished: Project) -> None:
    zoo, _ = arrays(finished.results / "zoos" / "digits.h5")
    assert zoo["weights"].shape == (8, 3, PARAMETERS)  # models, epochs from 0
    assert zoo["seed"].tolist() == list(range(1, 9))
    assert sorted(set(zoo["split"])) == [b"test", b"train", b"val"]
    for name in FINETUNED:
        sampled, _ = arrays(finished.results / f"samples/digits/{name}.h5")
        tuned, _ = arrays(finished.results / f"finetuned/digits-digits/{name}.h5")
        if name in GENERATED:
            assert sampled["latents"].shape == (6, 4)  # 3 samples of each of 2 seeds
        assert tuned["epochs"].tolist() == [0, 1]
        np.testing.assert_array_equal(tuned["weights"][:, 0], sampled["weights"])
    assert (
        len(arrays(finished.results / "samples/digits/mean_top30.h5")[0]["weights"])
        == 1
    )


@pytest.mark.parametrize("name", TRAINED)
def test_hyper_representations_open_and_explain_themselves(
    finished: Project, name: str
) -> None:
    folder = finished.results / "hyper_reps" / "digits"
    with safe_open(folder / f"{name}.safetensors", framework="np") as file:
        assert file.keys()
        metadata = file.metadata()
    assert metadata["kind"] == "hyper_rep"
    expected = "none" if name.startswith("baseline") else "layer"
    assert json.loads(metadata["settings"])["loss_normalization"] == expected
    curve = rows_of(folder / f"{name}.csv")
    assert [row["epoch"] for row in curve] == ["1", "2", "3"]
    assert all(np.isfinite(float(row["loss"])) for row in curve)


def test_the_table_holds_each_method_at_each_epoch(finished: Project) -> None:
    path = finished.results / "tables" / "in_distribution.csv"
    table = rows_of(path)
    assert path.read_text(encoding="utf-8").splitlines()[0] == COLUMNS
    epochs = {
        name: {row["epoch"] for row in table if row["method"] == name}
        for name in {row["method"] for row in table}
    }
    assert epochs == {
        **{method: {"0", "1"} for method in ("B_T", *FINETUNED)},
        **{method: {"0"} for method in REFERENCES},
    }
    for row in table:
        assert (row["source"], row["target"]) == ("digits", "digits")
        assert 0 <= float(row["mean"]) <= 1
    assert {row["seeds"] for row in table if row["method"] == "S_KDE30"} == {"2"}
    trivial = {row["method"] for row in table if row["trivial"] == "True"}
    assert trivial == {*TRIVIAL, "mean_top30"}
    assert "</table>" in path.with_suffix(".html").read_text(encoding="utf-8")
    assert r"\end{tabular}" in path.with_suffix(".tex").read_text(encoding="utf-8")


def test_the_other_tables_hold_their_methods(finished: Project) -> None:
    samplers = rows_of(finished.results / "tables" / "samplers.csv")
    apart = {"B_F", "noise_top30", "soup16_top30"}
    assert {row["method"] for row in samplers if row["reference"] == "True"} == apart
    compete = {row["method"] for row in samplers} - apart
    assert compete == {"B_T", "S_KDE30", *COMPARED[:5]}
    assert {row["epoch"] for row in samplers if row["method"] == "B_T"} == {"0", "2"}
    others = rows_of(finished.results / "tables" / "architectures.csv")
    assert [(row["epoch"], row["method"]) for row in others] == [
        (epoch, method) for epoch in "01" for method in ("B_T", *TRANSPLANTED)
    ]
    transfer = rows_of(finished.results / "tables" / "transfer.csv")
    assert [(row["epoch"], row["method"]) for row in transfer] == [
        (epoch, method) for epoch in "01" for method in ("B_T", *TRANSFERRED)
    ]
    assert {(r["source"], r["target"]) for r in transfer} == {
        ("digits", "digits_fan_in")
    }


@pytest.mark.parametrize("name", FIGURES)
def test_figures_open_and_bring_their_numbers(finished: Project, name: str) -> None:
    path = finished.results / "figures" / name
    assert path.with_suffix(".pdf").read_bytes().startswith(b"%PDF-")
    with Image.open(path.with_suffix(".png")) as image:
        image.load()
        assert min(image.size) > 200
        assert len(image.convert("L").getcolors()) > 10, "an empty picture"
    assert rows_of(path.with_suffix(".csv"))


def test_each_job_has_a_log_and_a_benchmark(
    smoke_run: SmokeRun, finished: Project
) -> None:
    jobs = sum(job_counts(smoke_run.output).values())
    for folder, suffix in (("logs", "log"), ("benchmarks", "tsv")):
        files = [*(finished.root / folder / "smoke").rglob(f"*.{suffix}")]
        assert len(files) == jobs
        assert all(path.stat().st_size for path in files)


def test_a_command_from_a_log_can_be_pasted_and_run(
    project: Project, finished: Project
) -> None:
    result = "samples/digits/reconstruction.h5"
    (project.results / result).unlink()
    done = project.run(
        ["bash", "-c", project.command("samples/digits/reconstruction.log")]
    )
    assert done.code == 0, done.output
    assert_same_arrays(project.results / result, finished.results / result)


def test_the_report_is_one_page_that_a_browser_shows_without_network(
    project: Project, tmp_path: Path
) -> None:
    done = project.python("workflow/scripts/make_report.py", "--results", RESULTS)
    assert done.code == 0, done.output
    text = (project.results / "report.html").read_text(encoding="utf-8")
    pictures = (*FIGURES, *NOVELTY_FIGURES)
    for kind, names in (("table", (*TABLES, "novelty")), ("figure", pictures)):
        assert all(f'<section id="{kind}_{name}">' in text for name in names)
    assert "accuracy of B<sub>T</sub>, epoch" in text
    assert "distance to training / to unseen runs, S<sub>KDE30</sub>" in text
    assert not re.findall(r"(?:src|href)=\"(?!#|data:)", text)
    if not shutil.which("chromium"):
        pytest.skip("no chromium: the page is not opened; make test-packages")
    # what the browser has made of the pictures, written into the page itself
    ask = (
        "document.title = [...document.images].map(x => x.naturalWidth).join()"
        " + ' ' + (document.documentElement.scrollWidth - innerWidth)"
    )
    page = tmp_path / "page.html"
    script = f"<script>onload = () => {{ {ask} }}</script></body>"
    page.write_text(text.replace("</body>", script), encoding="utf-8")
    shown = subprocess.run(
        [
            *("chromium", "--headless", "--no-sandbox", "--disable-gpu"),
            *("--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=5000"),
            *("--enable-logging=stderr", f"--user-data-dir={tmp_path / 'user'}"),
            # a phone's
            *("--window-size=500,900", "--dump-dom", page.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    title = re.search(r"<title>([\d,]+) (-?\d+)</title>", shown.stdout)
    assert title, shown.stderr
    widths = [int(width) for width in title[1].split(",")]
    assert len(widths) == len(pictures)
    assert min(widths) > 100
    assert int(title[2]) <= 0, "wider than the window"
    said = [x for x in shown.stderr.splitlines() if "CONSOLE" in x]
    assert not [line for line in said if "page.html" in line]


def test_all_tables_figures_and_values_fit_into_a_paper(
    finished: Project, tmp_path: Path
) -> None:
    """Nothing is wider than the text, and fonts are embedded, none as bitmaps."""
    paper = Path(__file__).parents[2] / "docs" / "paper.tex"
    text = paper.read_text(encoding="utf-8")
    for kind in ("table", "figure"):
        named = re.findall(rf"\\hyper{kind}{{(\w+)}}", text)
        assert sorted(named) == sorted(declared(kind))
    with (finished.results / "tables/in_distribution.csv").open() as file:
        row = next(csv.DictReader(file))
    key = "in_distribution/{source}/{method}/{epoch}".format(**row)
    values = (finished.results / "tables/values.tex").read_text(encoding="utf-8")
    number = f"{100 * float(row['mean']):.1f}"
    assert rf"\csname hyper/{key}\endcsname{{{number}}}" in values
    if not shutil.which("pdflatex"):
        pytest.skip("no pdflatex: nothing is set; make test-packages")
    # fonts are to be read in the file
    start = rf"\pdfobjcompresslevel=0\def\run{{{finished.results}}}\input{{{paper}}}"
    words = ("pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-jobname=paper")
    # the second time, longtable knows its widths
    for _ in range(2):
        done = subprocess.run(
            (*words, start), cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull \\hbox" not in done.stdout
    content = (tmp_path / "paper.pdf").read_bytes()
    assert b"/FontFile2" in content
    assert b"/Type3" not in content


def test_every_figure_is_drawn_again_from_its_numbers(
    finished: Project, tmp_path: Path
) -> None:
    figures = sorted((finished.results / "figures").glob("*.csv"))
    assert len(figures) == len(FIGURES + NOVELTY_FIGURES)
    for numbers in figures:
        again = tmp_path / f"{numbers.stem}.pdf"
        find("figure", numbers.stem)(Sources(numbers=numbers)).write(again)
        for suffix in (".pdf", ".png", ".csv"):
            drawn = numbers.with_suffix(suffix).read_bytes()
            assert again.with_suffix(suffix).read_bytes() == drawn, numbers.stem


def test_results_take_the_room_that_was_estimated(finished: Project) -> None:
    settings = load_settings(read_config(finished.results / "config.yaml"))
    measurements = Path(__file__).parents[2] / "docs" / "measurements"
    estimated: dict[str, float] = {}
    for folder, size in folders(Work(settings, Speeds(measurements))):
        estimated[folder] = estimated.get(folder, 0) + size
    for folder, size in estimated.items():
        files = [*(finished.results / folder).rglob("*.*")]
        held = 0
        for path in files:
            if path.suffix == ".h5":
                held += sum(values.nbytes for values in arrays(path)[0].values())
            elif path.suffix == ".safetensors":
                held += sum(values.nbytes for values in load_file(path).values())
        # of networks this small, numbers beside the weights count for something
        assert 0.75 * held < size <= 1.05 * held, folder


def test_a_run_says_what_it_takes_where_its_results_are_and_why_it_failed(
    smoke_run: SmokeRun, project: Project
) -> None:
    assert re.search(
        r"is \d+ jobs, about \S+ GB of results and \S+ core", smoke_run.output
    )
    assert f"tables   {RESULTS}/tables\n" in smoke_run.output
    assert f"report   make report RESULTS={RESULTS}\n" in smoke_run.output
    zoo = project.results / "zoos/digits.h5"
    before = zoo.stat()
    zoo.write_bytes(zoo.read_bytes()[:5000])
    os.utime(zoo, ns=(before.st_atime_ns, before.st_mtime_ns))
    (project.results / "figures/zoo.pdf").unlink()
    done = project.smoke("figure_zoo", "--cores", "1")
    assert done.code == 1
    log = "logs/smoke/figures/zoo.log"
    shown, _, said = done.output.partition(f"failed   {log}\n")
    assert "digits.h5" in re.search("^error: (.*)", shown, flags=re.M)[1]
    assert "give the same command again" in said


def test_each_stage_is_a_target(finished: Project) -> None:
    stages = (
        "datasets zoos hyper_reps generators samples finetuned tables figures values"
    )
    assert finished.planned(*stages.split()) == {}
