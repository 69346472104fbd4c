"""Image sets: official files read, checked and made 28 x 28.

A new image set is one reader function and its entry in SOURCES. Nothing heavier than
numpy and h5py is imported before it is needed: the Snakefile reads SOURCES.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import math
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import h5py
import numpy as np

from .settings import Dataset, SettingsError
from .shapes import UInt8
from .storage import DataFileError

SIDE = 28  # pixels; the networks take no other size
CLASSES = 10
CHUNK = 100  # images converted at once; bounds memory
ATTEMPTS = 3  # to download a file
BLOCK = 1 << 16  # bytes; less than that is lost where a download breaks off
TIMEOUT = (10, 60)  # s: to connect, between two packets


class RawImages(NamedTuple):
    """Images and labels as published, before any change of size or colour."""

    x_train: UInt8[np.ndarray, "images height width channels"]
    y_train: UInt8[np.ndarray, " images"]
    x_test: UInt8[np.ndarray, "test_images height width channels"]
    y_test: UInt8[np.ndarray, " test_images"]


class Content(NamedTuple):
    """Bytes of a file, unpacked, and where they are from (for messages)."""

    origin: str
    data: bytes


@dataclass(frozen=True)
class File:
    """A file as it is published.

    Args:
        name: File name.
        url: Where it is downloaded from; empty: nowhere.
        digest: Its sha256, or "md5:..." where only that is known; empty: unknown.
        unpacked: Digests of the files inside it that are needed, by name. Where they
            are there already unpacked, they are read instead.
    """

    name: str
    url: str = ""
    digest: str = ""
    unpacked: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """How an image set is read.

    Args:
        read: Makes images and labels (integers of any type) from the files' content by
            unpacked name; load_images() checks them.
        files: What it needs.
        folders: Where files may lie below data_dir; downloads go to the first.
        instead: Files that serve as well, used if they are there.
        takes_path: Whether the setting `path` names the file.
    """

    read: Callable[[Mapping[str, Content]], RawImages]
    files: Sequence[File] = ()
    folders: Sequence[str] = (".",)
    instead: Sequence[File] = ()
    takes_path: bool = False


def load_images(
    settings: Dataset, *, data_dir: Path
) -> tuple[RawImages, dict[str, str]]:
    """Reads an image set from data_dir, and downloads there what is missing.

    Args:
        settings: Source and path are used.
        data_dir: Folder of the official files; verified, never changed.

    Returns:
        The images, and the sha256 of every file that was read, by file name.

    Raises:
        SettingsError: For a source or path that cannot be.
        DataFileError: If a file is missing, damaged or not what it should be.
    """
    if settings.source not in SOURCES:
        known = ", ".join(sorted(SOURCES))
        raise SettingsError(f"source: unknown {settings.source!r}; there are {known}")
    source = SOURCES[settings.source]
    if source.takes_path != bool(settings.path):
        remedy = "name its file below data_dir" if source.takes_path else "leave it out"
        raise SettingsError(f"path: wrong for source {settings.source!r}; {remedy}")
    data_dir = data_dir.absolute()
    folders = [data_dir / folder for folder in source.folders]
    if source.takes_path and not (data_dir / settings.path).is_file():
        raise DataFileError(f"{data_dir / settings.path}: no such file; put it there")
    wanted = [File(settings.path)] if settings.path else source.files
    places = _find_or_download(wanted, folders=folders, instead=source.instead)
    contents: dict[str, Content] = {}
    sha256: dict[str, str] = {}
    for file, paths in places:
        for path in paths:
            unpacked = path.name in file.unpacked
            digest = file.unpacked[path.name] if unpacked else file.digest
            sha256[path.name] = _verify(path, digest, file.url)
            contents |= _plain(path) if unpacked else _unpack(path, file)
    where = ", ".join(str(path) for _, paths in places for path in paths)
    return _checked(source.read(contents), where or settings.source), sha256


def prepare(raw: RawImages, settings: Dataset) -> dict[str, np.ndarray]:
    """Makes all images 28 x 28 and splits off the validation images.

    Args:
        raw: Images as published.
        settings: grayscale, fit, validation and split_seed are used.

    Returns:
        "train/images", uint8 [images, channels, 28, 28], "train/labels", uint8
        [images], and the same for val and test. Validation images are drawn from the
        training images; the others keep their order.

    Raises:
        SettingsError: If there are too few or too small images for the settings.
    """
    number = len(raw.x_train)
    if settings.validation >= number:
        raise SettingsError(
            f"validation: {settings.validation} of {number} training images leaves none"
            f" to train on; it must be at most {number - 1}"
        )
    order = np.random.default_rng(settings.split_seed).permutation(number)
    val = order[: settings.validation]
    train = np.sort(order[settings.validation :])
    images = _fit(raw.x_train, settings)
    return {
        "train/images": images[train],
        "train/labels": raw.y_train[train],
        "val/images": images[val],
        "val/labels": raw.y_train[val],
        "test/images": _fit(raw.x_test, settings),
        "test/labels": raw.y_test,
    }


def normalization(
    images: UInt8[np.ndarray, "images channels height width"], settings: Dataset
) -> tuple[list[float], list[float]]:
    """Returns mean and standard deviation per channel of pixels scaled to [0, 1].

    Args:
        images: The training images.
        settings: Its mean and std are returned if given, else they are measured.

    Raises:
        SettingsError: If their number is wrong or the standard deviation is 0.
    """
    channels = images.shape[1]
    if settings.mean:
        if len(settings.mean) != channels:
            raise SettingsError(
                f"mean: {len(settings.mean)} values for {channels} channel(s); give as"
                " many (and of std), or none to have them measured"
            )
        return list(settings.mean), list(settings.std)
    levels = np.arange(256) / 255
    # exact, and in no need of a float copy of all images
    counts = [np.bincount(images[:, c].ravel(), minlength=256) for c in range(channels)]
    means = [float(np.average(levels, weights=n)) for n in counts]
    stds = [
        math.sqrt(np.average((levels - mean) ** 2, weights=n))
        for mean, n in zip(means, counts, strict=True)
    ]
    if min(stds) == 0:
        raise SettingsError(
            f"std: all pixels of channel {stds.index(0)} are alike; check the images,"
            " or set mean and std"
        )
    return means, stds


def _find_or_download(
    files: Sequence[File], *, folders: Sequence[Path], instead: Sequence[File]
) -> list[tuple[File, list[Path]]]:
    """Returns each file with its path, or with the paths of what it holds."""
    for known in (files, instead):
        found = [(file, _find(file, folders)) for file in known]
        if known and all(paths for _, paths in found):
            return found
    missing = [file for file in files if not _find(file, folders)]
    for index, file in enumerate(missing):
        try:
            _download(file, folders[0])
        except DataFileError as error:
            rest = [f"{folders[0] / f.name} from {f.url}" for f in missing[index:]]
            raise DataFileError(
                f"{error}; get these yourself and run again: {', '.join(rest)}"
            ) from error
    return [(file, _find(file, folders)) for file in files]


def _find(file: File, folders: Sequence[Path]) -> list[Path]:
    """Returns the paths of all that the file holds, else its own path, else none."""
    for names in (file.unpacked, (file.name,)):
        places = [[f / name for f in folders if (f / name).is_file()] for name in names]
        if places and all(places):
            return [paths[0] for paths in places]
    return []


def _download(file: File, folder: Path) -> None:
    import pooch
    from filelock import FileLock

    try:
        folder.mkdir(parents=True, exist_ok=True)
        # two datasets of a run may need the same file at the same time
        with FileLock(folder / f".{file.name}.lock"):
            pooch.retrieve(
                file.url,
                known_hash=file.digest or None,
                fname=file.name,
                path=folder,
                downloader=_retry,
            )
    except OSError as error:  # those of requests are OSErrors, too
        raise DataFileError(
            f"{file.name}: download failed ({_reason(error)})"
        ) from error
    except ValueError as error:
        raise DataFileError(
            f"{file.name}: what was downloaded has another hash than the official file"
        ) from error


def _reason(error: OSError) -> str:
    import requests

    if isinstance(error, requests.ConnectionError | requests.Timeout):
        return "no connection"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "connection lost"
    return _one_line(error)


def _retry(url: str, output_file: str, _pooch: Any) -> None:
    """Downloads a file in some attempts, each going on where the last one stopped."""
    import requests

    name = PurePosixPath(url).name
    part = Path(output_file).with_name(f"{name}.part")
    for attempt in range(ATTEMPTS):
        time.sleep(attempt)
        try:
            _resume(url, part)
            break
        except requests.RequestException:
            if attempt + 1 == ATTEMPTS:
                raise
    # renamed before its hash is checked: a bad one is not continued
    part.replace(output_file)


def _resume(url: str, part: Path) -> None:
    """Adds to part what it lacks of the file at url."""
    import requests
    from tqdm import tqdm

    done = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={done}-", "Accept-Encoding": "identity"}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if done and response.status_code == 416:  # nothing is lacking
            return
        response.raise_for_status()
        if response.status_code != 206:  # the server always sends everything
            done = 0
        total = done + int(response.headers.get("Content-Length", 0))
        with (
            open(part, "ab" if done else "wb") as file,
            tqdm(
                desc=part.stem,
                initial=done,
                total=total or None,
                unit="B",
                unit_scale=True,
                disable=None,
            ) as bar,
        ):
            for chunk in response.iter_content(BLOCK):
                file.write(chunk)
                bar.update(len(chunk))


def _digest(path: Path, algorithm: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _verify(path: Path, digest: str, url: str) -> str:
    """Returns the sha256 of a file after comparing it with what is known of it."""
    sha256 = _digest(path, "sha256")
    algorithm, _, expected = digest.rpartition(":")
    found = _digest(path, algorithm) if algorithm else sha256
    if expected and found != expected:
        raise DataFileError(
            f"{path}: {algorithm or 'sha256'} is {found}, but that of the official file"
            f" is {expected}; delete it, or replace it by the one from {url}"
        )
    return sha256


def _plain(path: Path) -> dict[str, Content]:
    return {path.name: Content(str(path), path.read_bytes())}


def _unpack(path: Path, file: File) -> dict[str, Content]:
    """Returns what a file holds, by name. Nothing is written to disk."""
    if not file.unpacked:
        return _plain(path)
    with _reading(str(path), "archive"):
        if path.name.endswith(".tar.gz"):
            return _untar(path, set(file.unpacked))
        unpack = {".gz": gzip.decompress, ".bz2": bz2.decompress}[path.suffix]
        (name,) = file.unpacked
        return {name: Content(str(path), unpack(path.read_bytes()))}


def _untar(path: Path, wanted: set[str]) -> dict[str, Content]:
    contents: dict[str, Content] = {}
    with tarfile.open(path, "r|gz") as archive:
        for entry in archive:
            name = PurePosixPath(entry.name).name
            # a link or device is not followed: it is no regular file
            if entry.isreg() and name in wanted - contents.keys():
                data = archive.extractfile(entry)
                assert data is not None, "regular files have content"
                contents[name] = Content(f"{path}: {entry.name}", data.read())
            if wanted == contents.keys():
                return contents
    lost = ", ".join(sorted(wanted - contents.keys()))
    raise DataFileError(f"{path}: holds no {lost}; replace it by the official file")


@contextmanager
def _reading(origin: str, kind: str) -> Iterator[None]:
    """Turns whatever a parser raises on bad bytes into one line."""
    try:
        yield
    except DataFileError:
        raise
    except Exception as error:
        raise DataFileError(
            f"{origin}: not a readable {kind} ({_one_line(error)}); replace it"
        ) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _checked(raw: RawImages, where: str) -> RawImages:
    x_train, y_train = _checked_part(raw.x_train, raw.y_train, "train", where)
    x_test, y_test = _checked_part(raw.x_test, raw.y_test, "test", where)
    if x_train.shape[1:] != x_test.shape[1:]:
        raise DataFileError(
            f"{where}: images of x_train are {_size(x_train)} but those of x_test"
            f" {_size(x_test)}; they must be alike"
        )
    return RawImages(x_train, y_train, x_test, y_test)


def _checked_part(
    images: np.ndarray, labels: np.ndarray, part: str, where: str
) -> tuple[np.ndarray, np.ndarray]:
    """Returns images with a channel axis and labels as uint8, or says what is wrong."""
    if images.dtype != np.uint8:
        raise DataFileError(
            f"{where}: x_{part} is {images.dtype}; images must be uint8, 0..255"
        )
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape[1:3]:
        raise DataFileError(
            f"{where}: x_{part} has shape {images.shape}; images must be [images,"
            " height, width] or [images, height, width, channels] with 1 or 3 channels"
        )
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataFileError(
            f"{where}: y_{part} is {labels.dtype} {labels.shape}; labels must be"
            " integers [images]"
        )
    if not 0 < len(images) == len(labels):
        raise DataFileError(
            f"{where}: {len(images)} images in x_{part} and {len(labels)} labels in"
            f" y_{part}; there must be as many, at least one"
        )
    low, high = int(labels.min()), int(labels.max())
    if not 0 <= low <= high < CLASSES:
        raise DataFileError(
            f"{where}: labels in y_{part} are {low}..{high}; they must be"
            f" 0..{CLASSES - 1}"
        )
    return images, labels.astype(np.uint8)


def _size(images: np.ndarray) -> str:
    return " x ".join(str(n) for n in images.shape[1:])


def _fit(
    images: UInt8[np.ndarray, "images height width channels"], settings: Dataset
) -> UInt8[np.ndarray, "images kept_channels 28 28"]:
    number, height, width, channels = images.shape
    if settings.fit == "crop" and min(height, width) < SIDE:
        raise SettingsError(
            f"fit: crop needs images of at least {SIDE} x {SIDE} pixels, these have"
            f" {height} x {width}; set fit to resize"
        )
    gray = settings.grayscale and channels == 3
    fitted = np.empty((number, 1 if gray else channels, SIDE, SIDE), np.uint8)
    for start in range(0, number, CHUNK):
        chunk = images[start : start + CHUNK]
        chunk = (_luma(chunk) if gray else chunk).transpose(0, 3, 1, 2)
        chunk = _crop(chunk) if settings.fit == "crop" else _resize(chunk)
        fitted[start : start + CHUNK] = chunk
    return fitted


def _luma(
    images: UInt8[np.ndarray, "images height width 3"],
) -> UInt8[np.ndarray, "images height width 1"]:
    """ITU-R 601 luma, 0.299 R + 0.587 G + 0.114 B, in the integers that Pillow uses."""
    red, green, blue = np.moveaxis(images.astype(np.uint32), 3, 0)
    luma = (19595 * red + 38470 * green + 7471 * blue + (1 << 15)) >> 16
    return luma.astype(np.uint8)[..., np.newaxis]


def _crop(
    images: UInt8[np.ndarray, "images channels height width"],
) -> UInt8[np.ndarray, "images channels 28 28"]:
    top, left = (round((size - SIDE) / 2) for size in images.shape[2:])
    return images[:, :, top : top + SIDE, left : left + SIDE]


def _resize(
    images: UInt8[np.ndarray, "images channels height width"],
) -> UInt8[np.ndarray, "images channels 28 28"]:
    """Antialiased bilinear resize, bit for bit Pillow's for square images.

    Others may differ by one grey level, since Pillow chooses which axis is first.
    Weights are integers and so are all sums, far below 2**53: exact in float64 on any
    machine and with any number of threads.
    """
    height, width = images.shape[2:]
    if height == width == SIDE:
        return images
    narrow = _rounded(images.astype(np.float64) @ _bilinear(width).T)
    return _rounded(_bilinear(height) @ narrow).astype(np.uint8)


FRACTION_BITS = 22  # of the fixed-point weights, as in Pillow


def _bilinear(size: int) -> np.ndarray:
    """Returns fixed-point weights [28, size] of a triangle filter, as float64."""
    scale = size / SIDE
    centers = (np.arange(SIDE)[:, np.newaxis] + 0.5) * scale
    distance = np.abs(np.arange(size) - centers + 0.5) / max(scale, 1)
    weights = np.clip(1 - distance, 0, None)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.floor(weights * 2**FRACTION_BITS + 0.5)


def _rounded(sums: np.ndarray) -> np.ndarray:
    return np.clip(np.floor(sums / 2**FRACTION_BITS + 0.5), 0, 255)


def _idx(content: Content) -> np.ndarray:
    """Reads unsigned bytes of the idx format of yann.lecun.com/exdb/mnist."""
    data = content.data
    if len(data) < 4 or data[:3] != b"\x00\x00\x08" or len(data) < 4 + 4 * data[3]:
        raise DataFileError(
            f"{content.origin}: no idx file of bytes; replace it by the official file"
        )
    shape = [int(n) for n in np.frombuffer(data, ">u4", count=data[3], offset=4)]
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * data[3])
    if values.size != math.prod(shape):
        raise DataFileError(
            f"{content.origin}: {values.size} bytes for shape {shape}; truncated,"
            " replace it by the official file"
        )
    return values.reshape(shape)


def _mnist(files: Mapping[str, Content]) -> RawImages:
    return RawImages(
        _idx(files["train-images-idx3-ubyte"]),
        _idx(files["train-labels-idx1-ubyte"]),
        _idx(files["t10k-images-idx3-ubyte"]),
        _idx(files["t10k-labels-idx1-ubyte"]),
    )


def _records(content: Content, size: int) -> UInt8[np.ndarray, "images size"]:
    """Reads records of so many bytes."""
    values = np.frombuffer(content.data, np.uint8)
    if values.size % size:
        raise DataFileError(
            f"{content.origin}: {values.size} bytes are no multiple of {size};"
            " truncated, replace it by the official file"
        )
    return values.reshape(-1, size)


def _cifar10(files: Mapping[str, Content]) -> RawImages:
    """Records: one byte of label, then red, green and blue 32 x 32, row by row."""
    rows = {name: _records(content, 1 + 3 * 32 * 32) for name, content in files.items()}
    test = rows.pop("test_batch.bin")
    train = np.concatenate([rows[name] for name in sorted(rows)])

    def images(records: np.ndarray) -> np.ndarray:
        return records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)

    return RawImages(images(train), train[:, 0], images(test), test[:, 0])


def _stl10(files: Mapping[str, Content]) -> RawImages:
    """Red, green and blue 96 x 96, column by column; labels are 1..10."""

    def images(content: Content) -> np.ndarray:
        planes = _records(content, 3 * 96 * 96).reshape(-1, 3, 96, 96)
        return planes.transpose(0, 3, 2, 1)

    def labels(content: Content) -> np.ndarray:
        return _records(content, 1)[:, 0].astype(int) - 1

    return RawImages(
        images(files["train_X.bin"]),
        labels(files["train_y.bin"]),
        images(files["test_X.bin"]),
        labels(files["test_y.bin"]),
    )


def _svhn(files: Mapping[str, Content]) -> RawImages:
    """Matlab arrays X [height, width, channels, images] and y, where 10 means 0."""
    from scipy.io import loadmat

    def part(content: Content) -> tuple[np.ndarray, np.ndarray]:
        with _reading(content.origin, "Matlab file with X and y"):
            arrays = loadmat(
                io.BytesIO(content.data),  # type: ignore[arg-type]
                variable_names=["X", "y"],
            )
            labels = arrays["y"].ravel()
            images = arrays["X"].transpose(3, 0, 1, 2)
        return images, np.where(labels == 10, 0, labels)

    return RawImages(*part(files["train_32x32.mat"]), *part(files["test_32x32.mat"]))


def _usps(files: Mapping[str, Content]) -> RawImages:
    """16 x 16 floats: HDF5 with values in [0, 1], or LIBSVM text in [-1, 1]."""
    if "usps.h5" in files:
        return _usps_hdf5(files["usps.h5"])
    from sklearn.datasets import load_svmlight_file

    def part(content: Content) -> tuple[np.ndarray, np.ndarray]:
        with _reading(content.origin, "LIBSVM file of 16 x 16 images"):
            values, labels = load_svmlight_file(
                io.BytesIO(content.data), n_features=16 * 16, zero_based=False
            )
        images = _bytes(values.toarray(), low=-1.0, origin=content.origin)
        return images, labels.astype(int) - 1

    return RawImages(*part(files["usps"]), *part(files["usps.t"]))


def _usps_hdf5(content: Content) -> RawImages:
    def part(group: h5py.Group) -> tuple[np.ndarray, np.ndarray]:
        images = _bytes(group["data"][()], low=0.0, origin=content.origin)
        return images, group["target"][()]

    with (
        _reading(content.origin, "HDF5 file with data and target of train and test"),
        h5py.File(io.BytesIO(content.data), "r") as file,
    ):
        return RawImages(*part(file["train"]), *part(file["test"]))


def _bytes(values: np.ndarray, *, low: float, origin: str) -> np.ndarray:
    """Scales 16 x 16 images from [low, 1] to 0..255."""
    if values.size and not low <= values.min() <= values.max() <= 1:
        raise DataFileError(
            f"{origin}: pixels are {values.min():g}..{values.max():g}, but must be in"
            f" [{low:g}, 1]; replace it by the official file"
        )
    scaled = np.rint((values - low) * (255 / (1 - low))).astype(np.uint8)
    return scaled.reshape(-1, 16, 16)


def _digits(_files: Mapping[str, Content]) -> RawImages:
    """The digits of scikit-learn, 0..16 on 8 x 8 pixels: embedded, without network."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    images = np.rint(digits.images[order] * (255 / 16)).astype(np.uint8)
    labels = digits.target[order]
    return RawImages(images[:1400], labels[:1400], images[1400:], labels[1400:])


def _npz(files: Mapping[str, Content]) -> RawImages:
    (content,) = files.values()
    with (
        _reading(content.origin, "npz file of plain arrays"),
        np.load(io.BytesIO(content.data), allow_pickle=False) as archive,
    ):
        arrays = {name: archive[name] for name in archive.files}
    if set(arrays) != set(RawImages._fields):
        raise DataFileError(
            f"{content.origin}: holds {', '.join(sorted(arrays)) or 'nothing'}; it must"
            f" hold {', '.join(RawImages._fields)} and no more"
        )
    return RawImages(**arrays)


IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
CIFAR10_FILES = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")
MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
FASHION_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
SVHN_URL = "http://ufldl.stanford.edu/housenumbers/"
CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/"
STL10_URL = "http://ai.stanford.edu/~acoates/stl10/"
USPS_URL = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass/"

# sha256 of the idx files, and of the same unpacked
MNIST_DIGESTS = (
    "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
)
MNIST_UNPACKED = (
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
)
FASHION_DIGESTS = (
    "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
)
CIFAR10_UNPACKED = (
    "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
)
STL10_UNPACKED = {
    "train_X.bin": "md5:918c2871b30a85fa023e0c44e0bee87f",
    "train_y.bin": "md5:5a34089d4802c674881badbb80307741",
    "test_X.bin": "md5:7f263ba9f9e0b06b93213547f721ac82",
    "test_y.bin": "md5:36f9794fa4beb8a2c72628de14fa638e",
}


def _idx_files(
    base: str, digests: Sequence[str], unpacked: Sequence[str]
) -> list[File]:
    return [
        File(f"{name}.gz", f"{base}{name}.gz", digest, {name: inner})
        for name, digest, inner in zip(IDX_FILES, digests, unpacked, strict=True)
    ]


def _file(base: str, name: str, digest: str, unpacked: Mapping[str, str] = {}) -> File:
    return File(name, base + name, digest, unpacked)


SOURCES: dict[str, Source] = {
    "mnist": Source(
        _mnist,
        files=_idx_files(MNIST_URL, MNIST_DIGESTS, MNIST_UNPACKED),
        folders=("mnist", ".", "MNIST/raw"),
    ),
    # named like MNIST's files: not looked for in data_dir itself, to not mix them up
    "fashion_mnist": Source(
        _mnist,
        files=_idx_files(FASHION_URL, FASHION_DIGESTS, unpacked=("",) * 4),
        folders=("fashion_mnist", "FashionMNIST/raw"),
    ),
    "svhn": Source(
        _svhn,
        files=(
            _file(
                SVHN_URL,
                "train_32x32.mat",
                "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
            ),
            _file(
                SVHN_URL,
                "test_32x32.mat",
                "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
            ),
        ),
        folders=("svhn", "."),
    ),
    "cifar10": Source(
        _cifar10,
        files=(
            _file(
                CIFAR10_URL,
                "cifar-10-binary.tar.gz",
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
                dict(zip(CIFAR10_FILES, CIFAR10_UNPACKED, strict=True)),
            ),
        ),
        folders=(
            "cifar10",
            "cifar10/cifar-10-batches-bin",
            ".",
            "cifar-10-batches-bin",
        ),
    ),
    "stl10": Source(
        _stl10,
        files=(
            _file(
                STL10_URL,
                "stl10_binary.tar.gz",
                "f31fd99273a1acb8609c8db427cebb1de3f71de77758cdc0e22956e1289b9866",
                STL10_UNPACKED,
            ),
        ),
        folders=("stl10", "stl10/stl10_binary", ".", "stl10_binary"),
    ),
    "usps": Source(
        _usps,
        files=(
            _file(
                USPS_URL,
                "usps.bz2",
                "3771e9dd6ba685185f89867b6e249233dd74652389f263963b3b741e994b034f",
                {"usps": ""},
            ),
            _file(
                USPS_URL,
                "usps.t.bz2",
                "a9c0164e797d60142a50604917f0baa604f326e9a689698763793fa5d12ffc4e",
                {"usps.t": ""},
            ),
        ),
        folders=("usps", "."),
        instead=(File("usps.h5"),),
    ),
    "digits": Source(_digits),
    "npz": Source(_npz, takes_path=True),
}
