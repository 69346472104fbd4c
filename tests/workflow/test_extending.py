"""docs/extending.md: a dataset, an architecture, a table; without touching a rule.

Ours are edited for them, or they stand in files of a user's, as on the page.
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

from hyperreps.config.config_files import read_config

from .project import CHECKOUT, RESULTS, Project, arrays, edit, job_counts

PAGE = (CHECKOUT / "docs" / "extending.md").read_text(encoding="utf-8")
PARAMETERS = 6 * (3 * 28 * 28 + 1) + 10 * (6 + 1)


def own_files() -> tuple[list[str], list[str]]:
    """Returns the blocks of Python and of YAML of the page's part on own files."""
    _, own = PAGE.split("## In a file of your own\n")
    own, _ = own.split("## A sampler\n")
    return [
        re.findall(f"```{kind}\n(.*?)```", own, re.S) for kind in ("python", "yaml")
    ]


def test_a_dataset_and_an_architecture_need_no_rule(sources: Project) -> None:
    """Networks of a new kind on new images, from their training to the table."""
    (parts, _, _), (_, config) = own_files()
    (sources.root / "parts.py").write_text(parts, encoding="utf-8")
    rng = np.random.default_rng(0)
    folder = sources.root / "data"
    folder.mkdir()
    np.savez(
        folder / "scans.npz",
        scans=rng.integers(0, 255, (60, 30, 30, 3), dtype=np.uint8),
        digits=rng.integers(0, 10, 60, dtype=np.uint8),
    )
    whole = yaml.safe_load(config)
    overlay = {
        **{key: whole[key] for key in ("datasets", "zoos")},
        "in_distribution": {
            "zoos": ["scans"],
            "methods": ["S_KDE30"],
            "references": ["mean_top30"],
        },
        **{name: {"zoos": []} for name in ("samplers", "architectures", "novelty")},
        "transfer": {"pairs": []},
    }
    done = sources.smoke("table_in_distribution", "--cores", "all", overlay=overlay)
    assert done.code == 0, done.output
    zoo, about = arrays(sources.root / RESULTS / "zoos" / "scans.h5")
    assert zoo["weights"].shape == (6, 3, PARAMETERS)
    assert (about["architecture"], about["channels"]) == ("parts.py:perceptron", 3)
    start = zoo["weights"][:, 0, : 6 * 3 * 28 * 28]
    np.testing.assert_allclose(start.std(), (2 * 3 * 28 * 28) ** -0.5, rtol=0.05)
    table = sources.root / RESULTS / "tables" / "in_distribution.csv"
    methods = [row.split(",")[2] for row in table.read_text("utf-8").splitlines()[1:]]
    assert set(methods) == {"B_T", "S_KDE30", "mean_top30"}


def test_a_loss_term_is_a_field_and_a_line(project: Project) -> None:
    """As on the page: latents' squares are in the loss, and get smaller."""
    _, page = PAGE.split("## A loss term\n")
    page, _ = page.split("## A table or a figure\n")
    field, term = re.findall(r"```python\n(.*?)```", page, re.S)
    (config,) = re.findall(r"```yaml\n(.*?)```", page, re.S)
    weight = yaml.safe_load(config)["variants"]["small_latents"]
    before = "    latent: Units = Field("
    edit(project.module("settings/stages"), before, field + before)
    before = "        return torch.stack([loss, reconstruction, contrast])\n"
    edit(project.module("representation/pretraining"), before, term + before)
    overlay = {"variants": {"normalized": weight}}
    target = f"{RESULTS}/hyper_reps/digits/normalized_seed1"
    done = project.smoke(f"{target}.safetensors", "--cores", "1", overlay=overlay)
    assert done.code == 0, done.output
    assert job_counts(done.output) == {"pretrain": 1}
    curve = pd.read_csv(project.root / f"{target}.csv")
    share = read_config(project.results / "config.yaml")["hyper_rep"]["contrast_weight"]
    parts = (1 - share) * curve["reconstruction"] + share * curve["contrast"]
    assert (curve["loss"] > parts + 1e-4).all()


def test_a_table_is_a_class_and_a_section_of_the_config(project: Project) -> None:
    """As the page has them, on what a finished run left."""
    (_, results, _), (words, _) = own_files()
    _, page = PAGE.split("## A table or a figure\n")
    section = re.findall(r"```python\n(.*?)```", page, re.S)[0]
    sections = project.module("settings/sections")
    text = sections.read_text(encoding="utf-8")
    sections.write_text(f"{text}\n\n{section}", encoding="utf-8")
    configuration = project.module("config/configuration")
    edit(configuration, "    Architectures,\n", "    Architectures,\n    Best,\n")
    field = '    best: Best = Field(Best(), description="The table best.")\n'
    edit(configuration, "    novelty: Novelty", f"{field}    novelty: Novelty")
    module = project.module("results/tables/best")
    module.write_text(results, encoding="utf-8")
    module.with_suffix(".yaml").write_text(words, encoding="utf-8")
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
    samples = project.results / "samples" / "digits" / "S_normal30.h5"
    made, about = arrays(samples)
    digest = hashlib.sha256(parts.encode()).hexdigest()
    assert json.loads(about["own_parts"]) == {"parts.py": digest}
    best = pd.read_csv(project.results / "tables" / "best.csv").set_index("method")
    expected = made["accuracy/test"].max()
    np.testing.assert_allclose(best.loc["S_normal30", "accuracy"], expected)
    assert (project.results / "rows.txt").read_text().split()[0] == str(len(best) + 1)

    # what an edit runs again: of docstrings nothing
    planned = partial(project.planned, "mine", overlay=overlay)
    edit(project.root / "parts.py", '"""A Gaussian', '"""The Gaussian')
    edit(project.root / "results.py", "100 * best", "99 * best")
    assert planned() == {"table_best": 1, "mine": 1}
    edit(project.root / "parts.py", "points.mean(0)", "points[0]")
    assert planned() == {"sample": 1, "table_best": 1, "mine": 1}

    # the script by hand, as its log has it
    samples.unlink()
    by_hand = shlex.split(project.command("samples/digits/S_normal30.log"))[1:]
    done = project.python(*by_hand)
    assert done.code == 0, done.output
    again, _ = arrays(samples)
    assert not np.allclose(again["weights"], made["weights"])
