"""Storage and resume states."""

import ast
import errno
import fcntl
import hashlib
import io
import json
import os
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import seal
from hyperreps.data.npz import read_npz
from hyperreps.data.official_files import File, unpack
from hyperreps.files.resuming import (
    EXIT_UNFINISHED,
    Pace,
    input_digest,
    run_to_end,
    trained,
)
from hyperreps.files.storage import (
    DataFileError,
    opened,
    read_arrays,
    replacing,
    write_arrays,
)
from hyperreps.files.tensors import read_tensors, write_tensors

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"


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
    # a build for GPUs says +cu130 here and not in its package
    known = json.loads(attributes["versions"])["torch"]
    assert known in (torch.__version__, torch.__version__.partition("+")[0])
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
        (lambda path: path.write_bytes(b"not hdf5"), "damaged, .*not of this project"),
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


LINES = {
    errno.EACCES: "permission denied.*get the permission",
    errno.EPERM: "operation not permitted.*get the permission",
    errno.EMFILE: "too many open files.*ulimit -n",
    errno.ENFILE: "too many open files in system.*ulimit -n",
    errno.ESTALE: "stale file handle.*disk or network",
    errno.EIO: "input/output error.*disk or network",
    errno.EAGAIN: "resource temporarily unavailable.*locked",
    errno.ENOLCK: "no locks available.*locked",
    errno.ENOMEM: "cannot allocate memory.*more memory",
    errno.EISDIR: "is a directory.*mend that",
}


def any_file(path):
    """Makes a file of a kind that its suffix tells, and returns what reads it."""
    if path.suffix == ".h5":
        write_arrays(path, {"x": np.zeros(5)}, attributes={"kind": "zoo"})
        return lambda: read_arrays(path, kind="zoo")
    if path.suffix == ".safetensors":
        write_tensors(path, {"x": torch.zeros(3)}, kind="gan", about={})
        return lambda: read_tensors(path, kind="gan")
    if path.suffix == ".npz":
        np.savez(path, x=np.zeros(3))
        return lambda: read_npz(path, names=("x",), origin=str(path), exact=True)
    if path.suffix == ".idx":
        path.write_bytes(b"bytes")
        return lambda: unpack(path, File(path.name))
    with pytest.raises(SystemExit):
        run(Counting(), path, minutes=0.0)
    return lambda: run(Counting(), path)


@pytest.mark.parametrize("name", ["a.h5", "a.safetensors", "a.npz", "a.idx", "a.state"])
@pytest.mark.parametrize("number", LINES, ids=errno.errorcode.get)
def test_a_file_that_cannot_be_read_is_not_called_damaged(
    tmp_path, monkeypatch, name, number
):
    """It may be whole: the line names what keeps it from being read, and stays."""
    path = tmp_path / name
    read = any_file(path)
    content = path.read_bytes()

    def fail(*_args, **_keys):
        raise OSError(number, os.strerror(number), str(path))

    with monkeypatch.context() as patched:
        patched.setattr(io, "open", fail)
        with pytest.raises(DataFileError) as raised:
            read()
    line = str(raised.value)
    assert re.search(rf"{re.escape(name)}: cannot be read \({LINES[number]}", line)
    assert not re.search("damaged|delete|move", line)
    assert path.read_bytes() == content


def test_a_state_for_which_there_is_no_memory_stays(tmp_path, monkeypatch):
    state = tmp_path / "x.state"
    any_file(state)
    content = state.read_bytes()

    def fail(*_args, **_keys):
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(torch, "load", fail)
        with pytest.raises(DataFileError, match=r"x\.state: cannot be read.*memory"):
            run(Counting(), state)
    assert state.read_bytes() == content


def test_a_disk_that_fails_within_a_file_is_not_called_damaged(tmp_path):
    path = tmp_path / "a.h5"
    any_file(path)
    reason = "Can't read data (file read failed: errno = 5)"
    with (
        pytest.raises(DataFileError, match=r"a\.h5: cannot be read \(input/output"),
        opened(path, kind="zoo"),
    ):
        raise OSError(errno.EIO, reason)


def test_a_locked_file_is_read(tmp_path):
    path = tmp_path / "a.h5"
    read = any_file(path)
    with path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        read()


def test_a_file_survives_being_opened_for_writing(tmp_path):
    path = tmp_path / "a.h5"
    read = any_file(path)
    for mode in ("r+", "a"):
        h5py.File(path, mode).close()
        read()
    with (
        h5py.File(path, "r+"),
        pytest.raises(DataFileError, match=r"a\.h5: open for writing in another"),
    ):
        read()
    read()
    left_open = bytearray(path.read_bytes())
    left_open[20] = 1
    path.write_bytes(left_open)
    with pytest.raises(DataFileError, match=r"seal\.py mends it"):
        read()
    seal.main(files=(path,))
    read()


def test_what_was_changed_and_mended_is_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "a.h5"
    arrays = {
        "a/weights": np.arange(60.0).reshape(5, 3, 4),
        "split": np.array(["train", "val"]),
        "empty": np.zeros((0, 2)),
    }
    about = {"kind": "zoo", "settings": {"seed": 1}, "share": 0.5}
    write_arrays(path, arrays, attributes=about)
    expected, attributes = read_arrays(path, kind="zoo")
    with h5py.File(path, "r+") as file:
        file.attrs["TITLE"] = "of another program"
        file["a/more"] = np.zeros(3)
    with pytest.raises(DataFileError, match=r"a\.h5: .*seal\.py") as raised:
        read_arrays(path, kind="zoo")
    assert "delete" not in str(raised.value)
    seal.main(files=(path,))
    found, again = read_arrays(path, kind="zoo")
    # attributes are in another order in the file
    assert again | {"checksum": b""} == attributes | {"checksum": b""}
    assert found.keys() == expected.keys()
    for name, array in found.items():
        np.testing.assert_array_equal(array, expected[name])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda file: file["x"].write_direct(np.ones(5)), "x"),
        (lambda file: file.attrs.modify("kind", "zoos"), "@kind"),
        (lambda file: file.move("x", "y"), "x"),
        (lambda file: file.attrs.modify("contents", "{}x"), "contents"),
    ],
)
def test_what_is_lost_is_not_sealed(tmp_path, change, named):
    path, other = tmp_path / "a.h5", tmp_path / "b.h5"
    any_file(path)
    any_file(other)
    with h5py.File(path, "r+") as file:
        change(file)
    content = path.read_bytes()
    with pytest.raises(DataFileError, match=rf"a\.h5: .*{named}.*move") as raised:
        seal.main(files=(path, other))
    assert "b.h5" not in str(raised.value)
    assert path.read_bytes() == content


def test_files_of_earlier_versions_are_read(tmp_path):
    """They end with the digest of all before."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.attrs.update({"kind": "zoo", "name": f"{tmp_path.name}/a.h5"})
        file["x"] = np.arange(3)
    content = path.read_bytes()
    path.write_bytes(content + hashlib.sha256(content).digest())
    assert read_arrays(path, kind="zoo")[0]["x"].tolist() == [0, 1, 2]
    path.write_bytes(content)
    with pytest.raises(DataFileError, match=r"a\.h5: damaged, changed"):
        read_arrays(path, kind="zoo")


def test_no_message_advises_to_delete():
    """What looks damaged here may be whole elsewhere, or be mended."""
    texts = {
        node.value: path.name
        for path in SCRIPTS.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert len(texts) > 1000
    assert not [t for t in texts if re.search(r"\b(delete|remove) (it|the|this)", t)]


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
        with pytest.raises(DataFileError, match=r"zoo\.h5: (damaged|open for writing)"):
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

    def __init__(self, of=()):
        self.epoch, self.total, self.of = 0, 0, of

    def inputs(self):
        return {}, [np.array(self.of)]

    def run_epoch(self):
        self.epoch += 1
        self.total += self.epoch
        return {"total": float(self.total)}

    def state_dict(self):
        return {"epoch": self.epoch, "total": self.total}

    def load_state_dict(self, state):
        self.epoch, self.total = state["epoch"], state["total"]


def run(training, state, epochs=4, minutes=None):
    run_to_end(
        training,
        epochs=epochs,
        state=state,
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
    "damage", ["other inputs", "garbage", "truncated", "flipped bit"]
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
    again = Counting(of=[1.0] if damage == "other inputs" else ())
    with caplog.at_level("INFO"):
        run(again, state)
    assert again.total == 10
    assert "x.state" in caplog.text


def test_a_state_goes_when_the_result_is_written_and_not_before(tmp_path):
    output = tmp_path / "x.h5"
    state = tmp_path / "x.state"

    def attempt(pace, training):
        with trained(training, epochs=4, output=output, pace=pace):
            raise OSError("the disk is full")

    slow, fast = Pace(save_every=0.0, minutes=0.0), Pace(save_every=0.0)
    with pytest.raises(SystemExit):
        attempt(slow, Counting())
    with pytest.raises(OSError, match="full"):
        attempt(fast, Counting())
    assert state.exists()
    again = Counting()
    with trained(again, epochs=4, output=output, pace=fast):
        assert (again.epoch, again.total) == (4, 10)
    assert not state.exists()


def test_digest_sees_settings_and_data():
    base = input_digest({"a": 1}, np.arange(3))
    assert base == input_digest({"a": 1}, np.arange(3))
    assert base != input_digest({"a": 2}, np.arange(3))
    assert base != input_digest({"a": 1}, np.arange(4))
    assert base != input_digest({"a": 1}, np.arange(3.0))
