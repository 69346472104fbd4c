"""Importing a zoo: from every source the same, and the log says how good it is."""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import import_zoo
from hyperreps.data.images import read_images
from hyperreps.files.storage import DataFileError, write_arrays
from hyperreps.networks.architectures import Architecture
from hyperreps.networks.initialisation import initial_weights
from hyperreps.settings.stages import Recipe, Zoo
from hyperreps.zoo.folders import networks_digest
from hyperreps.zoo.imported import read_imported
from hyperreps.zoo.population import PopulationTraining
from hyperreps.zoo.states import vector

from ..image_files import Trap
from ..network_files import state, write_checkpoints, write_files

RECIPE = Recipe(
    initialization="kaiming_uniform",
    activation="tanh",
    learning_rate=0.01,
    batch_size=20,
    epochs=4,
)
SEEDS = (1, 2, 3, 4)


def write_images(path: Path) -> None:
    """Images whose class is the height of a bright stripe."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 400), ("val", 50), ("test", 200)):
        labels = rng.permutation(count) % 10
        pixels = rng.integers(0, 60, (count, 1, 28, 28))
        for image, label in zip(pixels, labels, strict=True):
            image[0, 4 + 2 * label : 7 + 2 * label] += 180
        arrays[f"{split}/images"] = pixels.astype(np.uint8)
        arrays[f"{split}/labels"] = labels.astype(np.uint8)
    about = {"kind": "dataset", "dataset": "toy", "mean": [0.2], "std": [0.3]}
    write_arrays(path, arrays, attributes=about)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, np.ndarray]:
    """A folder with images, and networks trained on them: [models, 2, parameters]."""
    from hyperreps.networks.architectures import build

    folder = tmp_path_factory.mktemp("import")
    write_images(folder / "toy.h5")
    network = build("cnn", channels=1)
    training = PopulationTraining(
        initial_weights(network, initialization="kaiming_uniform", seeds=SEEDS),
        network,
        images=read_images(folder / "toy.h5").on(torch.device("cpu")),
        seeds=SEEDS,
        recipe=RECIPE,
        record=(0, 4),
        engine="grouped",
    )
    for _ in range(RECIPE.epochs):
        training.run_epoch()
    return folder, training.recorded


def biases_first(weights: np.ndarray, network: Architecture) -> np.ndarray:
    """The columns of a file that has the bias of each layer before its weight."""
    order = [
        np.arange(part.start, part.stop)
        for item in network.weighted
        for part in (item.bias, item.weight)
    ]
    return weights[..., np.concatenate(order)]


def settings(weights: str = "nets", **changes) -> Zoo:
    values = {"models": 4, "window": (4, 4), "recipe": RECIPE, **changes}
    return Zoo(dataset="toy", weights=weights, **values)


def imported(folder: Path, weights: str, **changes) -> Path:
    """Imports networks of a folder with toy.h5; returns the zoo's file."""
    output = folder / f"{weights} zoo.h5"
    import_zoo.main(
        dataset=folder / "toy.h5",
        name="toy",
        settings=settings(weights, **changes),
        output=output,
        data_dir=folder,
    )
    return output


@pytest.mark.parametrize("swapped", [False, True])
def test_networks_at_chance_are_named(trained, cnn, caplog, swapped):
    folder, weights = trained
    columns = biases_first(weights, cnn) if swapped else weights
    np.savez(folder / "nets.npz", weights=columns, epochs=[0, 4], seeds=SEEDS)
    with caplog.at_level(logging.INFO):
        imported(folder, "nets.npz")
    medians = [r.getMessage() for r in caplog.records if "median" in r.getMessage()]
    assert medians[0].startswith("epoch 0: median test accuracy ")
    assert medians[1].startswith("epoch 4: median test accuracy ")
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    # untrained networks are at chance in both
    assert len(warnings) == swapped
    for line in warnings:
        assert str(folder / "nets.npz") in line
        assert "weight row-major, then bias" in line
        assert "\n" not in line


@pytest.fixture(scope="module")
def from_npz(trained) -> tuple[Path, np.ndarray, np.ndarray]:
    """The folder, the weights, and accuracies on test images as an npz gives them."""
    folder, weights = trained
    np.savez(folder / "own.npz", weights=weights, epochs=[0, 4], seeds=SEEDS)
    with h5py.File(imported(folder, "own.npz")) as zoo:
        return folder, weights, zoo["accuracy/test"][()]


WAYS = {
    "checkpoints": lambda folder, zoo, accuracy: write_checkpoints(
        folder, **zoo, accuracy=accuracy
    ),
    "wrapped checkpoints": lambda folder, zoo, accuracy: write_checkpoints(
        folder, **zoo, accuracy=accuracy, wrapped=True
    ),
    "safetensors": lambda folder, zoo, _: write_files(
        folder, **zoo, suffix=".safetensors"
    ),
    "safetensors by order": lambda folder, zoo, _: write_files(
        folder, **zoo, suffix=".safetensors", own_names=True
    ),
    "pt": lambda folder, zoo, _: write_files(folder, **zoo, suffix=".pt"),
    "pth by order": lambda folder, zoo, _: write_files(
        folder, **zoo, suffix=".pth", own_names=True
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_source_gives_the_same_zoo(from_npz, cnn, caplog, way):
    folder, weights, accuracy = from_npz
    zoo = {"weights": weights, "network": cnn, "epochs": (0, 4), "seeds": SEEDS}
    WAYS[way](folder / way, zoo, accuracy[:, [0, 4]])
    with caplog.at_level(logging.INFO):
        path = imported(folder, way)
    with h5py.File(path) as found, h5py.File(folder / "own.npz zoo.h5") as expected:
        for name in ("weights", "epochs", "seed", "split"):
            assert found[name][()].tobytes() == expected[name][()].tobytes(), name
        for split in ("train", "val", "test"):
            for kind in ("accuracy", "loss"):
                name = f"{kind}/{split}"
                np.testing.assert_array_equal(found[name][()], expected[name][()])
        about = json.loads(found.attrs["imported"])
    assert about["sha256"] == networks_digest(folder / way, settings())
    assert about["form"] in way.replace("pt", "state dicts")
    messages = [record.getMessage() for record in caplog.records]
    recorded = "8 of 8 test accuracies are recorded; ours differ by 0.0000 at most"
    assert sum(recorded in line for line in messages) == ("checkpoints" in way)
    aside = "2 others left aside: experiment_state-2021-10-19.json, plots"
    assert sum(aside in line for line in messages) == ("checkpoints" in way)


def test_an_accuracy_that_was_recorded_otherwise_is_named(from_npz, cnn, caplog):
    folder, weights, accuracy = from_npz
    said = accuracy[:, [0, 4]].copy()
    said[2, 1] -= 0.3
    zoo = {"weights": weights, "network": cnn, "epochs": (0, 4), "seeds": SEEDS}
    write_checkpoints(folder / "liars", **zoo, accuracy=said)
    imported(folder, "liars")
    [line] = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert "1 of 8 test accuracies differ by more than 0.002" in line
    assert "that of seed 3 at epoch 4, recorded " in line


def change_a_key(folder: Path, own: list[Path], cnn: Architecture) -> Path:
    file = own[2] / "checkpoint_000004" / "checkpoints"
    tensors = torch.load(file, weights_only=True)
    tensors["other.weight"] = tensors.pop("module_list.3.weight")
    torch.save(tensors, file)
    return file


def rename_keys(folder: Path, own: list[Path], cnn: Architecture) -> Path:
    file = own[2] / "checkpoint_000004" / "checkpoints"
    tensors = torch.load(file, weights_only=True)
    torch.save({f"net.{key}": x for key, x in tensors.items()}, file)
    return file


def save_a_model(folder: Path, own: list[Path], cnn: Architecture) -> Path:
    file = own[1] / "checkpoint_000000" / "checkpoints"
    torch.save(torch.nn.Linear(2, 2), file)
    return file


def save_a_trap(folder: Path, own: list[Path], cnn: Architecture) -> Path:
    file = own[1] / "checkpoint_000000" / "checkpoints"
    file.write_bytes(pickle.dumps(Trap(folder / "mark")))
    return file


def cut_a_file(folder: Path, own: list[Path], cnn: Architecture) -> Path:
    file = own[0] / "checkpoint_000004" / "checkpoints"
    file.write_bytes(file.read_bytes()[:-2000])
    return file


def save_a_list(folder: Path, own: list[Path], cnn: Architecture) -> Path:
    file = own[0] / "checkpoint_000004" / "checkpoints"
    torch.save([torch.ones(2)], file)
    return file


def lose_an_epoch(folder: Path, own: list[Path], cnn: Architecture) -> Path:
    (own[3] / "checkpoint_000004" / "checkpoints").unlink()
    return folder


def name_an_epoch_twice(folder: Path, own: list[Path], cnn: Architecture) -> Path:
    (own[3] / "checkpoint_000004").rename(own[3] / "checkpoint_4")
    (own[3] / "checkpoint_000000").rename(own[3] / "checkpoint_04")
    return folder


def mix_forms(folder: Path, own: list[Path], cnn: Architecture) -> Path:
    (folder / "last.pt").touch()
    return folder


def damage_results(folder: Path, own: list[Path], cnn: Architecture) -> Path:
    with (own[1] / "result.json").open("a", encoding="utf-8") as file:
        file.write("{")
    return own[1] / "result.json"


def change_activation(folder: Path, own: list[Path], cnn: Architecture) -> Path:
    text = '{"seed": 2, "model::nlin": "relu"}'
    (own[1] / "params.json").write_text(text, encoding="utf-8")
    return own[1] / "params.json"


def change_index(folder: Path, own: list[Path], cnn: Architecture) -> Path:
    path = folder / "index_dict.json"
    path.write_text('{"idx_length": [208, 7]}', encoding="utf-8")
    return path


def add_a_network(folder: Path, own: list[Path], cnn: Architecture) -> Path:
    place = folder / "fifth" / "checkpoint_000004"
    place.mkdir(parents=True)
    (place / "checkpoints").touch()
    return folder


def save_infinity(folder: Path, own: list[Path], cnn: Architecture) -> Path:
    file = own[2] / "checkpoint_000004" / "checkpoints"
    tensors = torch.load(file, weights_only=True)
    tensors["module_list.0.bias"][3] = torch.inf
    torch.save(tensors, file)
    return folder


def remove_all(folder: Path, own: list[Path], cnn: Architecture) -> Path:
    for place in own:
        place.rename(folder.parent / f"away {place.name}")
    return folder


REFUSED: dict[Callable[[Path, list[Path], Architecture], Path], str] = {
    change_a_key: "key 'module_list.3.bias' is float32 (6,), where conv2.weight is"
    " float (6, 8, 5, 5), in architecture cnn",
    rename_keys: "key 'net.module_list.0.weight' is 'module_list.0.weight' in ",
    save_a_model: "holds more than weights, which is not unpickled",
    save_a_trap: "holds more than weights, which is not unpickled",
    cut_a_file: "not a readable state dict",
    save_a_list: "holds a list, not a state dict; write it by torch.save(",
    lose_an_epoch: "1 of 4 networks have not every epoch of window 4..4; the first is"
    " NN_tune_trainable_00003_3_seed=4_2021-10-19, without epoch 4",
    name_an_epoch_twice: "is the same epoch of NN_tune_trainable_00003",
    mix_forms: "holds checkpoints and state dicts; it must hold one of",
    damage_results: "line 3 is no JSON object; mend the file or move it away",
    change_activation: "model::nlin is 'relu', but recipe.activation is 'tanh'; set",
    change_index: "idx_length is [208, 7], but layers of cnn have [208, 1206,",
    add_a_network: "holds 5 networks, but models = 4; set models to 5, or move",
    save_infinity: "weights of 1 models are not finite, of seed 3 first",
    remove_all: "holds no networks; it must hold one of checkpoint_NUMBER/checkpoints",
}


@pytest.mark.parametrize("spoil", REFUSED, ids=lambda f: f.__name__)
def test_a_folder_that_does_not_fit_is_refused(tmp_path, cnn, spoil):
    folder = tmp_path / "nets"
    weights = np.random.default_rng(0).normal(size=(4, 2, cnn.parameters))
    zoo = {"weights": weights.astype(np.float32), "network": cnn, "epochs": (0, 4)}
    own = write_checkpoints(folder, **zoo, seeds=SEEDS, accuracy=np.full((4, 2), 0.5))
    assert read_imported(folder, settings(), cnn).weights.shape == weights.shape
    where = spoil(folder, own, cnn)
    with pytest.raises(DataFileError) as refusal:
        read_imported(folder, settings(), cnn)
    line = str(refusal.value)
    assert REFUSED[spoil] in line
    assert "\n" not in line
    assert line.startswith(str(where))
    assert not (folder / "mark").exists()
    assert not {p.name for p in tmp_path.iterdir()} & {"zoo.h5"}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"conv1.bias": torch.ones(9)}, "key 'conv1.bias' is float32 (9,), where"),
        ({"conv1.bias": torch.ones(8, dtype=int)}, "is int64 (8,), where conv1.bias"),
        ({"extra": torch.ones(1)}, "key 'extra' is one more than the 10 tensors"),
        ({"linear2.bias": None}, "no key is left for linear2.bias"),
    ],
)
def test_the_first_key_that_does_not_fit_is_named(cnn, change, problem):
    tensors = state(np.zeros(cnn.parameters, np.float32), cnn) | change
    tensors = {key: x for key, x in tensors.items() if x is not None}
    with pytest.raises(DataFileError) as refusal:
        vector(tensors, cnn, path=Path("a.pt"))
    assert str(refusal.value).startswith("a.pt: ")
    assert problem in str(refusal.value)
    assert "conv1.weight, conv1.bias, conv2.weight" in str(refusal.value)


def test_names_go_before_order(cnn):
    row = np.arange(cnn.parameters, dtype=np.float32)
    backwards = dict(reversed(state(row, cnn).items()))
    wrapped = {f"module.{key}": x.half().double() for key, x in backwards.items()}
    found = vector(wrapped, cnn, path=Path("a.pt"))
    np.testing.assert_array_equal(found, row.astype(np.float16).astype(np.float32))


def test_files_without_an_epoch_are_the_window(tmp_path, cnn):
    """And without a number in their names, seeds are places in their order."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(4, cnn.parameters)).astype(np.float32)
    (tmp_path / "nets").mkdir()
    for name, row in zip("dbca", rows, strict=True):
        save_file(state(row, cnn), tmp_path / "nets" / f"{name}.safetensors")
    found = read_imported(tmp_path / "nets", settings(), cnn)
    assert found.epochs.tolist() == [4]
    assert found.seeds.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(found.weights[:, 0], rows[[3, 1, 2, 0]])
    with pytest.raises(DataFileError, match=r"4 of 4 networks .* without epoch 3"):
        read_imported(tmp_path / "nets", settings(window=(3, 4)), cnn)


def test_the_hash_is_of_what_is_read(tmp_path, cnn):
    rows = np.zeros((4, 2, cnn.parameters), np.float32)
    zoo = {"weights": rows, "network": cnn, "epochs": (3, 4), "seeds": SEEDS}
    own = write_checkpoints(tmp_path / "a", **zoo, accuracy=rows[:, :, 0])
    before = networks_digest(tmp_path / "a", settings())
    # another epoch, an optimiser, another place
    (own[0] / "checkpoint_000003" / "checkpoints").write_bytes(b"other")
    (own[0] / "checkpoint_000004" / "optimizer").write_bytes(b"other")
    (tmp_path / "a").rename(tmp_path / "b")
    assert networks_digest(tmp_path / "b", settings()) == before
    assert networks_digest(tmp_path / "b", settings(window=(3, 4))) != before
    (tmp_path / "b" / own[0].name / "params.json").unlink()
    assert networks_digest(tmp_path / "b", settings()) != before
