"""The commit that files carry: of this project's code, as it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hyperreps.files import provenance

SOURCES = Path(provenance.__file__).parents[1]
IDENTITY = ("-c", "user.name=t", "-c", "user.email=t@t")


def git(root: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", *IDENTITY, *words], cwd=root, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with the project's layout."""
    root = tmp_path / "check out"
    library = root / "workflow" / "scripts" / "hyperreps"
    (library / "files").mkdir(parents=True)
    for name in ("__init__.py", "files/__init__.py", "files/provenance.py"):
        shutil.copy(SOURCES / name, library / name)
    (root / "Snakefile").write_text("rule all:\n")
    (root / "README.md").write_text("text\n")
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "x")
    return root


def recorded(root: Path, **environment: str) -> str:
    """Returns what a process that runs the code at root records."""
    code = (
        "from hyperreps.files.provenance import provenance;"
        " print(*provenance().values())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(root / "workflow/scripts"), **environment},
        cwd=root.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split("} ")[-1].strip()


def test_a_clean_checkout_gives_its_commit(checkout: Path) -> None:
    assert recorded(checkout) == git(checkout, "rev-parse", "HEAD")
    # neither settings nor results are code
    (checkout / "config.yaml").write_text("seed: 1\n")
    (checkout / "README.md").write_text("other\n")
    (checkout / "results").mkdir()
    (checkout / "results" / "x.csv").write_text("1\n")
    assert recorded(checkout) == git(checkout, "rev-parse", "HEAD")


def test_changed_code_is_told_by_its_content(checkout: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    seen = {commit}
    new = checkout / "workflow" / "scripts" / "a new.py"
    for path, text in (
        (checkout / "Snakefile", "rule none:\n"),
        (checkout / "Snakefile", "rule any:\n"),
        (new, "x = 1\n"),
        (new, "x = 2\n"),
    ):
        path.write_text(text)
        found = recorded(checkout)
        assert found.startswith(f"{commit}+changed.")
        assert found == recorded(checkout)
        assert found not in seen
        seen.add(found)
    (checkout / "Snakefile").unlink()
    assert recorded(checkout) not in seen
    git(checkout, "stash", "--include-untracked")
    assert recorded(checkout) == commit


def test_another_repository_around_it_is_not_taken(
    checkout: Path, tmp_path: Path
) -> None:
    own = git(checkout, "rev-parse", "HEAD")
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    git(other, "commit", "--quiet", "--allow-empty", "--message", "y")
    assert recorded(checkout, GIT_DIR=str(other / ".git")) == own
    unpacked = other / "unpacked"
    shutil.copytree(checkout, unpacked, ignore=shutil.ignore_patterns(".git"))
    assert recorded(unpacked) == "unknown"


def test_without_git_it_is_unknown(checkout: Path, tmp_path: Path) -> None:
    assert recorded(checkout, PATH=str(tmp_path)) == "unknown"
    shutil.rmtree(checkout / ".git")
    assert recorded(checkout, GIT_CEILING_DIRECTORIES=str(tmp_path)) == "unknown"
