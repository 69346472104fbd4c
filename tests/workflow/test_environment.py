"""Stages run with what the conda environment brings, and nothing else.

Conda's channels are not asked: what envs/hyperreps.yaml does not bring is hidden.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ..dependencies import hide_all_but, in_environment
from .project import RESULTS, Project


@pytest.mark.parametrize(
    ("log", "output"),
    [
        ("datasets/digits.log", "datasets/digits.h5"),
        ("zoos/digits/seeds_1_4.log", "zoos/digits/seeds_1_4.h5"),
        ("samples/digits/S_Neigh.log", "samples/digits/S_Neigh.h5"),
        ("figures/zoo.log", "figures/zoo.pdf"),
        ("tables/in_distribution.log", "tables/in_distribution.csv"),
    ],
)
def test_a_stage_needs_no_other_package(
    project: Project, tmp_path: Path, log: str, output: str
) -> None:
    hidden = hide_all_but(in_environment(), tmp_path / "hiding")
    assert "snakemake" in hidden
    result = project.root / RESULTS / output
    result.unlink(missing_ok=True)
    command = project.command(log)
    done = project.run(["bash", "-c", command], PYTHONPATH=str(tmp_path / "hiding"))
    assert done.code == 0, done.output
    assert result.is_file()
    if "train_zoo" in command:
        assert "fused" in done.output
