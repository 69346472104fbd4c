"""The library as others install it: a wheel, used far from the checkout."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIBRARY = Path("workflow", "scripts", "hyperreps")
USE = """
import hyperreps, sys
from hyperreps.engines.cuda.kernel import SOURCE
from hyperreps.files.provenance import provenance
print(hyperreps.__file__.startswith(sys.argv[1]))
print(hyperreps.PopulationTraining.__name__, len(SOURCE.read_text()) > 1000)
print(provenance()["git_commit"])
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """Built in a copy, since building leaves files in the sources."""
    copy = tmp_path_factory.mktemp("sources")
    shutil.copytree(
        ROOT / LIBRARY, copy / LIBRARY, ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    here = importlib.util.find_spec("setuptools") is not None
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"),
            *(["--no-build-isolation"] if here else []),
            *("--wheel-dir", "built", "."),
        ],
        cwd=copy,
        capture_output=True,
        text=True,
    )
    if done.returncode and (not here or "No module named pip" in done.stderr):
        pytest.skip(f"no wheel without pip and setuptools: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
    (path,) = copy.glob("built/*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_has_every_file_of_the_library(wheel):
    files = {
        path.relative_to(ROOT / LIBRARY.parent).as_posix()
        for path in (ROOT / LIBRARY).rglob("*.*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert any(name.endswith(".cu") for name in files)
    assert files == {name for name in wheel.namelist() if ".dist-info" not in name}


def test_the_wheel_works_outside_the_checkout(wheel, tmp_path):
    wheel.extractall(tmp_path / "site")
    done = subprocess.run(
        [sys.executable, "-c", USE, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "PopulationTraining", "True", "unknown"]
