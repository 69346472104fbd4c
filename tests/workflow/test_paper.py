"""The paper's run: what it would do, here and on a cluster."""

from __future__ import annotations

import re

import pytest

from ..conftest import children_seconds
from .project import NOVELTY_JOBS, RESULT_JOBS, Project, job_counts

ZOOS = 4
VARIANTS, SEEDS = 2, 6
METHODS, REFERENCES = 7, 2
# of the table samplers: samplers of the paper, then references, that are not above
SAMPLERS, BASELINES = 10, 8
GANS = 2
PAIRS, TRANSFERRED = 4, 3
# on one zoo
ARCHITECTURES = 8
AUDITED = 7
EXPERIMENT_JOBS = {
    "ensemble": ZOOS * (2 + 5),  # the zoo's own two populations, five methods
    "reconstruct": ZOOS * VARIANTS,
    "probe": ZOOS * (2 + VARIANTS),  # weights, statistics, latents
    **{f"table_{name}": 1 for name in ("ensembles", "reconstruction", "properties")},
    **{f"figure_{name}": 1 for name in ("ensembles", "calibration")},
    **{f"figure_{name}": 1 for name in ("reconstruction", "latents")},
}
PAPER_JOBS = {
    "prepare_dataset": ZOOS,
    "train_zoo": ZOOS * 1000 // 100,  # models / shard_size
    "merge_zoo": ZOOS,
    "align_zoo": ZOOS,  # for soups
    "pretrain": ZOOS * VARIANTS * SEEDS,
    "train_gan": ZOOS * GANS * SEEDS,
    "sample": ZOOS * (METHODS + REFERENCES + SAMPLERS + BASELINES) + ARCHITECTURES,
    "finetune": ZOOS * METHODS + PAIRS * TRANSFERRED + ARCHITECTURES,
    **RESULT_JOBS,
    **EXPERIMENT_JOBS,
    "audit_references": ZOOS,
    "audit": ZOOS * AUDITED,
    **NOVELTY_JOBS,
}


def test_plain_snakemake_plans_the_whole_paper(sources: Project) -> None:
    start = children_seconds()
    done = sources.run(["python", "-m", "snakemake", "--dry-run"])
    assert done.code == 0, done.output
    assert job_counts(done.output) == PAPER_JOBS
    # what an idle core would need: other load on this machine does not count
    assert children_seconds() - start < 15


def test_profile_slurm_plans_the_same_on_a_cluster(sources: Project) -> None:
    pytest.importorskip("snakemake_executor_plugin_slurm")
    done = sources.snakemake("--profile", "slurm", "--dry-run")
    assert done.code == 0, done.output
    assert "Using profiles slurm" in done.output
    assert job_counts(done.output) == PAPER_JOBS


def test_the_rules_pass_snakemakes_linter(sources: Project) -> None:
    done = sources.snakemake("--lint")
    assert done.code == 0, done.output


def test_the_study_of_novelty_is_of_three_autoencoders(sources: Project) -> None:
    overlay = ("--configfile", "config/novelty.yaml")
    done = sources.snakemake("novelty", "--dry-run", *overlay)
    assert done.code == 0, done.output
    planned = job_counts(done.output)
    # S, B and S without permutations, three seeds each
    assert planned["pretrain"] == 3 * 3
    assert planned["audit"] == planned["sample"] == 7
    assert planned["audit_references"] == 1


def test_capacity_has_a_figure_of_its_own(sources: Project) -> None:
    names = ("novelty", "novelty_imported", "novelty_capacity")
    overlays = [f"config/{name}.yaml" for name in names]
    file = sources.root / "data" / "mnist_300_models_epochs_21_25.npz"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"")
    done = sources.snakemake("novelty", "--dry-run", "--configfile", *overlays)
    assert done.code == 0, done.output
    planned = job_counts(done.output)
    assert planned["figure_capacity"] == 1
    assert planned["audit"] == 2 * planned["pretrain"]


def test_the_demo_needs_no_network(sources: Project) -> None:
    overlay = ("--configfile", "config/demo.yaml")
    done = sources.snakemake("--dry-run", "--printshellcmds", *overlay)
    assert done.code == 0, done.output
    assert set(re.findall(r"--settings.source (\S+)", done.output)) == {"digits"}
    assert job_counts(done.output).keys() == PAPER_JOBS.keys()
