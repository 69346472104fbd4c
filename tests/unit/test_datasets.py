"""Readers of the official formats: what they read, and what they refuse."""

from __future__ import annotations

import bz2
import hashlib
import io
import re
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hyperreps.data import datasets
from hyperreps.data.datasets import load_images
from hyperreps.data.sources import SOURCES

from ..image_files import (
    FORMATS,
    Trap,
    cifar10_files,
    cifar10_tar,
    error_of,
    example,
    idx_files,
    idx_gz_files,
    npz_bytes,
    random_images,
    settings,
    stl10_files,
    stl10_tar,
    tar_bytes,
    write,
)

SCRIPTS = Path(datasets.__file__).parents[2]


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
        "import sys, hyperreps.data.sources, hyperreps.config.configuration;"
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
    assert "move it away, or replace it by the one from http" in message


PACKED_AGAIN = {
    "mnist": idx_gz_files,
    "fashion_mnist": idx_gz_files,
    "cifar10": cifar10_tar,
    "stl10": stl10_tar,
}


def pin_contents(source: str, inner: dict[str, bytes], monkeypatch: Any) -> None:
    """Takes files for the official contents of a source; its archives stay unknown."""
    files = [
        replace(
            f, unpacked={n: hashlib.sha256(inner[n]).hexdigest() for n in f.unpacked}
        )
        for f in SOURCES[source].files
    ]
    monkeypatch.setitem(SOURCES, source, replace(SOURCES[source], files=files))


@pytest.mark.parametrize("source", PACKED_AGAIN)
def test_official_files_in_another_packing_are_read(
    source: str, tmp_path: Path, monkeypatch: Any
) -> None:
    _, raw, _ = example(source)
    inner = {
        "cifar10": cifar10_files,
        "stl10": stl10_files,
    }.get(source, idx_files)(raw)
    pin_contents(source, inner, monkeypatch)
    write(tmp_path / source, PACKED_AGAIN[source](raw))
    found, sha256 = load_images(settings(source), data_dir=tmp_path)
    np.testing.assert_array_equal(found.x_train, raw.x_train)
    assert sha256.keys() == {file.name for file in SOURCES[source].files}
    # one byte of one file inside, and its archive is refused
    name = sorted(inner)[-1]
    changed = bytearray(inner[name])
    changed[-1] ^= 1
    pin_contents(source, inner | {name: bytes(changed)}, monkeypatch)
    message = error_of(lambda: load_images(settings(source), data_dir=tmp_path))
    assert "that of the official file is" in message


@pytest.mark.parametrize("source", ["mnist", "fashion_mnist"])
def test_files_by_the_names_that_kaggle_gives_are_read(
    source: str, tmp_path: Path, monkeypatch: Any
) -> None:
    _, raw, _ = example(source)
    inner = idx_files(raw)
    pin_contents(source, inner, monkeypatch)
    named = {name.replace("-idx", ".idx"): data for name, data in inner.items()}
    write(tmp_path / source, named)
    found, sha256 = load_images(settings(source), data_dir=tmp_path)
    np.testing.assert_array_equal(found.x_test, raw.x_test)
    assert sha256.keys() == named.keys()


def test_all_that_is_official_inside_is_pinned() -> None:
    """Else a file in another packing could not be told; USPS is not known inside."""
    for source in PACKED_AGAIN:
        assert all(all(f.unpacked.values()) for f in SOURCES[source].files)


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
    assert unknown.startswith("source: unknown 'minst'; sources.py has cifar10, digits")
    assert message(path="").startswith("path: wrong for source 'npz'; name its file")
    assert message(source="mnist", path="a").endswith("leave it out")
    assert message() == f"{tmp_path / 'own.npz'}: no such file; put it there"
