import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp
from sklearn.metrics import r2_score

from hyperreps.engines.grouped import forward
from hyperreps.files.resuming import Pace, run_to_end
from hyperreps.files.storage import DataFileError
from hyperreps.networks.architectures import build
from hyperreps.networks.initialisation import initial_weights
from hyperreps.representation import autoencoder
from hyperreps.representation.autoencoder import (
    Detokenizer,
    HyperRepresentation,
    Tokenizer,
    normalization,
    token_index,
)
from hyperreps.representation.losses import (
    DivergedError,
    nt_xent,
    r_squared,
    reconstruction_loss,
)
from hyperreps.representation.pretraining import Pretraining
from hyperreps.representation.reconstruction import explained_variance, layer_sums
from hyperreps.settings.stages import HyperRep
from hyperreps.symmetry.augmentation import augmented_views, erase_blocks

SMALL = HyperRep(
    width=8,
    heads=2,
    blocks=1,
    feedforward=8,
    latent=3,
    projection_layers=1,
    projection_width=4,
    projection_size=2,
    batch_size=4,
    epochs=3,
    evaluate_every=2,
)
CPU = torch.device("cpu")


def zoo(cnn, models=10, seed=0):
    seeds = range(seed, seed + models)
    return initial_weights(cnn, initialization="uniform", seeds=seeds)


def build_model(cnn, settings=SMALL, weights=None):
    weights = zoo(cnn) if weights is None else weights
    statistics = normalization(weights, cnn, centering=settings.centering)
    return HyperRepresentation(cnn, settings, statistics)


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
    again = autoencoder.load(path, device=CPU)
    weights = zoo(cnn, 4)
    latents = model.map("encode", weights)
    assert (again.map("encode", weights) == latents).all()
    assert (again.map("decode", latents) == model.map("decode", latents)).all()
    assert (again.zoo, again.seed, again.settings) == ("mnist", 5, settings)


def test_damaged_model_file_is_named(cnn, tmp_path):
    path = tmp_path / "model.safetensors"
    with pytest.raises(DataFileError, match=r"model\.safetensors: no such file"):
        autoencoder.load(path, device=CPU)
    autoencoder.save(build_model(cnn), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataFileError, match=r"model\.safetensors: damaged"):
        autoencoder.load(path, device=CPU)


def test_layer_normalized_loss_is_the_papers_formula(cnn):
    weights, output = zoo(cnn, 5), torch.randn(5, cnn.parameters)
    std = normalization(weights, cnn, centering=False).layer_std
    expected = 0.0
    for item in cnn.weighted:
        part = weights[:, item.whole]
        # unbiased, over all models and entries of the layer, biases included
        variance = np.var(part.numpy().astype(np.float64), ddof=1)
        expected += float(((output - weights)[:, item.whole] ** 2).sum()) / variance
    expected /= weights.numel()
    loss = reconstruction_loss(output, weights, std=std)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    plain = reconstruction_loss(output, weights, std=None)
    assert float(plain) == pytest.approx(float((output - weights).square().mean()))


@settings(max_examples=10, deadline=None)
@given(scale=st.floats(0.1, 50), layer=st.integers(0, 4))
def test_layer_normalized_loss_ignores_the_scale_of_a_layer(scale, layer):
    cnn = build("cnn", channels=1)
    weights, output = zoo(cnn, 4), torch.randn(4, cnn.parameters)
    where = cnn.weighted[layer].whole

    def loss(factor):
        w, o = weights.clone(), output.clone()
        w[:, where] *= factor
        o[:, where] *= factor
        std = normalization(w, cnn, centering=False).layer_std
        return float(reconstruction_loss(o, w, std=std))

    assert loss(scale) == pytest.approx(loss(1.0), rel=1e-4)


def test_predicting_the_mean_of_centred_weights_costs_one(cnn):
    weights = torch.randn(200, cnn.parameters) * 3
    std = normalization(weights, cnn, centering=True).layer_std
    loss = reconstruction_loss(torch.zeros_like(weights), weights, std=std)
    assert float(loss) == pytest.approx(1, abs=0.01)


def test_nt_xent_equals_a_hand_computation():
    projections = torch.randn(6, 4, dtype=torch.float64)
    z = (projections / projections.norm(dim=1, keepdim=True)).numpy()
    total = 0.0
    for i in range(6):
        partner = (i + 3) % 6
        similar = [np.exp(z[i] @ z[k] / 0.5) for k in range(6) if k != i]
        total -= np.log(np.exp(z[i] @ z[partner] / 0.5) / sum(similar))
    loss = nt_xent(projections, temperature=0.5)
    assert float(loss) == pytest.approx(total / 6, rel=1e-5)


def test_r_squared_equals_scikit_learn(cnn):
    weights = torch.randn(30, cnn.parameters)
    output = weights + 0.3 * torch.randn_like(weights)
    layers = torch.from_numpy(cnn.layer_index)
    found = r_squared(output, weights, mean=weights.mean(0), layers=layers)
    for k, item in enumerate(cnn.weighted):
        expected = r2_score(
            weights[:, item.whole].numpy(),
            output[:, item.whole].numpy(),
            multioutput="variance_weighted",
        )
        assert float(found[k]) == pytest.approx(expected, abs=1e-5)


def rejected_blocks(rng, rows, size, low, high):
    """The release's rule in plain Python: lengths and starts of erased blocks."""
    blocks = []
    for _ in range(rows):
        for _ in range(10):
            length = int(size * rng.uniform(low, high))
            start = int(rng.integers(size))
            if start + length < size:
                blocks.append((length, start))
                break
    return np.array(blocks).T


@pytest.mark.parametrize("fraction", [(0.02, 0.33), (0.5, 0.9)])
def test_erased_blocks_are_those_of_the_releases_rule(fraction):
    rows, size = 8000, 500
    weights = torch.ones(rows, size)
    generator = torch.Generator().manual_seed(0)
    erased = erase_blocks(
        weights, probability=1.0, fraction=fraction, generator=generator
    )
    assert (weights == 1).all()
    lost = (erased == 0).numpy()
    hit = lost.any(1)
    lengths, starts = lost[hit].sum(1), lost[hit].argmax(1)
    # contiguous
    ends = size - lost[hit][:, ::-1].argmax(1)
    assert (ends - starts == lengths).all()
    assert not lost[:, -1].any()
    rng = np.random.default_rng(0)
    wanted = rejected_blocks(rng, rows, size, *fraction)
    assert hit.sum() == pytest.approx(wanted.shape[1], abs=4 * np.sqrt(rows) / 2)
    for ours, theirs in zip((lengths, starts), wanted, strict=True):
        assert ks_2samp(ours, theirs).pvalue > 1e-3
    if fraction == (0.02, 0.33):
        # blocks of every length equally often would have .175
        assert lengths.mean() / size == pytest.approx(0.165, abs=0.003)


def test_rows_are_erased_with_the_declared_probability():
    erased = erase_blocks(
        torch.ones(2000, 100),
        probability=0.3,
        fraction=(0.1, 0.2),
        generator=torch.Generator().manual_seed(0),
    )
    assert int((erased == 0).any(1).sum()) == pytest.approx(600, abs=80)


@pytest.mark.parametrize("target", ["view", "clean"])
def test_views_keep_the_function_until_they_are_erased(cnn, target):
    choices = SMALL.model_copy(update={"target": target, "erase_probability": 1.0})
    weights = zoo(cnn, 4)
    view, clean = augmented_views(
        weights,
        cnn,
        views=2,
        settings=choices,
        generator=torch.Generator().manual_seed(0),
    )
    assert view.shape == (8, cnn.parameters)
    assert (view == 0).any(1).all()
    if target == "view":
        assert clean is view
        return
    images = torch.randn(3, 1, 28, 28)
    torch.testing.assert_close(
        forward(cnn, clean, images, activation="tanh"),
        forward(cnn, weights.repeat(2, 1), images, activation="tanh"),
        atol=1e-4,
        rtol=1e-4,
    )
    assert (clean[:4] != clean[4:]).any(1).all()


def pretrain(cnn, epochs, settings=SMALL, seed=1):
    training = Pretraining(
        zoo(cnn), zoo(cnn, 3, seed=50), cnn, settings=settings, seed=seed
    )
    for _ in range(epochs):
        training.run_epoch()
    return training


def test_r_squared_is_one_number(cnn):
    """By hand, of the networks evaluated, as table reconstruction has it, in one unit.

    The loss's own unit would weigh layers by their spread, and the spread of training
    networks says nothing about held-out ones.
    """
    choices = SMALL.model_copy(update={"evaluate_every": 1})
    training = pretrain(cnn, 1, choices)
    held_out, model = training.held_out, training.model
    output = model.map("decode", model.map("encode", held_out))
    error, deviation = (
        layer_sums(part.numpy(), cnn.layer_index)
        for part in (output - held_out, held_out - model.mean)
    )
    entry = training.curve[-1]
    names = [f"r2_held_out_layer{k}" for k in range(1, 6)] + ["r2_held_out"]
    found = [entry[name] for name in names]
    sums = [(*part.sum(0), part.sum()) for part in (error, deviation)]
    by_hand = 1 - np.divide(*sums)
    np.testing.assert_allclose(found, by_hand, rtol=1e-4)
    table = explained_variance(error[None], deviation, np.full((1, 3), 1 / 3))
    np.testing.assert_allclose(found, table[0, 0], rtol=1e-4)


def test_resumed_pretraining_is_bitwise_equal(cnn):
    """With dropout, permutation, erasing and a schedule, which all draw numbers."""
    for schedule in ("plateau", "onecycle"):
        settings = SMALL.model_copy(update={"schedule": schedule})
        whole = pretrain(cnn, 3, settings)
        half = pretrain(cnn, 1, settings)
        again = pretrain(cnn, 0, settings)
        again.load_state_dict(half.state_dict())
        again.run_epoch()
        again.run_epoch()
        for name, value in whole.model.state_dict().items():
            assert (value == again.model.state_dict()[name]).all(), name
        assert whole.curve == again.curve


def test_pretraining_depends_on_its_seed_only(cnn):
    first = pretrain(cnn, 1)
    torch.rand(3)  # torch's own generator must not matter
    assert first.curve == pretrain(cnn, 1).curve
    assert first.curve != pretrain(cnn, 1, seed=2).curve


def test_pretraining_learns_what_networks_share(cnn):
    """On networks that differ in two directions only, held-out ones included."""
    choices = SMALL.model_copy(
        update={
            "width": 16,
            "batch_size": 16,
            "epochs": 60,
            "learning_rate": 1e-2,
            "dropout": 0.0,
            "permutation": False,
            "erase_probability": 0.0,
            "centering": True,
            "compression": "linear",
            "contrast_weight": 0.0,
            "evaluate_every": 60,
        }
    )
    weights = torch.randn(60, 2) @ torch.randn(2, cnn.parameters)
    training = Pretraining(weights[:48], weights[48:], cnn, settings=choices, seed=1)
    for _ in range(60):
        training.run_epoch()
    assert training.curve[-1]["r2_train"] > 0.5
    assert training.curve[-1]["r2_held_out"] > 0.5
    assert training.curve[-1]["r2_held_out_layer5"] > 0.3
    assert "r2_train" not in training.curve[0]


def test_bfloat16_trains_and_keeps_float32_weights(cnn):
    settings = SMALL.model_copy(update={"precision": "bfloat16"})
    training = pretrain(cnn, 1, settings)
    assert np.isfinite(training.curve[0]["loss"])
    assert {p.dtype for p in training.model.parameters()} == {torch.float32}


def test_a_loss_that_is_not_finite_stops(cnn):
    training = pretrain(cnn, 0)
    training.weights[0, 0] = torch.inf
    with pytest.raises(DivergedError, match=r"epoch 1.*learning_rate"):
        training.run_epoch()


def test_weights_that_are_not_finite_stop_and_the_last_good_state_is_kept(
    cnn, tmp_path, monkeypatch
):
    """The last step of an epoch destroys the weights, which no loss of it shows."""
    state = tmp_path / "model.state"
    training = pretrain(cnn, 0)
    step, steps = training._step, []

    def destroying(*arguments):
        losses = step(*arguments)
        steps.append(losses)
        if len(steps) == 2 * training.steps:
            next(training.model.parameters()).data.fill_(torch.nan)
        return losses

    monkeypatch.setattr(training, "_step", destroying)
    with pytest.raises(DivergedError, match=r"epoch 2: its weights are not finite"):
        run_to_end(
            training, epochs=3, state=state, digest="d", pace=Pace(save_every=0.0)
        )
    assert all(losses.isfinite().all() for losses in steps)
    saved = torch.load(state, weights_only=True)["training"]
    assert saved["epoch"] == 1
    assert all(x.isfinite().all() for x in saved["model"].values())


def plain_settings(**changes):
    """Without anything random in a step."""
    return SMALL.model_copy(
        update={
            "dropout": 0.0,
            "permutation": False,
            "erase_probability": 0.0,
            "contrast_weight": 0.0,
            **changes,
        }
    )


def parameters_after_an_epoch(cnn, settings, **options):
    weights = initial_weights(cnn, initialization="kaiming_uniform", seeds=range(10))
    training = Pretraining(
        weights, weights[:2], cnn, settings=settings, seed=1, **options
    )
    entry = training.run_epoch()
    rows = [p.detach().flatten() for p in training.model.parameters()]
    return torch.cat(rows), entry["loss"]


def test_accumulated_gradients_equal_those_of_the_whole_batch(cnn):
    whole = parameters_after_an_epoch(cnn, plain_settings(batch_size=10))
    parts = parameters_after_an_epoch(cnn, plain_settings(batch_size=10, micro_batch=4))
    # Adam's first step is the sign of the gradient, where that is not near zero
    close = (whole[0] - parts[0]).abs() < 1e-6
    assert close.double().mean() > 0.99
    assert parts[1] == pytest.approx(whole[1], rel=1e-5)


@torch.no_grad()
def test_views_pass_through_the_head_one_by_one(cnn):
    """Batch norm sees one view: the release's loss takes them in turn."""
    settings = plain_settings(contrast_weight=0.5, temperature=0.3)
    training = pretrain(cnn, 0, settings)
    first = initial_weights(cnn, initialization="kaiming_uniform", seeds=range(5))
    view = torch.cat([first, 4 * first + 1])  # views whose statistics differ
    training.model.train()
    _, _, contrast = training._compute_losses(view, view)
    head = training.model.projection
    one, two = (head(latents) for latents in training.model.encode(view).split(5))
    expected = nt_xent(torch.cat([one, two]), temperature=0.3)
    assert float(contrast) == pytest.approx(float(expected), rel=1e-5)
    together = nt_xent(head(training.model.encode(view)), temperature=0.3)
    assert float(together) != pytest.approx(float(expected), rel=1e-2)


@pytest.mark.parametrize(("batch", "micro"), [(5, 4), (5, 2), (2, 1), (9, 4)])
def test_every_part_of_a_batch_has_networks_for_batch_norm(cnn, batch, micro):
    settings = SMALL.model_copy(update={"batch_size": batch, "micro_batch": micro})
    training = pretrain(cnn, 0, settings)
    sizes = [len(x) for x in torch.arange(batch).tensor_split(training._parts(batch))]
    assert min(sizes) >= 2
    assert max(sizes) <= max(micro, 3)
    assert np.isfinite(training.run_epoch()["loss"])


COMPILED = """
import functools, sys, torch
sys.path.insert(0, sys.argv[1])
from hyperreps.networks.architectures import build
from hyperreps.networks.initialisation import initial_weights
from hyperreps.representation.pretraining import Pretraining
from hyperreps.settings.stages import HyperRep

torch.set_num_threads(1)
torch.compile = functools.partial(torch.compile, backend="aot_eager")
cnn = build("cnn", channels=1)
weights = initial_weights(cnn, initialization="kaiming_uniform", seeds=range(8))
settings = HyperRep.model_validate_json(sys.argv[2])
losses = []
for compiled in (False, True):
    training = Pretraining(
        weights, weights[:2], cnn, settings=settings, seed=1, compiled=compiled
    )
    losses.append([training.run_epoch()["loss"] for _ in range(2)])
print(*losses[0], *losses[1])
"""


def test_a_compiled_step_is_the_same():
    """The compiler's own tracing and autograd, without generated machine code.

    In a process of its own: shapes that are checked at run time cannot be traced.
    """
    scripts = Path(autoencoder.__file__).parents[2]
    settings = plain_settings(contrast_weight=0.1).model_dump_json()
    words = [sys.executable, "-c", COMPILED, str(scripts), settings]
    result = subprocess.run(words, capture_output=True, text=True, check=True)
    first, second, *compiled = map(float, result.stdout.split())
    assert compiled == pytest.approx([first, second], rel=1e-4)
    assert second != first


UNCOMPILED = """
import sys, torch
sys.path.insert(0, sys.argv[1])
from hyperreps.running.commands import run
from hyperreps.representation.pretraining import _compiled

def main():
    _compiled(lambda x, y: x.sin() * y)(torch.ones(9), torch.ones(9))

sys.argv[1:] = []
run(main)
"""


def test_without_a_compiler_it_is_one_line(tmp_path):
    scripts = Path(autoencoder.__file__).parents[2]
    words = [sys.executable, "-c", UNCOMPILED, str(scripts)]
    # what was compiled before is not there either
    environment = {"PATH": "", "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    line = done.stderr.splitlines()[-1]
    assert line.startswith("error: compute.compiled: torch.compile cannot be used here")
    assert "install a C++ compiler, or set it to false" in line
