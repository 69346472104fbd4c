"""Small image sets in every format, for tests of how they are read."""

from __future__ import annotations

import bz2
import gzip
import io
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from hyperreps.data.sources import RawImages
from hyperreps.files.storage import DataFileError
from hyperreps.settings.stages import Dataset, SettingsError


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


def error_of(call: Callable[[], Any]) -> str:
    """Returns the message of the error that call raises, which must be one line."""
    with pytest.raises((DataFileError, SettingsError)) as caught:
        call()
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


class Trap:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))
