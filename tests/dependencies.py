"""What the project imports, the three lists of it, and an environment with only one."""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import (
    PackageNotFoundError,
    packages_distributions,
    requires,
)
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).parents[1]
SCRIPTS = CHECKOUT / "workflow" / "scripts"
# conda's names where they are others than pip's
CONDA = {"pytorch": "torch", "matplotlib-base": "matplotlib"}
# looked for, and done without: it comes with torch for a GPU
OPTIONAL = {"cuda"}
# must be the one that numba was built with, so numba brings it
BROUGHT = {"llvmlite": "numba"}

# Lets a stage import nothing of other distributions, as if they were not installed.
HIDING = """
import importlib.machinery, json, sys
if any("workflow/scripts/" in word for word in sys.orig_argv):
    hidden = set(json.loads({hidden!r}))
    class Visible(importlib.machinery.PathFinder):
        @classmethod
        def find_spec(cls, name, path=None, target=None):
            if name.partition(".")[0] in hidden:
                return None
            return super().find_spec(name, path, target)
    sys.meta_path[sys.meta_path.index(importlib.machinery.PathFinder)] = Visible
"""


def imported() -> dict[str, set[str]]:
    """Returns the distributions that scripts and rules import, with who does."""
    modules: dict[str, set[str]] = {}
    for path in SCRIPTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            for name in names:
                modules.setdefault(name.partition(".")[0], set()).add(path.name)
    for path in (CHECKOUT / "Snakefile", *CHECKOUT.glob("rules/*.smk")):
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r"^(?:import|from) (\w+)", text, flags=re.M):
            modules.setdefault(name, set()).add(path.name)
    own = {"hyperreps", *(path.stem for path in SCRIPTS.glob("*.py"))}
    known = packages_distributions()
    found: dict[str, set[str]] = {}
    for name, users in modules.items():
        if name not in own | OPTIONAL | set(sys.stdlib_module_names):
            (distribution, *_) = known[name]
            label = canonicalize_name(distribution)
            found.setdefault(BROUGHT.get(label, label), set()).update(users)
    return found


def in_environment() -> dict[str, Requirement]:
    """Returns what envs/hyperreps.yaml lists beside Python, by pip's name."""
    path = CHECKOUT / "envs" / "hyperreps.yaml"
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))["dependencies"]
    *entries, others = (e for e in entries if e not in ("python=3.11", "pip"))
    listed = map(Requirement, [*entries, *others["pip"]])
    return {CONDA.get(entry.name, entry.name): entry for entry in listed}


def in_pyproject() -> dict[str, Requirement]:
    """Returns what pyproject.toml lists for running, without slurm and dev."""
    path = CHECKOUT / "pyproject.toml"
    project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *extras["workflow"], *extras["fused"]]
    listed = map(Requirement, lines)
    return {canonicalize_name(requirement.name): requirement for requirement in listed}


def pinned() -> dict[str, str]:
    """Returns the versions of requirements.txt."""
    text = (CHECKOUT / "requirements.txt").read_text(encoding="utf-8")
    lines = re.findall(r"^([\w.-]+)==(\S+)$", text, flags=re.M)
    return {canonicalize_name(name): version for name, version in lines}


def with_their_own(names: Iterable[str]) -> set[str]:
    """Returns distributions and all that they depend on, as far as installed."""
    found: set[str] = set()
    waiting = {canonicalize_name(name) for name in names}
    while waiting:
        name = waiting.pop()
        found.add(name)
        try:
            needed = map(Requirement, requires(name) or [])
        except PackageNotFoundError:
            continue
        wanted = (r for r in needed if not r.marker or r.marker.evaluate({"extra": ""}))
        waiting |= {canonicalize_name(r.name) for r in wanted} - found
    return found


def hide_all_but(names: Iterable[str], folder: Path) -> set[str]:
    """Makes a folder that hides other distributions from stages, if on PYTHONPATH.

    Args:
        names: Of distributions that stay, with those that they depend on.
        folder: To make.

    Returns:
        The modules that are hidden.
    """
    there = with_their_own(names)
    hidden = {
        module
        for module, owners in packages_distributions().items()
        if not there & {canonicalize_name(owner) for owner in owners}
    }
    folder.mkdir()
    text = HIDING.format(hidden=json.dumps(sorted(hidden)))
    (folder / "sitecustomize.py").write_text(text, encoding="utf-8")
    return hidden
