"""The same settings and seeds give the same bits, however the work is cut."""

from __future__ import annotations

import shutil

from ..workflow.project import RESULTS, Project, assert_same_results

TABLE = f"{RESULTS}/tables/transfer.csv"


def test_results_do_not_depend_on_shards_and_cores(
    project: Project, finished: Project
) -> None:
    """Zoos, autoencoders, samples, finetuned networks and a table of them."""
    shutil.rmtree(project.results / "zoos")
    (project.root / TABLE).unlink()
    overlay = {"compute": {"shard_size": 3}}
    done = project.smoke(TABLE, "--cores", "1", overlay=overlay)
    assert done.code == 0, done.output
    logs = project.root / "logs/smoke/zoos/digits"
    assert (logs / "seeds_7_8.log").exists(), "three shards: 1..3, 4..6, 7..8"
    assert_same_results(project, finished)
