"""Training a hyper-representation on the weights of a zoo."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.utils import clip_grad_norm_

from ..networks.architectures import Architecture
from ..numbers.randomness import torch_seeded
from ..numbers.seeds import derived_seed
from ..numbers.shapes import Float
from ..running.devices import fastest_precision
from ..settings.stages import HyperRep, SettingsError
from ..symmetry.augmentation import augmented_views
from ..symmetry.permutations import (
    Permutations,
    invariant_mean,
    random_permutations,
)
from .autoencoder import HyperRepresentation, normalization
from .components import start_from_components
from .losses import nt_xent, r_squared, reconstruction_loss, require_finite
from .optimizers import cosine_factor

PLATEAU_FACTOR = 0.3
# schedules that move with every step, not with every epoch
BY_STEP = ("onecycle", "cosine")


class Pretraining:
    """The training of one hyper-representation, resumable after every epoch.

    Attributes:
        model: The hyper-representation, in float32.
        settings: Those given, with the precision that is used.
        epoch: Epochs done.
        curve: One dict per epoch: loss, its two parts, learning rate, and, where it was
            evaluated, R2 on training and held-out networks (docs/method.md): r2_train,
            per layer too, and r2_scaled_train, of weights in units of their layers.
            Epoch 0 is a start from components, evaluated.
        core_seconds: CPU time of the process by epoch, evaluation aside; not in the
            curve, which the same training has again.
    """

    def __init__(
        self,
        weights: Float[Tensor, "samples parameters"],
        held_out: Float[Tensor, "held_out parameters"],
        architecture: Architecture,
        *,
        settings: HyperRep,
        seed: int,
        zoo: str = "",
        compiled: bool = False,
    ) -> None:
        """Prepares the training on the device of weights.

        Args:
            weights: Training networks, clean.
            held_out: Networks of other runs, for the curve only.
            architecture: Of the networks.
            settings: Shape of the model and its training.
            seed: Of initialisation, order, augmentation and dropout.
            zoo: Name of the zoo, kept with the model.
            compiled: Whether torch.compile fuses the model's operations.

        Raises:
            SettingsError: If there are too few samples for one batch of two.
        """
        if len(weights) < 2:
            raise SettingsError(f"need at least 2 training samples, got {len(weights)}")
        self.weights, self.held_out = weights, held_out
        self.device = weights.device
        if settings.precision == "auto":
            precision = fastest_precision(self.device)
            settings = settings.model_copy(update={"precision": precision})
        self.settings, self.seed, self.compiled = settings, seed, compiled
        self.batch = min(settings.batch_size, len(weights))
        self.steps = len(weights) // self.batch
        statistics = normalization(
            weights,
            architecture,
            centering=settings.centering,
            inputs=settings.inputs,
        )
        with torch_seeded("hyper-representation", seed, device=self.device):
            self.model = HyperRepresentation(
                architecture, settings, statistics, zoo=zoo, seed=seed
            )
        self.model.to(self.device)
        self.table = fixed_permutations(self.model)
        self.scale = _loss_scale(self.model, weights)
        # of what the model is shown
        self.mean = _shown_mean(self.model, weights)
        self.layers = torch.from_numpy(architecture.layer_index).to(self.device)
        self.epoch = 0
        self.curve: list[dict[str, float]] = []
        self.core_seconds: list[float] = []
        if settings.initialization == "components":
            self._start_from_components()
        halved = settings.precision == "bfloat16"
        self.half = _half_precision(self.model) if halved else {}
        self.masters = dict(self.model.named_parameters())
        self.optimizer = _optimizer(self.model, settings)
        self.scheduler = _scheduler(
            self.optimizer, settings, total_steps=max(1, self.steps * settings.epochs)
        )
        compute = self._compute_losses
        self._losses = _compiled(compute) if compiled else compute

    def inputs(self) -> tuple[dict[str, Any], list[np.ndarray]]:
        """Returns settings and arrays that its course depends on, before it begins."""
        own = {"seed": self.seed, "compiled": self.compiled}
        arrays = [part.cpu().numpy() for part in (self.weights, self.held_out)]
        return self.settings.model_dump() | own, arrays

    def timed_curve(self) -> list[dict[str, Any]]:
        """Returns the curve with the core_seconds of each epoch."""
        return [
            entry | {"core_seconds": seconds}
            for entry, seconds in zip(self.curve, self.core_seconds, strict=True)
        ]

    def run_epoch(self) -> dict[str, float]:
        """Trains for one epoch and returns its entry of the curve.

        Raises:
            DivergedError: If the loss or a weight of the model is not finite.
        """
        started = time.process_time()
        self.epoch += 1
        self.model.train()
        rng = _seeded("pretraining", self.seed, self.epoch, device=self.device)
        sums = torch.zeros(3, device=self.device)
        order = torch.randperm(len(self.weights), generator=rng, device=self.device)
        with torch_seeded("dropout", self.seed, self.epoch, device=self.device):
            for rows in order[: self.steps * self.batch].split(self.batch):
                sums += self._step(self.weights[rows], rng)
        loss, reconstruction, contrast = (sums / self.steps).tolist()
        require_finite(
            [loss],
            self.model,
            about=f"hyper-representation, epoch {self.epoch}",
            remedy="lower hyper_rep.learning_rate",
        )
        if self.settings.schedule == "plateau":
            self.scheduler.step(loss)
        entry = {
            "epoch": self.epoch,
            "loss": loss,
            "reconstruction": reconstruction,
            "contrast": contrast,
            "learning_rate": self.optimizer.param_groups[0]["lr"],
        }
        self.core_seconds.append(time.process_time() - started)
        last = self.epoch == self.settings.epochs
        if last or self.epoch % self.settings.evaluate_every == 0:
            entry |= self._evaluated()
        self.curve.append(entry)
        return {k: v for k, v in entry.items() if k != "epoch" and "_layer" not in k}

    def _start_from_components(self) -> None:
        began = time.process_time()
        start_from_components(
            self.model,
            self.weights,
            loss_scale=self.scale,
            table=self.table,
            rng=_seeded("components", self.seed, device=self.device),
        )
        self.core_seconds.append(time.process_time() - began)
        self.curve.append({"epoch": 0, **self._evaluated()})

    def _step(self, weights: Tensor, rng: torch.Generator) -> Tensor:
        settings = self.settings
        self.optimizer.zero_grad()
        total = torch.zeros(3, device=self.device)
        for part in weights.tensor_split(self._parts(len(weights))):
            view, target = augmented_views(
                part,
                self.model.architecture,
                views=2 if settings.contrast_weight > 0 else 1,
                settings=settings,
                rng=rng,
                table=self.table,
            )
            losses = self._losses(view, target) * (len(part) / len(weights))
            losses[0].backward()
            self._collect_gradients()
            total += losses.detach()
        if settings.gradient_clip > 0:
            clip_grad_norm_(self.model.parameters(), settings.gradient_clip)
        self.optimizer.step()
        self._round_weights()
        if settings.schedule in BY_STEP:
            self.scheduler.step()
        return total

    def _collect_gradients(self) -> None:
        """Adds the gradients of the bfloat16 weights to those of the float32 ones."""
        for name, low in self.half.items():
            if low.grad is None:
                continue
            gradient, low.grad = low.grad.float(), None
            master = self.masters[name]
            known = master.grad
            master.grad = gradient if known is None else known.add_(gradient)

    @torch.no_grad()
    def _round_weights(self) -> None:
        """Takes the float32 weights over to bfloat16."""
        for name, low in self.half.items():
            low.copy_(self.masters[name])

    def _parts(self, networks: int) -> int:
        """Returns in how many nearly equal parts a batch goes through the model.

        Each has at least two networks: batch norm needs them.
        """
        parts = -(-networks // (self.settings.micro_batch or networks))
        return min(parts, networks // 2)

    def _compute_losses(self, view: Tensor, target: Tensor) -> Tensor:
        """Returns the loss and its two parts."""
        settings, model = self.settings, self.model
        latents, output = functional_call(model, self.half, view)
        reconstruction = reconstruction_loss(output, target, std=self.scale)
        gamma = settings.contrast_weight
        contrast = reconstruction.new_zeros(())
        if gamma > 0:
            # one view at a time, so that each has its own statistics in batch norm
            views = [model.projection(part) for part in latents.float().chunk(2)]
            contrast = nt_xent(torch.cat(views), temperature=settings.temperature)
        loss = (1 - gamma) * reconstruction + gamma * contrast
        return torch.stack([loss, reconstruction, contrast])

    def _evaluated(self) -> dict[str, float]:
        train = self._r_squared("train", self.weights)
        return train | self._r_squared("held_out", self.held_out)

    def _r_squared(self, name: str, weights: Tensor) -> dict[str, float]:
        latents = self.model.map("encode", weights)
        output = self.model.map("decode", latents)
        model, one = self.model, torch.zeros_like(self.layers)
        layers, overall = (
            r_squared(output, weights, mean=model.mean, layers=parts)
            for parts in (self.layers, one)
        )
        named = {f"r2_{name}_layer{k + 1}": float(v) for k, v in enumerate(layers)}
        return {
            f"r2_{name}": float(overall),
            f"r2_scaled_{name}": _scaled_r_squared(model, output, weights, self.mean),
            **named,
        }

    def state_dict(self) -> dict[str, Any]:
        """Returns all that load_state_dict needs to go on as if never stopped."""
        return {
            "epoch": self.epoch,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "curve": self.curve,
            "core_seconds": self.core_seconds,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a state of the same training."""
        self.epoch = state["epoch"]
        self.model.load_state_dict(state["model"])
        self._round_weights()
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.curve = state["curve"]
        self.core_seconds = state["core_seconds"]


def fixed_permutations(model: HyperRepresentation) -> Permutations | None:
    """Draws the permutations that a model's settings fix; None: all are used."""
    count = model.settings.permutations
    if count == "all":
        return None
    # on the CPU: the same ones wherever the model is trained and measured
    rng = torch.Generator()
    rng.manual_seed(derived_seed("permutations", model.seed))
    drawn = random_permutations(model.architecture, count, rng=rng)
    return {axis: index.to(model.mean.device) for axis, index in drawn.items()}


def shown_r_squared(
    model: HyperRepresentation, weights: Float[Tensor, "samples parameters"]
) -> float:
    """Returns R2 of training networks in permutations that the model was shown.

    It is r2_scaled_train where networks are not permuted; where permutations are fixed,
    training networks as they are may be in none of them.

    Args:
        model: After its training.
        weights: The networks it was trained on, as they are.
    """
    plain = {"erase_probability": 0.0, "noise": 0.0}
    rng = torch.Generator(weights.device)
    views, _ = augmented_views(
        weights,
        model.architecture,
        views=1,
        settings=model.settings.model_copy(update=plain),
        rng=rng.manual_seed(derived_seed("shown", model.seed)),
        table=fixed_permutations(model),
    )
    output = model.map("decode", model.map("encode", views))
    return _scaled_r_squared(model, output, views, _shown_mean(model, weights))


def _shown_mean(model: HyperRepresentation, weights: Tensor) -> Tensor:
    """Returns the mean of training networks as their views have it."""
    if model.settings.permutation:
        return invariant_mean(weights, model.architecture)
    return weights.mean(0)


def _scaled_r_squared(
    model: HyperRepresentation, output: Tensor, weights: Tensor, mean: Tensor
) -> float:
    """Returns R2 of weights in units of their layers, all alike."""
    output, weights, mean = (x / model.layer_std for x in (output, weights, mean))
    one = torch.zeros(len(mean), dtype=torch.int64, device=mean.device)
    return float(r_squared(output, weights, mean=mean, layers=one))


def _seeded(*parts: str | int, device: torch.device) -> torch.Generator:
    return torch.Generator(device).manual_seed(derived_seed(*parts))


def _compiled(compute: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Returns what torch.compile makes of a function, at its first call.

    Raises:
        SettingsError: At that call, where there is no working compiler.
    """
    compiled = torch.compile(compute)

    def call(*arguments: Tensor) -> Tensor:
        try:
            return compiled(*arguments)
        except torch._dynamo.exc.BackendCompilerFailed as error:
            reason = str(error).strip().splitlines()[0]
            raise SettingsError(
                f"compute.compiled: torch.compile cannot be used here ({reason});"
                " install a C++ compiler, or set it to false"
            ) from error

    return call


def _half_precision(model: HyperRepresentation) -> dict[str, Tensor]:
    """Returns the weights of encoder and decoder in bfloat16, by name."""
    return {
        name: weight.detach().bfloat16().requires_grad_()
        for name, weight in model.named_parameters()
        if name.startswith(("encoder.", "decoder."))
    }


def _loss_scale(model: HyperRepresentation, weights: Tensor) -> Tensor | None:
    """Returns what errors are divided by in the loss.

    Without layer-wise normalisation inputs that are centred have one number for all
    layers: the loss is then as large as with it, so that one learning rate fits.
    """
    settings = model.settings
    if settings.loss_normalization == "layer":
        return model.layer_std
    if settings.inputs == "layer":
        return (weights - model.shift).square().mean().sqrt()
    return model.scale if settings.centering else None


def _optimizer(model: HyperRepresentation, settings: HyperRep) -> torch.optim.Optimizer:
    kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    groups: tuple[list[Tensor], list[Tensor]] = ([], [])
    for name, parameter in model.named_parameters():
        groups["bottleneck" in name].append(parameter)
    factors = (1.0, settings.bottleneck_rate)
    return kind(
        [
            {"params": group, "lr": settings.learning_rate * factor}
            for group, factor in zip(groups, factors, strict=True)
        ],
        weight_decay=settings.weight_decay,
        betas=settings.betas,
        fused=True,
    )


def _scheduler(
    optimizer: torch.optim.Optimizer, settings: HyperRep, *, total_steps: int
) -> Any:
    schedules = torch.optim.lr_scheduler
    if settings.schedule == "onecycle":
        return schedules.OneCycleLR(
            optimizer,
            [group["lr"] for group in optimizer.param_groups],
            total_steps=total_steps,
            pct_start=settings.warm_up,
        )
    if settings.schedule == "cosine":

        def factor(step: int) -> float:
            return cosine_factor(step, total_steps, warm_up=settings.warm_up)

        return schedules.LambdaLR(optimizer, factor)
    if settings.schedule == "plateau":
        return schedules.ReduceLROnPlateau(
            optimizer, factor=PLATEAU_FACTOR, patience=10
        )
    return schedules.ConstantLR(optimizer, factor=1.0)
