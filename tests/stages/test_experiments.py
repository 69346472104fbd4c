"""The stages of experiments through their scripts, on made-up files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import kendalltau
from sklearn.metrics import r2_score

from hyperreps.files.storage import write_arrays
from hyperreps.networks.architectures import build
from hyperreps.representation.autoencoder import (
    HyperRepresentation,
    load,
    normalization,
    save,
)
from hyperreps.settings.stages import HyperRep

from ..processes import python

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "workflow" / "scripts"
PUBLISHED = ROOT / "config" / "published.yaml"
NETWORK = build("cnn", channels=1)
MODELS, EPOCHS, WINDOW = 20, 5, (2, 4)
SPLIT = np.array(["train"] * 13 + ["val"] * 3 + ["test"] * 4)
TINY = HyperRep(
    width=8, heads=2, blocks=1, feedforward=8, latent=3, weight_threshold=50.0
)


def run(script: str, *arguments: object, fails: bool = False) -> str:
    """Runs a script and returns what it printed, or its errors where it must fail."""
    done = python([str(SCRIPTS / script), *map(str, arguments)])
    assert (done.returncode != 0) == fails, done.stderr
    assert not fails or "Traceback" not in done.stderr
    return done.stderr if fails else done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A zoo whose weights grow with accuracy, images, samples, two autoencoders."""
    folder = tmp_path_factory.mktemp("a run")
    rng = np.random.default_rng(0)
    accuracy = np.linspace(0.2, 0.8, MODELS)[rng.permutation(MODELS), None]
    accuracy = (accuracy + 0.02 * np.arange(EPOCHS)).astype(np.float32)
    weights = 0.2 * rng.normal(size=(MODELS, EPOCHS, NETWORK.parameters))
    weights = (weights * (1 + accuracy[:, :, None])).astype(np.float32)
    recipe = {"initialization": "normal", "activation": "tanh", "learning_rate": 0.1}
    settings = {
        "dataset": "toy",
        "models": MODELS,
        "window": WINDOW,
        "recipe": {**recipe, "batch_size": 10, "epochs": EPOCHS - 1},
    }
    about = {"architecture": "cnn", "channels": 1}
    arrays = {
        "weights": weights,
        "seed": np.arange(MODELS),
        "split": SPLIT,
        "epochs": np.arange(EPOCHS),
        "accuracy/train": accuracy + 0.01,
        "accuracy/val": accuracy,
        "accuracy/test": accuracy,
    }
    attributes = {"kind": "zoo", "zoo": "toy", "settings": settings, **about}
    write_arrays(folder / "zoo.h5", arrays, attributes=attributes)
    attributes = {"kind": "samples", "source": "toy", "method": "S", **about}
    samples = {"weights": weights[:6, 0]}
    write_arrays(folder / "samples.h5", samples, attributes=attributes)
    images = {}
    for split, count in (("train", 10), ("val", 10), ("test", 40)):
        pixels = rng.integers(0, 256, (count, 1, 28, 28))
        images[f"{split}/images"] = pixels.astype(np.uint8)
        images[f"{split}/labels"] = rng.integers(0, 10, count).astype(np.uint8)
    attributes = {"kind": "dataset", "dataset": "toy", "mean": [0.5], "std": [0.3]}
    write_arrays(folder / "images.h5", images, attributes=attributes)
    train = torch.from_numpy(weights[SPLIT == "train", WINDOW[0] :].reshape(-1, 2464))
    for seed in (1, 2):
        torch.manual_seed(seed)
        statistics = normalization(train, NETWORK, centering=True)
        model = HyperRepresentation(NETWORK, TINY, statistics, zoo="toy", seed=seed)
        save(model, folder / f"seed{seed}.safetensors")
        curve = pd.DataFrame(
            {
                "epoch": [1, 2],
                "core_seconds": [10.0, 20.0 + seed],
                "r2_scaled_train": [np.nan, 0.1 * seed],
                "r2_scaled_held_out": [np.nan, -0.1 * seed],
            }
        )
        curve.to_csv(folder / f"seed{seed}.csv", index=False)
    return folder


def ensemble_flags(folder: Path, name: str, **changes: object) -> list[object]:
    """Returns the flags of ensembles.py for the test split or for the samples."""
    flags = {
        "networks": folder / "zoo.h5",
        "kind": "zoo",
        "method": "B_T",
        "zoo": "toy",
        "dataset": folder / "images.h5",
        "activation": "tanh",
        "sizes": [1, 2, 3, 30],
        "epochs": [0, 4],
        "subsets": 6,
        "output": folder / "ensembles" / f"{name}.h5",
        "device": "cpu",
        **changes,
    }
    return [
        part
        for flag, value in flags.items()
        for part in (f"--{flag}", *(value if isinstance(value, list) else [value]))
    ]


@pytest.fixture(scope="module")
def files(folder) -> dict[str, list[Path]]:
    """Runs all stages; returns their files by table."""
    run("ensembles.py", *ensemble_flags(folder, "B_T"))
    samples = {"networks": folder / "samples.h5", "kind": "samples", "method": "S"}
    run("ensembles.py", *ensemble_flags(folder, "S", **samples, epochs=[0]))
    hyper_reps = ["--hyper-reps", *(folder / f"seed{s}.safetensors" for s in (1, 2))]
    zoo, cpu = ["--zoo", folder / "zoo.h5"], ["--device", "cpu"]
    output = ["--variant", "normalized", "--output", folder / "rec" / "normalized.h5"]
    dataset = ["--dataset", folder / "images.h5"]
    run("reconstruct.py", *zoo, *dataset, *hyper_reps, *output, *cpu)
    output = ["--variant", "normalized", "--output", folder / "one" / "normalized.h5"]
    output += ["--curves", *(folder / f"seed{s}.csv" for s in (1, 2)), "--samples", 3]
    run("ablate.py", *zoo, *dataset, *hyper_reps, *output, *cpu)
    for features in ("weights", "statistics", "normalized"):
        output = ["--features", features, "--output", folder / f"pro/{features}.h5"]
        latent = hyper_reps if features == "normalized" else []
        run("probe.py", *zoo, *latent, *output, *cpu)
    return {
        "ensembles": [folder / "ensembles" / f"{name}.h5" for name in ("B_T", "S")],
        "reconstruction": [folder / "rec" / "normalized.h5"],
        "ablation": [folder / "one" / "normalized.h5"],
        "properties": [
            folder / f"pro/{name}.h5"
            for name in ("weights", "statistics", "normalized")
        ],
    }


def read(path: Path) -> dict[str, np.ndarray]:
    """Reads all datasets of a file by plain h5py."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: (
                found.update({name: item[()]})
                if isinstance(item, h5py.Dataset)
                else None
            )
        )
    return found


class TestStages:
    """What the scripts leave."""

    def test_ensembles(self, files):
        found = read(files["ensembles"][0])
        assert found["size"].tolist() == [1, 2, 3]  # 30 do not fit into 4
        assert found["epoch"].tolist() == [0, 4]
        # 6 subsets become 8, every network twice
        assert found["accuracy"].shape == (2, 8, 3)
        assert np.isfinite(found["nll"]).all()
        assert (found["ece"] >= 0).all()
        assert found["members"].shape == (8, 3)

    def test_reconstruction(self, files, folder):
        found, zoo = read(files["reconstruction"][0]), read(folder / "zoo.h5")
        assert found["model"].tolist() == [*range(MODELS)]
        last = zoo["accuracy/test"][:, WINDOW[1]]
        np.testing.assert_array_equal(found["accuracy/original"], last)
        assert found["accuracy/reconstruction"].shape == (2, MODELS)
        assert found["squared_error"].shape == (2, MODELS, 5)
        mean = zoo["weights"][SPLIT == "train", WINDOW[0] :].mean((0, 1))
        deviation = zoo["weights"][:, WINDOW[1]] - mean
        expected = np.square(deviation[:, :208]).sum(1)
        np.testing.assert_allclose(found["squared_deviation"][:, 0], expected, 1e-4)
        counts = found["histogram/original"]
        assert counts.sum(2).tolist() == [
            [models * size for size in (208, 1206, 100, 740, 210)]
            for models in (13, 3, 4)
        ]
        assert (found["histogram/reconstruction"].sum(2) == 2 * counts.sum(2)).all()

    def test_probes(self, files):
        found = read(files["properties"][2])
        rows = MODELS * 3
        assert found["latents"].shape == (2, rows, 3)
        assert found["predicted/accuracy"].shape == (2, rows)
        assert sorted(set(found["epoch"])) == [2, 3, 4]
        np.testing.assert_allclose(found["truth/gap"], 0.01, atol=1e-6)
        assert read(files["properties"][0])["predicted/epoch"].shape == (1, rows)

    def test_ablation(self, files, folder):
        found, zoo = read(files["ablation"][0]), read(folder / "zoo.h5")
        assert found["hyper_rep_seed"].tolist() == [1, 2]
        np.testing.assert_allclose(found["r2/training"], [0.1, 0.2])
        np.testing.assert_allclose(found["r2/held_out"], [-0.1, -0.2])
        np.testing.assert_allclose(found["core_seconds"], [31, 32])
        assert np.isfinite(found["r2/shown"]).all()
        for name in ("training", "held_out", "released", "independent"):
            assert found[f"accuracy/{name}"].shape == (2, 3)
        assert "distance/independent" not in found
        # one source of each sample; matching never goes farther than the weights are
        rows = torch.from_numpy(zoo["weights"][SPLIT == "test", WINDOW[1]])
        for index, seed in enumerate((1, 2)):
            path = folder / f"seed{seed}.safetensors"
            model = load(path, device=torch.device("cpu"))
            given = model.map("decode", model.map("encode", rows))
            most = (given - rows).norm(dim=1).sort().values[-3:]
            distance = np.sort(found["distance/held_out"][index])
            assert (distance <= most.numpy() * (1 + 1e-5)).all()
            assert (distance > 0.5 * most.numpy()).all()

    def test_bad_input_is_one_line(self, folder, tmp_path):
        changes = {"output": tmp_path / "x.h5"}
        flags = ensemble_flags(folder, "x", epochs=[0, 25], **changes)
        assert "there are 0..4" in run("ensembles.py", *flags, fails=True)
        flags = ensemble_flags(folder, "x", sizes=[5, 6], **changes)
        assert "4 networks, too few" in run("ensembles.py", *flags, fails=True)
        flags = ["--zoo", folder / "images.h5", "--features", "weights"]
        message = run("probe.py", *flags, "--output", tmp_path / "x.h5", fails=True)
        assert "holds 'dataset'" in message
        assert not (tmp_path / "x.h5").exists()


@pytest.fixture(scope="module")
def tables(files, folder) -> dict[str, pd.DataFrame]:
    """Makes all tables and returns their numbers."""
    common = ["--published", PUBLISHED]
    for name, inputs in files.items():
        output = folder / "tables" / f"{name}.csv"
        flags = ["--table", name, "--inputs", *inputs, "--output", output]
        assert run("make_table.py", *flags, *common)
    return {name: pd.read_csv(folder / f"tables/{name}.csv") for name in files}


class TestTables:
    """make_table.py."""

    def test_ensembles_of_one_are_single_networks(self, tables, files, folder):
        table = tables["ensembles"].query("metric == 'accuracy' and size == 1")
        single = read(files["ensembles"][0])["accuracy"][:, :, 0]
        shown = table[table["method"] == "B_T"].set_index("epoch")["mean"]
        np.testing.assert_allclose(shown.loc[[0, 4]], single.mean(1))
        assert set(table["networks"]) == {4, 6}
        assert set(tables["ensembles"].query("method == 'S'")["epoch"]) == {0}

    def test_reconstruction(self, tables, files):
        found = read(files["reconstruction"][0])
        held_out = found["split"].astype(str) == "test"
        table = tables["reconstruction"].query("split == 'test'")
        r2 = table[table["quantity"] == "r2"].set_index("layer")
        error = found["squared_error"][:, held_out].sum(1)
        deviation = found["squared_deviation"][held_out].sum(0)
        np.testing.assert_allclose(r2["mean"].iloc[:5], (1 - error / deviation).mean(0))
        assert (r2["ci_low"] <= r2["mean"]).all()
        row = table[table["quantity"] == "reconstruction"].iloc[0]
        accuracy = found["accuracy/reconstruction"][:, held_out]
        assert row["mean"] == pytest.approx(accuracy.mean())
        assert row["std"] == pytest.approx(accuracy.std())
        assert (row["networks"], row["hyper_reps"]) == (4, 2)

    def test_ablation(self, tables, files):
        found = read(files["ablation"][0])
        table = tables["ablation"].set_index("quantity")
        assert table["changed"].isna().all()
        assert set(table["permutations"]) == {"all"}
        row = table.loc["distance_released"]
        shown = found["distance/released"] / found["independent_distance"]
        assert row["mean"] == pytest.approx(shown.mean())
        assert (row["networks"], row["hyper_reps"]) == (6, 2)
        # of two seeds: t of one degree of freedom
        row = table.loc["r2_training"]
        half = 12.7062 * 0.05
        ends = row[["ci_low", "mean", "ci_high"]].tolist()
        assert ends == pytest.approx([0.15 - half, 0.15, 0.15 + half], abs=1e-4)
        assert table.loc["core_seconds", "mean"] == 31.5

    def test_properties(self, tables, files):
        found = read(files["properties"][1])
        held_out = found["split"].astype(str) == "test"
        truth = found["truth/accuracy"][held_out]
        predicted = found["predicted/accuracy"][0, held_out]
        keys = ["features", "property", "metric"]
        table = tables["properties"].set_index(keys)
        row = table.loc[("statistics", "accuracy", "r2")]
        assert row["mean"] == pytest.approx(r2_score(truth, predicted))
        assert (row["inputs"], row["networks"], row["rows"]) == (70, 4, 12)
        row = table.loc[("statistics", "accuracy", "tau")]
        assert row["mean"] == pytest.approx(kendalltau(truth, predicted).statistic)
        # accuracy is in the spread of the weights: statistics see it
        assert row["mean"] > 0.8

    def test_pages_stand_alone(self, tables, folder):
        words = {
            "ensembles": ["15 bins", "B<sub>T30</sub>", "size 3", "not recovered"],
            "reconstruction": ["held-out networks", "linear2", "95 % confidence"],
            "ablation": ["R² held out", "core-seconds", "drawn on its own"],
            "properties": ["s(W)", "Kendall&#x27;s tau", "z normalized", "SANE"],
        }
        for name, expected in words.items():
            html = (folder / f"tables/{name}.html").read_text()
            assert html.startswith("<!doctype html>")
            assert "http" not in html
            for word in expected:
                assert word in html or word.replace("&#x27;", "'") in html, word
            latex = (folder / f"tables/{name}.tex").read_text()
            if name == "ablation":  # too wide for one part
                assert latex.count(r"\begin{longtable}") > 1
            else:
                assert latex.count(r"\begin{tabular}") == 1
            assert not re.search(r"(?<!\\)[%&_](?=[a-z])", latex.split("\n", 1)[1])

    def test_unknown_table(self, files, tmp_path):
        flags = ["--inputs", *files["ensembles"], "--published", PUBLISHED]
        flags += ["--table", "ensemble", "--output", tmp_path / "x.csv"]
        message = run("make_table.py", *flags, fails=True)
        assert (
            "unknown 'ensemble'; settings/sections.py has in_distribution," in message
        )


@pytest.mark.parametrize(
    "name", ["ensembles", "calibration", "reconstruction", "latents", "ablation"]
)
def test_figures(name, files, folder):
    inputs = {
        "calibration": files["ensembles"],
        "latents": files["properties"][-1:],
    }.get(name, files.get(name))
    output = folder / "figures" / f"{name}.pdf"
    flags = ["--figure", name, "--inputs", *inputs, "--published", PUBLISHED]
    run("make_figure.py", *flags, "--output", output)
    assert output.read_bytes().startswith(b"%PDF")
    assert output.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    data = pd.read_csv(output.with_suffix(".csv"))
    assert set(data["zoo"]) == {"toy"}
    if name == "latents":
        assert len(data) == MODELS * 3
        places = data.filter(regex="_[xy]$")
        assert places.shape[1] == 4
        assert np.isfinite(places).all(axis=None)
        # rounded so that a picture does not show it
        steps = np.diff(np.sort(places["PCA_x"].unique()))
        span = np.ptp(places["PCA_x"])
        assert 1e-4 * span < steps.min()
    if name == "reconstruction":
        density = data[data["quantity"] == "density"]
        counts = density.groupby(["variant", "layer"]).size()
        assert set(counts) == {40}
        assert len(counts) == 2 * 5


def test_published_numbers_of_properties():
    from hyperreps.results.published import load_published_properties

    numbers = load_published_properties(PUBLISHED)
    assert numbers["svhn", "statistics", "gap", "r2"] == 0.711
    assert (
        json.dumps(sorted({key[1] for key in numbers})) == '["statistics", "weights"]'
    )
