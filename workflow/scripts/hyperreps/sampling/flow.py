"""A flow on latents: from noise to latents of networks of a given accuracy.

Conditional flow matching with straight paths (Lipman et al. 2023, Eq. 22) of latents in
units of their dimensions, by a perceptron with residual blocks. It is fitted where it
is sampled, in a minute or two.
"""

from __future__ import annotations

import logging
import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from ..numbers.randomness import torch_seeded
from ..numbers.seeds import derived_seed
from ..numbers.shapes import Float
from ..representation.autoencoder import HyperRepresentation
from ..representation.losses import require_finite
from ..symmetry.permutations import permutation_index, random_permutations

log = logging.getLogger(__name__)

WAVES, WIDTH, BLOCKS = 16, 1024, 2
BATCH, LEARNING_RATE, AVERAGING, GRADIENT_CLIP = 256, 1e-3, 0.995, 1.0
WARM_UP, LOOK = 100, 100  # steps
PATIENCE = 3  # looks at held-out latents without a smaller loss that end it
TIMES = (0.1, 0.3, 0.5, 0.7, 0.9)


class _Perceptron(nn.Module):
    """The direction in which a flow goes on."""

    waves: Tensor

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.inputs, self.outputs = nn.Linear(latent, WIDTH), nn.Linear(WIDTH, latent)
        self.condition = nn.Sequential(
            nn.Linear(4 * WAVES, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH)
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(WIDTH),
                nn.Linear(WIDTH, WIDTH),
                nn.SiLU(),
                nn.Linear(WIDTH, WIDTH),
            )
            for _ in range(BLOCKS)
        )
        waves = torch.exp(torch.linspace(0, math.log(1000), WAVES))
        self.register_buffer("waves", waves, persistent=False)

    def forward(
        self,
        state: Float[Tensor, "batch latent"],
        time: Float[Tensor, "batch"],
        rank: Float[Tensor, "batch"],
    ) -> Float[Tensor, "batch latent"]:
        angles = torch.stack([time, rank], 1)[:, :, None] * self.waves
        code = self.condition(torch.cat([angles.sin(), angles.cos()], 2).flatten(1))
        x = self.inputs(state) + code
        for block in self.blocks:
            x = x + block(x + code)
        return self.outputs(x)


class LatentFlow:
    """A flow, fitted on latents.

    Attributes:
        curve: Loss of held-out latents at each look.
    """

    def __init__(
        self,
        latents: Float[Tensor, "networks latent"],
        ranks: Float[Tensor, "networks"],
        held_out: Float[Tensor, "others latent"],
        held_out_ranks: Float[Tensor, "others"],
        *,
        seed: int,
        steps: int,
    ) -> None:
        """Fits it; the average with the smallest loss on held-out latents is kept.

        Args:
            latents: What to imitate.
            ranks: Share of networks that are less accurate, of each.
            held_out: Of other networks.
            held_out_ranks: Theirs.
            seed: Of initialisation, batches and noise.
            steps: At most; it ends when held-out loss falls no more.

        Raises:
            DivergedError: If a weight is not finite.
        """
        self.mean = latents.mean(0)
        self.std = latents.std(0, correction=0).clamp(min=1e-8)
        points = (latents - self.mean) / self.std
        others = (held_out - self.mean) / self.std
        with torch_seeded("flow", seed, device=latents.device):
            self.network = _Perceptron(latents.shape[1]).to(latents.device)
        parameters = list(self.network.parameters())
        average = [p.detach().clone() for p in parameters]
        best, self.curve = average, list[float]()
        optimizer = torch.optim.AdamW(
            parameters, lr=LEARNING_RATE, betas=(0.9, 0.98), fused=True
        )
        rng = torch.Generator(latents.device)
        rng.manual_seed(derived_seed("flow steps", seed))
        for step in range(steps):
            rate = min(1, (step + 1) / WARM_UP) * (1 + math.cos(math.pi * step / steps))
            optimizer.param_groups[0]["lr"] = LEARNING_RATE * rate / 2
            rows = torch.randint(
                len(points), (BATCH,), generator=rng, device=rng.device
            )
            time = torch.randn(BATCH, generator=rng, device=rng.device).sigmoid()
            noise = torch.randn(
                BATCH, points.shape[1], generator=rng, device=rng.device
            )
            optimizer.zero_grad()
            self._loss(points[rows], ranks[rows], time, noise).backward()
            clip_grad_norm_(parameters, GRADIENT_CLIP)
            optimizer.step()
            with torch.no_grad():
                share = max(1 - AVERAGING, 1 / (1 + step))
                torch._foreach_lerp_(average, [p.data for p in parameters], share)
            if (step + 1) % LOOK == 0 or step + 1 == steps:
                current = [p.detach().clone() for p in parameters]
                self._take(average)
                self.curve.append(self._held_out_loss(others, held_out_ranks))
                log.info("flow, step %d: held-out %.4f", step + 1, self.curve[-1])
                least = self.curve.index(min(self.curve))
                if least == len(self.curve) - 1:
                    best = [a.clone() for a in average]
                elif len(self.curve) - 1 - least >= PATIENCE:
                    break
                self._take(current)
        self._take(best)
        require_finite(self.curve, self.network, about="flow", remedy="other latents")

    @torch.no_grad()
    def _take(self, values: list[Tensor]) -> None:
        for parameter, value in zip(self.network.parameters(), values, strict=True):
            parameter.copy_(value)

    def _loss(
        self, points: Tensor, ranks: Tensor, time: Tensor, noise: Tensor
    ) -> Tensor:
        state = (1 - time[:, None]) * noise + time[:, None] * points
        # three times as fast, and exact enough for a direction
        with torch.autocast(state.device.type, torch.bfloat16):
            velocity = self.network(state, time, ranks)
        return (velocity.float() - (points - noise)).square().mean()

    @torch.no_grad()
    def _held_out_loss(self, others: Tensor, ranks: Tensor) -> float:
        rng = torch.Generator(others.device).manual_seed(derived_seed("held out"))
        losses = []
        for moment in TIMES:
            noise = torch.randn(others.shape, generator=rng, device=others.device)
            losses.append(
                self._loss(others, ranks, ranks.new_full(ranks.shape, moment), noise)
            )
        return float(torch.stack(losses).mean())

    @torch.no_grad()
    def points(
        self,
        count: int,
        *,
        rank: float,
        spread: float,
        steps: int,
        rng: np.random.Generator,
    ) -> Float[np.ndarray, "count latent"]:
        """Draws latents, by Euler's method.

        Args:
            count: Latents.
            rank: Accuracy that is asked for, as the share of networks below.
            spread: Standard deviation of the noise that a flow starts from.
            steps: Of the method.
            rng: Of that noise.
        """
        noise = rng.standard_normal((count, len(self.mean))).astype(np.float32)
        x = spread * torch.from_numpy(noise).to(self.mean.device)
        ranks = x.new_full((count,), rank)
        for k in range(steps):
            x = x + self.network(x, x.new_full((count,), k / steps), ranks) / steps
        return (x * self.std + self.mean).cpu().numpy()


def permuted_latents(
    weights: Float[Tensor, "networks parameters"],
    model: HyperRepresentation,
    *,
    copies: int,
    seed: int,
) -> Float[Tensor, "copied latent"]:
    """Returns latents of networks in random permutations, all networks copy by copy.

    Of aligned networks, where permutations do not mean the same, in their own.
    """
    if model.settings.alignment != "none":
        return model.map("encode", weights).repeat(copies, 1)
    rng = torch.Generator(weights.device).manual_seed(derived_seed("copies", seed))
    found = []
    for _ in range(copies):
        orders = random_permutations(model.architecture, len(weights), rng=rng)
        moved = weights.gather(1, permutation_index(model.architecture, orders))
        found.append(model.map("encode", moved))
    return torch.cat(found)


def fit_flow(
    model: HyperRepresentation,
    weights: Float[np.ndarray, "networks parameters"],
    accuracy: Float[np.ndarray, "networks"],
    held_out: Float[np.ndarray, "others parameters"],
    held_out_accuracy: Float[np.ndarray, "others"],
    *,
    copies: int,
    steps: int,
    seed: int,
) -> LatentFlow:
    """Fits a flow on the latents of networks in many permutations.

    Args:
        model: Encodes them.
        weights: Networks of the pool.
        accuracy: Theirs, on validation images.
        held_out: Other networks.
        held_out_accuracy: Theirs.
        copies: Permutations of each.
        steps: As in LatentFlow.
        seed: Of everything.
    """
    device, order = model.mean.device, np.sort(accuracy)

    def ranks(values: np.ndarray) -> Tensor:
        shares = np.searchsorted(order, values) / len(order)
        return torch.from_numpy(shares.astype(np.float32)).to(device)

    def latents(rows: np.ndarray, copies: int) -> Tensor:
        there = torch.from_numpy(rows).to(device)
        return permuted_latents(there, model, copies=copies, seed=seed)

    copies = copies if model.settings.alignment == "none" else 1
    return LatentFlow(
        latents(weights, copies),
        ranks(accuracy).repeat(copies),
        latents(held_out, 1),
        ranks(held_out_accuracy),
        seed=seed,
        steps=steps,
    )
