"""The step of pretraining: its options and its precision, against oracles."""

import logging
from itertools import permutations, product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hyperreps.networks.architectures import Architecture, Convolution, Linear, Residual
from hyperreps.networks.initialisation import initial_weights
from hyperreps.representation.autoencoder import (
    Block,
    Transformer,
    attention,
    drop,
    normalization,
)
from hyperreps.representation.pretraining import (
    Pretraining,
    shown_r_squared,
)
from hyperreps.running import devices
from hyperreps.settings.stages import HyperRep
from hyperreps.symmetry.augmentation import augmented_views
from hyperreps.symmetry.permutations import (
    invariant_mean,
    orbits,
    permutation_index,
    random_permutations,
)

from .small_autoencoder import SMALL, zoo

OLD = SMALL.model_copy(
    update={"blocks": 2, "dropout": 0.0, "evaluate_every": 3, "learning_rate": 1e-3}
)
# all that is new
LEAN = OLD.model_copy(
    update={
        "compression": "linear",
        "contrast_weight": 0.0,
        "erase_probability": 0.0,
        "inputs": "layer",
        "permutations": 5,
        "optimizer": "adamw",
        "bottleneck_rate": 0.25,
        "betas": (0.8, 0.9),
        "gradient_clip": 0.5,
        "schedule": "cosine",
        "warm_up": 0.3,
        "precision": "bfloat16",
    }
)


def changed(settings: HyperRep, **changes: object) -> HyperRep:
    return HyperRep(**{**settings.model_dump(), **changes})


def prepared(cnn: Architecture, settings: HyperRep, seed: int = 1) -> Pretraining:
    weights, held_out = zoo(cnn), zoo(cnn, 3, seed=50)
    return Pretraining(weights, held_out, cnn, settings=settings, seed=seed)


def trained(cnn: Architecture, settings: HyperRep, epochs: int = 3) -> Pretraining:
    training = prepared(cnn, settings)
    for _ in range(epochs):
        training.run_epoch()
    return training


@pytest.mark.parametrize(
    ("changes", "losses"),
    [
        ({}, [10.3041821, 9.2065029, 9.1558342]),
        (
            {"schedule": "constant", "micro_batch": 2},
            [9.4890137, 8.8932571, 8.5585585],
        ),
        (
            {
                "schedule": "onecycle",
                "compression": "linear",
                "centering": True,
                "optimizer": "adamw",
                "weight_decay": 1e-4,
            },
            [2.8474135, 2.0485799, 2.6271691],
        ),
        (
            {
                "loss_normalization": "none",
                "contrast_weight": 0.0,
                "centering": True,
                "noise": 0.1,
                "target": "clean",
            },
            [1.6429865, 1.5821972, 1.5440936],
        ),
    ],
)
def test_old_settings_train_as_they_did(cnn, changes, losses):
    """Losses of nn.TransformerEncoder with its own attention, in version 0.4.0."""
    curve = trained(cnn, changed(OLD, **changes)).curve
    assert [entry["loss"] for entry in curve] == pytest.approx(losses, rel=5e-5)


class TestBlock:
    SETTINGS = changed(OLD, width=16, heads=4, feedforward=24)

    @pytest.mark.parametrize("activation", ["relu", "gelu"])
    def test_it_is_pytorchs(self, activation):
        block = Block(changed(self.SETTINGS, block_activation=activation))
        theirs = nn.TransformerEncoderLayer(
            16, 4, 24, 0.0, activation, norm_first=True, batch_first=True
        )
        theirs.load_state_dict(block.state_dict())
        tokens = torch.randn(3, 7, 16)
        found, wanted = block(tokens), theirs(tokens)
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)
        gradients = [
            torch.autograd.grad(y.square().sum(), list(module.parameters()))
            for module, y in ((block, found), (theirs, wanted))
        ]
        for ours, other in zip(*gradients, strict=True):
            torch.testing.assert_close(ours, other, atol=1e-5, rtol=1e-4)

    def test_the_first_token_alone_is_that_of_all(self):
        stack = Transformer(self.SETTINGS)
        tokens = torch.randn(3, 7, 16)
        first, everything = stack(tokens, first=True), stack(tokens)
        assert first.shape == (3, 1, 16)
        torch.testing.assert_close(first, everything[:, :1], atol=1e-6, rtol=1e-5)

    @pytest.mark.parametrize("queries", [1, 6])
    def test_attention_is_pytorchs(self, queries):
        q = torch.randn(2, 3, queries, 5)
        k, v = torch.randn(2, 2, 3, 6, 5)
        wanted = F.scaled_dot_product_attention(q, k, v)
        found = attention(q, k, v, dropout=0.0)
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)
        halves = (x.bfloat16() for x in (q, k, v))
        rough = attention(*halves, dropout=0.0)
        assert rough.dtype == torch.bfloat16
        torch.testing.assert_close(rough.float(), wanted, atol=0.03, rtol=0.03)

    def test_dropout_happens_in_training_only(self):
        block = Block(changed(self.SETTINGS, dropout=0.3))
        tokens = torch.randn(3, 7, 16)
        assert (block(tokens) != block(tokens)).any()
        block.eval()
        assert (block(tokens) == block(tokens)).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_keeps_as_many_as_it_says(rate, dtype):
    torch.manual_seed(0)
    x = torch.ones(50, 40, 101, dtype=dtype)
    y = drop(x, rate)
    kept = torch.tensor(1 / (1 - rate), dtype=dtype)
    assert set(y.unique().tolist()) == {0.0, float(kept)}
    dropped = (y == 0).double()
    # four standard deviations of a share of 202,000
    limit = 4 * (rate * (1 - rate) / x.numel()) ** 0.5
    assert float(dropped.mean()) == pytest.approx(rate, abs=limit)
    # neighbours, which share a random word, are independent
    together = (dropped[..., 1:] * dropped[..., :-1]).mean()
    assert float(together) == pytest.approx(rate**2, abs=4 * rate / x.numel() ** 0.5)
    assert drop(x, 0.0) is x


class TestMeanOverPermutations:
    """On a network small enough to go through all its permutations."""

    # the second layer's inputs and units are one axis: they move together
    SMALL = Architecture(
        "small",
        1,
        (
            Convolution(3, 28),
            Residual((Convolution(3, 1),), ()),
            *(Linear(2), Linear(2)),
        ),
    )

    def all_indices(self):
        axes = self.SMALL.symmetric_axes
        assert sorted(axes.values()) == [2, 3]
        for orders in product(*(permutations(range(n)) for n in axes.values())):
            chosen = {
                axis: torch.tensor([order])
                for axis, order in zip(axes, orders, strict=True)
            }
            yield permutation_index(self.SMALL, chosen)

    def test_it_is_the_mean_of_all(self):
        weights = torch.randn(4, self.SMALL.parameters)
        every = [weights.gather(1, i.expand(4, -1)) for i in self.all_indices()]
        assert len(every) == 12
        found = invariant_mean(weights, self.SMALL)
        torch.testing.assert_close(found, torch.cat(every).mean(0))

    def test_orbits_are_where_entries_can_go(self):
        reached = torch.cat(list(self.all_indices()))
        found = orbits(self.SMALL)
        for entry in range(self.SMALL.parameters):
            same = (found == found[entry]).nonzero().flatten()
            assert same.tolist() == reached[:, entry].unique().tolist()


def test_inputs_by_layer(cnn):
    weights = initial_weights(cnn, initialization="uniform", seeds=range(6)) ** 2
    found = normalization(weights, cnn, centering=False, inputs="layer")
    assert torch.equal(found.shift, invariant_mean(weights, cnn))
    assert torch.equal(found.scale, found.layer_std)
    for item in cnn.weighted:
        assert float(found.scale[item.start]) == pytest.approx(
            float(weights[:, item.whole].std())
        )
    model = trained(cnn, changed(OLD, inputs="layer"), epochs=1).model
    seen = (weights - model.shift) / model.scale
    torch.testing.assert_close(model.encode(weights), model.encoder(seen))
    latents = model.encode(weights)
    given_back = model.decoder(latents) * model.scale + model.shift
    torch.testing.assert_close(model.decode(latents), given_back)


def test_the_baselines_loss_has_one_number_for_all_layers(cnn):
    settings = changed(
        LEAN, loss_normalization="none", precision="float32", permutation=False
    )
    training = prepared(cnn, settings)
    weights, model = training.weights, training.model
    output = model.eval().decode(model.encode(weights))
    error = (output - weights).square().mean()
    spread = (weights - invariant_mean(weights, cnn)).square().mean()
    loss, reconstruction, _ = training._compute_losses(weights, weights)
    assert loss.item() == pytest.approx((error / spread).item(), rel=1e-5)
    assert loss == reconstruction


class TestPermutations:
    def test_views_are_of_the_table(self, cnn):
        rng = torch.Generator().manual_seed(0)
        table = random_permutations(cnn, 3, rng=rng)
        weights = initial_weights(cnn, initialization="uniform", seeds=[1])
        known = weights.expand(3, -1).gather(1, permutation_index(cnn, table))
        views, _ = augmented_views(
            weights.expand(40, -1),
            cnn,
            views=1,
            settings=changed(LEAN, erase_probability=0.0),
            rng=rng,
            table=table,
        )
        which = (views[:, None] == known).all(2)
        assert (which.sum(1) == 1).all()
        assert which.any(0).all()

    def test_a_training_draws_them_once(self, cnn):
        first, second = (prepared(cnn, changed(LEAN, permutations=7)) for _ in "ab")
        other = prepared(cnn, changed(LEAN, permutations=7), seed=2)
        for axis, units in cnn.symmetric_axes.items():
            assert first.table[axis].shape == (7, units)
            assert torch.equal(first.table[axis], second.table[axis])
        assert any((first.table[a] != other.table[a]).any() for a in first.table)
        assert prepared(cnn, changed(LEAN, permutations="all")).table is None


class TestStepSize:
    @pytest.mark.parametrize("schedule", ["cosine", "onecycle", "plateau", "constant"])
    def test_the_bottleneck_has_its_own(self, cnn, schedule):
        training = prepared(cnn, changed(LEAN, schedule=schedule))
        rest, bottleneck = training.optimizer.param_groups
        model = training.model
        maps = [model.encoder.bottleneck, model.decoder.bottleneck]
        own = {id(p) for m in maps for p in m.parameters()}
        assert {id(p) for p in bottleneck["params"]} == own
        assert len(rest["params"]) + 4 == len(list(model.parameters()))
        for _ in range(2):
            training.run_epoch()
            assert bottleneck["lr"] == pytest.approx(0.25 * rest["lr"])

    def test_adams_first_step_shows_both(self, cnn):
        """It is the learning rate, whatever the gradient."""
        settings = changed(LEAN, schedule="constant", weight_decay=0.0)
        training = prepared(cnn, settings)
        before = {n: p.detach().clone() for n, p in training.model.named_parameters()}
        training._step(training.weights, torch.Generator().manual_seed(0))
        for name, after in training.model.named_parameters():
            if name.startswith("projection"):
                continue  # no contrast
            size = 1e-3 * (0.25 if "bottleneck" in name else 1)
            moved = (after.detach() - before[name]).abs().max()
            assert float(moved) == pytest.approx(size, rel=1e-2), name

    def test_betas_reach_the_optimizer(self, cnn):
        groups = prepared(cnn, LEAN).optimizer.param_groups
        assert [group["betas"] for group in groups] == [(0.8, 0.9)] * 2


def gradients_of_a_step(training: Pretraining) -> torch.Tensor:
    training._step(training.weights, torch.Generator().manual_seed(0))
    rows = [p.grad for p in training.model.parameters() if p.grad is not None]
    assert {row.dtype for row in rows} == {torch.float32}
    return torch.cat([row.flatten() for row in rows])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_gradients_are_clipped_together(cnn, precision):
    free, clipped = (
        gradients_of_a_step(
            prepared(cnn, changed(LEAN, gradient_clip=limit, precision=precision))
        )
        for limit in (0.0, 0.01)
    )
    assert float(free.norm()) > 0.02
    assert float(clipped.norm()) == pytest.approx(0.01, rel=1e-3)
    direction = F.cosine_similarity(free, clipped, dim=0)
    assert float(direction) == pytest.approx(1, abs=1e-5)


class TestHalfPrecision:
    def test_weights_and_steps_are_float32(self, cnn):
        training = trained(cnn, LEAN)
        assert {p.dtype for p in training.model.parameters()} == {torch.float32}
        for state in training.optimizer.state.values():
            assert state["exp_avg"].dtype == torch.float32
        masters = dict(training.model.named_parameters())
        assert {p.split(".")[0] for p in training.half} == {"encoder", "decoder"}
        for name, low in training.half.items():
            assert low.dtype == torch.bfloat16
            assert torch.equal(low, masters[name].bfloat16()), name
        assert not prepared(cnn, changed(LEAN, precision="float32")).half

    @pytest.mark.parametrize("compression", ["linear", "token"])
    def test_gradients_are_near_those_of_float32(self, cnn, compression):
        gradients = {}
        for precision in ("float32", "bfloat16"):
            settings = changed(
                LEAN,
                precision=precision,
                compression=compression,
                gradient_clip=0.0,
                micro_batch=4,
            )
            gradients[precision] = gradients_of_a_step(prepared(cnn, settings))
        whole, rough = gradients.values()
        assert float((rough - whole).norm() / whole.norm()) < 0.05

    def test_resumed_training_is_bitwise_equal(self, cnn):
        settings = changed(
            LEAN, dropout=0.1, contrast_weight=0.1, erase_probability=0.5
        )
        whole, half, again = trained(cnn, settings), trained(cnn, settings, 1), None
        again = prepared(cnn, settings)
        again.load_state_dict(half.state_dict())
        for _ in range(2):
            again.run_epoch()
        for name, value in whole.model.state_dict().items():
            assert torch.equal(value, again.model.state_dict()[name]), name
        assert whole.curve == again.curve

    def test_it_learns_as_much_as_float32(self, cnn):
        """R2 on held-out networks, within its spread over seeds."""
        settings = changed(
            LEAN,
            width=16,
            latent=6,
            batch_size=16,
            epochs=40,
            evaluate_every=40,
            learning_rate=1e-2,
            permutation=False,
            gradient_clip=1.0,
        )
        rng = torch.Generator().manual_seed(0)
        few = torch.randn(2, cnn.parameters, generator=rng)
        weights = torch.randn(60, 2, generator=rng) @ few
        found = {}
        for precision in ("float32", "bfloat16"):
            found[precision] = []
            for seed in (1, 2, 3):
                training = Pretraining(
                    weights[:48],
                    weights[48:],
                    cnn,
                    settings=changed(settings, precision=precision),
                    seed=seed,
                )
                for _ in range(40):
                    training.run_epoch()
                found[precision].append(training.curve[-1]["r2_scaled_held_out"])
        assert min(found["float32"]) > 0.7
        spread = 0.01 + np.std(found["float32"], ddof=1)
        assert np.mean(found["bfloat16"]) == pytest.approx(
            np.mean(found["float32"]), abs=3 * spread
        )

    @pytest.mark.parametrize(("gain", "chosen"), [(2.0, "bfloat16"), (1.2, "float32")])
    def test_auto_takes_the_faster(self, cnn, monkeypatch, caplog, gain, chosen):
        seconds = {"float32": gain, "bfloat16": 1.0}
        monkeypatch.setattr(devices, "_product_seconds", lambda _, kind: seconds[kind])
        with caplog.at_level(logging.INFO):
            training = prepared(cnn, changed(LEAN, precision="auto"))
        assert training.settings.precision == chosen
        assert training.model.settings.precision == chosen
        assert [line for line in caplog.messages if "precision" in line] == [
            f"precision {chosen}: bfloat16 multiplies {gain} times as fast"
        ]

    def test_the_measurement_measures(self):
        cpu = torch.device("cpu")
        assert 0 < devices._product_seconds(cpu, "float32") < 5
        assert devices.fastest_precision(cpu) in ("float32", "bfloat16")


@pytest.mark.parametrize("permutation", [True, False])
def test_scaled_r_squared_by_hand(cnn, permutation):
    """In units of the layers, against the mean of what the autoencoder is shown."""
    settings = changed(LEAN, permutation=permutation, precision="float32")
    training = trained(cnn, settings)
    model, held_out = training.model, training.held_out
    output = model.map("decode", model.map("encode", held_out))
    train = training.weights
    mean = invariant_mean(train, cnn) if permutation else train.mean(0)
    error, deviation = 0.0, 0.0
    for item in cnn.weighted:
        layer = item.whole
        variance = float(train[:, layer].double().var())
        error += float((output - held_out)[:, layer].square().sum()) / variance
        deviation += float((held_out - mean)[:, layer].square().sum()) / variance
    found = training.curve[-1]["r2_scaled_held_out"]
    assert found == pytest.approx(1 - error / deviation, rel=1e-3)


def test_r_squared_of_what_was_shown(cnn):
    """Of networks as they are, or in the one permutation of the training."""
    plain = trained(cnn, changed(LEAN, permutation=False, erase_probability=0.5))
    found = shown_r_squared(plain.model, plain.weights)
    assert found == pytest.approx(plain.curve[-1]["r2_scaled_train"], rel=1e-6)
    training = trained(cnn, changed(LEAN, permutations=1))
    model, train = training.model, training.weights
    order = {axis: rows.expand(10, -1) for axis, rows in training.table.items()}
    shown = train.gather(1, permutation_index(cnn, order))
    output = model.map("decode", model.map("encode", shown))
    errors = (output - shown, shown - invariant_mean(train, cnn))
    error, deviation = ((x / model.layer_std).square().sum() for x in errors)
    found = shown_r_squared(model, train)
    assert found == pytest.approx(float(1 - error / deviation), rel=1e-4)
    assert found != pytest.approx(training.curve[-1]["r2_scaled_train"], rel=1e-3)


def test_inputs_are_centred_one_way():
    with pytest.raises(ValueError, match="inputs: layer centres by itself"):
        changed(LEAN, centering=True)
