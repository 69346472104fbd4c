"""Damaged files: refused by name in one line, or read as what they must be."""

from __future__ import annotations

import hashlib
import io
import os
import resource
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperreps.data.datasets import load_images
from hyperreps.data.sources import SOURCES
from hyperreps.files.storage import DataFileError
from hyperreps.networks.architectures import build
from hyperreps.results.published import load_published, load_published_properties
from hyperreps.settings.stages import Recipe, SettingsError, Zoo
from hyperreps.zoo.imported import read_imported

from ..image_files import FORMATS, Trap, example, npz_bytes, settings, write
from ..workflow.project import CHECKOUT
from .conftest import fuzzed
from .damage import any_damage, damaged, zipped

SECONDS = 5  # of CPU time: more is a hang
MEMORY = 256 * 2**20  # bytes that reading may add: all files are below one MiB
LINE = 1500  # characters


@contextmanager
def bounded() -> Iterator[None]:
    """Ends in an error where the block takes too much time or memory."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    size = pages * os.sysconf("SC_PAGE_SIZE")
    start = time.process_time()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert time.process_time() - start < SECONDS


def refused(read: Callable[[], object], path: Path) -> bool:
    """Returns whether a file is refused, by a line that names it."""
    try:
        with bounded():
            read()
    except (DataFileError, SettingsError) as raised:
        error = raised
    else:
        return False
    # what a file promises must be looked at before memory is asked for
    assert not isinstance(error.__cause__, MemoryError)
    message = str(error)
    assert str(path) in message, message
    assert len(message.splitlines()) == 1, message
    assert len(message) < LINE, message
    return True


def read_images(source: str, folder: Path) -> None:
    """Reads images as prepare_dataset.py does, and checks what comes of it."""
    raw, _ = load_images(settings(source), data_dir=folder)
    for images, labels in ((raw.x_train, raw.y_train), (raw.x_test, raw.y_test)):
        assert images.dtype == labels.dtype == np.uint8
        assert images.ndim == 4
        assert images.shape[3] in (1, 3)
        assert min(images.shape) > 0
        assert labels.shape == images.shape[:1]
        assert labels.max() <= 9
    assert raw.x_train.shape[1:] == raw.x_test.shape[1:]


def pin(source: str, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes files for the official ones of a source."""
    pinned = [
        replace(file, digest=hashlib.sha256(files[file.name]).hexdigest())
        for file in SOURCES[source].files
    ]
    monkeypatch.setitem(SOURCES, source, replace(SOURCES[source], files=pinned))


def test_the_digests_of_svhn_are_pinned() -> None:
    assert all(file.digest for file in SOURCES["svhn"].files)


@pytest.mark.parametrize("name", FORMATS)
@given(data=st.data())
@fuzzed(100)
def test_damaged_images(
    name: str,
    data: st.DataObject,
    tmp_path: Path,
    any_digest: None,
    monkeypatch: pytest.MonkeyPatch,
    tried: Counter,
) -> None:
    source, _, files = example(name)
    if source == "svhn":
        # scipy's Matlab reader crashes on one damaged file in 2000: what keeps them
        # from it is tried here
        pin(source, files, monkeypatch)
    folder = tmp_path if source == "npz" else tmp_path / source
    file = data.draw(st.sampled_from(sorted(files)))
    changed = data.draw(any_damage(file, files[file]))
    write(folder, {**files, file: changed})
    lost = refused(lambda: read_images(source, tmp_path), folder / file)
    tried[f"{name}: {'refused' if lost else 'read'}"] += 1


def test_images_with_a_digest_are_refused_before_they_are_read(
    tmp_path: Path, tried: Counter
) -> None:
    for name in ("mnist", "svhn", "cifar10", "stl10 unpacked", "usps"):
        source, _, files = example(name)
        write(tmp_path / source, files)
        with pytest.raises(DataFileError, match="that of the official file"):
            load_images(settings(source), data_dir=tmp_path)
        tried["digests: refused"] += 1


RECIPE = Recipe(
    initialization="uniform",
    activation="tanh",
    learning_rate=0.1,
    batch_size=8,
    epochs=2,
)
IMPORTED = Zoo(dataset="d", models=4, window=(1, 2), recipe=RECIPE, weights="own.npz")
CNN = build("cnn", channels=1)


def networks() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {
        "weights": rng.normal(size=(4, 3, CNN.parameters)).astype(np.float32),
        "epochs": np.arange(3),
        "seeds": np.arange(10, 14),
    }


def read_networks(path: Path) -> None:
    """Reads networks as import_zoo.py does, and checks what comes of it."""
    weights, epochs, seeds, *_ = read_imported(path, IMPORTED, CNN)
    assert weights.dtype == np.float32
    assert weights.shape == (4, len(epochs), CNN.parameters)
    assert np.isfinite(weights).all()
    assert {1, 2} <= set(epochs.tolist())
    assert len(set(seeds.tolist())) == 4
    assert seeds.min() >= 0


@given(data=st.data())
@fuzzed(200)
def test_damaged_networks(data: st.DataObject, tmp_path: Path, tried: Counter) -> None:
    (content,) = npz_bytes(**networks()).values()
    write(tmp_path, {"own.npz": data.draw(any_damage("own.npz", content))})
    lost = refused(lambda: read_networks(tmp_path / "own.npz"), tmp_path / "own.npz")
    tried[f"networks: {'refused' if lost else 'read'}"] += 1


@pytest.mark.parametrize(
    "change",
    [
        {"weights": np.full((4, 3, CNN.parameters), np.nan)},
        {"weights": np.full((4, 3, CNN.parameters), 1e300)},
        {"weights": np.zeros((4, 3, CNN.parameters), complex)},
        {"weights": np.zeros((4, 3, CNN.parameters), int)},
        {"weights": np.float64(1)},
        {"epochs": np.array([0, 1.5, 2])},
        {"epochs": np.array([-1, 1, 2])},
        {"epochs": np.array([0, 1, 2**62])},
        {"epochs": np.array([1, 2, 0], np.uint8)},
        {"epochs": np.int64(3)},
        {"seeds": np.array(["1", "2", "3", "4"])},
        {"seeds": np.array([-1, 2, 3, 4])},
        {"seeds": np.array([1, 2, 3, 2**64 - 1], np.uint64)},
    ],
    ids=str,
)
def test_networks_of_another_kind(
    change: dict[str, np.ndarray], tmp_path: Path, tried: Counter
) -> None:
    write(tmp_path, npz_bytes(**{**networks(), **change}))
    assert refused(lambda: read_networks(tmp_path / "own.npz"), tmp_path / "own.npz")
    tried["networks: refused"] += 1


def test_no_network_is_unpickled(tmp_path: Path, tried: Counter) -> None:
    mark = tmp_path / "mark"
    trap = np.array([Trap(mark)] * 4, dtype=object)
    write(tmp_path, npz_bytes(**{**networks(), "seeds": trap}))
    assert refused(lambda: read_networks(tmp_path / "own.npz"), tmp_path / "own.npz")
    assert not mark.exists()
    tried["networks: refused"] += 1


@pytest.mark.parametrize("name", ["weights", "seeds"])
def test_networks_that_are_promised_only(
    name: str, tmp_path: Path, tried: Counter
) -> None:
    header, own = io.BytesIO(), io.BytesIO(*npz_bytes(**networks()).values())
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (2**40,)}
    )
    with zipfile.ZipFile(own) as archive:
        entries = {entry: archive.read(entry) for entry in archive.namelist()}
    promise = zipped(entries | {f"{name}.npy": header.getvalue()})
    write(tmp_path, {"own.npz": promise})
    assert refused(lambda: read_networks(tmp_path / "own.npz"), tmp_path / "own.npz")
    tried["promises: refused"] += 1


@pytest.mark.parametrize("chunks", [None, (2**20, 256)])
def test_images_that_are_promised_only(
    chunks: tuple[int, int] | None, tmp_path: Path, tried: Counter
) -> None:
    path = tmp_path / "usps" / "usps.h5"
    path.parent.mkdir()
    with h5py.File(path, "w") as file:
        for part in ("train", "test"):
            shape = (2**40 if chunks else 2**22, 256)
            file.create_dataset(f"{part}/data", shape, "f4", chunks=chunks)
            file[f"{part}/target"] = np.zeros(3, int)
    assert refused(lambda: read_images("usps", tmp_path), path)
    tried["promises: refused"] += 1


@given(changed=damaged((CHECKOUT / "config" / "published.yaml").read_bytes()))
@fuzzed(100)
def test_damaged_published_numbers(
    changed: bytes, tmp_path: Path, tried: Counter
) -> None:
    path = tmp_path / "published.yaml"
    path.write_bytes(changed)

    def read() -> None:
        table = load_published(path)
        assert table.value.between(0, 1).all()
        assert all(-99 < x <= 1 for x in load_published_properties(path).values())

    lost = refused(read, path)
    tried[f"published.yaml: {'refused' if lost else 'read'}"] += 1
