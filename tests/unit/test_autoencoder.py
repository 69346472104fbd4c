"""The model of the hyper-representation: its size, first weights and tokens."""

import pytest
import torch

from hyperreps.networks.architectures import build
from hyperreps.representation.autoencoder import (
    Detokenizer,
    HyperRepresentation,
    Tokenizer,
    normalization,
    token_index,
)
from hyperreps.settings.stages import HyperRep

from .small_autoencoder import build_model, zoo


@pytest.mark.parametrize(
    ("channels", "parameters"), [(1, 8_868_900), (3, 8_868_900 + 200 * 800 // 4)]
)
def test_encoder_size_is_that_of_the_release(channels, parameters):
    """The published settings of 2021: 8,868,900 encoder parameters (method.md 3.3)."""
    model = build_model(
        build("cnn", channels=channels),
        HyperRep(),
        torch.rand(4, build("cnn", channels=channels).parameters),
    )
    count = sum(p.numel() for p in model.encoder.parameters())
    assert count == parameters
    if channels == 1:
        assert sum(p.numel() for p in model.projection.parameters()) == 784_950
        assert sum(p.numel() for p in model.parameters()) == 44_875_160


@pytest.mark.parametrize(
    ("width", "blocks", "millions"),
    [(2400, 2, 223), (2400, 1, 154), (2400, 4, 362), (3200, 2, 359), (1600, 2, 118)],
)
def test_size_is_that_counted_in_the_papers(width, blocks, millions):
    """Five counts of the SVHN autoencoder and changed ones (Zeng et al. 2025)."""
    settings = HyperRep(width=width, feedforward=width, blocks=blocks)
    cnn = build("cnn", channels=1)
    statistics = normalization(torch.rand(2, cnn.parameters), cnn, centering=False)
    with torch.device("meta"):
        model = HyperRepresentation(cnn, settings, statistics)
    assert round(sum(p.numel() for p in model.parameters()) / 1e6) == millions


MIDDLE = HyperRep(
    width=64,
    heads=4,
    feedforward=90,
    latent=50,
    projection_layers=2,
    projection_width=120,
    projection_size=80,
)


@pytest.mark.parametrize("compression", ["token", "linear"])
def test_linear_maps_start_as_in_pytorch(cnn, compression):
    """Encoder and decoder: U(-1, 1) / sqrt(fan in), weights and biases, attention too.

    By moments: mean, spread and extremes of each tensor.
    """
    torch.manual_seed(0)
    model = build_model(cnn, MIDDLE.model_copy(update={"compression": compression}))
    parts = dict(model.encoder.named_parameters(prefix="encoder"))
    parts |= dict(model.decoder.named_parameters(prefix="decoder"))
    checked = 0
    for name, value in parts.items():
        if "norm" in name or name.endswith(("position", "compression")):
            continue
        fan_in = parts[name.removesuffix("bias") + "weight" if "bias" in name else name]
        bound = fan_in.shape[1] ** -0.5
        standard = value.detach().double() / bound
        count = standard.numel()
        assert standard.abs().max() <= 1.0001, name
        assert standard.abs().max() > 1 - 10 / count, name
        assert float(standard.mean()) == pytest.approx(0, abs=4 / (3 * count) ** 0.5)
        # variance 1/3, fourth moment 1/5: the variance varies by sqrt(4 / 45 / count)
        variance = float(standard.square().mean())
        assert variance == pytest.approx(1 / 3, abs=4 * (4 / 45 / count) ** 0.5), name
        checked += "self_attn" in name
    assert checked == 2 * 2 * 4  # in and out, weight and bias, of four blocks


def test_positions_start_standard_normal(cnn):
    torch.manual_seed(0)
    model = build_model(cnn, MIDDLE)
    learned = [model.encoder.position, model.decoder.position]
    values = torch.cat([model.encoder.compression, *learned]).detach().flatten()
    assert float(values.mean()) == pytest.approx(0, abs=0.06)
    assert float(values.std()) == pytest.approx(1, abs=0.04)
    assert values.abs().max() > 3


def test_the_projection_head_starts_as_in_the_release(cnn):
    """kaiming_normal, N(0, 2 / fan in), and biases at 0.01 (method.md)."""
    torch.manual_seed(0)
    linear = [
        layer
        for layer in build_model(cnn, MIDDLE).projection
        if isinstance(layer, torch.nn.Linear)
    ]
    assert len(linear) == 3
    for layer in linear:
        standard = layer.weight.detach() / (2 / layer.in_features) ** 0.5
        assert float(standard.mean()) == pytest.approx(0, abs=0.06)
        assert float(standard.std()) == pytest.approx(1, abs=0.04)
        assert float(standard.double().pow(4).mean()) == pytest.approx(3, abs=0.4)
        assert (layer.bias == 0.01).all()


def test_tokens_are_neurons(cnn):
    index = token_index(cnn)
    assert (index.sort().values == torch.arange(cnn.parameters)).all()
    # second token: second filter of conv1 (25 weights) and its bias
    assert index[26:51].tolist() == list(range(25, 50))
    assert index[51] == 200 + 1
    # last token: the last output unit (20 weights) and its bias
    assert index[-21:-1].tolist() == list(range(2434, 2454))
    assert index[-1] == 2463


def test_tokenizer_and_detokenizer_are_inverse_layouts(cnn):
    """With identity maps in every layer, detokenizing tokens gives the weights back."""
    width = 201  # the largest token
    split, merge = Tokenizer(cnn, width), Detokenizer(cnn, width)
    for into, back in zip(split.maps, merge.maps, strict=True):
        torch.nn.init.eye_(into.weight)
        torch.nn.init.eye_(back.weight)
        torch.nn.init.zeros_(into.bias)
        torch.nn.init.zeros_(back.bias)
    weights = torch.randn(3, cnn.parameters)
    tokens = split(weights)
    assert tokens.shape == (3, 48, width)
    torch.testing.assert_close(merge(tokens), weights)


def test_models_of_a_batch_do_not_see_each_other(cnn):
    """The release's nn.TransformerEncoder attended across the batch (defect D3)."""
    model = build_model(cnn).eval()
    weights = zoo(cnn, 6)
    with torch.no_grad():
        together = model.encode(weights)
        alone = model.encode(weights[2:3])
    torch.testing.assert_close(together[2:3], alone, atol=1e-5, rtol=1e-4)
    assert together.std(0).min() > 0
