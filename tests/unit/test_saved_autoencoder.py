"""A hyper-representation in a file."""

import pytest
import torch

from hyperreps.files.storage import DataFileError
from hyperreps.representation import autoencoder

from .small_autoencoder import SMALL, build_model, zoo


@pytest.mark.parametrize("compression", ["token", "linear"])
@pytest.mark.parametrize("centering", [True, False])
def test_saved_model_is_the_same_model(cnn, tmp_path, compression, centering):
    settings = SMALL.model_copy(
        update={"compression": compression, "centering": centering}
    )
    model = build_model(cnn, settings)
    model.zoo, model.seed = "mnist", 5
    path = tmp_path / "model.safetensors"
    autoencoder.save(model, path)
    again = autoencoder.load(path, device=torch.device("cpu"))
    weights = zoo(cnn, 4)
    latents = model.map("encode", weights)
    assert (again.map("encode", weights) == latents).all()
    assert (again.map("decode", latents) == model.map("decode", latents)).all()
    assert (again.zoo, again.seed, again.settings) == ("mnist", 5, settings)


def test_damaged_model_file_is_named(cnn, tmp_path):
    path = tmp_path / "model.safetensors"
    with pytest.raises(DataFileError, match=r"model\.safetensors: no such file"):
        autoencoder.load(path, device=torch.device("cpu"))
    autoencoder.save(build_model(cnn), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataFileError, match=r"model\.safetensors: damaged"):
        autoencoder.load(path, device=torch.device("cpu"))
