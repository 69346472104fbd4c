"""Bad settings and data: one clear line, and finished results stay as they were."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .project import RESULTS, TRACEBACK, Finished, Project

OFFLINE = "http://127.0.0.1:9"
IDX_FILES = (
    "train-images-idx3",
    "train-labels-idx1",
    "t10k-images-idx3",
    "t10k-labels-idx1",
)


def overlay_of(values: dict[str, Any]) -> dict:
    """Returns {"a": {"b": 1}} for {"a.b": 1}."""
    overlay: dict = {}
    for path, value in values.items():
        *parents, key = path.split(".")
        inner = overlay
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[key] = value
    return overlay


def assert_one_clear_line(done: Finished, *parts: str) -> None:
    """Checks that a run failed with one line that has all these parts."""
    assert done.code != 0, done.output
    assert TRACEBACK not in done.output, done.output
    lines = [
        line
        for line in done.output.splitlines()
        if line.startswith(("error: ", "config: "))
        and all(part in line for part in parts)
    ]
    assert len(lines) == 1, f"no line with {parts} in:\n{done.output}"


@pytest.mark.parametrize(
    "problems",
    [
        pytest.param(
            {
                "zoos.digits.modelz": (9, "unknown key"),
                "statistic": ({"resamples": 300}, "unknown key"),
                "methods.S_KDE30.top": (1.5, "less than or equal to 1, got 1.5"),
                "hyper_rep.width": (-8, "greater than or equal to 1, got -8"),
                "zoos.digits.models": ("many", "valid integer"),
                "zoos.digits.window": ([1], "missing"),
                "in_distribution.zoos": ("digits", "valid tuple"),
                "compute.device": ("gpu", "'auto', 'cpu' or 'cuda'"),
                "experiment": ("../up", "match pattern"),
            },
            id="keys, types and ranges",
        ),
        pytest.param(
            {
                "methods.S_KDE30.sampler": ("kdee", "unknown 'kdee'; sampling.py has"),
                "methods.B_KDE30.hyper_rep": ("nrm", "unknown 'nrm'; variants has"),
                "zoos.digits.dataset": ("digitz", "unknown 'digitz'; datasets has"),
                "zoos.digits.architecture": ("ccn", "unknown 'ccn'; architectures.py"),
                "datasets.digits.source": ("dgts", "unknown 'dgts'; sources.py has"),
                "in_distribution.methods": (["S_KDE"], "unknown 'S_KDE'; methods has"),
                "variants.baseline.latnt": (5, "unknown key"),
            },
            id="names",
        ),
        pytest.param(
            {
                "zoos.digits": ({"window": [1, 5]}, "end by epoch 2"),
                "hyper_rep": ({"heads": 3}, "heads (3) must divide width (16)"),
            },
            id="keys that do not fit together",
        ),
        pytest.param({"zoos": (None, "valid dictionary")}, id="nothing"),
        pytest.param(
            {
                "methods.S_KDE30.options": ({"band_width": 1}, "band_width"),
                "methods.B_KDE30.options": ({"draws": "all"}, "draws"),
            },
            id="options of a sampler",
        ),
    ],
)
def test_bad_settings_are_named_before_anything_runs(
    project: Project, problems: dict[str, tuple[Any, str]]
) -> None:
    before = project.files()
    overlay = overlay_of({key: value for key, (value, _) in problems.items()})
    done = project.smoke("--cores", "1", overlay=overlay)
    for key, (_, message) in problems.items():
        assert_one_clear_line(done, f"config: {key}", message)
    assert "Building DAG" not in done.output
    assert project.files() == before


def own_zoo(source: dict, *, data_dir: Path) -> dict:
    """Returns settings with a zoo on images of one's own beside the digits."""
    recipe = {
        "initialization": "uniform",
        "activation": "tanh",
        "learning_rate": 0.05,
        "batch_size": 64,
        "epochs": 2,
    }
    zoo = {"dataset": "own", "models": 3, "window": [1, 2], "recipe": recipe}
    return {
        "data_dir": str(data_dir),
        "datasets": {"own": {"validation": 2, **source}},
        "zoos": {"own": zoo},
        "in_distribution": {"zoos": ["digits", "own"]},
    }


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "official files"
    folder.mkdir()
    return folder


def assert_bad_images(
    project: Project, data_dir: Path, source: dict, *parts: str
) -> None:
    """Checks that the stage says what is wrong and that the digits stay."""
    before = project.files()
    configs = project.configs(own_zoo(source, data_dir=data_dir))
    # the digits' job depends on data_dir by name only
    own = f"{RESULTS}/datasets/own.h5"
    proxies = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"), OFFLINE)
    done = project.snakemake(
        own, "--cores", "1", "--configfile", *configs, NO_PROXY="", **proxies
    )
    assert_one_clear_line(done, *parts)
    assert "rule prepare_dataset" in done.output
    assert project.files() == before


def test_missing_images_without_a_network(project: Project, data_dir: Path) -> None:
    assert_bad_images(
        project,
        data_dir,
        {"source": "mnist"},
        "train-images-idx3-ubyte.gz: download failed (no connection)",
        "get these yourself",
        str(data_dir / "mnist" / "t10k-labels-idx1-ubyte.gz"),
    )


def test_damaged_images(project: Project, data_dir: Path) -> None:
    (data_dir / "mnist").mkdir()
    for name in IDX_FILES:
        (data_dir / "mnist" / f"{name}-ubyte").write_bytes(b"\0\0\x08\1\0\0\0\2\1\1")
    damaged = data_dir / "mnist" / "train-images-idx3-ubyte"
    assert_bad_images(
        project, data_dir, {"source": "mnist"}, f"{damaged}: sha256 is", "delete it"
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"x_train": np.zeros((8, 28), np.uint8)},
            "x_train has shape (8, 28); images must be [images, height, width]",
        ),
        ({"y_test": np.array([0, 9, 10, 1])}, "labels in y_test are 0..10"),
        ({"y_train": np.arange(7)}, "8 images in x_train and 7 labels in y_train"),
    ],
    ids=["shape", "labels", "number"],
)
def test_wrong_images_of_ones_own(
    project: Project, data_dir: Path, changed: dict[str, np.ndarray], message: str
) -> None:
    images = {
        "x_train": np.zeros((8, 28, 28), np.uint8),
        "y_train": np.arange(8),
        "x_test": np.zeros((4, 28, 28), np.uint8),
        "y_test": np.arange(4),
    }
    np.savez(data_dir / "own.npz", **(images | changed))
    source = {"source": "npz", "path": "own.npz"}
    assert_bad_images(project, data_dir, source, str(data_dir / "own.npz"), message)


def test_settings_that_leave_no_network(project: Project) -> None:
    target = f"{RESULTS}/hyper_reps/digits/normalized_seed1.safetensors"
    overlay = {"hyper_rep": {"weight_threshold": 1e-6}}
    done = project.smoke(target, "--cores", "1", overlay=overlay)
    assert_one_clear_line(done, "digits", "weight_threshold", "1e-06")


def test_a_damaged_result_is_named(project: Project) -> None:
    damaged = project.results / "zoos" / "digits.aligned.h5"
    os.truncate(damaged, 1000)
    before = project.files()
    done = project.smoke("hyper_reps", "--cores", "1", "--jobs", "1")
    assert_one_clear_line(done, "digits.aligned.h5: damaged", "delete it")
    gone = {name for name in before if name not in project.files()}
    assert all(name.startswith(f"{RESULTS}/hyper_reps/") for name in gone)
