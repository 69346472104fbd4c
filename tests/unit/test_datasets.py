"""Readers of the official formats, downloads, and the way to 28 x 28 images."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import re
import struct
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import requests
from PIL import Image
from scipy.io import savemat

from hyperreps import datasets, official_files
from hyperreps.datasets import load_images, normalization, prepare
from hyperreps.official_files import File
from hyperreps.settings import Dataset, SettingsError
from hyperreps.sources import SOURCES, RawImages
from hyperreps.storage import DataFileError

SCRIPTS = Path(datasets.__file__).parents[1]


def settings(source: str = "npz", **values: Any) -> Dataset:
    path = {"path": "own.npz"} if source == "npz" else {}
    return Dataset(**{"source": source, "validation": 1, **path, **values})


def random_images(
    *, height: int, width: int, channels: int, train: int = 6, test: int = 3
) -> RawImages:
    rng = np.random.default_rng(7)
    size = (height, width, channels)
    return RawImages(
        rng.integers(0, 256, (train, *size), dtype=np.uint8),
        np.arange(train, dtype=np.uint8) % 10,
        rng.integers(0, 256, (test, *size), dtype=np.uint8),
        9 - np.arange(test, dtype=np.uint8) % 10,
    )


# the official formats, written plainly from their descriptions


def idx_bytes(array: np.ndarray) -> bytes:
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(
        f">{array.ndim}I", *array.shape
    )
    return header + array.tobytes()


def idx_files(raw: RawImages) -> dict[str, bytes]:
    return {
        "train-images-idx3-ubyte": idx_bytes(raw.x_train[..., 0]),
        "train-labels-idx1-ubyte": idx_bytes(raw.y_train),
        "t10k-images-idx3-ubyte": idx_bytes(raw.x_test[..., 0]),
        "t10k-labels-idx1-ubyte": idx_bytes(raw.y_test),
    }


def idx_gz_files(raw: RawImages) -> dict[str, bytes]:
    return {f"{k}.gz": gzip.compress(v) for k, v in idx_files(raw).items()}


def cifar10_files(raw: RawImages) -> dict[str, bytes]:
    def batch(images: np.ndarray, labels: np.ndarray) -> bytes:
        return b"".join(
            bytes([label]) + b"".join(image[:, :, c].tobytes() for c in range(3))
            for image, label in zip(images, labels, strict=True)
        )

    files = {
        f"data_batch_{i + 1}.bin": batch(images, labels)
        for i, (images, labels) in enumerate(
            zip(
                np.array_split(raw.x_train, 5),
                np.array_split(raw.y_train, 5),
                strict=True,
            )
        )
    }
    return {**files, "test_batch.bin": batch(raw.x_test, raw.y_test)}


def stl10_files(raw: RawImages) -> dict[str, bytes]:
    def planes(images: np.ndarray) -> bytes:
        return b"".join(
            image[:, :, c].tobytes(order="F") for image in images for c in range(3)
        )

    return {
        "train_X.bin": planes(raw.x_train),
        "train_y.bin": bytes(label + 1 for label in raw.y_train),
        "test_X.bin": planes(raw.x_test),
        "test_y.bin": bytes(label + 1 for label in raw.y_test),
    }


def tar_bytes(files: dict[str, bytes], *, folder: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in {"readme.txt": b"hello", **files}.items():
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def cifar10_tar(raw: RawImages) -> dict[str, bytes]:
    archive = tar_bytes(cifar10_files(raw), folder="cifar-10-batches-bin")
    return {"cifar-10-binary.tar.gz": archive}


def stl10_tar(raw: RawImages) -> dict[str, bytes]:
    return {"stl10_binary.tar.gz": tar_bytes(stl10_files(raw), folder="stl10_binary")}


def svhn_files(raw: RawImages) -> dict[str, bytes]:
    def matlab(images: np.ndarray, labels: np.ndarray) -> bytes:
        x = np.stack(list(images), axis=3)
        y = np.array([[label or 10] for label in labels], dtype=np.uint8)
        buffer = io.BytesIO()
        savemat(buffer, {"X": x, "y": y})  # type: ignore[arg-type]
        return buffer.getvalue()

    return {
        "train_32x32.mat": matlab(raw.x_train, raw.y_train),
        "test_32x32.mat": matlab(raw.x_test, raw.y_test),
    }


def usps_files(raw: RawImages) -> dict[str, bytes]:
    def text(images: np.ndarray, labels: np.ndarray) -> bytes:
        lines = []
        for image, label in zip(images, labels, strict=True):
            pixels = enumerate(image.ravel() / 127.5 - 1, start=1)
            values = " ".join(f"{i}:{v:.6f}" for i, v in pixels)
            lines.append(f"{label + 1} {values}\n")
        return bz2.compress("".join(lines).encode())

    return {
        "usps.bz2": text(raw.x_train, raw.y_train),
        "usps.t.bz2": text(raw.x_test, raw.y_test),
    }


def usps_hdf5(raw: RawImages) -> dict[str, bytes]:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for part in ("train", "test"):
            images, labels = getattr(raw, f"x_{part}"), getattr(raw, f"y_{part}")
            flat = (images.reshape(-1, 256) / 255).astype(np.float32)
            file[f"{part}/data"] = flat
            file[f"{part}/target"] = labels.astype(np.int64)
    return {"usps.h5": buffer.getvalue()}


def npz_bytes(**arrays: Any) -> dict[str, bytes]:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return {"own.npz": buffer.getvalue()}


def npz_files(raw: RawImages) -> dict[str, bytes]:
    return npz_bytes(**raw._asdict())


def npz_gray_files(raw: RawImages) -> dict[str, bytes]:
    x_train, x_test = raw.x_train[..., 0], raw.x_test[..., 0]
    return npz_bytes(**{**raw._asdict(), "x_train": x_train, "x_test": x_test})


FORMATS: dict[str, tuple[str, Callable[[RawImages], dict[str, bytes]], int, int]] = {
    # name: source, writer, side of the images, channels
    "mnist": ("mnist", idx_gz_files, 28, 1),
    "mnist unpacked": ("mnist", idx_files, 28, 1),
    "fashion_mnist": ("fashion_mnist", idx_gz_files, 28, 1),
    "fashion_mnist unpacked": ("fashion_mnist", idx_files, 28, 1),
    "svhn": ("svhn", svhn_files, 32, 3),
    "cifar10": ("cifar10", cifar10_tar, 32, 3),
    "cifar10 unpacked": ("cifar10", cifar10_files, 32, 3),
    "stl10": ("stl10", stl10_tar, 96, 3),
    "stl10 unpacked": ("stl10", stl10_files, 96, 3),
    "usps": ("usps", usps_files, 16, 1),
    "usps hdf5": ("usps", usps_hdf5, 16, 1),
    "npz": ("npz", npz_files, 9, 3),
    "npz gray": ("npz", npz_gray_files, 9, 1),
}


def example(name: str) -> tuple[str, RawImages, dict[str, bytes]]:
    """Returns the source, images, and content of the files of a format by name."""
    source, writer, side, channels = FORMATS[name]
    raw = random_images(height=side, width=side, channels=channels)
    return source, raw, writer(raw)


def write(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


@pytest.fixture
def any_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes back the pinned digests, for files made up here."""
    for name, source in SOURCES.items():
        files = [
            replace(f, digest="", unpacked=dict.fromkeys(f.unpacked, ""))
            for f in source.files
        ]
        monkeypatch.setitem(SOURCES, name, replace(source, files=files))


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Refuses connections and records what was asked for."""
    asked: list[str] = []

    def refuse(url: str, **_: Any) -> None:
        asked.append(url)
        raise requests.ConnectionError("refused")

    monkeypatch.setattr(requests, "get", refuse)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    return asked


def error_of(call: Callable[[], Any]) -> str:
    """Returns the message of the error that call raises, which must be one line."""
    with pytest.raises((DataFileError, SettingsError)) as caught:
        call()
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


@pytest.mark.parametrize("name", FORMATS)
def test_reads_every_format_pixel_by_pixel(
    name: str, tmp_path: Path, any_digest: None, no_network: list[str]
) -> None:
    source, raw, files = example(name)
    folder = tmp_path if source == "npz" else tmp_path / source
    write(folder, files)
    found, sha256 = load_images(settings(source), data_dir=tmp_path)
    for field, expected in raw._asdict().items():
        np.testing.assert_array_equal(getattr(found, field), expected, err_msg=field)
        assert getattr(found, field).dtype == np.uint8
    assert sha256 == {k: hashlib.sha256(v).hexdigest() for k, v in files.items()}
    assert no_network == []


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("mnist", "."),
        ("mnist", "MNIST/raw"),
        ("fashion_mnist", "FashionMNIST/raw"),
        ("svhn", "."),
        ("cifar10", "."),
        ("cifar10 unpacked", "cifar-10-batches-bin"),
        ("cifar10 unpacked", "cifar10/cifar-10-batches-bin"),
        ("stl10 unpacked", "stl10_binary"),
        ("stl10 unpacked", "stl10/stl10_binary"),
        ("usps", "."),
        ("usps hdf5", "."),
    ],
)
def test_finds_files_in_official_folders(
    name: str, folder: str, tmp_path: Path, any_digest: None, no_network: list[str]
) -> None:
    source, raw, files = example(name)
    write(tmp_path / folder, files)
    found, _ = load_images(settings(source), data_dir=tmp_path)
    np.testing.assert_array_equal(found.x_test, raw.x_test)
    assert no_network == []


def test_npz_may_lie_in_a_subfolder(tmp_path: Path) -> None:
    _, raw, files = example("npz")
    write(tmp_path / "mine", files)
    found, sha256 = load_images(settings(path="mine/own.npz"), data_dir=tmp_path)
    np.testing.assert_array_equal(found.x_train, raw.x_train)
    assert list(sha256) == ["own.npz"]


def test_files_of_mnist_are_not_taken_for_fashion_mnist(
    tmp_path: Path, any_digest: None, no_network: list[str]
) -> None:
    _, _, files = example("mnist unpacked")
    write(tmp_path, files)
    message = error_of(
        lambda: load_images(settings("fashion_mnist"), data_dir=tmp_path)
    )
    assert "fashion_mnist/train-images-idx3-ubyte.gz" in message


def test_digits_are_embedded(tmp_path: Path, no_network: list[str]) -> None:
    from sklearn.datasets import load_digits

    raw, sha256 = load_images(settings("digits"), data_dir=tmp_path / "none")
    assert raw.x_train.shape == (1400, 8, 8, 1)
    assert raw.x_test.shape == (397, 8, 8, 1)
    assert sha256 == {}
    assert no_network == []
    # the same images in another order, 0..16 spread over 0..255
    official = load_digits()
    scaled = np.rint(official.images.reshape(-1, 64) * 255 / 16)
    ours = np.concatenate([raw.x_train, raw.x_test]).reshape(-1, 64)
    labels = np.concatenate([raw.y_train, raw.y_test])

    def sorted_rows(images: np.ndarray, targets: np.ndarray) -> list[list[float]]:
        return sorted(np.column_stack([targets, images]).tolist())

    assert sorted_rows(ours, labels) == sorted_rows(scaled, official.target)
    assert raw.x_train.max() == 255
    order = np.random.default_rng(0).permutation(1797)
    np.testing.assert_array_equal(labels, official.target[order])


def test_the_module_imports_without_heavy_libraries() -> None:
    code = (
        "import sys, hyperreps.sources, hyperreps.configuration;"
        "heavy = {'torch', 'scipy', 'sklearn', 'PIL', 'pooch', 'requests', 'tqdm'};"
        "print(heavy & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(SCRIPTS)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    ("name", "algorithm"),
    [
        ("mnist", "sha256"),
        ("mnist unpacked", "sha256"),
        ("fashion_mnist", "sha256"),
        ("svhn", "sha256"),
        ("cifar10", "sha256"),
        ("cifar10 unpacked", "sha256"),
        ("stl10", "sha256"),
        ("stl10 unpacked", "md5"),
        ("usps", "sha256"),
    ],
)
def test_other_than_the_official_files_are_refused(
    name: str, algorithm: str, tmp_path: Path
) -> None:
    source, _, files = example(name)
    write(tmp_path / source, files)
    message = error_of(lambda: load_images(settings(source), data_dir=tmp_path))
    first, data = next(iter(files.items()))
    assert message.startswith(f"{tmp_path / source / first}: {algorithm} is ")
    assert hashlib.new(algorithm, data).hexdigest() in message
    assert "delete it, or replace it by the one from http" in message


def test_pinned_digests_are_well_formed() -> None:
    packed = [f.digest for s in SOURCES.values() for f in s.files]
    inner = [d for s in SOURCES.values() for f in s.files for d in f.unpacked.values()]
    assert all(re.fullmatch(r"[0-9a-f]{64}", d) for d in packed)
    assert all(re.fullmatch(r"|[0-9a-f]{64}|md5:[0-9a-f]{32}", d) for d in inner)
    known = [d for d in packed + inner if d]
    assert len(set(known)) == len(known)


@pytest.mark.parametrize("name", FORMATS)
def test_truncated_files_are_refused(
    name: str, tmp_path: Path, any_digest: None
) -> None:
    source, _, files = example(name)
    last = list(files)[-1]
    if last == "test_y.bin":  # any length is labels; images have a record size
        last = "test_X.bin"
    files[last] = files[last][: len(files[last]) * 2 // 3 - 1]
    folder = tmp_path if source == "npz" else tmp_path / source
    write(folder, files)
    message = error_of(lambda: load_images(settings(source), data_dir=tmp_path))
    assert message.startswith(f"{folder / last}: ")
    assert "replace it" in message


def test_an_idx_file_without_its_last_byte_is_refused(
    tmp_path: Path, any_digest: None
) -> None:
    _, _, files = example("mnist unpacked")
    name = "t10k-images-idx3-ubyte"
    write(tmp_path / "mnist", {**files, name: files[name][:-1]})
    message = error_of(lambda: load_images(settings("mnist"), data_dir=tmp_path))
    assert f"{name}: {3 * 28 * 28 - 1} bytes for shape [3, 28, 28]" in message


@pytest.mark.parametrize("data", [b"", b"\x00\x00\x08", b"\x00\x00\x0d\x01" + bytes(9)])
def test_what_is_no_idx_file_is_refused(
    data: bytes, tmp_path: Path, any_digest: None
) -> None:
    _, _, files = example("mnist unpacked")
    files["t10k-labels-idx1-ubyte"] = data
    write(tmp_path / "mnist", files)
    message = error_of(lambda: load_images(settings("mnist"), data_dir=tmp_path))
    assert "t10k-labels-idx1-ubyte: no idx file" in message


def test_an_archive_without_a_member_is_refused(
    tmp_path: Path, any_digest: None
) -> None:
    _, raw, _ = example("cifar10")
    files = cifar10_files(raw)
    del files["data_batch_3.bin"], files["test_batch.bin"]
    archive = tar_bytes(files, folder="cifar-10-batches-bin")
    write(tmp_path, {"cifar-10-binary.tar.gz": archive})
    message = error_of(lambda: load_images(settings("cifar10"), data_dir=tmp_path))
    assert "-binary.tar.gz: holds no data_batch_3.bin, test_batch.bin" in message


def test_links_in_an_archive_are_not_followed(tmp_path: Path, any_digest: None) -> None:
    _, raw, _ = example("stl10")
    files = stl10_files(raw)
    secret = tmp_path / "secret"
    secret.write_bytes(files.pop("test_y.bin"))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(f"../{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        link = tarfile.TarInfo("stl10_binary/test_y.bin")
        link.type, link.linkname = tarfile.SYMTYPE, str(secret)
        archive.addfile(link)
    folder = tmp_path / "data" / "stl10"
    write(folder, {"stl10_binary.tar.gz": buffer.getvalue()})
    message = error_of(lambda: load_images(settings("stl10"), data_dir=folder.parent))
    assert "holds no test_y.bin" in message
    # and nothing is unpacked, wherever its path points to
    assert [p.name for p in folder.parent.rglob("*")] == [
        "stl10",
        "stl10_binary.tar.gz",
    ]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("mnist", "0..10"),
        ("cifar10", "0..10"),
        ("stl10 unpacked", "0..10"),
        ("svhn", "1..11"),
        ("usps", "0..10"),
        ("usps hdf5", "0..10"),
        ("npz", "0..10"),
    ],
)
def test_labels_out_of_range_are_refused(
    name: str, found: str, tmp_path: Path, any_digest: None
) -> None:
    source, writer, side, channels = FORMATS[name]
    raw = random_images(height=side, width=side, channels=channels)
    # 10 is how SVHN writes 0
    raw.y_train[3] = 11 if source == "svhn" else 10
    if source == "svhn":
        raw.y_train[0] = 1
    folder = tmp_path if source == "npz" else tmp_path / source
    write(folder, writer(raw))
    message = error_of(lambda: load_images(settings(source), data_dir=tmp_path))
    assert f"labels in y_train are {found}; they must be 0..9" in message
    assert str(folder) in message


def test_labels_of_stl10_start_at_1(tmp_path: Path, any_digest: None) -> None:
    _, _, files = example("stl10 unpacked")
    files["train_y.bin"] = b"\x00" + files["train_y.bin"][1:]
    write(tmp_path, files)
    message = error_of(lambda: load_images(settings("stl10"), data_dir=tmp_path))
    assert "labels in y_train are -1..5" in message


def test_pixels_of_usps_out_of_range_are_refused(
    tmp_path: Path, any_digest: None
) -> None:
    line = "1 " + " ".join(f"{i}:{i / 200}" for i in range(1, 257)) + "\n"
    data = bz2.compress(line.encode())
    write(tmp_path, {"usps.bz2": data, "usps.t.bz2": data})
    message = error_of(lambda: load_images(settings("usps"), data_dir=tmp_path))
    assert "usps.bz2: pixels are 0.005..1.28, but must be in [-1, 1]" in message


ARRAYS = random_images(height=4, width=5, channels=3)._asdict()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"x_train": ARRAYS["x_train"] / 255},
            "x_train is float64; images must be uint8",
        ),
        ({"x_test": ARRAYS["x_test"].astype(int)}, "x_test is int64; images must be"),
        ({"x_train": ARRAYS["x_train"][0, 0]}, "x_train has shape (5, 3); images must"),
        ({"x_test": ARRAYS["x_test"][..., :2]}, "x_test has shape (3, 4, 5, 2)"),
        ({"x_train": ARRAYS["x_train"][:, :0]}, "x_train has shape (6, 0, 5, 3)"),
        (
            {"x_test": ARRAYS["x_test"][:, 1:]},
            "are 4 x 5 x 3 but those of x_test 3 x 5",
        ),
        (
            {"x_train": ARRAYS["x_train"][:5]},
            "5 images in x_train and 6 labels in y_tr",
        ),
        (
            {"x_test": ARRAYS["x_test"][:0], "y_test": ARRAYS["y_test"][:0]},
            "0 images in x_test and 0 labels in y_test",
        ),
        (
            {"y_train": ARRAYS["y_train"] * 1.0},
            "y_train is float64 (6,); labels must be",
        ),
        ({"y_train": ARRAYS["y_train"] > 2}, "y_train is bool (6,); labels must be"),
        (
            {"y_test": ARRAYS["y_test"][:, None]},
            "y_test is uint8 (3, 1); labels must be",
        ),
        ({"y_test": np.array([1, -1, 2])}, "labels in y_test are -1..2"),
        (
            {"x_val": ARRAYS["x_test"]},
            "holds x_test, x_train, x_val, y_test, y_train; it",
        ),
    ],
)
def test_what_is_wrong_in_an_npz_is_said(
    change: dict[str, np.ndarray], expected: str, tmp_path: Path
) -> None:
    write(tmp_path, npz_bytes(**{**ARRAYS, **change}))
    message = error_of(lambda: load_images(settings(), data_dir=tmp_path))
    assert message.startswith(f"{tmp_path / 'own.npz'}: ")
    assert expected in message


def test_an_npz_without_labels_is_refused(tmp_path: Path) -> None:
    write(tmp_path, npz_bytes(x_train=ARRAYS["x_train"], x_test=ARRAYS["x_test"]))
    message = error_of(lambda: load_images(settings(), data_dir=tmp_path))
    assert "own.npz: holds x_test, x_train; it must hold x_train, y_train" in message


class Trap:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    trap = np.array([Trap(mark)], dtype=object)
    write(tmp_path, npz_bytes(**{**ARRAYS, "y_train": trap}))
    message = error_of(lambda: load_images(settings(), data_dir=tmp_path))
    assert "own.npz: not a readable npz file of plain arrays" in message
    assert not mark.exists()


@pytest.mark.parametrize("data", [b"", b"no npz", b"\x80\x04N.", b"PK\x03\x04"])
def test_what_is_no_npz_is_refused(data: bytes, tmp_path: Path) -> None:
    write(tmp_path, {"own.npz": data})
    message = error_of(lambda: load_images(settings(), data_dir=tmp_path))
    assert "own.npz: not a readable npz file of plain arrays (" in message


def test_settings_that_name_no_images_are_refused(tmp_path: Path) -> None:
    def message(**values: Any) -> str:
        return error_of(lambda: load_images(settings(**values), data_dir=tmp_path))

    unknown = message(source="minst")
    assert unknown.startswith("source: unknown 'minst'; there are cifar10, digits")
    assert message(path="").startswith("path: wrong for source 'npz'; name its file")
    assert message(source="mnist", path="a").endswith("leave it out")
    assert message() == f"{tmp_path / 'own.npz'}: no such file; put it there"


def test_without_network_all_missing_files_are_named(
    tmp_path: Path, any_digest: None, no_network: list[str], monkeypatch: Any
) -> None:
    _, _, files = example("mnist")
    del files["train-labels-idx1-ubyte.gz"], files["t10k-images-idx3-ubyte.gz"]
    write(tmp_path / "data" / "mnist", files)
    monkeypatch.chdir(tmp_path)
    message = error_of(lambda: load_images(settings("mnist"), data_dir=Path("data")))
    base = "https://ossci-datasets.s3.amazonaws.com/mnist/"
    assert "(no connection)" in message
    for name in ("train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz"):
        assert f"{tmp_path}/data/mnist/{name} from {base}{name}" in message
    assert "train-images-idx3-ubyte.gz" not in message
    assert set(no_network) == {f"{base}train-labels-idx1-ubyte.gz"}
    assert len(no_network) == official_files.ATTEMPTS


class Server(ThreadingHTTPServer):
    """Serves one file; may break off, ignore ranges, or miss it."""

    data = bytes(range(256)) * (8 * official_files.BLOCK // 256)
    breaks: int = 0  # connections that end half way
    ranges = True
    requests: list[str | None]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/images.bin"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append(wanted)
        start = int(re.findall(r"\d+", wanted or "0")[0]) if self.server.ranges else 0
        data = self.server.data[start:]
        if self.path != "/images.bin":
            return self.send_error(404)
        if not data:
            return self.send_error(416)
        self.send_response(206 if self.server.ranges else 200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.server.breaks:
            self.server.breaks -= 1
            data = data[: len(data) // 2]
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with Server(("127.0.0.1", 0), Handler) as server:
        server.requests = []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def served(server: Server, *, path: str = "", data: bytes | None = None) -> File:
    digest = hashlib.sha256(data or server.data).hexdigest()
    return File("images.bin", server.url + path, digest)


def left(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(".lock"))


def test_a_download_is_checked_and_kept(server: Server, tmp_path: Path) -> None:
    official_files._download(served(server), tmp_path / "new")
    assert (tmp_path / "new" / "images.bin").read_bytes() == server.data
    assert left(tmp_path / "new") == ["images.bin"]


def test_a_broken_download_goes_on_where_it_stopped(
    server: Server, tmp_path: Path
) -> None:
    server.breaks = 2
    official_files._download(served(server), tmp_path)
    assert (tmp_path / "images.bin").read_bytes() == server.data
    size = len(server.data)
    assert server.requests == [
        "bytes=0-",
        f"bytes={size // 2}-",
        f"bytes={size * 3 // 4}-",
    ]


def test_the_next_run_goes_on_where_the_last_gave_up(
    server: Server, tmp_path: Path
) -> None:
    server.breaks = official_files.ATTEMPTS
    message = error_of(lambda: official_files._download(served(server), tmp_path))
    assert message == "images.bin: download failed (connection lost)"
    assert left(tmp_path) == ["images.bin.part"]
    server.requests.clear()
    official_files._download(served(server), tmp_path)
    assert (tmp_path / "images.bin").read_bytes() == server.data
    assert server.requests == [f"bytes={len(server.data) * 7 // 8}-"]
    assert left(tmp_path) == ["images.bin"]


@pytest.mark.parametrize("size", [100, len(Server.data)])
def test_a_server_may_have_no_ranges_or_nothing_left(
    size: int, server: Server, tmp_path: Path
) -> None:
    server.ranges = size == len(server.data)
    (tmp_path / "images.bin.part").write_bytes(server.data[:size])
    official_files._download(served(server), tmp_path)
    assert (tmp_path / "images.bin").read_bytes() == server.data


def test_a_download_with_another_hash_is_thrown_away(
    server: Server, tmp_path: Path
) -> None:
    file = served(server, data=b"official")
    message = error_of(lambda: official_files._download(file, tmp_path))
    assert "another hash than the official file" in message
    assert left(tmp_path) == []


def test_a_file_that_is_not_served_is_an_error(server: Server, tmp_path: Path) -> None:
    file = served(server, path=".old")
    message = error_of(lambda: official_files._download(file, tmp_path))
    assert message.startswith("images.bin: download failed (404 Client Error")


def test_what_is_missing_is_downloaded_then_used(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, raw, files = example("svhn")
    (tmp_path / "test_32x32.mat").write_bytes(files["test_32x32.mat"])
    server.data = files["train_32x32.mat"]
    urls = [server.url, "http://127.0.0.1:1/never"]
    monkeypatch.setitem(
        SOURCES,
        "svhn",
        replace(
            SOURCES["svhn"],
            files=[
                File(name, url, hashlib.sha256(data).hexdigest())
                for (name, data), url in zip(files.items(), urls, strict=True)
            ],
        ),
    )
    # the name of the .part file is the url's
    for _ in range(2):
        found, _ = load_images(settings("svhn"), data_dir=tmp_path)
        np.testing.assert_array_equal(found.x_train, raw.x_train)
    assert len(server.requests) == 1
    assert left(tmp_path / "svhn") == ["train_32x32.mat"]


def pillow(
    images: np.ndarray, change: Callable[[Image.Image], Image.Image]
) -> np.ndarray:
    """Changes images with Pillow: [images, channels, height, width]."""
    changed = []
    for image in images:
        single = image[..., 0] if image.shape[2] == 1 else image
        result = np.asarray(change(Image.fromarray(np.ascontiguousarray(single))))
        changed.append(np.atleast_3d(result).transpose(2, 0, 1))
    return np.stack(changed)


def bilinear(image: Image.Image) -> Image.Image:
    return image.resize((28, 28), Image.Resampling.BILINEAR)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(8, 8), (16, 16), (32, 32), (96, 96), (20, 45)])
def test_resize_is_pillows(size: tuple[int, int], channels: int) -> None:
    height, width = size
    # more images than one chunk has
    number = datasets.CHUNK + 2
    raw = random_images(height=height, width=width, channels=channels, test=number)
    ours = prepare(raw, settings())["test/images"].astype(int)
    difference = np.abs(ours - pillow(raw.x_test, bilinear))
    assert ours.shape == (number, channels, 28, 28)
    assert difference.max() <= (0 if height == width else 1)


def test_luma_is_pillows() -> None:
    raw = random_images(height=28, width=28, channels=3)
    ours = prepare(raw, settings(grayscale=True))["test/images"]
    theirs = pillow(raw.x_test, lambda image: image.convert("L"))
    np.testing.assert_array_equal(ours, theirs)


def test_luma_comes_before_resize() -> None:
    raw = random_images(height=32, width=32, channels=3)
    ours = prepare(raw, settings(grayscale=True))["test/images"]
    theirs = pillow(raw.x_test, lambda image: bilinear(image.convert("L")))
    np.testing.assert_array_equal(ours, theirs)


def test_gray_images_stay_as_they_are() -> None:
    raw = random_images(height=28, width=28, channels=1)
    for fit in ("resize", "crop"):
        ours = prepare(raw, settings(grayscale=True, fit=fit))["test/images"]
        np.testing.assert_array_equal(ours, raw.x_test.transpose(0, 3, 1, 2))


def test_crop_takes_the_centre() -> None:
    raw = random_images(height=32, width=40, channels=3)
    ours = prepare(raw, settings(fit="crop"))["test/images"]
    theirs = raw.x_test[:, 2:30, 6:34].transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(ours, theirs)


def test_crop_of_small_images_is_refused() -> None:
    raw = random_images(height=32, width=27, channels=1)
    message = error_of(lambda: prepare(raw, settings(fit="crop")))
    assert message.startswith("fit: crop needs images of at least 28 x 28 pixels")
    assert "32 x 27" in message


def numbered(number: int) -> RawImages:
    """Images that tell their index, by pixel and label."""
    index = np.arange(number, dtype=np.uint8)
    images = np.broadcast_to(index[:, None, None, None], (number, 28, 28, 1))
    return RawImages(images, index % 10, images[:2], index[:2])


def test_the_split_keeps_images_labels_and_order() -> None:
    arrays = prepare(numbered(50), settings(validation=20))
    train, val = (arrays[f"{part}/images"][:, 0, 0, 0] for part in ("train", "val"))
    assert sorted([*train, *val]) == list(range(50))
    assert (len(train), len(val)) == (30, 20)
    assert list(train) == sorted(train)
    for part, index in (("train", train), ("val", val)):
        np.testing.assert_array_equal(arrays[f"{part}/labels"], index % 10)
        assert arrays[f"{part}/labels"].dtype == np.uint8
    np.testing.assert_array_equal(arrays["test/labels"], [0, 1])


def test_the_split_is_a_function_of_its_seed() -> None:
    def chosen(seed: int) -> list[int]:
        values = settings(validation=20, split_seed=seed)
        return prepare(numbered(50), values)["val/images"][:, 0, 0, 0].tolist()

    assert chosen(42) == chosen(42)
    assert set(chosen(42)) != set(chosen(43))


def test_a_split_must_leave_training_images() -> None:
    assert len(prepare(numbered(50), settings(validation=49))["train/labels"]) == 1
    message = error_of(lambda: prepare(numbered(50), settings(validation=50)))
    assert message.startswith("validation: 50 of 50 training images")
    assert "at most 49" in message


def test_mean_and_std_are_measured_per_channel() -> None:
    images = random_images(height=28, width=28, channels=3).x_train
    images = images // np.array([1, 2, 5], dtype=np.uint8)
    mean, std = normalization(images.transpose(0, 3, 1, 2), settings())
    np.testing.assert_allclose(mean, (images / 255).mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, (images / 255).std(axis=(0, 1, 2)), rtol=1e-12)


def test_mean_and_std_may_be_given() -> None:
    images = np.zeros((2, 1, 28, 28), np.uint8)
    given = settings(mean=(0.1307,), std=(0.3081,))
    assert normalization(images, given) == ([0.1307], [0.3081])


def test_mean_needs_a_value_per_channel() -> None:
    images = np.zeros((2, 3, 28, 28), np.uint8)
    given = settings(mean=(0.5,), std=(0.5,))
    message = error_of(lambda: normalization(images, given))
    assert message.startswith("mean: 1 values for 3 channel(s)")


def test_constant_images_cannot_be_normalised() -> None:
    images = random_images(height=28, width=28, channels=3).x_train
    images[..., 1] = 255
    planes = images.transpose(0, 3, 1, 2)
    message = error_of(lambda: normalization(planes, settings()))
    assert message.startswith("std: all pixels of channel 1 are alike")
