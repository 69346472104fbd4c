"""The estimate of what a run takes has the jobs that the run would have."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

import pytest

from hyperreps.config.config_files import read_over_shipped
from hyperreps.config.configuration import load_settings
from hyperreps.config.costs import Speeds, Work

from .project import CHECKOUT, Project, job_counts

# collecting rules, and what they make
STAGES = {
    "zoos": "merge_zoo",
    "hyper_reps": "pretrain",
    "samples": "sample",
    "finetuned": "finetune",
}
CONFIGS = {
    "paper": [],
    "demo": ["demo.yaml"],
    "imported and audited": ["novelty.yaml", "novelty_imported.yaml"],
}


@pytest.mark.parametrize("overlays", CONFIGS.values(), ids=CONFIGS)
def test_no_job_is_forgotten_and_none_is_made_up(
    sources: Project, overlays: list[str]
) -> None:
    folder = CHECKOUT / "config"
    files = [folder / name for name in overlays]
    settings = load_settings(read_over_shipped(folder, *files))
    paths = [f"config/{name}" for name in overlays]
    options = ["--configfile", *paths] if paths else []
    # networks of others are inputs
    for name in filter(None, (zoo.weights for zoo in settings.zoos.values())):
        file = sources.root / settings.data_dir / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"")
    done = sources.snakemake("--dry-run", "--forceall", *options)
    assert done.code == 0, done.output
    folder = f"logs/{settings.experiment}/"
    planned = re.findall(rf"^ +log: {folder}(\S+)", done.output, re.M)
    forgotten = set(planned)
    for jobs in Work(settings, Speeds(CHECKOUT / "docs" / "measurements")).jobs():
        logs = {log for log in planned if fnmatchcase(log, jobs.logs)}
        assert len(logs) == jobs.number, jobs
        forgotten -= logs
    assert not forgotten


def test_a_stage_is_made_whole(sources: Project) -> None:
    """What only the probes read, the zoo digits_varied, is among the zoos too."""
    demo = ("--dry-run", "--forceall", "--configfile", "config/demo.yaml")
    output = sources.snakemake(*demo).output
    assert "core-hours in all" in output
    whole = job_counts(output)
    for target, rule in STAGES.items():
        done = sources.snakemake(target, *demo)
        assert done.code == 0, done.output
        assert job_counts(done.output)[rule] == whole[rule], target


def test_what_ended_here_corrects_the_estimate(sources: Project) -> None:
    demo = ("--dry-run", "--configfile", "config/demo.yaml")
    log = sources.root / "logs" / "demo" / "datasets" / "digits.log"
    log.parent.mkdir(parents=True)
    log.write_text("12:00:00 done: 7200.0 s of CPU time\n", encoding="utf-8")
    try:
        output = sources.snakemake(*demo).output
    finally:
        log.unlink()
    found = re.search(r"The 1 of them that ended here took (\S+) times", output)
    assert found, output
    assert float(found[1]) > 1000
