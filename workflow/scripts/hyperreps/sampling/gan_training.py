"""Training of a small generative adversarial network on points of a latent space.

Two perceptrons, non-saturating loss, gradient penalty R1 on data (Mescheder et al.
2018, "Which training methods for GANs do actually converge?"), and of the generator an
exponential average (Yazici et al. 2019). The authors' release has no GAN to follow.
"""

from __future__ import annotations

import time
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..numbers.randomness import torch_seeded
from ..numbers.seeds import derived_seed
from ..numbers.shapes import Float
from ..representation.losses import require_finite
from ..settings.stages import Gan
from .gan import Generator, perceptron

STEPS_PER_EPOCH = 100


class GanTraining:
    """The training of a generator, resumable after every epoch.

    Attributes:
        epoch: Epochs done, of STEPS_PER_EPOCH steps.
        curve: One dict per epoch: mean losses of critic and generator, core_seconds.
    """

    def __init__(
        self, points: Float[Tensor, "pool latent"], *, settings: Gan, seed: int
    ) -> None:
        """Prepares the training on the device of the points.

        Args:
            points: What to imitate.
            settings: Shape and training.
            seed: Of initialisation, batches and noise.
        """
        mean, std = points.mean(0), points.std(0, correction=0).clamp(min=1e-8)
        self.points = (points - mean) / std
        self.settings, self.seed, self.epoch = settings, seed, 0
        self.curve: list[dict[str, float]] = []
        device = points.device
        with torch_seeded("gan", seed, device=device):
            generator = Generator(settings, mean, std).to(device)
            critic = perceptron(points.shape[1], settings.width, 1).to(device)
        self.generator, self.critic = generator, critic
        self.average = AveragedModel(
            generator, multi_avg_fn=get_ema_multi_avg_fn(settings.averaging)
        )
        # no momentum, as usual for adversarial training
        self.optimizers = [
            torch.optim.Adam(
                part.parameters(),
                lr=settings.learning_rate,
                betas=(0.0, 0.99),
                fused=True,
            )
            for part in (critic, generator)
        ]

    def inputs(self) -> tuple[dict[str, Any], list[np.ndarray]]:
        """Returns settings and arrays that its course depends on, before it begins."""
        scale = self.generator.mean, self.generator.std
        arrays = [part.cpu().numpy() for part in (self.points, *scale)]
        return {**self.settings.model_dump(), "seed": self.seed}, arrays

    @property
    def result(self) -> Generator:
        """The averaged generator."""
        return cast(Generator, self.average.module)

    def run_epoch(self) -> dict[str, float]:
        """Trains for one epoch and returns the mean losses.

        Raises:
            DivergedError: If a loss or a weight of the generator is not finite.
        """
        begun = time.process_time()
        self.epoch += 1
        device = self.points.device
        seed = derived_seed("gan steps", self.seed, self.epoch)
        rng = torch.Generator(device).manual_seed(seed)
        sums = torch.zeros(2, device=device)
        for _ in range(STEPS_PER_EPOCH):
            sums += self._step(rng)
        critic, generator = (sums / STEPS_PER_EPOCH).tolist()
        require_finite(
            [critic, generator],
            self.generator,
            about=f"GAN, epoch {self.epoch}",
            remedy="lower gan.learning_rate",
        )
        losses = {"critic": critic, "generator": generator}
        spent = time.process_time() - begun
        self.curve.append({"epoch": self.epoch, **losses, "core_seconds": spent})
        return losses

    def _step(self, rng: torch.Generator) -> Tensor:
        settings, device = self.settings, self.points.device
        shape = (settings.batch_size, settings.noise)
        rows = torch.randint(len(self.points), shape[:1], generator=rng, device=device)
        noise = torch.randn(2, *shape, generator=rng, device=device)
        real = self.points[rows].requires_grad_()
        judged = self.critic(real)
        (slope,) = torch.autograd.grad(judged.sum(), real, create_graph=True)
        critic_loss = softplus(-judged).mean()
        critic_loss = (
            critic_loss
            + softplus(self.critic(self.generator(noise[0]).detach())).mean()
        )
        penalty = settings.penalty / 2 * slope.square().sum(1).mean()
        _update(self.optimizers[0], critic_loss + penalty)
        generator_loss = softplus(-self.critic(self.generator(noise[1]))).mean()
        _update(self.optimizers[1], generator_loss)
        self.average.update_parameters(self.generator)
        return torch.stack([critic_loss, generator_loss]).detach()

    def state_dict(self) -> dict[str, Any]:
        """Returns all that load_state_dict needs to go on as if never stopped."""
        return {
            "epoch": self.epoch,
            "parts": [part.state_dict() for part in self._parts()],
            "curve": self.curve,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a state of the same training."""
        self.epoch, self.curve = state["epoch"], state["curve"]
        for part, saved in zip(self._parts(), state["parts"], strict=True):
            part.load_state_dict(saved)

    def _parts(self) -> list[Any]:
        return [self.generator, self.critic, self.average, *self.optimizers]


def _update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
