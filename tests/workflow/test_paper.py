"""The paper's run: what it would do, here and on a cluster."""

from __future__ import annotations

import re
import time

import pytest

from .project import NOVELTY_JOBS, RESULT_JOBS, Project, job_counts

ZOOS = 4
VARIANTS, SEEDS = 2, 3
METHODS, REFERENCES = 4, 3
PAPER_JOBS = {
    "prepare_dataset": ZOOS,
    "train_zoo": ZOOS * 1000 // 50,  # models / shard_size
    "merge_zoo": ZOOS,  # nothing is aligned
    "pretrain": ZOOS * VARIANTS * SEEDS,
    "sample": ZOOS * (METHODS + REFERENCES),
    "finetune": ZOOS * METHODS,
    "audit_references": ZOOS,
    "audit": ZOOS * (METHODS + REFERENCES),
    **RESULT_JOBS,
    **NOVELTY_JOBS,
}


def test_plain_snakemake_plans_the_whole_paper(sources: Project) -> None:
    start = time.monotonic()
    done = sources.snakemake("--dry-run")
    assert done.code == 0, done.output
    assert job_counts(done.output) == PAPER_JOBS
    assert time.monotonic() - start < 15


def test_profile_slurm_plans_the_same_on_a_cluster(sources: Project) -> None:
    pytest.importorskip("snakemake_executor_plugin_slurm")
    done = sources.snakemake("--profile", "slurm", "--dry-run")
    assert done.code == 0, done.output
    assert "Using profiles slurm" in done.output
    assert job_counts(done.output) == PAPER_JOBS


def test_the_rules_pass_snakemakes_linter(sources: Project) -> None:
    done = sources.snakemake("--lint")
    assert done.code == 0, done.output


def test_the_demo_needs_no_network(sources: Project) -> None:
    overlay = ("--configfile", "config/demo.yaml")
    done = sources.snakemake("--dry-run", "--printshellcmds", *overlay)
    assert done.code == 0, done.output
    assert set(re.findall(r"--settings.source (\S+)", done.output)) == {"digits"}
    assert job_counts(done.output).keys() == {*PAPER_JOBS, "align_zoo"}
