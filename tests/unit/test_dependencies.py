"""One list of dependencies: what is imported is in all three, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ..dependencies import (
    SCRIPTS,
    hide_all_but,
    imported,
    in_environment,
    in_pyproject,
    pinned,
)

# the process that runs the rules is Snakemake's own
RUNS_THE_RULES = {"snakemake"}


def test_conda_brings_what_the_stages_import() -> None:
    needed = imported().keys() - RUNS_THE_RULES
    listed = in_environment().keys()
    assert not needed - listed, {name: imported()[name] for name in needed - listed}
    assert not listed - needed


def test_pyproject_lists_what_is_imported() -> None:
    assert in_pyproject().keys() == imported().keys()


def test_the_lists_agree_on_versions() -> None:
    versions, listed = pinned(), in_pyproject()
    for name, requirement in listed.items():
        assert requirement.specifier.contains(versions[name]), name
    for name, requirement in in_environment().items():
        assert requirement.specifier == listed[name].specifier, name


def test_what_no_list_brings_is_hidden(tmp_path: Path) -> None:
    """The simulation of tests/workflow/test_environment.py hides what it shall."""
    hidden = hide_all_but(in_environment(), tmp_path / "hiding")
    assert {"snakemake", "pytest", "hypothesis"} <= hidden
    assert not {"torch", "numpy", "umap", "numba", "llvmlite", "PIL"} & hidden
    stage = tmp_path / "workflow" / "scripts" / "stage.py"
    stage.parent.mkdir(parents=True)
    stage.write_text("import importlib.util as u; print(u.find_spec('snakemake'))")
    done = subprocess.run(
        [sys.executable, str(stage)],
        env={"PYTHONPATH": f"{tmp_path / 'hiding'}:{SCRIPTS}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "None\n"
