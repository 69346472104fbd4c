"""docs/library.md: its example, with fewer epochs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

PAGE = Path(__file__).parents[2] / "docs" / "library.md"


def test_the_example_trains_samples_and_audits():
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    assert len([line for line in example.splitlines() if line]) <= 25
    short = example.replace("epochs = 200\n", "epochs = 3\n")
    assert short != example
    shown: dict = {}
    exec(short, shown)
    curve, audit = shown["learning"].curve, shown["audit"]
    assert curve[-1]["reconstruction"] < 0.9 * curve[0]["reconstruction"]
    assert np.isfinite(curve[-1]["r2_held_out"])
    assert audit.accuracy.shape == (20,)
    assert np.isfinite(audit.nearness.aligned).all()
