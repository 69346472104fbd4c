"""Views of networks for pretraining."""

from __future__ import annotations

import torch
from torch import Tensor

from ..networks.architectures import Architecture
from ..numbers.shapes import Float
from ..settings.stages import HyperRep
from .permutations import Permutations, permutation_index, random_permutations

# of the release
TRIES = 10


def erase_blocks(
    weights: Float[Tensor, "batch parameters"],
    *,
    probability: float,
    fraction: tuple[float, float],
    generator: torch.Generator,
) -> Float[Tensor, "batch parameters"]:
    """Sets one random contiguous block of some vectors to zero.

    As in the release, length and start are drawn independently, and again, up to ten
    times, where the block would not end before the last entry. So long blocks are
    rarer than short ones, and the start of the vector is hit most.

    Args:
        weights: One network per row.
        probability: That a row loses a block.
        fraction: Range of the block's length, as a fraction of the vector, before
            blocks that do not fit are rejected.
        generator: On the device of weights.
    """
    rows, size = weights.shape
    low, high = fraction
    drawn = torch.rand(2, TRIES, rows, generator=generator, device=weights.device)
    lengths = (size * (low + (high - low) * drawn[0])).floor()
    starts = (size * drawn[1]).floor()
    fits = starts + lengths < size
    first = fits.int().argmax(0, keepdim=True)
    fits, start, length = (x.gather(0, first).T for x in (fits, starts, lengths))
    chosen = torch.rand(rows, 1, generator=generator, device=weights.device)
    position = torch.arange(size, device=weights.device)
    erased = (position >= start) & (position < start + length)
    erased &= fits & (chosen < probability)
    return weights.masked_fill(erased, 0)


def augmented_views(
    weights: Float[Tensor, "batch parameters"],
    architecture: Architecture,
    *,
    views: int,
    settings: HyperRep,
    generator: torch.Generator,
    table: Permutations | None = None,
) -> tuple[Float[Tensor, "views parameters"], Float[Tensor, "views parameters"]]:
    """Returns augmented inputs and their reconstruction targets.

    Views are permuted first, which does not change the network's function; then noise
    and erasing apply to the input only, or also to the target (settings.target).

    Args:
        weights: Clean networks; row k gives views k, k + batch and so on.
        architecture: Declares what may be permuted.
        views: Independent views per network; contrast needs two.
        settings: Which augmentations apply.
        generator: On the device of weights.
        table: Permutations to choose from, as random_permutations() gives them; None:
            from all.
    """
    clean = weights.repeat(views, 1)
    if settings.permutation:
        drawn = (
            random_permutations(architecture, len(clean), generator=generator)
            if table is None
            else _chosen(table, len(clean), generator)
        )
        clean = clean.gather(1, permutation_index(architecture, drawn))
    view = clean
    if settings.noise > 0:
        noise = torch.empty_like(view).normal_(generator=generator)
        view = view + settings.noise * noise
    if settings.erase_probability > 0:
        view = erase_blocks(
            view,
            probability=settings.erase_probability,
            fraction=settings.erase_fraction,
            generator=generator,
        )
    return view, view if settings.target == "view" else clean


def _chosen(
    table: Permutations, models: int, generator: torch.Generator
) -> Permutations:
    """Draws one permutation per model from a table, with replacement."""
    known = len(next(iter(table.values())))
    rows = torch.randint(known, (models,), generator=generator, device=generator.device)
    return {axis: orders[rows] for axis, orders in table.items()}
