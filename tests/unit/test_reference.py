"""The kept table of the reference run is that of its networks' kept accuracies."""

from __future__ import annotations

import shutil
from pathlib import Path

from bench import reference

KEPT = Path(__file__).parents[2] / "docs" / "measurements" / "reference"


def test_the_kept_table_is_that_of_the_kept_accuracies(tmp_path, capsys):
    shutil.copy(KEPT / "accuracies.csv", tmp_path)
    reference.main(tmp_path)
    name = "in_distribution.csv"
    assert (tmp_path / name).read_bytes() == (KEPT / name).read_bytes()
    assert "MNIST" in capsys.readouterr().out
