"""The zoo that comes with the library."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

import hyperreps as hr
from hyperreps.config.config_files import merged, read_over_shipped
from hyperreps.config.configuration import load_settings
from hyperreps.files.storage import DataFileError
from hyperreps.zoo import small

ROOT = Path(__file__).parents[2]


def test_its_networks_have_the_accuracies_it_tells():
    zoo, images = hr.small_zoo()
    rows = torch.from_numpy(zoo.weights[:8, 0])
    _, found = hr.evaluate(zoo.architecture, rows, images, activation="tanh")
    # a tenth of the images: four standard errors
    assert abs(found - zoo.accuracy["test"][:8, 0]).max() < 0.05
    assert found.min() > 0.6
    assert len(hr.select(zoo, split="train").weights) == 126


def test_its_recipe_is_that_of_the_config():
    settings = load_settings(merged(read_over_shipped(ROOT / "config"), {}))
    mnist = settings.zoos["mnist"]
    assert small.SETTINGS.recipe == mnist.recipe
    assert small.SETTINGS.split == mnist.split
    assert small.SETTINGS.window[1] == mnist.window[1]
    assert small.NETWORKS.stat().st_size < 1e6


def test_a_changed_file_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / "mnist"
    shutil.copytree(small.FOLDER, folder)
    path = folder / small.NETWORKS.name
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    monkeypatch.setattr(small, "FOLDER", folder)
    monkeypatch.setattr(small, "DIGESTS", folder / small.DIGESTS.name)
    with pytest.raises(DataFileError, match=r"networks.npz: not as it was shipped"):
        hr.small_zoo()
