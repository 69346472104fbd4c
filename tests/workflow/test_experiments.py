"""Further tables after a finished smoke run: ensembles, reconstructions and others."""

from __future__ import annotations

from .project import Project, job_counts

ON = {
    "ensembles": {
        "zoos": ["digits"],
        "methods": ["S_KDE30", "noise_top30"],
        "sizes": [1, 2],
        "epochs": [0, 1],
        "subsets": 5,
    },
    "reconstruction": {"zoos": ["digits"]},
    "properties": {"zoos": ["digits"], "variants": ["normalized"]},
    "ablation": {"zoos": ["digits"], "variants": ["normalized", "baseline"]},
    "equal_compute": {
        "zoos": ["digits"],
        "methods": ["S_KDE30", "B_F30"],
        "epochs": [0, 1],
    },
    "judgement": {
        "zoos": ["digits"],
        # any audited populations are a curve
        "noise": ["mean_top30", "S_KDE30"],
        "soup": ["mean_top30", "S_KDE30_released"],
    },
}
TABLES = tuple(ON)
FIGURES = (
    *("ensembles", "calibration", "reconstruction", "latents", "ablation"),
    "judgement",
)
JOBS = {
    "ensemble": 4,  # two of the zoo, two methods
    "reconstruct": 2,
    "ablate": 2,
    "probe": 4,  # weights, aligned weights, statistics, latents
    **{f"table_{name}": 1 for name in TABLES},
    "values": 1,
    **{f"figure_{name}": 1 for name in FIGURES},
}


def test_experiments_join_a_finished_run(project: Project) -> None:
    done = project.smoke("--cores", "all", overlay=ON)
    assert done.code == 0, done.output
    assert job_counts(done.output) == JOBS
    for name in TABLES:
        for suffix in ("csv", "tex", "html"):
            assert (project.results / "tables" / f"{name}.{suffix}").stat().st_size
    for name in FIGURES:
        for suffix in ("pdf", "png", "csv"):
            assert (project.results / "figures" / f"{name}.{suffix}").stat().st_size
    assert project.planned(overlay=ON) == {}
    stages = ("ensembles", "reconstructions", "properties", "ablations")
    assert project.planned(*stages, overlay=ON) == {}
    more = {**ON, "ensembles": {**ON["ensembles"], "methods": ["S_KDE30", "B_KDE30"]}}
    tables = {name: JOBS[name] for name in JOBS if "ensembles" in name}
    assert project.planned(overlay=more) == {
        "ensemble": 1,
        **tables,
        "figure_calibration": 1,
    }


def test_a_jump_begins_where_that_of_another_zoo_ended(project: Project) -> None:
    overlay = {
        "zoos": {
            "short": {
                "dataset": "digits",
                "models": 6,
                "window": [1, 1],
                "keep": [0],
                "recipe": {
                    "initialization": "uniform_fan_in",
                    "activation": "tanh",
                    "learning_rate": 0.01,
                    "batch_size": 16,
                    "epochs": 1,
                },
            }
        },
        "jumps": {"later": {"pretrained_on": "short"}},
        "methods": {"later": {"sampler": "jump", "jump": "later", "samples": 3}},
        "samplers": {"methods": ["later"], "references": []},
    }
    done = project.smoke("table_samplers", "--cores", "all", overlay=overlay)
    assert done.code == 0, done.output
    assert job_counts(done.output) == {
        "train_zoo": 2,
        "merge_zoo": 1,
        "train_jump": 4,  # two seeds on each zoo
        "sample": 1,
        "table_samplers": 1,
    }
    overlay["zoos"]["short"]["keep"] = []
    refused = project.smoke("--dry-run", overlay=overlay)
    assert refused.code != 0
    assert "zoo short does not keep the weights of epochs [0]" in refused.output
    overlay["zoos"]["short"] |= {"keep": [0], "architecture": "cnn_4conv"}
    refused = project.smoke("--dry-run", overlay=overlay)
    assert refused.code != 0
    assert "networks of short are cnn_4conv, those of digits cnn; name" in (
        refused.output
    )


def test_what_cannot_be_is_one_line(project: Project) -> None:
    overlay = {
        "ensembles": {"zoos": ["digits"], "methods": ["S_KDE"], "epochs": [0, 3]},
        "properties": {"zoos": ["digit"]},
    }
    done = project.smoke("--dry-run", overlay=overlay)
    assert done.code != 0
    assert "ensembles.epochs: [3] are not among" in done.output
    assert "properties.zoos: unknown 'digit'; zoos has" in done.output
