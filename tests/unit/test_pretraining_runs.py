"""Pretraining as it runs: learning, resumed, in parts, compiled, and stopped."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hyperreps.config.config_files import read_over_shipped
from hyperreps.config.configuration import load_settings
from hyperreps.files.resuming import Pace, run_to_end
from hyperreps.networks.initialisation import initial_weights
from hyperreps.numbers.scores import explained_variance
from hyperreps.representation import autoencoder
from hyperreps.representation.losses import (
    DivergedError,
    nt_xent,
)
from hyperreps.representation.pretraining import Pretraining
from hyperreps.representation.reconstruction import layer_sums

from .small_autoencoder import SMALL, plain_settings, pretrain

ROOT = Path(__file__).parents[2]


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


def test_ten_networks_are_remembered(cnn):
    """By config/overfit.yaml, with a smaller model and fewer steps."""
    files = (ROOT / "config", ROOT / "config" / "overfit.yaml")
    settings = load_settings(read_over_shipped(*files)).variant("overfit", zoo="ten")
    smaller = {"blocks": 1, "feedforward": 64, "latent": 256, "epochs": 80}
    settings = settings.model_copy(update={**smaller, "precision": "float32"})
    ten, others = (
        initial_weights(cnn, initialization="uniform_fan_in", seeds=range(*seeds))
        for seeds in ((0, 10), (10, 12))
    )
    training = Pretraining(ten, others, cnn, settings=settings, seed=1)
    for _ in range(settings.epochs):
        training.run_epoch()
    assert training.curve[-1]["r2_scaled_train"] > 0.99
    # new ones of random weights have nothing that could be known
    assert training.curve[-1]["r2_scaled_held_out"] < 0.1


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
        run_to_end(training, epochs=3, state=state, pace=Pace(save_every=0.0))
    assert all(losses.isfinite().all() for losses in steps)
    saved = torch.load(state, weights_only=True)["training"]
    assert saved["epoch"] == 1
    assert all(x.isfinite().all() for x in saved["model"].values())


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
