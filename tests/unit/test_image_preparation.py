"""The way from images as published to 28 x 28, split and normalised."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from hyperreps.data import datasets
from hyperreps.data.datasets import normalization, prepare
from hyperreps.data.sources import RawImages

from ..image_files import (
    error_of,
    random_images,
    settings,
)


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
