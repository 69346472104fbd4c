"""The image sets: which files each needs, and how they are read.

A new image set is one reader function and its entry in SOURCES. Nothing heavier than
numpy and h5py is imported before it is needed: the Snakefile reads SOURCES.
"""

from __future__ import annotations

import inspect
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import h5py
import numpy as np

from ..files.own_parts import find_part, is_own
from ..files.storage import DataFileError
from ..numbers.shapes import UInt8
from ..settings.stages import SettingsError
from .npz import read_npz
from .official_files import LARGEST_RATIO, Content, File, reading


class RawImages(NamedTuple):
    """Images and labels as published, before any change of size or colour."""

    x_train: UInt8[np.ndarray, "images height width channels"]
    y_train: UInt8[np.ndarray, "images"]
    x_test: UInt8[np.ndarray, "test_images height width channels"]
    y_test: UInt8[np.ndarray, "test_images"]


@dataclass(frozen=True)
class Source:
    """How an image set is read.

    Args:
        read: Makes images and labels (integers of any type) from the files' content by
            unpacked name; load_images() checks them.
        channels: Of its images; 0 if only the file tells.
        counts: Of training and test images; 0 if only the file tells.
        files: What it needs.
        folders: Where files may lie below data_dir; downloads go to the first.
        instead: Files that serve as well, used if they are there.
        takes_path: Whether the setting `path` names the file.
    """

    read: Callable[[Mapping[str, Content]], RawImages]
    channels: int
    counts: tuple[int, int]
    files: Sequence[File] = ()
    folders: Sequence[str] = (".",)
    instead: Sequence[File] = ()
    takes_path: bool = False


def _idx(content: Content) -> np.ndarray:
    """Reads unsigned bytes of the idx format of yann.lecun.com/exdb/mnist."""
    data = content.data
    known = data[:4] in (b"\x00\x00\x08\x01", b"\x00\x00\x08\x03")
    if not known or len(data) < 4 + 4 * data[3]:
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
        with reading(content.origin, "Matlab file with X and y"):
            # can crash on damaged bytes, which the pinned digests keep away from it
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
        with reading(content.origin, "LIBSVM file of 16 x 16 images"):
            values, labels = load_svmlight_file(
                io.BytesIO(content.data), n_features=16 * 16, zero_based=False
            )
            images = _bytes(values.toarray(), low=-1.0, origin=content.origin)
        if not ((abs(labels) < 2**31) & (labels == np.rint(labels))).all():
            raise DataFileError(
                f"{content.origin}: labels are no whole numbers; replace it by the"
                " official file"
            )
        return images, labels.astype(int) - 1

    return RawImages(*part(files["usps"]), *part(files["usps.t"]))


def _usps_hdf5(content: Content) -> RawImages:
    def part(group: h5py.Group) -> tuple[np.ndarray, np.ndarray]:
        images = _bytes(array(group["data"]), low=0.0, origin=content.origin)
        return images, array(group["target"])

    def array(dataset: h5py.Dataset) -> np.ndarray:
        cells = max(math.prod(dataset.shape), math.prod(dataset.chunks or (1,)))
        if cells * dataset.dtype.itemsize > LARGEST_RATIO * len(content.data):
            raise ValueError(f"{dataset.name} promises more than the file can hold")
        if dataset.dtype.kind not in "iuf":
            raise ValueError(f"{dataset.name} holds no numbers")
        return dataset[()]

    with (
        reading(content.origin, "HDF5 file with data and target of train and test"),
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
    file = io.BytesIO(content.data)
    names = RawImages._fields
    return RawImages(**read_npz(file, names=names, origin=content.origin, exact=True))


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
FASHION_UNPACKED = (
    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
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
        channels=1,
        counts=(60_000, 10_000),
        files=_idx_files(MNIST_URL, MNIST_DIGESTS, MNIST_UNPACKED),
        folders=("mnist", ".", "MNIST/raw"),
    ),
    # named like MNIST's files: not looked for in data_dir itself, to not mix them up
    "fashion_mnist": Source(
        _mnist,
        channels=1,
        counts=(60_000, 10_000),
        files=_idx_files(FASHION_URL, FASHION_DIGESTS, FASHION_UNPACKED),
        folders=("fashion_mnist", "FashionMNIST/raw"),
    ),
    "svhn": Source(
        _svhn,
        channels=3,
        counts=(73_257, 26_032),
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
        channels=3,
        counts=(50_000, 10_000),
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
        channels=3,
        counts=(5_000, 8_000),
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
        channels=1,
        counts=(7_291, 2_007),
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
    "digits": Source(_digits, channels=1, counts=(1_400, 397)),
    "npz": Source(_npz, channels=0, counts=(0, 0), takes_path=True),
}


def find_source(name: str) -> Source:
    """Returns an image set's source by its name in SOURCES, or of a user's file.

    A user's function takes nothing, or one open binary file: the one that `path` names.

    Raises:
        SettingsError: If there is none of this name, or the user's is no loader.
    """
    found = find_part(name, SOURCES, where="sources.py")
    return _own(found, name) if is_own(name) else found


def _own(function: Any, name: str) -> Source:
    """Returns a user's function as a source; what only its images tell is left open."""
    try:
        takes = len(inspect.signature(function).parameters)
        inspect.signature(function).bind(*[None] * min(takes, 1))
    except (TypeError, ValueError):
        raise SettingsError(
            f"{name}: is no loader: it must be a function of nothing, or of one file"
        ) from None

    def read(files: Mapping[str, Content]) -> RawImages:
        given = [io.BytesIO(content.data) for content in files.values()]
        arrays = function(*given)
        four = isinstance(arrays, tuple) and len(arrays) == len(RawImages._fields)
        if not four or not all(isinstance(array, np.ndarray) for array in arrays):
            names = ", ".join(RawImages._fields)
            raise DataFileError(f"{name}: must return arrays {names}, in this order")
        return RawImages(*arrays)

    return Source(read, channels=0, counts=(0, 0), takes_path=bool(takes))
