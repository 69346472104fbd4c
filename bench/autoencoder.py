"""A training step of the hyper-representation: ours against the plain way to write it.

    python bench/autoencoder.py --width 128 800 --latent 100 700 --feedforward 144 900 \
        --batch-size 64 64

A sample is one network, seen in two views. The plain way loops over tokens and over the
networks of a batch in Python, encodes the views one after the other and uses PyTorch's
default Adam. Dropout is on, precision float32; --half adds ours in bfloat16, for CPUs
that have units for it, --compiled torch.compile. Ours without dropout, whose attention
takes a faster path, has one view, no augmentation and a latent from all tokens as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
import tyro
from common import UNPREFIXED, Case, Run, Timing, report
from torch import Tensor, nn

from hyperreps.config.costs import autoencoder_multiplications
from hyperreps.networks.architectures import build
from hyperreps.networks.initialisation import initial_weights
from hyperreps.representation.autoencoder import HyperRepresentation
from hyperreps.representation.losses import nt_xent
from hyperreps.representation.pretraining import Pretraining
from hyperreps.settings.stages import HyperRep
from hyperreps.symmetry.augmentation import erase_blocks
from hyperreps.symmetry.permutations import permutation_index, random_permutations

LEAN = {
    "contrast_weight": 0.0,
    "permutation": False,
    "erase_probability": 0.0,
    "dropout": 0.0,
    "compression": "linear",
}


class PlainModel(nn.Module):
    """The autoencoder with a Python loop over tokens, around our transformer blocks."""

    def __init__(self, model: HyperRepresentation) -> None:
        super().__init__()
        self.inner = model
        self.places = []
        for layer, item in enumerate(model.architecture.weighted):
            for unit in range(item.units):
                start = item.weight.start + unit * item.fan_in
                self.places.append((layer, start, item.fan_in, item.bias.start + unit))

    def forward(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Returns latent vectors and reconstructed weights."""
        encoder, decoder = self.inner.encoder, self.inner.decoder
        tokens = []
        for layer, start, size, bias in self.places:
            pieces = [weights[:, start : start + size], weights[:, bias : bias + 1]]
            tokens.append(encoder.tokenizer.maps[layer](torch.cat(pieces, 1)))
        tokens = [encoder.compression.expand(len(weights), -1), *tokens]
        x = encoder.transformer(torch.stack(tokens, 1) + encoder.position)
        latents = encoder.bottleneck(x[:, 0])
        y = decoder.bottleneck(latents).unflatten(1, decoder.position.shape)
        y = decoder.transformer(y + decoder.position)
        output = torch.zeros_like(weights)
        for k, (layer, start, size, bias) in enumerate(self.places):
            token = decoder.detokenizer.maps[layer](y[:, k])
            output[:, start : start + size] = token[:, :size]
            output[:, bias] = token[:, size]
        return latents, output


def plain_run(weights: Tensor, training: Pretraining) -> Run:
    """Returns a run of one step, written the plain way."""
    settings, inner = training.settings, training.model
    model = PlainModel(inner)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, foreach=False)
    generator = torch.Generator().manual_seed(0)

    def view() -> Tensor:
        rows = []
        for row in weights:
            drawn = random_permutations(inner.architecture, 1, generator=generator)
            index = permutation_index(inner.architecture, drawn)[0]
            rows.append(row[index])
        return erase_blocks(
            torch.stack(rows),
            probability=settings.erase_probability,
            fraction=settings.erase_fraction,
            generator=generator,
        )

    def run() -> int:
        views = [view(), view()]
        results = [model(x) for x in views]
        errors = [
            ((output - x) / inner.layer_std).square().mean()
            for x, (_, output) in zip(views, results, strict=True)
        ]
        projections = torch.cat([inner.projection(latents) for latents, _ in results])
        contrast = nt_xent(projections, temperature=settings.temperature)
        gamma = settings.contrast_weight
        loss = (1 - gamma) * sum(errors) / 2 + gamma * contrast
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return len(weights)

    return run


def pretraining(weights: Tensor, settings: HyperRep, **options: bool) -> Pretraining:
    """Returns the training of a new model on CNN weights."""
    cnn = build("cnn", channels=1)
    model = Pretraining(weights, weights[:2], cnn, settings=settings, seed=1, **options)
    model.model.train()
    return model


def our_run(weights: Tensor, training: Pretraining) -> Run:
    """Returns a run of one step of pretraining.py."""
    generator = torch.Generator().manual_seed(0)

    def run() -> int:
        training._step(weights, generator)
        return len(weights)

    return run


def cases(
    settings: HyperRep, threads: tuple[int, ...], *, half: bool, compiled: bool
) -> Iterator[Case]:
    """Yields the baseline, then ours, of one size."""
    cnn = build("cnn", channels=1)
    rows = initial_weights(
        cnn, initialization="kaiming_uniform", seeds=range(settings.batch_size)
    )
    # two views; the backward pass is twice the forward pass
    flop = 2 * 3 * 2 * autoencoder_multiplications(cnn, settings)
    about = {name: getattr(settings, name) for name in ("width", "latent")}

    def case(name: str, number: int, run: Run, work: float = flop) -> Case:
        return Case(name, settings.batch_size, number, run, work, about=about)

    yield case("plain", 1, plain_run(rows, pretraining(rows, settings)))
    for number in threads:
        yield case("ours", number, our_run(rows, pretraining(rows, settings)))
    single = settings.model_copy(update=LEAN)
    work = 2 * 3 * autoencoder_multiplications(cnn, single)
    yield case("ours, no dropout", 1, our_run(rows, pretraining(rows, single)), work)
    if half:
        halved = settings.model_copy(update={"precision": "bfloat16"})
        yield case("ours, bfloat16", 1, our_run(rows, pretraining(rows, halved)))
    if compiled:
        run = our_run(rows, pretraining(rows, settings, compiled=True))
        yield case("ours, compiled", 1, run)


def main(
    width: tuple[int, ...] = (128,),
    latent: tuple[int, ...] = (100,),
    feedforward: tuple[int, ...] = (144,),
    batch_size: tuple[int, ...] = (64,),
    threads: tuple[int, ...] = (1,),
    half: bool = False,
    compiled: bool = False,
    timing: Annotated[Timing, UNPREFIXED] = Timing(),
) -> None:
    """Prints a table.

    Args:
        width: Of the transformer, one per size; the paper's is 800.
        latent: Size of the latent vector; the paper's is 700.
        feedforward: Hidden width of a block; the paper's is 900.
        batch_size: Networks per step; the paper's is 500.
        threads: CPU threads of ours.
        half: Measure precision bfloat16 as well.
        compiled: Measure torch.compile as well.
        timing: How it is measured.
    """
    sizes = zip(width, latent, feedforward, batch_size, strict=True)
    found: list[Case] = []
    for row in sizes:
        names = ("width", "latent", "feedforward", "batch_size")
        settings = HyperRep(**dict(zip(names, row, strict=True)))
        found += cases(settings, threads, half=half, compiled=compiled)
    report("autoencoder step", found, timing)


if __name__ == "__main__":
    tyro.cli(main)
