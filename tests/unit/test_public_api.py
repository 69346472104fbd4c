"""What `import hyperreps` hands out: lazily, typed, and as its example shows."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
from bench.architecture import SCRIPTS

import hyperreps
from hyperreps.files.storage import write_arrays

from .conftest import make_images


def test_the_import_alone_loads_nothing_else():
    code = (
        "import sys, hyperreps; print({'torch', 'numpy', 'pydantic'} & {*sys.modules});"
        "hyperreps.Recipe; print('pydantic' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=SCRIPTS,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["set()", "True", "False"]


@pytest.mark.parametrize("name", hyperreps.__all__)
def test_every_public_name_is_there(name):
    assert name in dir(hyperreps)
    value = getattr(hyperreps, name)
    assert value is getattr(hyperreps, name)
    assert value.__doc__


def test_other_names_are_no_attributes():
    with pytest.raises(AttributeError, match="'hyperreps' has no attribute 'trainn'"):
        hyperreps.trainn  # noqa: B018


def test_the_example_runs(tmp_path, monkeypatch):
    about = {"kind": "dataset", "dataset": "digits", "mean": [0.4], "std": [0.2]}
    write_arrays(tmp_path / "digits.h5", make_images(), attributes=about)
    monkeypatch.chdir(tmp_path)
    lines = hyperreps.__doc__.splitlines()
    example = textwrap.dedent("\n".join(s for s in lines if s.startswith("    ")))
    shown: dict = {}
    exec(example, shown)
    assert len(shown["accuracy"]) == 3
