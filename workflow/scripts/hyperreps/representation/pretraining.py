"""Training a hyper-representation on the weights of a zoo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..networks.architectures import Architecture
from ..numbers.randomness import torch_seeded
from ..numbers.seeds import derived_seed
from ..numbers.shapes import Float
from ..settings.stages import HyperRep, SettingsError
from ..symmetry.augmentation import augmented_views
from .autoencoder import HyperRepresentation, normalization
from .losses import nt_xent, r_squared, reconstruction_loss, require_finite

PLATEAU_FACTOR = 0.3
# fraction of the one-cycle schedule in which the learning rate rises
WARM_UP = 0.15


class Pretraining:
    """The training of one hyper-representation, resumable after every epoch.

    Attributes:
        model: The hyper-representation.
        epoch: Epochs done.
        curve: One dict per epoch: loss, its two parts, learning rate, and, where it was
            evaluated, R2 per layer on training and held-out networks.
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
        self.settings, self.seed = settings, seed
        self.device = weights.device
        self.batch = min(settings.batch_size, len(weights))
        self.steps = len(weights) // self.batch
        statistics = normalization(weights, architecture, centering=settings.centering)
        with torch_seeded("hyper-representation", seed, device=self.device):
            self.model = HyperRepresentation(
                architecture, settings, statistics, zoo=zoo, seed=seed
            )
        self.model.to(self.device)
        self.layers = torch.from_numpy(architecture.layer_index).to(self.device)
        self.optimizer = _optimizer(self.model, settings)
        self.scheduler = _scheduler(
            self.optimizer, settings, total_steps=self.steps * settings.epochs
        )
        compute = self._compute_losses
        self._losses = _compiled(compute) if compiled else compute
        self.epoch = 0
        self.curve: list[dict[str, float]] = []

    def run_epoch(self) -> dict[str, float]:
        """Trains for one epoch and returns its entry of the curve.

        Raises:
            DivergedError: If the loss or a weight of the model is not finite.
        """
        self.epoch += 1
        self.model.train()
        seed = derived_seed("pretraining", self.seed, self.epoch)
        generator = torch.Generator(self.device).manual_seed(seed)
        sums = torch.zeros(3, device=self.device)
        order = torch.randperm(
            len(self.weights), generator=generator, device=self.device
        )
        with torch_seeded("dropout", self.seed, self.epoch, device=self.device):
            for rows in order[: self.steps * self.batch].split(self.batch):
                sums += self._step(self.weights[rows], generator)
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
        last = self.epoch == self.settings.epochs
        if last or self.epoch % self.settings.evaluate_every == 0:
            entry |= self._r_squared("train", self.weights)
            entry |= self._r_squared("held_out", self.held_out)
        self.curve.append(entry)
        return {k: v for k, v in entry.items() if k != "epoch" and "_layer" not in k}

    def _step(self, weights: Tensor, generator: torch.Generator) -> Tensor:
        settings = self.settings
        self.optimizer.zero_grad()
        total = torch.zeros(3, device=self.device)
        for part in weights.tensor_split(self._parts(len(weights))):
            view, target = augmented_views(
                part,
                self.model.architecture,
                views=2 if settings.contrast_weight > 0 else 1,
                settings=settings,
                generator=generator,
            )
            losses = self._losses(view, target) * (len(part) / len(weights))
            losses[0].backward()
            total += losses.detach()
        self.optimizer.step()
        if settings.schedule == "onecycle":
            self.scheduler.step()
        return total

    def _parts(self, networks: int) -> int:
        """Returns in how many nearly equal parts a batch goes through the model.

        Each has at least two networks: batch norm needs them.
        """
        parts = -(-networks // (self.settings.micro_batch or networks))
        return min(parts, networks // 2)

    def _compute_losses(self, view: Tensor, target: Tensor) -> Tensor:
        """Returns the loss and its two parts."""
        settings, model = self.settings, self.model
        half = settings.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            latents = model.encode(view)
            output = model.decode(latents)
        std = model.layer_std if settings.loss_normalization == "layer" else None
        reconstruction = reconstruction_loss(output, target, std=std)
        if std is None and settings.centering:
            # same scale of the loss as with normalisation, so one learning rate fits
            reconstruction = reconstruction / model.scale**2
        gamma = settings.contrast_weight
        contrast = reconstruction.new_zeros(())
        if gamma > 0:
            # one view at a time, so that each has its own statistics in batch norm
            views = [model.projection(part) for part in latents.float().chunk(2)]
            contrast = nt_xent(torch.cat(views), temperature=settings.temperature)
        loss = (1 - gamma) * reconstruction + gamma * contrast
        return torch.stack([loss, reconstruction, contrast])

    def _r_squared(self, name: str, weights: Tensor) -> dict[str, float]:
        latents = self.model.map("encode", weights)
        output = self.model.map("decode", latents)
        layers, overall = (
            r_squared(output, weights, mean=self.model.mean, layers=parts)
            for parts in (self.layers, torch.zeros_like(self.layers))
        )
        named = {f"r2_{name}_layer{k + 1}": float(v) for k, v in enumerate(layers)}
        return {f"r2_{name}": float(overall), **named}

    def state_dict(self) -> dict[str, Any]:
        """Returns all that load_state_dict needs to go on as if never stopped."""
        return {
            "epoch": self.epoch,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "curve": self.curve,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a state of the same training."""
        self.epoch = state["epoch"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.curve = state["curve"]


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


def _optimizer(model: HyperRepresentation, settings: HyperRep) -> torch.optim.Optimizer:
    kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    return kind(
        model.parameters(),
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        fused=True,
    )


def _scheduler(
    optimizer: torch.optim.Optimizer, settings: HyperRep, *, total_steps: int
) -> Any:
    if settings.schedule == "onecycle":
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            settings.learning_rate,
            total_steps=total_steps,
            pct_start=WARM_UP,
        )
    if settings.schedule == "plateau":
        return torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, factor=PLATEAU_FACTOR, patience=10
        )
    return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
