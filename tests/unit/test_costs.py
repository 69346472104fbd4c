"""The estimate of what a configuration takes, against recorded runs."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pytest
import torch

from hyperreps.config.config_files import merged, read_over_shipped
from hyperreps.config.configuration import Settings, load_settings
from hyperreps.config.costs import Speeds, Work, estimate
from hyperreps.config.space import (
    autoencoder_parameters,
    folders,
    gan_parameters,
    gigabytes,
    jump_parameters,
)
from hyperreps.networks.architectures import ARCHITECTURES, build
from hyperreps.networks.initialisation import initial_weights
from hyperreps.representation.autoencoder import HyperRepresentation, normalization
from hyperreps.sampling.gan import Generator
from hyperreps.sampling.jump import Jumper, Leg
from hyperreps.settings.stages import Gan, HyperRep, Jump

ROOT = Path(__file__).parents[2]
SPEEDS = Speeds(ROOT / "docs" / "measurements")
FLOAT32 = {"hyper_rep": {"precision": "float32"}}
# how far an estimate may be from what was measured
FACTOR = 1.3


def settings(*overlays: str, **changes: object) -> Settings:
    folder = ROOT / "config"
    config = read_over_shipped(folder, *(folder / name for name in overlays))
    return load_settings(merged(config, changes))


def hours(config: Settings) -> dict[str, float]:
    return {cost.stage: cost.core_hours for cost in estimate(config, SPEEDS)}


def within(estimated: float, measured: float) -> bool:
    return 1 / FACTOR < estimated / measured < FACTOR


def recorded_minutes(run: str) -> float:
    with open(ROOT / "docs" / "measurements" / "runs.csv", encoding="utf-8") as file:
        return next(
            float(row["cpu_minutes"])
            for row in csv.DictReader(file)
            if row["run"] == run
        )


@pytest.mark.parametrize(
    ("run", "overlays", "zoo"),
    [("stl10", (), "stl10"), ("mnist", ("novelty.yaml",), "mnist")],
)
def test_zoos_take_what_recorded_ones_took(
    run: str, overlays: tuple[str, ...], zoo: str
) -> None:
    # they were recorded when networks were trained and evaluated to the last epoch
    whole = {"complete": True, "recipe": {"evaluate_every": 1}}
    seconds = {
        jobs.names: jobs.seconds
        for jobs in Work(settings(*overlays, zoos={zoo: whole}), SPEEDS).jobs()
        if jobs.rule == "train_zoo"
    }
    assert within(seconds[zoo,] / 60, recorded_minutes(run))


def test_an_audit_takes_what_a_recorded_one_took() -> None:
    overlays = ("novelty.yaml", "novelty_imported.yaml")
    config = settings(*overlays, hyper_rep={"seeds": [1]})
    seconds = [
        jobs.seconds
        for jobs in Work(config, SPEEDS).jobs()
        if jobs.rule in ("audit_references", "audit")
    ]
    assert within(sum(seconds) / 60, recorded_minutes("audit of mnist_300"))


def test_the_stages_of_a_demo_take_what_they_took() -> None:
    table = pd.read_csv(ROOT / "docs" / "demo" / "costs.csv")
    sums = table.groupby("rule")[["core_hours", "measured_core_hours"]].sum()
    whole = sums.sum()
    assert within(whole["core_hours"], whole["measured_core_hours"])
    dominating = sums[sums["measured_core_hours"] > 0.1 * whole["measured_core_hours"]]
    assert len(dominating) > 0
    for rule, row in dominating.iterrows():
        assert within(row["core_hours"], row["measured_core_hours"]), rule


def test_an_autoencoder_runs_at_the_speed_of_its_size() -> None:
    paper = hours(settings("autoencoder_2021.yaml", **FLOAT32))["pretrain"]
    operations = 2 * 3 * 1.64e9 / 2 * 2 * 3500 * 500 * 24
    at_full_width = 80.9e9
    assert within(paper, operations / at_full_width / 3600)


def test_half_precision_has_a_speed_of_its_own() -> None:
    whole = hours(settings(**FLOAT32))["pretrain"]
    half = hours(settings(hyper_rep={"precision": "bfloat16"}))["pretrain"]
    assert 0.2 < half / whole < 0.95
    # what is found on the machine is estimated as if it had units for it
    assert hours(settings(hyper_rep={"precision": "auto"}))["pretrain"] == half


def test_steps_between_the_measured_sizes_are_interpolated() -> None:
    steps = [
        SPEEDS.step_seconds(10**k, precision="float32", dropout=True)
        for k in range(3, 16)
    ]
    assert steps == sorted(steps)
    # the smallest only wait, the largest run at one speed
    assert steps[0] == steps[1]
    assert steps[-1] == pytest.approx(10 * steps[-2])


def test_grayscale_images_have_one_channel() -> None:
    seconds = {
        jobs.names: jobs.seconds
        for jobs in Work(settings(), SPEEDS).jobs()
        if jobs.rule == "pretrain"
    }
    assert seconds["svhn", "normalized"] == seconds["mnist", "normalized"]
    assert seconds["cifar10", "normalized"] >= seconds["mnist", "normalized"]
    flop = Work(settings(), SPEEDS)._flop
    assert flop("svhn", "normalized") == flop("mnist", "normalized")
    assert flop("cifar10", "normalized") > flop("mnist", "normalized")


def test_zoos_of_all_tables_are_in_it() -> None:
    names = {
        jobs.names
        for jobs in Work(settings("demo.yaml"), SPEEDS).jobs()
        if jobs.rule == "train_zoo"
    }
    assert ("digits_varied",) in names


def test_the_recorded_estimate_is_that_of_the_paper() -> None:
    """After new measurements: make numbers."""
    table = pd.read_csv(ROOT / "docs" / "measurements" / "estimate.csv")
    recorded = table.groupby("rule")["core_hours"].sum().to_dict()
    assert recorded == pytest.approx(hours(settings()), rel=1e-4)


def test_evaluations_are_counted() -> None:
    """Of 51 epochs 0, 1, the multiples of 5, the window 21 to 25."""

    def seconds(every: int) -> float:
        recipe = {"evaluate_every": every}
        config = settings(zoos={"stl10": {"complete": True, "recipe": recipe}})
        jobs = Work(config, SPEEDS).jobs()
        wanted = ("train_zoo", ("stl10",))
        return next(j.seconds for j in jobs if (j.rule, j.names) == wanted)

    saved = (51 - (1 + 10 + 1 + 4)) * 1000 * 8800
    speed = SPEEDS.samples_per_second("evaluation_3", case="fused")
    assert seconds(1) - seconds(5) == pytest.approx(saved / speed)


def finetuning(method: str, **changes: object) -> float:
    jobs = Work(settings(**changes), SPEEDS).jobs()
    wanted = ("finetune", ("svhn", "svhn", method))
    return next(j.seconds for j in jobs if (j.rule, j.names) == wanted)


@pytest.mark.parametrize("name", ["res_skip", "4conv", "4conv_id_skip"])
def test_other_architectures_are_as_fast_as_their_own_measurement(name: str) -> None:
    """Beside the cnn they are slower by what training and evaluation are."""
    slower = []
    for work, table in (("training", "zoo_1"), ("evaluation", "evaluation_1")):
        about = {"architecture": f"cnn_{name}", "channels": "1", "work": work}
        other = SPEEDS.samples_per_second("architectures", case="fused", **about)
        slower.append(SPEEDS.samples_per_second(table, case="fused") / other)
    ratio = finetuning(f"S_KDE30_{name}") / finetuning("S_KDE30")
    assert min(slower) / 1.05 < ratio < max(slower) * 1.05


def test_the_grouped_engine_does_what_the_fused_one_cannot() -> None:
    by_sgd = {"zoos": {"svhn": {"recipe": {"optimizer": "sgd"}}}}
    fused = finetuning("S_KDE30_4conv")
    assert finetuning("S_KDE30_4conv", **by_sgd) > 3 * fused


@pytest.mark.parametrize("channels", ["1", "3"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("work", ["training", "evaluation"])
def test_every_architecture_was_measured(
    architecture: str, channels: str, work: str
) -> None:
    about = {"architecture": architecture, "channels": channels, "work": work}
    fused, grouped = (
        SPEEDS.samples_per_second("architectures", case=engine, **about)
        for engine in ("fused", "grouped")
    )
    assert fused > grouped


@pytest.mark.parametrize(
    ("architecture", "changes"),
    [
        ("cnn", {}),
        ("cnn_res_skip", {"blocks": 3, "projection_layers": 2}),
        ("cnn_4conv", {"compression": "linear", "latent": 7, "feedforward": 10}),
    ],
)
def test_a_hyper_representation_has_as_many_numbers_as_counted(
    architecture: str, changes: dict[str, object]
) -> None:
    network = build(architecture, channels=1)
    small = {"width": 8, "heads": 2, "feedforward": 16, "latent": 5, "blocks": 1}
    model = HyperRep(**{**small, "projection_width": 6, **changes})
    weights = initial_weights(network, initialization="uniform", seeds=range(3))
    statistics = normalization(weights, network, centering=False)
    built = HyperRepresentation(network, model, statistics)
    saved = sum(values.numel() for values in built.state_dict().values())
    # counters and the single number of a scale are not counted
    assert autoencoder_parameters(network, model) == pytest.approx(saved, abs=8)


@pytest.mark.parametrize("noise", [3, 64])
def test_a_generator_has_as_many_numbers_as_counted(noise: int) -> None:
    gan = Gan(noise=noise, width=16)
    built = Generator(gan, torch.zeros(7), torch.ones(7))
    saved = sum(values.numel() for values in built.state_dict().values())
    assert gan_parameters(gan, 7) == saved


@pytest.mark.parametrize("stations", [(0, 1), (0, 1, 5)])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_jump_has_as_many_numbers_as_counted(
    architecture: str, stations: tuple[int, ...]
) -> None:
    network = build(architecture, channels=1)
    jump = Jump(width=8, heads=2, feedforward=12, blocks=2, stations=stations)
    legs = len(stations) - 1
    statistics = Leg(*torch.ones(6, legs, network.parameters))
    built = Jumper(
        network, jump, statistics, initialization="uniform", zoo="toy", seed=1
    )
    saved = sum(values.numel() for values in built.state_dict().values())
    assert jump_parameters(network, jump, legs=legs) == saved


def test_generators_and_jumps_are_counted() -> None:
    found = dict.fromkeys(("generators", "jumps"), 0.0)
    for folder, size in folders(Work(settings("smoke.yaml"), SPEEDS)):
        if folder in found:
            found[folder] += size
    assert min(found.values()) > 0


def test_twice_the_networks_take_twice_the_room() -> None:
    zoo = {"mnist": {"models": 2000}}
    alone = {"zoos": ["mnist"]}
    nothing = {key: {"zoos": []} for key in ("samplers", "ensembles", "reconstruction")}
    rest = {"architectures": {"zoos": []}, "transfer": {"pairs": []}}
    rest |= {"properties": {"zoos": []}, "novelty": {"zoos": []}}
    few = {"in_distribution": {**alone, "methods": ["B_F"], "references": []}}
    sizes = [
        gigabytes(Work(settings(**few, **nothing, **rest, **changes), SPEEDS))
        for changes in ({}, {"zoos": zoo})
    ]
    images = 70_000 * 28**2 / 1e9
    # of B_F at most so many samples are drawn as are asked for
    finetuned = 4 * 150 * (1 + 4) * 2464 / 1e9
    one, two = (size - images - finetuned for size in sizes)
    assert two == pytest.approx(2 * one, rel=0.01)
