"""docs/extending.md: a dataset, an architecture, a table; without touching a rule."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from .project import CHECKOUT, RESULTS, Project, arrays, edit, job_counts

NEW_ARCHITECTURE = '''

def perceptron(channels: int) -> Architecture:
    """One hidden layer."""
    layers = (Linear(6), Activation(), Linear(CLASSES))
    return Architecture("perceptron", channels, layers)


ARCHITECTURES["perceptron"] = perceptron
'''
PARAMETERS = 6 * (3 * 28 * 28 + 1) + 10 * (6 + 1)


def test_a_dataset_and_an_architecture_need_no_rule(sources: Project) -> None:
    """Networks of a new kind on new images, from their training to the table."""
    rng = np.random.default_rng(0)
    folder = sources.root / "data"
    folder.mkdir()
    np.savez(
        folder / "stripes.npz",
        x_train=rng.integers(0, 255, (40, 30, 30, 3), dtype=np.uint8),
        y_train=rng.integers(0, 10, 40, dtype=np.uint8),
        x_test=rng.integers(0, 255, (20, 30, 30, 3), dtype=np.uint8),
        y_test=rng.integers(0, 10, 20, dtype=np.uint8),
    )
    path = sources.module("networks/architectures")
    text = path.read_text(encoding="utf-8")
    path.write_text(text + NEW_ARCHITECTURE, encoding="utf-8")
    overlay = {
        "datasets": {
            "stripes": {"source": "npz", "path": "stripes.npz", "validation": 10}
        },
        "zoos": {
            "stripes": {
                "dataset": "stripes",
                "architecture": "perceptron",
                "models": 6,
                "window": [1, 2],
                "recipe": {
                    "initialization": "kaiming_uniform",
                    "activation": "relu",
                    "learning_rate": 0.01,
                    "batch_size": 8,
                    "epochs": 2,
                },
            }
        },
        "in_distribution": {
            "zoos": ["stripes"],
            "methods": ["S_KDE30"],
            "references": ["mean_top30"],
        },
        **{name: {"zoos": []} for name in ("samplers", "architectures", "novelty")},
        "transfer": {"pairs": []},
    }
    done = sources.smoke("table_in_distribution", "--cores", "all", overlay=overlay)
    assert done.code == 0, done.output
    zoo, about = arrays(sources.root / RESULTS / "zoos" / "stripes.h5")
    assert zoo["weights"].shape == (6, 3, PARAMETERS)
    assert (about["architecture"], about["channels"]) == ("perceptron", 3)
    table = sources.root / RESULTS / "tables" / "in_distribution.csv"
    methods = [row.split(",")[2] for row in table.read_text("utf-8").splitlines()[1:]]
    assert set(methods) == {"B_T", "S_KDE30", "mean_top30"}


HEAD = """from typing import ClassVar

import pandas as pd

from ..accuracies import OfAccuracies
from ..layout import Layout, Table


"""
WORDS = """title: The best networks
caption: In {{ percent }}, of each method.
notes: {epoch: of finetuning}
"""


def test_a_table_is_a_class_and_a_section_of_the_config(project: Project) -> None:
    """As the page has them, on what a finished run left."""
    page = (CHECKOUT / "docs" / "extending.md").read_text(encoding="utf-8")
    _, page = page.split("## A table or a figure\n")
    section, table = re.findall(r"```python\n(.*?)```", page, re.S)[:2]
    sections = project.module("settings/sections")
    text = sections.read_text(encoding="utf-8")
    sections.write_text(f"{text}\n\n{section}", encoding="utf-8")
    configuration = project.module("config/configuration")
    edit(configuration, "    Architectures,\n", "    Architectures,\n    Best,\n")
    field = '    best: Best = Field(Best(), description="The table best.")\n'
    edit(configuration, "    novelty: Novelty", f"{field}    novelty: Novelty")
    module = project.module("results/tables/best")
    module.write_text(HEAD + table, encoding="utf-8")
    module.with_suffix(".yaml").write_text(WORDS, encoding="utf-8")
    overlay = {"best": {"zoos": ["digits"], "methods": ["S_KDE30"], "epochs": [0, 1]}}
    done = project.smoke("table_best", "--cores", "1", overlay=overlay)
    assert done.code == 0, done.output
    assert job_counts(done.output) == {"table_best": 1}
    output = project.results / "tables" / "best.csv"
    best = pd.read_csv(output).set_index(["method", "epoch"])["accuracy"]
    tuned, _ = arrays(project.results / "finetuned/digits-digits/S_KDE30.h5")
    expected = tuned["accuracy/test"].max(axis=0)
    np.testing.assert_allclose(best.loc["S_KDE30"], expected)
    assert "In %, of each method." in output.with_suffix(".html").read_text("utf-8")
    assert "epoch 1" in output.with_suffix(".tex").read_text("utf-8")
