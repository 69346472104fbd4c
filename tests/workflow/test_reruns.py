"""What runs again after which edit: no more and no less than depends on it."""

from __future__ import annotations

import ast

import pytest

from .project import (
    NOVELTY_JOBS,
    RESULT_JOBS,
    RESULTS,
    Project,
    edit,
    job_counts,
    result_jobs,
)

LIBRARY = "workflow/scripts/hyperreps"
ALL_RESULTS = {**RESULT_JOBS, **NOVELTY_JOBS}
FIGURE_JOBS = {job: 1 for job in ALL_RESULTS if job.startswith("figure_")}
IN_DISTRIBUTION = result_jobs("in_distribution")


def without_zoos(jobs: dict[str, int]) -> dict[str, int]:
    """Returns jobs without the figure of zoos, which shows no samples."""
    return {job: count for job, count in jobs.items() if job != "figure_zoo"}


# 11 in latent space and 7 in weight space, of which two and one are audited; 7 in
# distribution, 2 transfers and 3 of other architectures are finetuned
SAMPLING_JOBS = {
    "sample": 18,
    "finetune": 12,
    "audit": 3,
    **without_zoos(ALL_RESULTS),
}
# of the finetuned, three in distribution, a transfer and an architecture do not use a
# hyper-representation
LATENT_JOBS = {
    "pretrain": 4,
    "train_gan": 2,
    "sample": 11,
    "finetune": 7,
    "audit": 2,
    **without_zoos(ALL_RESULTS),
}
ZOO_JOBS = {
    "train_zoo": 3,
    "merge_zoo": 2,
    "align_zoo": 1,
    "audit_references": 1,
    "train_jump": 2,
    **LATENT_JOBS,
    **SAMPLING_JOBS,
    **ALL_RESULTS,
}

NEW_SAMPLER = '''

@sampler
def best_of_pool(points, *, count, rng, shift):
    """The first points of the pool, moved."""
    return Drawn(points[:count] + np.float32(shift), np.arange(count))
'''


def reworded(text: str) -> str:
    """Returns the same logic with other docstrings, layout and comments."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            first = node.body[0]
            if ast.get_docstring(node, clean=False) is None:
                node.body.insert(0, ast.Expr(ast.Constant("A new docstring.")))
            else:
                first.value = ast.Constant("Another docstring.")
    return (
        f"# a comment\n{ast.unparse(ast.fix_missing_locations(tree))}\n\n# one more\n"
    )


def test_a_second_run_has_nothing_to_do(finished: Project) -> None:
    assert finished.planned() == {}


def test_touching_the_sources_reruns_nothing(project: Project) -> None:
    """Nor does moving the project: this is a copy in another folder."""
    for folder in ("Snakefile", "rules", "workflow", "config", "profiles", "envs"):
        path = project.root / folder
        for file in (path, *path.rglob("*")):
            file.touch()
    assert project.planned() == {}


def test_rewording_reruns_nothing(project: Project) -> None:
    for name in (
        *("sampling/samplers", "zoo/population"),
        *("numbers/statistics", "settings/stages"),
    ):
        path = project.module(name)
        text = path.read_text(encoding="utf-8")
        path.write_text(reworded(text), encoding="utf-8")
        assert path.read_text(encoding="utf-8") != text
    edit(
        project.module("settings/stages"),
        "description='Size of the latent",
        "title='The",
    )
    edit(project.module("settings/limits"), "ge=1, le=1000", "ge=1, le=999")
    kernel = project.root / LIBRARY / "engines/cuda/kernel.cu"
    kernel.write_text(kernel.read_text(encoding="utf-8") + "\n// a comment\n")
    script = project.root / "workflow" / "scripts" / "train_zoo.py"
    script.write_text(reworded(script.read_text(encoding="utf-8")), encoding="utf-8")
    assert project.planned() == {}


@pytest.mark.parametrize(
    ("path", "old", "new", "expected"),
    [
        pytest.param(
            f"{LIBRARY}/networks/initialisation.py",
            *("INITIAL_BIAS = 0.01", "INITIAL_BIAS = 0.02"),
            ZOO_JOBS,
            id="population",
        ),
        pytest.param(
            f"{LIBRARY}/representation/pretraining.py",
            *("PLATEAU_FACTOR = 0.3", "PLATEAU_FACTOR = 0.5"),
            LATENT_JOBS,
            id="pretraining",
        ),
        pytest.param(
            f"{LIBRARY}/sampling/samplers.py",
            *("bandwidth * noise", "2 * bandwidth * noise"),
            SAMPLING_JOBS,
            id="sampling",
        ),
        pytest.param(
            f"{LIBRARY}/sampling/gan_training.py",
            *("STEPS_PER_EPOCH = 100", "STEPS_PER_EPOCH = 50"),
            {"train_gan": 2, "sample": 1, **result_jobs("samplers")},
            id="training of the GAN",
        ),
        pytest.param(
            f"{LIBRARY}/sampling/jump_training.py",
            *("TIME_SPREAD = 1.2", "TIME_SPREAD = 1.0"),
            {"train_jump": 2, "sample": 1, **result_jobs("samplers")},
            id="training of the jump",
        ),
        pytest.param(
            f"{LIBRARY}/settings/stages.py",
            *("max(1, round(", "max(1, math.ceil("),
            {"prepare_dataset": 1, **ZOO_JOBS},
            id="split of the models",
        ),
        pytest.param(
            f"{LIBRARY}/results/paper.mplstyle",
            *("axes.linewidth: ", "axes.linewidth: 1"),
            FIGURE_JOBS,
            id="style of the figures",
        ),
        pytest.param(
            f"{LIBRARY}/results/drawing.py",
            *('GREY, LIGHT_GREY = "#4d', 'GREY, LIGHT_GREY = "#3d'),
            FIGURE_JOBS,
            id="what figures share",
        ),
        pytest.param(
            f"{LIBRARY}/results/figures/curves.py",
            *("alpha=0.25", "alpha=0.3"),
            {"figure_finetuning": 1, "figure_transfer": 1},
            id="two figures",
        ),
        pytest.param(
            f"{LIBRARY}/results/tables/significance.yaml",
            *("Which differences", "Differences that"),
            {job: 1 for job in RESULT_JOBS if "significance" in job},
            id="words of a table",
        ),
        pytest.param(
            "config/published.yaml",
            *("20.6 ± 1.6", "20.7 ± 1.6"),
            {job: 1 for job in RESULT_JOBS if "significance" not in job},
            id="published numbers",
        ),
    ],
)
def test_an_edit_reruns_the_stages_that_use_it(
    project: Project, path: str, old: str, new: str, expected: dict[str, int]
) -> None:
    edit(project.root / path, old, new)
    assert project.planned() == expected


@pytest.mark.parametrize(
    ("overlay", "expected"),
    [
        pytest.param(
            {"methods": {"S_KDE30": {"options": {"bandwidth": 0.003}}}},
            {
                "sample": 1,
                "finetune": 2,
                "audit": 1,
                **without_zoos(result_jobs("in_distribution", "samplers", "transfer")),
                **NOVELTY_JOBS,
            },
            id="option of one method",
        ),
        pytest.param(
            {"methods": {"noise_top30": {"options": {"sigma": 0.1}}}},
            {
                "sample": 1,
                "finetune": 1,
                **without_zoos(result_jobs("in_distribution", "samplers")),
            },
            id="option of a trivial baseline",
        ),
        pytest.param(
            # two seeds; B_KDE30 and B_KDE30_released
            {"variants": {"baseline": {"latent": 5}}},
            {
                "pretrain": 2,
                "sample": 2,
                "finetune": 2,
                **without_zoos(IN_DISTRIBUTION),
            },
            id="one variant",
        ),
        pytest.param(
            {"zoos": {"digits": {"hyper_rep": {"latent": 5}}}},
            LATENT_JOBS,
            id="hyper-representations of one zoo",
        ),
        pytest.param(
            # the new seed of two variants; all methods in latent space
            {"hyper_rep": {"seeds": [1, 2, 3]}},
            {**LATENT_JOBS, "pretrain": 2, "train_gan": 1},
            id="one more seed",
        ),
        pytest.param(
            # the shards are gone by then: they are temporary
            {"zoos": {"digits": {"recipe": {"learning_rate": 0.04}}}},
            {**ZOO_JOBS, "train_zoo": 2, "merge_zoo": 1},
            id="recipe of the zoo",
        ),
        pytest.param(
            {"in_distribution": {"epochs": [0, 1, 2]}},
            {"finetune": 7, **IN_DISTRIBUTION},
            id="finetuning epochs",
        ),
        pytest.param(
            {"architectures": {"epochs": [0, 2]}},
            {"finetune": 3, **result_jobs("architectures")},
            id="epochs of other architectures",
        ),
        pytest.param(
            {"transfer": {"epochs": [0, 2]}},
            {"finetune": 2, **result_jobs("transfer")},
            id="epochs of the transfer",
        ),
        pytest.param(
            {"gan": {"width": 9}},
            {"train_gan": 2, "sample": 1, **result_jobs("samplers")},
            id="setting of the GAN",
        ),
        pytest.param(
            {"jumps": {"jump": {"blocks": 2}}},
            {"train_jump": 2, "sample": 1, **result_jobs("samplers")},
            id="setting of a jump",
        ),
        pytest.param(
            {"datasets": {"digits": {"validation": 201}}},
            {"prepare_dataset": 1, **ZOO_JOBS},
            id="validation images",
        ),
        pytest.param({"statistics": {"confidence": 0.9}}, ALL_RESULTS, id="level"),
        pytest.param({"figures": {"font_size": 9}}, FIGURE_JOBS, id="look of figures"),
        pytest.param(
            {"novelty": {"networks": 5}},
            {"audit_references": 1, "audit": 3, **NOVELTY_JOBS},
            id="networks of the references",
        ),
    ],
)
def test_a_setting_reruns_the_jobs_that_use_it(
    project: Project, overlay: dict, expected: dict[str, int]
) -> None:
    assert project.planned(overlay=overlay) == expected


def test_a_sampler_is_a_function_and_an_entry_of_the_config(project: Project) -> None:
    """docs/extending.md: nothing else has to be edited."""
    method = {"sampler": "best_of_pool", "top": 0.5, "samples": 2}
    overlay = {
        "methods": {"best": {**method, "options": {"shift": 0.5}}},
        "in_distribution": {
            "methods": [
                *("S_KDE30", "S_KDE30_released", "B_KDE30", "B_KDE30_released"),
                "best",
            ]
        },
    }
    path = project.module("sampling/samplers")
    path.write_text(path.read_text(encoding="utf-8") + NEW_SAMPLER, encoding="utf-8")
    # samplers.py has other logic now, so every method is drawn again ...
    everything = {**SAMPLING_JOBS, "finetune": 10}
    assert project.planned(overlay=overlay) == everything
    # ... unless we say that the old ones have not changed
    touched = project.smoke("--touch", "--cores", "1")
    assert touched.code == 0, touched.output
    only_new = {"sample": 1, "finetune": 1, **without_zoos(IN_DISTRIBUTION)}
    assert project.planned(overlay=overlay) == only_new
    result = f"{RESULTS}/samples/digits/best.h5"
    done = project.smoke(result, "--cores", "1", overlay=overlay)
    assert done.code == 0, done.output
    assert (project.root / result).stat().st_size > 0


def test_experiments_do_not_mix(project: Project) -> None:
    overlay = {"experiment": "other"}
    done = project.smoke("--dry-run", overlay=overlay)
    assert job_counts(done.output) == {"prepare_dataset": 1, **ZOO_JOBS}
    outputs = [
        path
        for line in done.output.splitlines()
        if line.strip().startswith(("output:", "log:", "benchmark:"))
        for path in line.split(":", 1)[1].split(",")
    ]
    assert len(outputs) > 3 * 24
    folders = {"/".join(path.split()[0].split("/")[:2]) for path in outputs}
    assert folders == {"results/other", "logs/other", "benchmarks/other"}
