"""Networks and hyper-representations go out whole, and come back bit for bit."""

from __future__ import annotations

import csv
import json
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

import export
import import_zoo
from hyperreps import HyperRepresentation
from hyperreps.data.images import read_images
from hyperreps.engines.interface import evaluate
from hyperreps.files.storage import DataFileError, OutputError, write_arrays
from hyperreps.networks.architectures import build
from hyperreps.representation.autoencoder import load, save
from hyperreps.settings.stages import Recipe, SettingsError, Zoo

from .conftest import make_images
from .small_autoencoder import build_model
from .small_autoencoder import zoo as networks

PAGE = Path(__file__).parents[2] / "docs" / "own_zoo.md"
RECIPE = Recipe(
    initialization="uniform",
    activation="tanh",
    learning_rate=0.1,
    batch_size=8,
    epochs=2,
)
SEEDS = [11, 12, 13, 14, 15]
SETTINGS = Zoo(
    dataset="toy", models=5, window=(1, 2), keep=(), recipe=RECIPE, weights="own.npz"
)
CURVE = {
    "epoch": 3,
    "r2_train": 0.5,
    "r2_scaled_train": 0.25,
    "r2_held_out": 0.125,
    "r2_scaled_held_out": 0.0625,
}


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """A run's folder: images, zoo, samples, finetuned ones, hyper-representation."""
    root = tmp_path_factory.mktemp("results")
    about = {"kind": "dataset", "dataset": "toy", "mean": [0.4], "std": [0.2]}
    write_arrays(root / "datasets" / "toy.h5", make_images(), attributes=about)
    rng = np.random.default_rng(1)
    cnn = build("cnn", channels=1)
    weights = 0.3 * rng.normal(size=(5, 2, cnn.parameters)).astype(np.float32)
    np.savez(root / "own.npz", weights=weights, epochs=[1, 2], seeds=SEEDS)
    bring_in(root, SETTINGS, "zoos/toy.h5", data_dir=root)
    test = read_images(root / "datasets" / "toy.h5").on(torch.device("cpu"))["test"]
    loss, accuracy = evaluate(
        cnn, torch.from_numpy(weights[:, 0]), test, activation="tanh", engine="loop"
    )
    arrays = {"accuracy/test": accuracy, "loss/test": loss}
    shape = {"architecture": "cnn", "channels": 1, "settings": {"sampler": "kde"}}
    about = {"kind": "samples", "source": "toy", "method": "S", "dataset": "toy"}
    write_arrays(
        root / "samples" / "toy" / "S.h5",
        {"weights": weights[:, 0], "hyper_rep_seed": [1, 1, 1, 2, 2], **arrays},
        attributes=about | shape,
    )
    trained = {name: np.stack([x, x], axis=1) for name, x in arrays.items()}
    trained |= {"weights": weights, "epochs": [0, 1], "diverged": [-1, -1, 1, -1, -1]}
    about = {"kind": "finetuned", "source": "toy", "target": "toy", "method": "S"}
    write_arrays(
        root / "finetuned" / "toy-toy" / "S.h5",
        trained,
        attributes=about | shape | {"recipe": RECIPE.model_dump()},
    )
    model = build_model(cnn)
    model.zoo, model.seed = "toy", 4
    save(model, root / "hyper_reps" / "toy" / "small_seed4.safetensors")
    curve = root / "hyper_reps" / "toy" / "small_seed4.csv"
    with curve.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(CURVE))
        writer.writeheader()
        writer.writerow(CURVE)
    return root


def bring_in(results: Path, settings: Zoo, name: str, *, data_dir: Path) -> Path:
    output = results / name
    import_zoo.main(
        dataset=results / "datasets" / "toy.h5",
        name="toy",
        settings=settings,
        output=output,
        data_dir=data_dir,
    )
    return output


def about(folder: Path) -> dict:
    return json.loads((folder / "population.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("form", ["safetensors", "state_dict"])
def test_an_export_is_a_zoo_again(results, tmp_path, form, caplog):
    caplog.set_level("INFO")
    zoo = results / "zoos" / "toy.h5"
    export.main(file=zoo, output=tmp_path / "out", epoch=(1, 2), forms=(form,))
    settings = SETTINGS.model_copy(update={"weights": f"out/{form}"})
    again = bring_in(results, settings, f"{form}/toy.h5", data_dir=tmp_path)
    with h5py.File(zoo) as expected, h5py.File(again) as found:
        for name in ("weights", "epochs", "seed", "split", "accuracy/test", "loss/val"):
            np.testing.assert_array_equal(found[name][()], expected[name][()])
        assert found["weights"][()].tobytes() == expected["weights"][()].tobytes()
    assert "10 of 10 test accuracies are recorded; ours differ by 0.0000" in caplog.text


def test_all_forms_hold_the_same(results, tmp_path, cnn):
    forms = ("safetensors", "state_dict", "stacked")
    file = results / "samples" / "toy" / "S.h5"
    export.main(file=file, output=tmp_path / "out", networks=(4, 1), forms=forms)
    stacked = load_file(tmp_path / "out" / "stacked.safetensors")
    entries = about(tmp_path / "out")["networks"]
    assert [entry["row"] for entry in entries] == [1, 4]
    with h5py.File(file) as samples:
        weights, accuracy = samples["weights"][()], samples["accuracy/test"][()]
    for index, entry in enumerate(entries):
        row = entry["row"]
        path = tmp_path / "out" / "state_dict" / f"{entry['file']}.pt"
        state = torch.load(path, weights_only=True)
        plain = load_file(
            tmp_path / "out" / "safetensors" / f"{entry['file']}.safetensors"
        )
        assert list(state) == list(cnn.shapes())
        flat = torch.cat([tensor.flatten() for tensor in state.values()]).numpy()
        assert flat.tobytes() == weights[row].tobytes()
        for name, tensor in state.items():
            assert torch.equal(tensor, plain[name])
            assert torch.equal(tensor, stacked[name][index])
        assert entry["accuracy"] == {"test": accuracy[row]}
        assert entry["hyper_rep_seed"] == (1 if row < 3 else 2)
        assert entry["activation"] == "tanh"
    # a tensor is saved with its own numbers only
    assert path.stat().st_size < 2 * weights[0].nbytes


def test_finetuned_ones_that_diverged_stay_at_home(results, tmp_path):
    file = results / "finetuned" / "toy-toy" / "S.h5"
    export.main(file=file, output=tmp_path / "out")
    entries = about(tmp_path / "out")["networks"]
    assert [entry["row"] for entry in entries] == [0, 1, 3, 4]
    assert {entry["epoch"] for entry in entries} == {1}
    with pytest.raises(DataFileError, match=r"1 networks diverged .* network 2 first"):
        export.main(file=file, output=tmp_path / "more", networks=(0, 2))
    assert not (tmp_path / "more").exists()


def test_lines_of_the_page_reproduce_an_accuracy(results, tmp_path):
    """By torch and safetensors alone: the project cannot be imported there."""
    file = results / "samples" / "toy" / "S.h5"
    export.main(file=file, output=tmp_path / "out", networks=(2,), images=True)
    [lines] = re.findall(
        r"runs this -->\n```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S
    )
    lines += "import sys; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-I", "-c", lines],
        cwd=tmp_path / "out",
        capture_output=True,
        text=True,
        check=True,
    )
    numbers, modules = done.stdout.splitlines()
    found, recorded = map(float, numbers.split())
    assert found == recorded
    with h5py.File(file) as samples:
        assert found == samples["accuracy/test"][2]
    assert not {"hyperreps", "h5py", "pydantic"} & set(modules.split())


def test_a_model_is_the_same_from_a_folder(results, tmp_path, cnn):
    file = results / "hyper_reps" / "toy" / "small_seed4.safetensors"
    export.main(file=file, output=tmp_path / "out")
    model = load(file, device=torch.device("cpu"))
    (tmp_path / "out").rename(tmp_path / "renamed")
    again = HyperRepresentation.from_folder(tmp_path / "renamed")
    weights = networks(cnn, 4)
    latents = model.map("encode", weights)
    assert torch.equal(again.map("encode", weights), latents)
    assert torch.equal(again.map("decode", latents), model.map("decode", latents))
    assert again.settings == model.settings
    assert (again.zoo, again.seed, again.training) == ("toy", 4, False)
    # and once more, by itself
    again.to_folder(tmp_path / "second")
    second, first = tmp_path / "second", tmp_path / "renamed"
    name = "model.safetensors"
    assert (second / name).read_bytes() == (first / name).read_bytes()


def test_the_model_card_says_how_well_it_does(results, tmp_path):
    file = results / "hyper_reps" / "toy" / "small_seed4.safetensors"
    export.main(file=file, output=tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    _, front, card = text.split("---\n", 2)
    [model] = yaml.safe_load(front)["model-index"]
    [result] = model["results"]
    assert [metric["value"] for metric in result["metrics"]] == [0.125, 0.0625]
    assert "| held-out networks | 0.1250 | 0.0625 |" in card
    assert "| training networks | 0.5000 | 0.2500 |" in card
    assert (
        "Networks of 3 training runs on images `toy`, at epochs 1 to 2; 1 other" in card
    )
    assert "activation tanh" in card
    config = json.loads((tmp_path / "out" / "config.json").read_text(encoding="utf-8"))
    assert config["trained_on"]["r2"]["held_out"] == {
        "plain": 0.125,
        "by layer": 0.0625,
    }
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("README.md", "config.json", "model.safetensors")
    }


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("model.safetensors", lambda b: b[:-1] + b"x", "is not the file that config"),
        ("config.json", lambda b: b[:-9], "is no config of a model"),
        (
            "config.json",
            lambda b: b.replace(b"hyper-rep", b"b"),
            "holds 'bresentation'",
        ),
        ("config.json", lambda b: b.replace(b'"width": 8', b'"width": 6'), "size mism"),
        ("config.json", lambda b: b.replace(b'"seed"', b'"s"'), "does not describe"),
    ],
)
def test_a_damaged_folder_is_named(cnn, tmp_path, name, change, problem):
    build_model(cnn).to_folder(tmp_path / "out")
    path = tmp_path / "out" / name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataFileError) as refusal:
        HyperRepresentation.from_folder(tmp_path / "out")
    assert str(refusal.value).startswith(str(tmp_path / "out"))
    assert problem in str(refusal.value)
    path.unlink()
    with pytest.raises(DataFileError, match="no such file"):
        HyperRepresentation.from_folder(tmp_path / "out")


SAMPLES, FINETUNED = "samples/toy/S.h5", "finetuned/toy-toy/S.h5"
MODEL = "hyper_reps/toy/small_seed4.safetensors"


@pytest.mark.parametrize(
    ("file", "flags", "problem"),
    [
        (SAMPLES, {"epoch": (1,)}, "S.h5: no epoch 1; wanted are 1, there are 0"),
        (
            "zoos/toy.h5",
            {"epoch": (1, 7)},
            "no epoch 7; wanted are 1, 7, there are 1, 2",
        ),
        (
            "datasets/toy.h5",
            {},
            "holds 'dataset', but 'zoo' or 'samples' or 'finetuned'",
        ),
        ("zoos/none.h5", {}, "none.h5: no such file"),
        ("own.npz", {}, "own.npz: damaged, changed by another program, or not of this"),
        (SAMPLES, {"networks": (3, 5)}, "S.h5 has networks 0..4, not [5]"),
        (SAMPLES, {"zoo": "other.h5"}, "other.h5: no such file; name it by --zoo"),
        (SAMPLES, {"dataset": "x.h5"}, "x.h5: no such file; name it by --dataset"),
        (MODEL, {"networks": (1,)}, "--networks, --images and --dataset: not of a"),
        (MODEL, {"zoo": "other.h5"}, "other.h5: no such file; name it by --zoo"),
    ],
)
def test_what_cannot_go_out_is_named(results, tmp_path, file, flags, problem):
    flags |= {key: Path(flags[key]) for key in ("zoo", "dataset") if key in flags}
    with pytest.raises((DataFileError, SettingsError)) as refusal:
        export.main(file=results / file, output=tmp_path / "out", **flags)
    assert problem in str(refusal.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("file", [SAMPLES, MODEL])
def test_a_folder_that_exists_is_left_as_it_is(results, tmp_path, file):
    (tmp_path / "out").mkdir()
    with pytest.raises(OutputError, match="out: is there already; move it away"):
        export.main(file=results / file, output=tmp_path / "out")
    assert [path.name for path in tmp_path.rglob("*")] == ["out"]


@pytest.mark.parametrize("file", [SAMPLES, MODEL])
def test_a_folder_is_written_whole_or_not_at_all(results, tmp_path, file):
    """Where the system takes no more: as on a full disk, by a limit on file sizes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    taken = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
        with pytest.raises(
            OutputError, match=r"out: cannot be written \(file too large"
        ):
            export.main(file=results / file, output=tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, taken)
    assert not list(tmp_path.iterdir())
    # nor does a killed one stand in the way
    (tmp_path / ".out.1.tmp").mkdir()
    export.main(file=results / file, output=tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
