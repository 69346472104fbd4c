"""What others read of the project: version, public CI, image, citation."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

import hyperreps

ROOT = Path(__file__).resolve().parents[2]


def read_yaml(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def project() -> dict[str, Any]:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)["project"]


def test_one_version_everywhere() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    (newest, day) = re.findall(r"^## (\S+) \((.*)\)$", changes, flags=re.M)[0]
    citation = read_yaml("CITATION.cff")
    assert newest == project()["version"] == hyperreps.__version__
    assert newest == citation["version"]
    assert day == str(citation["date-released"])


def test_public_ci_runs_what_the_readme_says_on_all_pythons() -> None:
    job = read_yaml(".github/workflows/test.yml")["jobs"]["test"]
    assert {"run": ".ci/run"} in job["steps"]
    assert "make test" in (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()
    pythons = job["strategy"]["matrix"]["python"]
    assert project()["requires-python"] == f">={pythons[0]}"
    assert pythons == ["3.11", "3.12", "3.13"]


def test_the_image_has_the_pins_of_make_env() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = next(line for line in lines if line.startswith("COPY "))
    assert "requirements.txt" in copied.split()
    assert lines.index("RUN make env") == lines.index(copied) + 1
    assert not [line for line in lines if "pip install" in line]
