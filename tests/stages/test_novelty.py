"""The audit as a chain of calls: imported zoo, references, samples, table, figures."""

from __future__ import annotations

import json
from pathlib import Path
from subprocess import CompletedProcess

import h5py
import numpy as np
import pandas as pd
import pytest

from hyperreps.files.storage import read_arrays, write_arrays

from ..processes import python

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
MODELS, EPOCHS = 8, [0, 3, 4]
ZOO = (
    f"--name toy --settings.dataset toy --settings.models {MODELS}"
    " --settings.window 3 4 --settings.weights nets.npz"
    " --settings.recipe.initialization uniform --settings.recipe.activation tanh"
    " --settings.recipe.learning-rate 0.01 --settings.recipe.batch-size 20"
    " --settings.recipe.epochs 6"
)
SMALL = "--settings.networks 3 --settings.images 20 --settings.soup 2"


def call(folder: Path, command: str, *, fails: bool = False) -> CompletedProcess:
    script, *flags = command.split()
    done = python([str(SCRIPTS / script), *flags], cwd=folder)
    assert (done.returncode != 0) == fails, done.stderr
    return done


def write_networks(folder: Path, **changes: object) -> None:
    """Writes networks whose epochs are near one another, and runs far apart."""
    rng = np.random.default_rng(0)
    runs = rng.normal(0, 0.3, (MODELS, 1, 2464))
    weights = runs + rng.normal(0, 0.01, (MODELS, len(EPOCHS), 2464))
    arrays = {"weights": weights.astype(np.float32), "epochs": np.array(EPOCHS)}
    arrays |= {"seeds": np.arange(10, 10 + MODELS), **changes}
    np.savez(folder / "nets.npz", **arrays)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with images, networks and everything that is made from them."""
    folder = tmp_path_factory.mktemp("audit")
    rng = np.random.default_rng(1)
    images = {}
    for split in ("train", "val", "test"):
        pixels = rng.integers(0, 256, (30, 1, 28, 28))
        images[f"{split}/images"] = pixels.astype(np.uint8)
        images[f"{split}/labels"] = rng.integers(0, 10, 30).astype(np.uint8)
    about = {"kind": "dataset", "dataset": "toy", "mean": [0.5], "std": [0.3]}
    write_arrays(folder / "toy.h5", images, attributes=about)
    write_networks(folder)
    common = "--zoo zoo.h5 --dataset toy.h5 --device cpu"
    kde = "--method.sampler kde --method.samples 4 --method.options bandwidth 0.002"
    for command in (
        f"import_zoo.py --dataset toy.h5 {ZOO} --data-dir . --device cpu"
        " --output zoo.h5",
        f"audit_references.py {common} {SMALL} --output references.h5",
        f"sample.py {common} {kde} draws independent --name S --output S.h5",
        f"sample.py {common} {kde} draws released --name R --output R.h5",
        f"audit.py {common} --references references.h5 --samples S.h5 --output aS.h5",
        f"audit.py {common} --references references.h5 --samples R.h5 --output aR.h5",
    ):
        call(folder, command)
    return folder


def test_imported_zoo_is_a_zoo(folder):
    with h5py.File(folder / "zoo.h5") as file:
        assert file.attrs["kind"] == "zoo"
        assert file["epochs"][()].tolist() == EPOCHS
        assert file["seed"][()].tolist() == list(range(10, 10 + MODELS))
        assert file["weights"].shape == (MODELS, 3, 2464)
        for split in ("train", "val", "test"):
            known = np.isfinite(file[f"accuracy/{split}"][()])
            assert (np.flatnonzero(known.all(axis=0)) == EPOCHS).all()
            assert known.sum() == MODELS * len(EPOCHS)
        train = file["split"][()] == b"train"
        weights = file["weights"][:, 1:][train]
    with h5py.File(folder / "references.h5") as file:
        # the window's epochs of the training models, not the first one
        assert file["predictions"].shape == (2 * train.sum(), 20)
        assert "soup_2" in json.loads(file.attrs["populations"])
        nearest = file["leave_one_out/nearest_weights"][()]
    assert all((row == weights.reshape(-1, 2464)).all(1).any() for row in nearest)


def test_released_samples_are_copies_and_independent_ones_are_not(folder):
    with h5py.File(folder / "aR.h5") as file:
        # a training network plus one number times 0.002 in every coordinate
        assert (file["aligned"][()] < 0.5).all()
        np.testing.assert_allclose(file["source"], file["aligned"], rtol=1e-6)
        # with a single unseen run it is the only one drawn
        np.testing.assert_allclose(file["equal_training"], file["source"], rtol=1e-6)
        assert (file["unseen"][()] > 3).all()
    with h5py.File(folder / "aS.h5") as file:
        assert (file["aligned"][()] > 3).all()
        # an entry of each of several runs
        assert np.isnan(file["source"]).all()


def test_table(folder):
    flags = "--references references.h5 --audits aS.h5 aR.h5"
    done = call(folder, f"make_table.py --table novelty {flags} --output novelty.csv")
    table = pd.read_csv(folder / "novelty.csv")
    value = table.set_index(["population", "measure"])["value"].sort_index()
    assert value["R", "new_by_runs"].item() == 0
    assert value["R", "training_over_unseen"].item() < 0.1
    assert value["S", "new_by_snapshots"].item() == 1
    assert value["permuted_copy", "aligned"].item() == 0
    assert list(dict.fromkeys(table["coordinates"])) == ["none"]
    for text in (done.stdout, (folder / "novelty.html").read_text()):
        assert "errors shared" in text
        assert "derived" in text
        assert "random_init" in text
    latex = (folder / "novelty.tex").read_text()
    assert latex.count("Mann") == 0
    assert r"noise\_0.04" in latex


@pytest.mark.parametrize("name", ["novelty", "copies"])
def test_figures(folder, name):
    flags = "--references references.h5 --audits aS.h5 aR.h5"
    command = f"make_figure.py --figure {name} {flags} --output {name}.pdf"
    call(folder, command)
    assert (folder / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    data = pd.read_csv(folder / f"{name}.csv")
    assert {"S", "R", "held_out"} <= set(data["population"])
    if name == "novelty":
        shown = data.loc[data["population"] == "R", "distance"]
        assert (shown < data["runs"].iloc[0]).all()


def test_figure_of_capacity(folder):
    """Audits as two sizes and two lengths of training give them."""
    names = []
    for latent, epochs in ((8, 2), (16, 2), (8, 4)):
        for form, name in (("released", "R"), ("independent", "S")):
            arrays, attributes = read_arrays(folder / f"a{name}.h5", kind="novelty")
            about = {"latent": latent, "epochs": epochs, "r2_held_out": latent / 20}
            arrays |= {key: np.full(4, float(value)) for key, value in about.items()}
            method = f"{name}_{latent}_{epochs}"
            attributes |= {"method": method, "form": form}
            write_arrays(folder / f"{method}.h5", arrays, attributes=attributes)
            names.append(f"{method}.h5")
    flags = f"--references references.h5 --audits {' '.join(names)}"
    call(folder, f"make_figure.py --figure capacity {flags} --output capacity.pdf")
    assert (folder / "capacity.png").read_bytes().startswith(b"\x89PNG")
    data = pd.read_csv(folder / "capacity.csv")
    shown = data[data["measure"] == "r2_held_out"].dropna(subset="latent")
    assert (shown["value"] == shown["latent"] / 20).all()
    assert len(shown) == 6
    assert set(data["form"].dropna()) == {"released", "independent"}


def test_significance(folder):
    table = "make_table.py --table significance_in_distribution"
    flags = "--zoos zoo.h5 --references S.h5 R.h5 --epochs 0"
    call(folder, f"{table} {flags} --output s.csv")
    pairs = pd.read_csv(folder / "s.csv")
    assert list(pairs["method"]) == ["B_T", "B_T"]
    assert list(pairs["other"]) == ["S", "R"]
    assert "Holm" in (folder / "s.html").read_text()
    assert "longtable" in (folder / "s.tex").read_text()
    flags = "--zoos zoo.h5 --epochs 4 --output none.csv"
    done = call(folder, f"{table} {flags}", fails=True)
    assert "error: epochs: no two populations to compare" in done.stderr


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": np.arange(3)}, "seeds (3,)"),
        ({"epochs": np.array([0, 4, 3])}, "epochs increase"),
        (
            {"epochs": np.array([0, 1, 4])},
            "no epoch 3; wanted are 3, 4, there",
        ),
        ({"weights": np.zeros((MODELS, 3, 100))}, "2464 parameters of cnn"),
    ],
)
def test_networks_that_do_not_fit_are_refused(folder, tmp_path, changes, message):
    write_networks(tmp_path, **changes)
    command = f"import_zoo.py --dataset {folder}/toy.h5 {ZOO} --data-dir {tmp_path}"
    done = call(folder, f"{command} --device cpu --output bad.h5", fails=True)
    assert "error: " in done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "bad.h5").exists()


def test_files_that_do_not_belong_together_are_refused(folder):
    common = "--zoo zoo.h5 --dataset toy.h5 --device cpu"
    audit = f"audit.py {common} --references references.h5 --samples other.h5"
    arrays, attributes = read_arrays(folder / "S.h5", kind="samples")
    attributes["source"] = "another"
    write_arrays(folder / "other.h5", arrays, attributes=attributes)
    done = call(folder, f"{audit} --output x.h5", fails=True)
    assert "error: other.h5: of zoo 'another'" in done.stderr
    attributes["source"] = "toy"
    arrays["weights"][1, 7] = np.nan
    write_arrays(folder / "other.h5", arrays, attributes=attributes)
    done = call(folder, f"{audit} --output x.h5", fails=True)
    assert "error: other.h5: network 1 has weights that are not finite" in done.stderr
    flags = "--references aS.h5 --audits aR.h5 --output x.csv"
    done = call(folder, f"make_table.py --table novelty {flags}", fails=True)
    assert "holds 'novelty', but 'novelty_references' is needed" in done.stderr
