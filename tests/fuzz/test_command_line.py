"""Wrong settings through snakemake itself: one line for each, and no traceback."""

from __future__ import annotations

import random
from collections import Counter

import hypothesis
import pytest
import yaml

from ..workflow.project import TRACEBACK, Finished, Project
from .test_settings import FULL, KEYS, changed

RUNS = 40 if hypothesis.settings.get_current_profile_name() == "long" else 4
TOGETHER = 8  # wrong keys in one run
PLACE = "put the value here"
# as YAML, of which some texts are no strings
WRONG = (
    *("~", "2020-02-02", "1:30", ".nan", "-.inf", "1_000_000_000_000", "0x5", "0o17"),
    *("{1: 2}", "{on: off}", "[[]]", "[~]", "!!set {a, b}", "!!binary aGk=", '"a\\0b"'),
    *('"5\\n6"', "1e-4", "-1", "'true'", "'" + "long " * 99 + "'"),
)
# settings with a value of their own, not those that hold others; pathvars are not here:
# snakemake reads them before the Snakefile
LEAVES = [
    path
    for path in KEYS
    if path != ("pathvars",)
    and not any(key[: len(path)] == path != key for key in KEYS)
]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.from_checkout(tmp_path_factory.mktemp("fuzz") / "project")
    # files of one's own are inputs
    own = [dataset["path"] for dataset in FULL["datasets"].values()]
    own += [zoo["weights"] for zoo in FULL["zoos"].values()]
    for name in filter(None, own):
        path = project.root / FULL["data_dir"] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return project


def dry_run(project: Project, text: str) -> Finished:
    (project.root / "wrong.yaml").write_text(text, encoding="utf-8")
    return project.snakemake("--dry-run", "--quiet", "--configfile", "wrong.yaml")


def test_the_settings_that_are_changed_are_valid(project: Project) -> None:
    done = dry_run(project, yaml.safe_dump(FULL))
    assert done.code == 0, done.output


@pytest.mark.parametrize("number", range(RUNS))
def test_wrong_settings_on_the_command_line(
    number: int, project: Project, tried: Counter[str]
) -> None:
    rng = random.Random(number)
    paths = rng.sample(LEAVES, TOGETHER)
    text = yaml.safe_dump(changed(*((path, PLACE) for path in paths)))
    for _ in paths:
        text = text.replace(PLACE, rng.choice(WRONG), 1)
    done = dry_run(project, text)
    assert done.code != 0, text
    assert TRACEBACK not in done.output, done.output
    lines = [line for line in done.output.splitlines() if line.startswith("config: ")]
    assert lines, done.output
    # a value may be right for a key by chance; a line that names none may not be
    for line in lines:
        assert any(path[-1] in line for path in paths), line
    tried["command line: runs refused"] += 1
    tried["command line: wrong settings in them"] += TOGETHER
