"""docs/extending.md: a dataset, an architecture, a table; without touching a rule.

Ours are edited for them, or, in the last test, they stand in files of a user's.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from functools import partial

import numpy as np
import pandas as pd
import yaml

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


def own_files() -> tuple[list[str], list[str]]:
    """Returns the blocks of Python and of YAML of the page's part on own files."""
    page = (CHECKOUT / "docs" / "extending.md").read_text(encoding="utf-8")
    _, own = page.split("## In a file of your own\n")
    own, _ = own.split("## A sampler\n")
    return [
        re.findall(f"```{kind}\n(.*?)```", own, re.S) for kind in ("python", "yaml")
    ]


def test_parts_in_files_of_ones_own(project: Project) -> None:
    """A sampler, a table and a rule as on the page, on what a finished run left."""
    (parts, results, rules), (words, config) = own_files()
    texts = {"parts.py": parts, "results.py": results, "best.yaml": words}
    for name, text in {**texts, "mine.smk": rules}.items():
        (project.root / name).write_text(text, encoding="utf-8")
    whole = yaml.safe_load(config)
    overlay = {key: whole[key] for key in ("methods", "own_results", "custom_rules")}
    overlay["samplers"] = {"zoos": ["digits"], **whole["samplers"]}
    done = project.smoke("mine", "--cores", "1", overlay=overlay)
    assert done.code == 0, done.output
    assert job_counts(done.output) == {"sample": 1, "table_best": 1, "mine": 1}
    samples = project.results / "samples" / "digits" / "S_gauss30.h5"
    made, about = arrays(samples)
    digest = hashlib.sha256(parts.encode()).hexdigest()
    assert json.loads(about["own_parts"]) == {"parts.py": digest}
    best = pd.read_csv(project.results / "tables" / "best.csv").set_index("method")
    expected = made["accuracy/test"].max()
    np.testing.assert_allclose(best.loc["S_gauss30", "accuracy"], expected)
    assert (project.results / "rows.txt").read_text().split()[0] == str(len(best) + 1)

    # the script by hand, as its log has it
    samples.unlink()
    words_of_log = shlex.split(project.command("samples/digits/S_gauss30.log"))
    by_hand = project.python(*words_of_log[1:])
    assert by_hand.code == 0, by_hand.output
    again, _ = arrays(samples)
    np.testing.assert_array_equal(again["weights"], made["weights"])

    # what an edit runs again
    assert project.smoke("--touch", "mine", "--cores", "1", overlay=overlay).code == 0
    planned = partial(project.planned, "mine", overlay=overlay)
    edit(project.root / "results.py", '"""The accuracy of', '"""Accuracies of')
    assert planned() == {}
    edit(project.root / "results.py", "100 * best", "99 * best")
    assert planned() == {"table_best": 1, "mine": 1}
    edit(project.root / "parts.py", "points.mean(0)", "points[0]")
    assert planned() == {"sample": 1, "table_best": 1, "mine": 1}
    edit(project.root / "parts.py", "def gaussian", "def gauss")
    refused = project.smoke("mine", "--dry-run", overlay=overlay)
    assert refused.code != 0
    assert "parts.py has no gaussian; it has gauss, scans, perc" in refused.output
