"""Training of a jump on the networks of a zoo, from station to station."""

from __future__ import annotations

import math
import time
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from ..networks.architectures import Architecture
from ..numbers.randomness import torch_seeded
from ..numbers.seeds import derived_seed
from ..numbers.shapes import Float
from ..representation.losses import require_finite
from ..representation.optimizers import Muon, cosine_factor
from ..running.devices import fastest_precision
from ..settings.stages import Jump, SettingsError
from ..symmetry.permutations import permutation_index, random_permutations
from .jump import Jumper, Velocity, leg_statistics

STEPS_PER_EPOCH = 100
# of the flow's time at which the loss of held-out networks is measured
TIMES = (0.1, 0.3, 0.5, 0.7, 0.9)
# times in training: the sigmoid of normal numbers with this deviation, so that the
# middle of the flow, where there is most to learn, comes most often (Esser et al. 2024)
TIME_SPREAD = 1.2


class JumpTraining:
    """The training of a jump, resumable after every epoch.

    Attributes:
        epoch: Epochs done, of STEPS_PER_EPOCH steps.
        curve: One dict per epoch: loss, that of held-out networks, core_seconds.
    """

    def __init__(
        self,
        weights: Float[Tensor, "models stations parameters"],
        accuracy: Float[Tensor, "models stations"],
        held_out: Float[Tensor, "held_out stations parameters"],
        held_out_accuracy: Float[Tensor, "held_out stations"],
        architecture: Architecture,
        *,
        settings: Jump,
        initialization: str,
        zoo: str,
        seed: int,
        pretrained: Jumper | None = None,
    ) -> None:
        """Prepares the training on the device of weights.

        Args:
            weights: Networks at the stations of the settings.
            accuracy: Theirs, on validation images.
            held_out: Other networks, for the loss that says when to stop.
            held_out_accuracy: Theirs.
            architecture: Of all networks.
            settings: Shape of the model and its training.
            initialization: How networks of the zoo start.
            zoo: Name of the zoo.
            seed: Of the training.
            pretrained: A jump on another zoo, whose velocity it starts from; None: a
                random one.

        Raises:
            SettingsError: If there are too few networks, or the pretrained jump is of
                another shape.
        """
        if len(weights) < 2 or not len(held_out):
            raise SettingsError(
                "jump: need at least 2 networks to train on and 1 held out, got"
                f" {len(weights)} and {len(held_out)}; use a larger zoo"
            )
        self.weights, self.held_out = weights, held_out
        self.device = weights.device
        self.ranks = accuracy_ranks(accuracy, among=accuracy)
        self.held_out_ranks = accuracy_ranks(held_out_accuracy, among=accuracy)
        if settings.precision == "auto":
            precision = fastest_precision(self.device)
            settings = settings.model_copy(update={"precision": precision})
        self.settings, self.seed, self.epoch = settings, seed, 0
        self.batch = min(settings.batch_size, len(weights))
        statistics = leg_statistics(weights, architecture)
        with torch_seeded("jump", zoo, seed, device=self.device):
            self.model = Jumper(
                architecture,
                settings,
                statistics,
                initialization=initialization,
                zoo=zoo,
                seed=seed,
            )
        self.pretrained = pretrained
        if pretrained is not None:
            self._begin_with(pretrained)
        self.model.to(self.device)
        self.masters: list[Tensor] = list(self.model.velocity.parameters())
        # what is computed with; the masters are stepped
        self.velocity = deepcopy(self.model.velocity)
        self.working: list[Tensor] = list(self.velocity.parameters())
        self.kind = getattr(torch, settings.precision)
        for working, master in zip(self.working, self.masters, strict=True):
            working.data = master.data.to(self.kind)
        self.average = [m.detach().clone() for m in self.masters]
        self.best = [m.detach().clone() for m in self.masters]
        self.least = math.inf
        self.optimizers = self._optimizers()
        total = settings.epochs * STEPS_PER_EPOCH
        rate = partial(cosine_factor, steps=total, warm_up=settings.warm_up)
        self.schedulers = [
            torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
            for optimizer in self.optimizers
        ]
        self.curve: list[dict[str, float]] = []

    def _begin_with(self, pretrained: Jumper) -> None:
        """Takes over the velocity of a jump."""
        fits = self.model.architecture == pretrained.architecture
        try:
            self.model.velocity.load_state_dict(pretrained.velocity.state_dict())
        except RuntimeError:
            fits = False
        if not fits:
            raise SettingsError(
                f"jump: that of zoo {pretrained.zoo}, which it starts from, is of"
                " another shape; train both with the same width, blocks, stations and"
                " so on, on networks of one architecture"
            )

    def _optimizers(self) -> list[torch.optim.Optimizer]:
        settings = self.settings
        rate, decay = settings.learning_rate, settings.weight_decay
        hidden = self.model.velocity.hidden if settings.optimizer == "muon" else []
        apart = {id(matrix) for matrix in hidden}
        rest = [master for master in self.masters if id(master) not in apart]
        adamw = torch.optim.AdamW(
            rest, lr=rate, betas=(0.9, 0.98), weight_decay=decay, fused=True
        )
        return [adamw, Muon(hidden, lr=rate, weight_decay=decay)] if hidden else [adamw]

    @property
    def result(self) -> Jumper:
        """The averaged model where held-out networks had the smallest loss."""
        with torch.no_grad():
            for parameter, kept in zip(self.masters, self.best, strict=True):
                parameter.copy_(kept)
        return self.model.eval()

    def inputs(self) -> tuple[dict[str, Any], list[np.ndarray]]:
        """Returns settings and arrays that its course depends on, before it begins."""
        settings = {**self.settings.model_dump(), "seed": self.seed}
        parts = [self.weights, self.ranks, self.held_out, self.held_out_ranks]
        if self.pretrained is not None:
            parts += self.pretrained.velocity.state_dict().values()
        return settings, [part.cpu().numpy() for part in parts]

    @property
    def ended(self) -> bool:
        """Whether the loss of held-out networks falls no more, by the patience."""
        seen = [e["loss_held_out"] for e in self.curve if "loss_held_out" in e]
        if not seen or not self.settings.patience:
            return False
        return len(seen) - 1 - seen.index(min(seen)) >= self.settings.patience

    def run_epoch(self) -> dict[str, float]:
        """Trains for one epoch and returns its losses.

        Raises:
            DivergedError: If the loss or a weight is not finite.
        """
        begun = time.process_time()
        self.epoch += 1
        seed = derived_seed("jump steps", self.model.zoo, self.seed, self.epoch)
        rng = torch.Generator(self.device).manual_seed(seed)
        total = torch.zeros((), device=self.device)
        with torch_seeded("jump dropout", self.seed, self.epoch, device=self.device):
            for _ in range(STEPS_PER_EPOCH):
                total += self._step(rng)
        loss = float(total) / STEPS_PER_EPOCH
        require_finite(
            [loss],
            self.model,
            about=f"jump, epoch {self.epoch}",
            remedy="lower jump.learning_rate",
        )
        entry = {
            "epoch": self.epoch,
            "loss": loss,
            "core_seconds": time.process_time() - begun,
        }
        last = self.epoch == self.settings.epochs
        if last or self.epoch % self.settings.evaluate_every == 0:
            entry["loss_held_out"] = found = self.held_out_loss()
            if found < self.least:
                self.least = found
                self.best = [value.clone() for value in self.average]
        self.curve.append(entry)
        return {k: v for k, v in entry.items() if k.startswith("loss")}

    def _step(self, rng: torch.Generator) -> Tensor:
        batch, device = self.batch, self.device
        legs = self.weights.shape[1] - 1

        def draw(below: int) -> Tensor:
            return torch.randint(below, (batch,), generator=rng, device=device)

        rows, leg = draw(len(self.weights)), draw(legs)
        architecture = self.model.architecture
        order = permutation_index(
            architecture, random_permutations(architecture, batch, rng=rng)
        )
        start, end = (self.weights[rows, leg + k].gather(1, order) for k in (0, 1))
        times = torch.randn(batch, generator=rng, device=device)
        noise = torch.randn(start.shape, generator=rng, device=device)
        loss = self._loss(
            start,
            end,
            leg,
            rank=self.ranks[rows, leg + 1],
            time=(TIME_SPREAD * times).sigmoid(),
            noise=noise,
            velocity=self.velocity,
        )
        gradients = torch.autograd.grad(loss, self.working)
        for master, gradient in zip(self.masters, gradients, strict=True):
            master.grad = gradient.to(master.dtype)
        clip_grad_norm_(self.masters, self.settings.gradient_clip)
        for optimizer in self.optimizers:
            optimizer.step()
        for scheduler in self.schedulers:
            scheduler.step()
        with torch.no_grad():
            torch._foreach_copy_(self.working, self.masters)
            # an average over all steps so far, until these are many
            done = len(self.curve) * STEPS_PER_EPOCH
            share = max(1 - self.settings.averaging, 1 / (1 + done))
            torch._foreach_lerp_(self.average, self.masters, share)
        return loss.detach()

    def _loss(
        self,
        start: Tensor,
        end: Tensor,
        leg: Tensor,
        *,
        rank: Tensor,
        time: Tensor,
        noise: Tensor,
        velocity: Velocity,
    ) -> Tensor:
        """Returns the mean squared error of the velocity: flow matching's loss."""
        model = self.model
        move = (end - start - model.move_mean[leg]) / model.move_std[leg]
        state = (1 - time[:, None]) * noise + time[:, None] * move
        views = model.views(state, start, leg).to(self.kind)
        found = velocity(views, time, rank, leg)
        return (found.float() - (move - noise)).square().mean()

    @torch.no_grad()
    def held_out_loss(self) -> float:
        """Returns the loss of the averaged model on held-out networks; fixed noise."""
        rng = torch.Generator(self.device).manual_seed(derived_seed("held out"))
        averaged = deepcopy(self.velocity).eval()
        torch._foreach_copy_(list(averaged.parameters()), self.average)
        losses = []
        for number in range(self.held_out.shape[1] - 1):
            start, end = self.held_out[:, number], self.held_out[:, number + 1]
            leg = torch.full((len(start),), number, device=self.device)
            for moment in TIMES:
                noise = torch.randn(start.shape, generator=rng, device=self.device)
                losses.append(
                    self._loss(
                        start,
                        end,
                        leg,
                        rank=self.held_out_ranks[:, number + 1],
                        time=torch.full((len(start),), moment, device=self.device),
                        noise=noise,
                        velocity=averaged,
                    )
                )
        return float(torch.stack(losses).mean())

    def state_dict(self) -> dict[str, Any]:
        """Returns all that load_state_dict needs to go on as if never stopped."""
        return {
            "epoch": self.epoch,
            "masters": [master.detach() for master in self.masters],
            "average": self.average,
            "best": self.best,
            "least": self.least,
            "optimizers": [each.state_dict() for each in self.optimizers],
            "schedulers": [each.state_dict() for each in self.schedulers],
            "curve": self.curve,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a state of the same training."""
        self.epoch, self.least = state["epoch"], state["least"]
        self.curve = state["curve"]
        with torch.no_grad():
            for name in ("masters", "average", "best"):
                for mine, saved in zip(getattr(self, name), state[name], strict=True):
                    mine.copy_(saved)
            torch._foreach_copy_(self.working, self.masters)
        for name in ("optimizers", "schedulers"):
            for mine, saved in zip(getattr(self, name), state[name], strict=True):
                mine.load_state_dict(saved)


def accuracy_ranks(
    accuracy: Float[Tensor, "models stations"],
    *,
    among: Float[Tensor, "others stations"],
) -> Float[Tensor, "models stations"]:
    """Returns the share of other networks that are less accurate, by station."""
    ordered = among.T.contiguous().sort(dim=1).values
    places = torch.searchsorted(ordered, accuracy.T.contiguous())
    return places.T / len(among)
