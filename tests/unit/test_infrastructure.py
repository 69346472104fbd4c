"""Storage and resume states."""

import json

import h5py
import numpy as np
import pytest
import torch

from hyperreps.resuming import EXIT_UNFINISHED, Pace, input_digest, run_to_end
from hyperreps.storage import (
    DataFileError,
    opened,
    read_arrays,
    replacing,
    write_arrays,
)
from hyperreps.tensors import read_tensors, write_tensors


def test_arrays_survive_a_round_trip(tmp_path):
    path = tmp_path / "a" / "x.h5"
    arrays = {
        "weights": np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32),
        "accuracy/val": np.arange(3.0),
        "split": np.array(["train", "val", "test"]),
    }
    write_arrays(path, arrays, attributes={"kind": "toy", "mean": [0.5], "n": 3})
    found, attributes = read_arrays(path, kind="toy")
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
    assert json.loads(attributes["mean"]) == [0.5]
    assert attributes["n"] == 3
    assert json.loads(attributes["versions"])["torch"] == torch.__version__
    with h5py.File(path) as plain:
        assert plain["weights"].dtype == np.float32
    only, _ = read_arrays(path, "weights", kind="toy")
    assert list(only) == ["weights"]


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")

    def write_half():
        with replacing(path) as temporary:
            temporary.write_text("new")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        write_half()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]


def test_what_a_killed_job_left_of_a_file_goes_with_its_next_write(tmp_path):
    left = [tmp_path / f".{name}.123.tmp" for name in ("x[1].h5", "y.h5")]
    for path in left:
        path.write_text("half")
    write_arrays(tmp_path / "x[1].h5", {"x": [1]}, attributes={"kind": "toy"})
    assert {path.name for path in tmp_path.iterdir()} == {"x[1].h5", left[1].name}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "no such file"),
        (lambda path: path.write_bytes(b"not hdf5"), "damaged or not of this project"),
        (
            lambda path: path.write_bytes(
                path.read_bytes()[: path.stat().st_size // 2]
            ),
            "damaged",
        ),
    ],
)
def test_bad_files_are_named(tmp_path, damage, message):
    path = tmp_path / "zoo.h5"
    write_arrays(path, {"x": np.zeros(5000)}, attributes={"kind": "zoo"})
    damage(path)
    with pytest.raises(DataFileError, match=rf"zoo\.h5: .*{message}"):
        read_arrays(path, kind="zoo")


def test_wrong_kind_and_missing_dataset_are_named(tmp_path):
    path = tmp_path / "zoo.h5"
    write_arrays(path, {"x": np.zeros(5)}, attributes={"kind": "zoo"})
    with (
        pytest.raises(DataFileError, match="holds 'zoo', but 'samples' is needed"),
        opened(path, kind="samples"),
    ):
        pass
    with pytest.raises(DataFileError, match="'weights'"):
        read_arrays(path, "weights", kind="zoo")


def test_a_file_in_the_place_of_another_is_named(tmp_path):
    path, other = tmp_path / "a.h5", tmp_path / "b.h5"
    write_arrays(path, {"x": np.zeros(5)}, attributes={"kind": "zoo"})
    path.rename(other)
    with pytest.raises(DataFileError, match=r"b\.h5: was written as .*/a\.h5"):
        read_arrays(other, kind="zoo")


def flips(content, rng, count):
    """Yields contents with one bit changed, in all bytes of the head and others."""
    places = np.concatenate([np.arange(300), rng.integers(0, len(content), count)])
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.integers(8)
        yield bytes(damaged)


def test_every_flipped_bit_is_named(tmp_path):
    path = tmp_path / "zoo.h5"
    arrays = {"weights": np.ones((20, 3, 50)), "a/split": np.array(["train", "val"])}
    write_arrays(path, arrays, attributes={"kind": "zoo"})
    for content in flips(path.read_bytes(), np.random.default_rng(0), 300):
        path.write_bytes(content)
        with pytest.raises(DataFileError, match=r"zoo\.h5: damaged"):
            read_arrays(path, kind="zoo")


def test_every_flipped_bit_of_a_model_is_named(tmp_path):
    path = tmp_path / "gan.safetensors"
    tensors = {"a": torch.randn(30, 40), "b": torch.arange(7)}
    write_tensors(path, tensors, kind="gan", about={"zoo": "toy"})
    found, about = read_tensors(path, kind="gan")
    assert about["zoo"] == "toy"
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)
    for content in flips(path.read_bytes(), np.random.default_rng(0), 300):
        path.write_bytes(content)
        with pytest.raises(DataFileError, match=r"gan\.safetensors: "):
            read_tensors(path, kind="gan")


class Counting:
    """A training whose state is a running sum."""

    def __init__(self):
        self.epoch, self.total = 0, 0

    def run_epoch(self):
        self.epoch += 1
        self.total += self.epoch
        return {"total": float(self.total)}

    def state_dict(self):
        return {"epoch": self.epoch, "total": self.total}

    def load_state_dict(self, state):
        self.epoch, self.total = state["epoch"], state["total"]


def run(training, state, digest="d", epochs=4, minutes=None):
    run_to_end(
        training,
        epochs=epochs,
        state=state,
        digest=digest,
        pace=Pace(save_every=0.0, minutes=minutes),
    )


def test_time_budget_saves_and_the_next_call_goes_on(tmp_path):
    state = tmp_path / "x.state"
    with pytest.raises(SystemExit) as stopped:
        run(Counting(), state, minutes=0.0)
    assert stopped.value.code == EXIT_UNFINISHED
    again = Counting()
    run(again, state)
    assert (again.epoch, again.total) == (4, 10)


@pytest.mark.parametrize(
    "damage", ["other digest", "garbage", "truncated", "flipped bit"]
)
def test_a_state_that_does_not_fit_is_not_used(tmp_path, damage, caplog):
    state = tmp_path / "x.state"
    poisoned = Counting()
    poisoned.total = 1000
    with pytest.raises(SystemExit):
        run(poisoned, state, minutes=0.0)
    if damage == "garbage":
        state.write_bytes(b"garbage")
    elif damage == "truncated":
        state.write_bytes(state.read_bytes()[:50])
    elif damage == "flipped bit":
        content = bytearray(state.read_bytes())
        content[content.index(b"total") + 8] ^= 4
        state.write_bytes(content)
    again = Counting()
    with caplog.at_level("INFO"):
        run(again, state, digest="e" if damage == "other digest" else "d")
    assert again.total == 10
    assert "x.state" in caplog.text


def test_digest_sees_settings_and_data():
    base = input_digest({"a": 1}, np.arange(3))
    assert base == input_digest({"a": 1}, np.arange(3))
    assert base != input_digest({"a": 2}, np.arange(3))
    assert base != input_digest({"a": 1}, np.arange(4))
    assert base != input_digest({"a": 1}, np.arange(3.0))
