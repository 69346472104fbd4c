"""Bad settings and data: one clear line, and finished results stay as they were."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from .project import RESULTS, TRACEBACK, Finished, Project, job_counts

NORMALIZED = f"{RESULTS}/hyper_reps/digits/normalized_seed1.safetensors"
OFFLINE = "http://127.0.0.1:9"


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
                "methods.S_KDE30.sampler": ("kdee", "unknown 'kdee'; samplers.py has"),
                "methods.B_KDE30.hyper_rep": ("nrm", "unknown 'nrm'; variants has"),
                "zoos.digits.dataset": ("digitz", "unknown 'digitz'; datasets has"),
                "zoos.digits.architecture": ("ccn", "unknown 'ccn'; architectures.py"),
                "datasets.digits.source": ("dgts", "unknown 'dgts'; sources.py has"),
                "in_distribution.methods": (["S_KDD"], "unknown 'S_KDD'; methods has"),
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


def npz(folder: Path, name: str, **changed: np.ndarray) -> dict[str, str]:
    """Writes images of one's own with some arrays changed; returns their settings."""
    images = {
        "x_train": np.zeros((8, 28, 28), np.uint8),
        "y_train": np.arange(8),
        "x_test": np.zeros((4, 28, 28), np.uint8),
        "y_test": np.arange(4),
    }
    np.savez(folder / name, **(images | changed))
    return {"source": "npz", "path": name}


# what is wrong with an image set, and what its line has to say
BAD_IMAGES = {
    "missing": (
        "train-images-idx3-ubyte.gz: download failed (no connection)",
        "get these yourself",
        "official files/mnist/t10k-labels-idx1-ubyte.gz",
    ),
    "damaged": (
        "official files/fashion_mnist/train-images-idx3-ubyte: sha256 is",
        "move it away",
    ),
    "shape": ("shape.npz", "x_train has shape (8, 28); images must be"),
    "labels": ("labels.npz", "labels in y_test are 0..10"),
    "number": ("number.npz", "8 images in x_train and 7 labels in y_train"),
}


class BadImagesRun(NamedTuple):
    """A run of the target `datasets` that had bad images; results before and after."""

    done: Finished
    before: dict[str, str]
    after: dict[str, str]


@pytest.fixture(scope="module")
def bad_images(
    finished: Project, tmp_path_factory: pytest.TempPathFactory
) -> BadImagesRun:
    """Asks for zoos on all bad images, one of each, beside those on digits."""
    root = tmp_path_factory.mktemp("images")
    project = finished.copy(root / "project")
    folder = root / "official files"
    (folder / "fashion_mnist").mkdir(parents=True)
    for kind in ("train-images-idx3", "t10k-images-idx3"):
        # two images, cut off
        damaged = b"\0\0\x08\3" + np.array([2, 28, 28], ">u4").tobytes() + bytes(9)
        (folder / "fashion_mnist" / f"{kind}-ubyte").write_bytes(damaged)
    for kind in ("train-labels-idx1", "t10k-labels-idx1"):
        labels = b"\0\0\x08\1\0\0\0\2\1\2"
        (folder / "fashion_mnist" / f"{kind}-ubyte").write_bytes(labels)
    sources = {
        "missing": {"source": "mnist"},
        "damaged": {"source": "fashion_mnist"},
        "shape": npz(folder, "shape.npz", x_train=np.zeros((8, 28), np.uint8)),
        "labels": npz(folder, "labels.npz", y_test=np.array([0, 9, 10, 1])),
        "number": npz(folder, "number.npz", y_train=np.arange(7)),
    }
    recipe = {
        "initialization": "uniform",
        "activation": "tanh",
        "learning_rate": 0.05,
        "batch_size": 64,
        "epochs": 2,
    }
    zoo = {"models": 3, "window": [1, 2], "recipe": recipe}
    overlay = {
        "datasets": {name: {**sources[name], "validation": 2} for name in sources},
        "zoos": {name: {"dataset": name, **zoo} for name in sources},
        "in_distribution": {"zoos": ["digits", *sources]},
    }
    recorded = project.results / "config.yaml"
    recorded.unlink()
    before = project.files()
    proxies = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"), OFFLINE)
    done = project.snakemake(
        *("datasets", "--cores", "2", "--keep-going"),
        *("--configfile", *project.configs(overlay)),
        **(proxies | {"NO_PROXY": "", "HYPERREPS_DATA": str(folder)}),
    )
    recorded.unlink()
    after = project.files()
    shutil.rmtree(project.root)
    return BadImagesRun(done, before, after)


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_bad_images_are_named(bad_images: BadImagesRun, name: str) -> None:
    assert_one_clear_line(bad_images.done, *BAD_IMAGES[name])


def test_bad_images_leave_finished_results_alone(bad_images: BadImagesRun) -> None:
    assert job_counts(bad_images.done.output) == {
        "prepare_dataset": len(BAD_IMAGES),
        "datasets": 1,
    }
    assert bad_images.after == bad_images.before


def test_settings_that_leave_no_network(project: Project) -> None:
    overlay = {"hyper_rep": {"weight_threshold": 1e-6}}
    done = project.smoke(NORMALIZED, "--cores", "1", overlay=overlay)
    assert_one_clear_line(done, "digits", "weight_threshold", "1e-06")


def test_a_damaged_result_is_named(project: Project) -> None:
    damaged = project.results / "zoos" / "digits.aligned.h5"
    os.truncate(damaged, 1000)
    before = project.files()
    done = project.smoke(NORMALIZED, "--cores", "1")
    assert_one_clear_line(done, "digits.aligned.h5: damaged", "seal.py", "move it away")
    gone = {name for name in before if name not in project.files()}
    assert all(name.startswith(f"{RESULTS}/hyper_reps/") for name in gone)
