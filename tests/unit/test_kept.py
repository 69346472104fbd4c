"""What is kept of a run gives its tables again, and nothing else passes for them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hyperreps.config.config_files import read_over_shipped
from hyperreps.config.needs import missing_results
from hyperreps.files.storage import DataFileError, dataset_names, write_arrays
from hyperreps.results import history
from hyperreps.results.finished import Run, read_jobs
from hyperreps.results.keeping import _flags, redraw, slim
from hyperreps.results.kept import (
    INPUTS,
    RUN_FILE,
    Kept,
    different,
    read_like,
    runs,
    texts,
    write_texts,
)
from hyperreps.results.result import Sources
from hyperreps.results.tables.accuracies import Accuracies
from hyperreps.results.tables.published import Numbers, Published, verdict
from hyperreps.zoo.members import sample_groups

from ..processes import python
from .result_files import finetuned_file, zoo_file

REFERENCE = Path(__file__).parents[2] / "results" / "reference"
SCRIPT = Path(__file__).parents[2] / "workflow" / "scripts" / "verify_results.py"
RUN = "2026-11-26_mnist_stl10"
TABLE = "tables/in_distribution.csv"
# of everything that is kept
LARGEST = 10_000_000


def verified(folder: Path, *words: str) -> CompletedProcess[str]:
    """Runs verify_results.py, as make verify does."""
    return python([str(SCRIPT), "--folder", str(folder), *words])


def test_all_that_is_kept_is_made_again() -> None:
    done = verified(REFERENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{RUN}\n  made again: tables/in_distribution, " in done.stdout


def test_all_that_is_kept_is_small_and_names_no_machine() -> None:
    files = [path for path in REFERENCE.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < LARGEST
    for path in files:
        if path.suffix not in (".png", ".xz"):
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"(?<![\w.])/(home|root|tmp|work|opt|usr)/", text), (
                path
            )


def test_a_run_that_finetunes_nothing_has_nothing_finetuned_in_the_history() -> None:
    table = history.history(runs(REFERENCE))
    before = table[table["epochs"] == 0]
    assert before["s"].notna().all()
    assert len(before) > 0
    finetuned = ["b_t", "s_last", "b_last"]
    assert before[finetuned].isna().all(axis=None)
    assert table.loc[table["epochs"] > 0, finetuned].notna().all(axis=None)


@pytest.fixture
def copy(tmp_path: Path) -> Kept:
    """One of the runs alone, with a page and a history of its own."""
    folder = tmp_path / "reference"
    shutil.copytree(REFERENCE / RUN, folder / RUN)
    write_texts(folder, history.texts(runs(folder)))
    return Kept(folder / RUN)


def edited(kept: Kept, name: str, old: str, new: str) -> None:
    path = kept.folder / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_figures_are_drawn_again_from_their_numbers_alone(copy: Kept) -> None:
    (copy.folder / INPUTS).unlink()
    names = ["epoch_zero", "finetuning", "zoo"]
    for name in names:
        (copy.folder / f"figures/{name}.png").unlink()
    numbers = copy.folder / "figures/zoo.csv"
    before = numbers.read_bytes()
    assert redraw(copy) == names
    for name in names:
        with Image.open(copy.folder / f"figures/{name}.png") as image:
            assert image.width == 6.75 * 200
    assert numbers.read_bytes() == before
    edited(copy, "figures/zoo.csv", "median", "middle")
    with pytest.raises(DataFileError, match=r"zoo\.csv: not the numbers of this"):
        redraw(copy)


def test_one_changed_number_is_named(copy: Kept) -> None:
    number = pd.read_csv(copy.folder / TABLE)["mean"][2]
    edited(copy, TABLE, f",{number},", f",{number + 1e-4},")
    done = verified(copy.folder.parent)
    assert done.returncode == 1
    said = f"{TABLE}: line 4 (mnist, mnist, S_KDE30_released, 0, 150): mean is"
    assert said in done.stderr.splitlines()[-1]
    assert f"made again {number}\n" in done.stdout


def test_every_changed_word_is_named_until_all_are_written_anew(copy: Kept) -> None:
    words = {
        "tables/in_distribution.txt": ("77.4", "77.5"),
        "tables/samplers.tex": ("epoch 25", "epoch 26"),
        "tables/published.txt": ("above by 7.2", "inside"),
        "../README.md": ("4 of 26", "26 of 26"),
    }
    for name, (old, new) in words.items():
        edited(copy, name, old, new)
    (copy.folder / "tables/published.tex").unlink()
    done = verified(copy.folder.parent)
    assert done.returncode == 1
    assert "error: 5 differences" in done.stderr
    for name, (old, _) in words.items():
        (said,) = [x for x in done.stdout.splitlines() if f"{Path(name).name}: " in x]
        assert old in said.partition("made again")[2]
    assert verified(copy.folder.parent, "--rewrite", "True").returncode == 0
    for path in copy.folder.glob("tables/*"):
        assert (
            path.read_bytes() == (REFERENCE / RUN / "tables" / path.name).read_bytes()
        )


def test_one_changed_accuracy_is_seen_in_the_tables(copy: Kept) -> None:
    with copy.unpacked() as folder:
        path = folder / "finetuned/stl10-stl10/B_F30.h5"
        with h5py.File(path) as file:
            arrays = {name: file[name][()] for name in dataset_names(file)}
            about = dict(file.attrs)
        arrays["accuracy/test"][3, 25] += 0.01
        write_arrays(path, arrays, attributes=about)
        with tarfile.open(copy.folder / INPUTS, "w:xz") as archive:
            for part in ("zoos", "finetuned"):
                archive.add(folder / part, part)
    done = verified(copy.folder.parent)
    assert done.returncode == 1
    found = [line for line in done.stdout.splitlines() if f"{TABLE}: line" in line]
    assert found
    assert all("(stl10, stl10, B_F30, 25, 150)" in line for line in found)
    assert "significance_in_distribution.csv: line" in done.stdout


def test_what_is_damaged_is_one_line(copy: Kept, tmp_path: Path) -> None:
    archive = copy.folder / INPUTS
    archive.write_bytes(archive.read_bytes()[:-1000])
    damaged = pytest.raises(DataFileError, match=r"inputs\.tar\.xz: damaged")
    with damaged, copy.unpacked():
        pass
    edited(copy, RUN_FILE, "--epochs", "--epoch-numbers")
    with pytest.raises(DataFileError, match="flags that are no longer known"):
        [made.sources for made in Kept(copy.folder).made]
    edited(copy, RUN_FILE, "results:", "result:")
    with pytest.raises(DataFileError, match=r"run\.yaml: damaged"):
        Kept(copy.folder)
    with pytest.raises(DataFileError, match="no run is kept there"):
        runs(tmp_path / "none")


def test_a_csv_is_read_as_what_it_was_written_from(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "against": ["", "1", "1.0"],
            "known": [True, False, True],
            "n": [1, 2, 3],
            "value": [0.1, np.nan, 1 / 3],
        }
    )
    frame.to_csv(tmp_path / "x.csv", index=False)
    again = read_like(tmp_path / "x.csv", frame)
    assert again.to_dict("list").items() >= {"against": ["", "1", "1.0"]}.items()
    assert list(different(again, frame)) == []
    assert list(different(again.assign(n=[1, 2, 4]), frame)) == [
        "line 4 (1.0, True, 4): n is 4, made again 3"
    ]
    assert list(different(again[:2], frame)) != []


def test_numbers_agree_to_six_digits() -> None:
    old = pd.DataFrame({"name": ["a"], "value": [0.5]})
    assert list(different(old, old.assign(value=0.5 + 1e-7))) == []
    assert len(list(different(old, old.assign(value=0.5 + 1e-6)))) == 1
    assert len(list(different(old, old.assign(value=np.nan)))) == 1


def test_a_slim_file_is_that_file_without_weights(tmp_path: Path) -> None:
    arrays = {
        "weights": np.zeros((4, 5)),
        "accuracy/test": np.arange(4.0),
        "accuracy/val": np.zeros(4),
        "a/matched_weights": np.zeros(3),
        "a/aligned": np.arange(3.0),
    }
    path, small = tmp_path / "one/x.h5", tmp_path / "two/one/x.h5"
    write_arrays(path, arrays, attributes={"kind": "samples", "method": "S"})
    small.parent.mkdir(parents=True)
    slim(path, small)
    with h5py.File(small) as file, h5py.File(path) as whole:
        assert list(file["accuracy"]) == ["test"]
        assert list(file["a"]) == ["aligned"]
        assert "weights" not in file
        np.testing.assert_array_equal(file["accuracy/test"], np.arange(4.0))
        assert dict(file.attrs).keys() == dict(whole.attrs).keys()
        assert file.attrs["git_commit"] == whole.attrs["git_commit"]


def test_a_slim_file_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    about = {"kind": "samples", **{f"key{number}": number for number in range(8)}}
    path = tmp_path / "one/x.h5"
    write_arrays(path, {"accuracy/test": np.arange(4.0)}, attributes=about)
    lines = "import sys, pathlib; from hyperreps.results.keeping import slim;"
    lines += "slim(*map(pathlib.Path, sys.argv[1:]))"
    made = set()
    for seed in "12":
        small = tmp_path / seed / "one/x.h5"
        small.parent.mkdir(parents=True)
        subprocess.run(
            [sys.executable, "-c", lines, str(path), str(small)],
            cwd=SCRIPT.parent,
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
        )
        made.add(small.read_bytes())
    assert len(made) == 1


def test_of_probes_only_held_out_networks_are_kept(tmp_path: Path) -> None:
    arrays = {
        "split": np.array(["train", "test", "test"], "S"),
        "predicted/gap": np.arange(6.0).reshape(2, 3),
        "hyper_rep_seed": np.arange(2),
    }
    path, small = tmp_path / "one/x.h5", tmp_path / "two/one/x.h5"
    write_arrays(path, arrays, attributes={"kind": "properties"})
    small.parent.mkdir(parents=True)
    slim(path, small)
    with h5py.File(small) as file:
        assert file["predicted/gap"][()].tolist() == [[1, 2], [4, 5]]
        assert file["hyper_rep_seed"].shape == (2,)


def test_of_sources_by_dimension_is_kept_that_there_is_no_single_one(
    tmp_path: Path,
) -> None:
    arrays = {
        "source_model": np.arange(6).reshape(2, 3),
        "hyper_rep_seed": np.full(2, -1),
    }
    path, small = tmp_path / "one/x.h5", tmp_path / "two/one/x.h5"
    write_arrays(path, arrays, attributes={"kind": "samples"})
    small.parent.mkdir(parents=True)
    slim(path, small)
    groups = []
    for name in (path, small):
        with h5py.File(name) as file:
            seeds, models = (
                file[key][()] for key in ("hyper_rep_seed", "source_model")
            )
        groups.append(sample_groups(seeds, models).tolist())
    assert groups[0] == groups[1]
    assert models.shape == (2,)


def test_numbers_of_another_version_are_named_in_one_line(copy: Kept) -> None:
    shown = next(one for one in copy.shown() if one.name == "reconstruction")
    older = shown._replace(frame=shown.frame.drop(columns="mean"))
    with pytest.raises(
        DataFileError, match=r"^tables/reconstruction\.csv: .*mean.*; make it again$"
    ):
        texts([older])


def test_settings_of_another_version_are_no_reason_not_to_keep(tmp_path: Path) -> None:
    config = read_over_shipped(SCRIPT.parents[2] / "config")
    wanted = missing_results(tmp_path, config)
    assert "tables/in_distribution" in wanted
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/in_distribution.csv").touch()
    assert "tables/in_distribution" not in missing_results(tmp_path, config)
    said = missing_results(tmp_path, {**config, "gone": 1})
    assert said.startswith("not known")


LOG = """12:00:00 command: python make_table.py --zoos {r}/zoos/a.h5 --finetuned \
{r}/finetuned/a-a/S.h5 --published '/p q/published.yaml' --epochs 0 1 --output \
{r}/tables/x.csv
the table
12:00:01 done: 1.0 s of CPU time
"""


def test_a_log_says_how_a_table_was_made(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text(LOG.replace("{r}", "results/mine"))
    assert _flags(log) == (
        "--zoos zoos/a.h5 --finetuned finetuned/a-a/S.h5 --published published.yaml"
        " --epochs 0 1"
    )
    log.write_text(LOG.partition("12:00:01")[0])
    with pytest.raises(DataFileError, match=r"x\.log: does not say how"):
        _flags(log)


def test_a_job_is_what_it_took_and_what_it_said_last(tmp_path: Path) -> None:
    logs, benchmarks = tmp_path / "logs", tmp_path / "benchmarks"
    (logs / "zoos/a").mkdir(parents=True)
    (benchmarks / "zoos/a").mkdir(parents=True)
    said = "1:00 command: x\n{t} command: x\n{t} epoch 3/3  loss 0.1\n{t} done: 1 s\n"
    (logs / "zoos/a/seeds_1_2.log").write_text(said.replace("{t}", "01:02:03"))
    (logs / "zoos/b.log").write_text("OSError: /a/b/c.h5 is gone\n")
    (benchmarks / "zoos/a/seeds_1_2.tsv").write_text(
        "s\th:m:s\tmax_rss\tcpu_time\n2.5\t0:00:02\t64.0\t2.0\n"
    )
    jobs = read_jobs(Run(tmp_path, logs, benchmarks))
    first, second = jobs.itertuples(index=False)
    assert first == ("zoos/a/seeds_1_2", True, 2.5, 2.0, 64.0, "epoch 3/3  loss 0.1")
    assert second[:2] == ("zoos/b", False)
    assert jobs["log"][1] == "OSError: c.h5 is gone"


@pytest.fixture
def accuracies(tmp_path: Path) -> Accuracies:
    """B_T at 0.5 and 0.7, S at 0.6 to 0.8 after one epoch of two seeds."""
    published = tmp_path / "published.yaml"
    published.write_text(
        "in_distribution: {source: x, unit: percent, statistic: mean, accuracy: {mnist:"
        " {B_T: {1: ≈60}, S_KDE30: {1: 90.0 ± 2.0}}}}\n"
        "samplers: {source: x, unit: fraction, statistic: median, accuracy: {mnist:"
        " {S_KDE30: {1: ~0.6}}}}\n",
        encoding="utf-8",
    )
    accuracy = [[0.1, x] for x in (0.6, 0.62, 0.78, 0.8)]
    seeds = np.array([1, 1, 2, 2])
    finetuned = finetuned_file(tmp_path, accuracy, hyper_rep_seed=seeds)
    return Accuracies(
        Sources(
            zoos=(zoo_file(tmp_path),),
            finetuned=(finetuned,),
            published=published,
            epochs=(1,),
        )
    )


def test_a_published_number_is_inside_or_outside_by_so_much(
    accuracies: Accuracies,
) -> None:
    frame = accuracies.frame()
    numbers = Numbers("in_distribution", accuracies, frame, again=frame)
    table = Published([numbers])
    frame = table.frame()
    trained, sampled = frame.itertuples()
    assert (trained.name, trained.n, verdict(trained)) == ("B_T", 2, "inside")
    # the means of the seeds, 0.61 and 0.79, differ too much to exclude anything
    assert (sampled.groups, sampled.ci_high, verdict(sampled)) == (2, 1.0, "inside")
    for value, said in ((0.95, "above by 5.0"), (0.8, "below by 10.0")):
        ends = {"ci_low": value, "ci_high": value}
        moved = accuracies.frame().assign(**ends)
        frame = Published([numbers._replace(frame=moved)]).frame()
        assert verdict(next(frame[1:].itertuples())) == said
    assert "MNIST, in_distribution, epoch 1" in table.text(frame)


def test_printed_digits_are_all_that_is_known(accuracies: Accuracies) -> None:
    for low, said in ((0.9004, "inside"), (0.9006, "above by 0.1")):
        frame = accuracies.frame().assign(ci_low=low, ci_high=1.0)
        numbers = Numbers("in_distribution", accuracies, frame, again=frame)
        _, sampled = Published([numbers]).frame().itertuples()
        assert verdict(sampled) == said


def test_a_median_has_an_interval_where_the_networks_are_known(
    accuracies: Accuracies,
) -> None:
    table = Accuracies(replace(accuracies.sources, table="samplers"))
    frame = table.frame()
    for again, said in ((frame, "inside"), (None, "no interval")):
        numbers = Numbers("samplers", table, frame, again)
        (row,) = Published([numbers]).frame().itertuples()
        assert (row.statistic, row.published) == ("median", 0.6)
        assert row.ours == pytest.approx(0.7)
        assert verdict(row) == said
