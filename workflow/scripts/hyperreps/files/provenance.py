"""What made a file: versions and the commit of the code, as attributes."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path

from .. import __version__

CODE = ("workflow", "rules", "Snakefile")
# sha256 of the users' files that this process has run (own_parts.py), by name
OWN_FILES: dict[str, str] = {}
# what tells git of another repository, as in its hooks
MISLEADING = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")


def provenance() -> Mapping[str, str]:
    """Returns the attributes that every file carries: versions and the git commit.

    Where users' files were run, own_parts has their names and sha256.
    """
    return _ours() | ({"own_parts": json.dumps(OWN_FILES)} if OWN_FILES else {})


def note_own_file(path: Path, source: bytes) -> None:
    """Notes a user's file that runs in this process, and what it holds."""
    inside = path.is_relative_to(Path.cwd())
    name = str(path.relative_to(Path.cwd()) if inside else path)
    OWN_FILES[name] = hashlib.sha256(source).hexdigest()
    logging.info("%s: sha256 %s", name, OWN_FILES[name])


@cache
def _ours() -> dict[str, str]:
    versions = {
        "hyperreps": __version__,
        "python": platform.python_version(),
        "torch": version("torch"),
        "numpy": version("numpy"),
        "machine": platform.machine(),
    }
    try:
        commit = commit_of(Path(__file__).resolve().parents[4])
    except (OSError, subprocess.SubprocessError):
        commit = "unknown"
    return {"versions": json.dumps(versions), "git_commit": commit}


def commit_of(root: Path) -> str:
    """Returns the commit of the project at root, and whether its code differs from it.

    Code that is not committed gives "COMMIT+changed.DIGEST", with a digest of what
    those files are now. Settings are not code: the files have them as attributes.

    Raises:
        OSError: If there is no git.
        subprocess.SubprocessError: If git knows no commit of root.
    """
    mine = {k: v for k, v in os.environ.items() if k not in MISLEADING}

    def git(*words: str) -> list[str]:
        command = ["git", "--no-optional-locks", *words]
        done = subprocess.run(
            command, cwd=root, env=mine, capture_output=True, check=True, timeout=60
        )
        return os.fsdecode(done.stdout).strip("\n\0").split("\0")

    top, commit = git("rev-parse", "--show-toplevel", "HEAD")[0].rsplit("\n", 1)
    if Path(top).resolve() != root.resolve():  # unpacked inside another repository
        return "unknown"
    listed = ("--porcelain", "-z", "--no-renames", "--untracked-files=all")
    entries = git("status", *listed, "--", *CODE)
    changed = sorted(entry[3:] for entry in entries if entry)
    if not changed:
        return commit
    digest = hashlib.sha256()
    for name in changed:
        path = root / name
        content = path.read_bytes() if path.is_file() else b"gone"
        digest.update(os.fsencode(name) + b"\0" + hashlib.sha256(content).digest())
    return f"{commit}+changed.{digest.hexdigest()[:12]}"
