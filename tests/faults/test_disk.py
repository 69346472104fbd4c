"""Full and read-only disks: one clear line, nothing half, and the rerun goes on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ..workflow.project import (
    RESULTS,
    TRACEBACK,
    Finished,
    Project,
    assert_same_results,
    with_flags,
)
from .conftest import fill, read_only, small_disk

BLOCK = 4096  # bytes; what is left of the disk
FINETUNED = f"{RESULTS}/finetuned/digits-digits"
TABLE = f"{RESULTS}/tables/in_distribution.csv"


def error_lines(done: Finished) -> list[str]:
    """Returns the lines that say what is wrong; there has to be nothing worse."""
    assert TRACEBACK not in done.output, done.output
    assert "Exception ignored" not in done.output, done.output
    lines = done.output.splitlines()
    return [line for line in lines if line.startswith("error: ")]


@pytest.mark.parametrize(
    ("log", "name", "leave"),
    [
        pytest.param("datasets/digits.log", "x.h5", BLOCK, id="dataset"),
        pytest.param("zoos/digits.aligned.log", "x.h5", BLOCK, id="zoo"),
        pytest.param(
            *("hyper_reps/digits/normalized_seed1.log", "x.safetensors", BLOCK),
            id="hyper-representation",
        ),
        pytest.param(
            *("hyper_reps/digits/normalized_seed1.log", "x.safetensors", 0),
            id="training curve",
        ),
        pytest.param(
            *("generators/digits/S_GAN30_seed1.log", "x.safetensors", 0),
            id="generator",
        ),
        pytest.param("samples/digits/S_KDE30.log", "x.h5", BLOCK, id="samples"),
        pytest.param(
            "finetuned/digits-digits/S_KDE30.log", "x.h5", BLOCK, id="finetuned"
        ),
        pytest.param("novelty/digits/S_KDE30.log", "x.h5", BLOCK, id="audit"),
        pytest.param("tables/in_distribution.log", "x.csv", BLOCK, id="table"),
        pytest.param("figures/zoo.log", "x.pdf", BLOCK, id="figure"),
    ],
)
def test_a_job_on_a_full_disk(
    finished: Project, tmp_path: Path, log: str, name: str, leave: int
) -> None:
    with small_disk(tmp_path, size="64k"):
        output = tmp_path / name
        output.write_text("older", encoding="utf-8")
        fill(tmp_path, leave=leave)
        command = with_flags(finished.command(log), {"--output": [str(output)]})
        done = finished.run(command)
        assert done.code == 1, done.output
        [line] = error_lines(done)
        assert line.startswith(f"error: {tmp_path}/x.")
        assert "no space left on device" in line
        assert output.read_text(encoding="utf-8") == "older"
        # the curve of a training is whole when its model does not fit any more
        left = {path.name for path in tmp_path.iterdir()} - {"x.csv"}
        assert left == {name, "filler"} - {"x.csv"}


def test_a_state_on_a_full_disk(finished: Project, tmp_path: Path) -> None:
    """The older state stays, and the training goes on from it."""
    command = finished.command("hyper_reps/digits/normalized_seed1.log")
    output = tmp_path / "x.safetensors"
    flags = {"--output": [str(output)], "--save-every": ["0"]}
    with small_disk(tmp_path, size="2m"):
        budget = finished.run(with_flags(command, flags | {"--minutes": ["0"]}))
        assert budget.code == 75, budget.output
        state = output.with_suffix(".state").read_bytes()
        filler = fill(tmp_path, leave=BLOCK)
        done = finished.run(with_flags(command, flags))
        assert done.code == 1, done.output
        [line] = error_lines(done)
        assert "x.state: cannot be written (no space left on device)" in line
        assert output.with_suffix(".state").read_bytes() == state
        filler.unlink()
        done = finished.run(with_flags(command, flags))
        assert done.code == 0, done.output
        assert "resumed after epoch 1" in done.output


def test_a_run_on_a_full_disk_goes_on_when_there_is_room(
    project: Project, finished: Project
) -> None:
    results = project.root / "results"
    original = results.rename(project.root / "original")
    results.mkdir()
    with small_disk(results, size="40m"):
        shutil.copytree(original, results, dirs_exist_ok=True)
        for path in (project.root / FINETUNED).glob("B_KDE*.h5"):
            path.unlink()
        (project.root / TABLE).unlink()
        before = project.files()
        filler = fill(results, leave=16 * BLOCK)
        done = project.smoke(TABLE)
        assert done.code != 0
        lines = error_lines(done)
        assert len(lines) == done.output.count("Error in rule ") > 0
        for line in lines:
            assert line.startswith(f"error: {FINETUNED}/")
            assert "no space left on device" in line
        filler.unlink()
        assert project.files() == before
        done = project.smoke(TABLE)
        assert done.code == 0, done.output
        assert_same_results(project, finished)


def test_a_job_that_may_not_write(finished: Project, tmp_path: Path) -> None:
    command = finished.command("samples/digits/mean_top30.log")
    output = {"--output": [str(tmp_path / "new" / "x.h5")]}
    with read_only(tmp_path):
        done = finished.run(with_flags(command, output))
    assert done.code == 1, done.output
    [line] = error_lines(done)
    assert "new/x.h5: cannot be written (read-only file system)" in line


@pytest.mark.parametrize("folder", ["results", "logs"])
def test_a_run_that_may_not_write(
    project: Project, finished: Project, folder: str
) -> None:
    for suffix in (".csv", ".tex", ".html"):
        (project.root / TABLE).with_suffix(suffix).unlink()
    with read_only(project.root / folder):
        done = project.smoke(TABLE)
        assert project.planned(TABLE) == {"table_in_distribution": 1}
    assert done.code != 0
    [line] = error_lines(done)
    assert f"{folder}/smoke: cannot be written to" in line
    done = project.smoke(TABLE)
    assert done.code == 0, done.output
    assert_same_results(project, finished)


def test_the_disk_of_a_failed_test_is_unmounted(tmp_path: Path) -> None:
    def use_and_fail() -> None:
        with small_disk(tmp_path, size="64k"):
            (tmp_path / "x").touch()
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        use_and_fail()
    assert not [*tmp_path.iterdir()]
