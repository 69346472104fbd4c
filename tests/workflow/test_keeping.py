"""A finished run is kept, holds, and no longer does when one number is another."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import yaml
from PIL import Image

from .project import FIGURES, NOVELTY_FIGURES, RESULTS, TABLES, Finished, Project

ALL_TABLES = {*TABLES, *(f"significance_{table}" for table in TABLES), "novelty"}


def keep(finished: Project, folder: Path, *words: str) -> Finished:
    script = "workflow/scripts/keep_results.py"
    wanted = ("--results", RESULTS, "--folder", str(folder), "--name", "one")
    return finished.python(script, *wanted, *words)


def verify(finished: Project, folder: Path) -> Finished:
    return finished.python(
        "workflow/scripts/verify_results.py", "--folder", str(folder)
    )


def test_a_run_is_kept_and_one_changed_number_is_found(
    finished: Project, tmp_path: Path
) -> None:
    before = finished.files()
    done = keep(finished, tmp_path, "--note", "as small as it gets")
    assert done.code == 0, done.output
    assert finished.files() == before
    one = tmp_path / "one"
    about = yaml.safe_load((one / "run.yaml").read_text(encoding="utf-8"))
    assert (about["experiment"], about["note"]) == ("smoke", "as small as it gets")
    assert (about["missing"], about["not_finished"]) == ([], [])
    made = {
        (entry["kind"], entry["name"]): entry["again"] for entry in about["results"]
    }
    assert {name for kind, name in made if kind == "table"} == ALL_TABLES
    # the copies show weights, which are not kept
    assert [key for key, again in made.items() if not again] == [("figure", "copies")]
    for name in FIGURES + NOVELTY_FIGURES:
        with Image.open(one / "figures" / f"{name}.png") as image:
            assert image.mode == "P"
    for name in ALL_TABLES:
        table = one / "tables" / f"{name}.csv"
        assert (
            table.read_bytes()
            == (finished.results / "tables" / f"{name}.csv").read_bytes()
        )
        written = finished.results / "tables" / f"{name}.tex"
        assert table.with_suffix(".tex").read_bytes() == written.read_bytes()
    jobs = pd.read_csv(one / "jobs.csv", keep_default_na=False)
    benchmarks = list((finished.root / "benchmarks/smoke").rglob("*.tsv"))
    assert len(jobs) == len(benchmarks) == about["jobs"]
    assert sum(part["jobs"] for part in about["stages"].values()) == len(jobs)
    assert (jobs["log"] != "").all()
    history = pd.read_csv(tmp_path / "history.csv")
    assert history[["run", "zoo"]].to_numpy().tolist() == [["one", "digits"]]

    done = verify(finished, tmp_path)
    assert done.code == 0, done.output
    table = one / "tables/novelty.csv"
    value = pd.read_csv(table)["value"][0]
    text = table.read_text(encoding="utf-8")
    table.write_text(text.replace(f",{value},", f",{value + 0.01},", 1), "utf-8")
    done = verify(finished, tmp_path)
    assert done.code == 1
    assert "one/tables/novelty.csv: line 2 (" in done.output.splitlines()[-1]
    assert f"made again {value}" in done.output

    done = keep(finished, tmp_path)
    assert done.code == 1
    assert "one: is there already; give another --name" in done.output


def test_what_cannot_be_kept_leaves_nothing(project: Project, tmp_path: Path) -> None:
    log = project.root / "logs/smoke/tables/samplers.log"
    log.write_text(log.read_text(encoding="utf-8").partition("done: ")[0], "utf-8")
    done = keep(project, tmp_path / "kept")
    assert done.code == 1
    said = "samplers.log: does not say how a job that finished was started"
    assert said in done.output.splitlines()[-1]
    shutil.rmtree(project.root / "logs")
    done = keep(project, tmp_path / "kept")
    assert "architectures.log: no such file" in done.output
    assert not list((tmp_path / "kept").glob("*"))


def test_a_table_that_its_inputs_do_not_give_is_not_kept(
    project: Project, tmp_path: Path
) -> None:
    numbers = project.results / "tables/transfer.csv"
    table = pd.read_csv(numbers)
    table.assign(mean=table["mean"] + 0.01).to_csv(numbers, index=False)
    done = keep(project, tmp_path / "kept")
    assert done.code == 1
    assert "tables/transfer.csv: line 2 (" in done.output.splitlines()[-1]
    assert not list((tmp_path / "kept").glob("*"))
