"""Image sets: read, checked, made 28 x 28 and split."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ..files.places import expanded
from ..files.storage import DataFileError
from ..networks.architectures import CLASSES, IMAGE_SIZE
from ..numbers.shapes import UInt8
from ..settings.stages import Dataset, SettingsError
from .official_files import Content, File, find_or_download, read
from .sources import RawImages, find_source

CHUNK = 100  # images converted at once; bounds memory
FRACTION_BITS = 22  # of the fixed-point weights, as in Pillow


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
    try:
        source = find_source(settings.source)
    except SettingsError as error:
        raise SettingsError(f"source: {error}") from error
    if source.takes_path != bool(settings.path):
        remedy = "name its file below data_dir" if source.takes_path else "leave it out"
        raise SettingsError(f"path: wrong for source {settings.source!r}; {remedy}")
    data_dir = data_dir.absolute()
    folders = [data_dir / folder for folder in source.folders]
    own = expanded(settings.path, key="path")
    if source.takes_path and not (data_dir / own).is_file():
        raise DataFileError(f"{data_dir / own}: no such file; put it there")
    wanted = [File(own)] if own else source.files
    places = find_or_download(wanted, folders=folders, instead=source.instead)
    contents: dict[str, Content] = {}
    sha256: dict[str, str] = {}
    for file, paths in places:
        for name, path in paths.items():
            held, sha256[path.name] = read(file, name, path)
            contents |= held
    where = ", ".join(str(path) for _, paths in places for path in paths.values())
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
    pixels = _fit(raw.x_train, settings)
    return {
        "train/images": pixels[train],
        "train/labels": raw.y_train[train],
        "val/images": pixels[val],
        "val/labels": raw.y_train[val],
        "test/images": _fit(raw.x_test, settings),
        "test/labels": raw.y_test,
    }


def normalization(
    pixels: UInt8[np.ndarray, "images channels height width"], settings: Dataset
) -> tuple[list[float], list[float]]:
    """Returns mean and standard deviation per channel of pixels scaled to [0, 1].

    Args:
        pixels: Of the training images.
        settings: Its mean and std are returned if given, else they are measured.

    Raises:
        SettingsError: If their number is wrong or the standard deviation is 0.
    """
    channels = pixels.shape[1]
    if settings.mean:
        if len(settings.mean) != channels:
            raise SettingsError(
                f"mean: {len(settings.mean)} values for {channels} channel(s); give as"
                " many (and of std), or none to have them measured"
            )
        return list(settings.mean), list(settings.std)
    levels = np.arange(256) / 255
    # exact, and in no need of a float copy of all images
    counts = [np.bincount(pixels[:, c].ravel(), minlength=256) for c in range(channels)]
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
    pixels: np.ndarray, labels: np.ndarray, part: str, where: str
) -> tuple[np.ndarray, np.ndarray]:
    """Returns pixels with a channel axis and labels as uint8, or says what is wrong."""
    if pixels.dtype != np.uint8:
        raise DataFileError(
            f"{where}: x_{part} is {pixels.dtype}; images must be uint8, 0..255"
        )
    if pixels.ndim == 3:
        pixels = pixels[..., np.newaxis]
    if pixels.ndim != 4 or pixels.shape[3] not in (1, 3) or 0 in pixels.shape[1:3]:
        raise DataFileError(
            f"{where}: x_{part} has shape {pixels.shape}; images must be [images,"
            " height, width] or [images, height, width, channels] with 1 or 3 channels"
        )
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataFileError(
            f"{where}: y_{part} is {labels.dtype} {labels.shape}; labels must be"
            " integers [images]"
        )
    if not 0 < len(pixels) == len(labels):
        raise DataFileError(
            f"{where}: {len(pixels)} images in x_{part} and {len(labels)} labels in"
            f" y_{part}; there must be as many, at least one"
        )
    low, high = int(labels.min()), int(labels.max())
    if not 0 <= low <= high < CLASSES:
        raise DataFileError(
            f"{where}: labels in y_{part} are {low}..{high}; they must be"
            f" 0..{CLASSES - 1}"
        )
    return pixels, labels.astype(np.uint8)


def _size(pixels: np.ndarray) -> str:
    return " x ".join(str(n) for n in pixels.shape[1:])


def _fit(
    pixels: UInt8[np.ndarray, "images height width channels"], settings: Dataset
) -> UInt8[np.ndarray, "images kept_channels 28 28"]:
    number, height, width, channels = pixels.shape
    if settings.fit == "crop" and min(height, width) < IMAGE_SIZE:
        raise SettingsError(
            f"fit: crop needs images of at least {IMAGE_SIZE} x {IMAGE_SIZE} pixels,"
            f" these have {height} x {width}; set fit to resize"
        )
    gray = settings.grayscale and channels == 3
    fitted = np.empty(
        (number, 1 if gray else channels, IMAGE_SIZE, IMAGE_SIZE), np.uint8
    )
    for start in range(0, number, CHUNK):
        chunk = pixels[start : start + CHUNK]
        chunk = (_luma(chunk) if gray else chunk).transpose(0, 3, 1, 2)
        chunk = _crop(chunk) if settings.fit == "crop" else _resize(chunk)
        fitted[start : start + CHUNK] = chunk
    return fitted


def _luma(
    pixels: UInt8[np.ndarray, "images height width 3"],
) -> UInt8[np.ndarray, "images height width 1"]:
    """ITU-R 601 luma, 0.299 R + 0.587 G + 0.114 B, in the integers that Pillow uses."""
    red, green, blue = np.moveaxis(pixels.astype(np.uint32), 3, 0)
    luma = (19595 * red + 38470 * green + 7471 * blue + (1 << 15)) >> 16
    return luma.astype(np.uint8)[..., np.newaxis]


def _crop(
    pixels: UInt8[np.ndarray, "images channels height width"],
) -> UInt8[np.ndarray, "images channels 28 28"]:
    top, left = (round((size - IMAGE_SIZE) / 2) for size in pixels.shape[2:])
    return pixels[:, :, top : top + IMAGE_SIZE, left : left + IMAGE_SIZE]


def _resize(
    pixels: UInt8[np.ndarray, "images channels height width"],
) -> UInt8[np.ndarray, "images channels 28 28"]:
    """Antialiased bilinear resize, bit for bit Pillow's for square images.

    Others may differ by one grey level, since Pillow chooses which axis is first.
    Weights are integers and so are all sums, far below 2**53: exact in float64 on any
    machine and with any number of threads.
    """
    height, width = pixels.shape[2:]
    if height == width == IMAGE_SIZE:
        return pixels
    narrow = _rounded(pixels.astype(np.float64) @ _bilinear(width).T)
    return _rounded(_bilinear(height) @ narrow).astype(np.uint8)


def _bilinear(size: int) -> np.ndarray:
    """Returns fixed-point weights [28, size] of a triangle filter, as float64."""
    scale = size / IMAGE_SIZE
    centers = (np.arange(IMAGE_SIZE)[:, np.newaxis] + 0.5) * scale
    distance = np.abs(np.arange(size) - centers + 0.5) / max(scale, 1)
    weights = np.clip(1 - distance, 0, None)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.floor(weights * 2**FRACTION_BITS + 0.5)


def _rounded(sums: np.ndarray) -> np.ndarray:
    return np.clip(np.floor(sums / 2**FRACTION_BITS + 0.5), 0, 255)
