"""A start of the autoencoder at the principal components of permuted networks. Ours.

A hyper-representation whose blocks pass tokens on as they are and whose latent comes
from all tokens is a linear autoencoder. The best of these is known in closed form
(Eckart and Young 1936): the principal components of the training networks, here in all
their permutations. Training goes on from there.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..networks.architectures import Architecture
from ..numbers.shapes import Bool, Float
from ..settings.stages import SettingsError
from ..symmetry.permutations import (
    Permutations,
    permutation_index,
    random_permutations,
)
from .autoencoder import HyperRepresentation

# Permutations that a moment is averaged over at once, and how often: each time the
# square of what tells permutations apart in it shrinks by that number, on average.
PERMUTATIONS = 3
REPETITIONS = 14
# parameters of a network whose moments still take minutes and some gigabytes
LARGEST = 20_000


@torch.no_grad()
def start_from_components(
    model: HyperRepresentation,
    weights: Float[Tensor, "samples parameters"],
    *,
    loss_scale: Float[Tensor, "*parameters"] | None,
    table: Permutations | None,
    rng: torch.Generator,
) -> None:
    """Makes a new model the best linear autoencoder of what its tokens hold.

    The maps of tokens keep, layer by layer, the components of a neuron's weights that
    the width holds, the bottlenecks those of all tokens together, by the error that the
    loss measures; the decoder's maps are the encoder's turned round. Blocks add nothing
    to their tokens yet, and the bottlenecks take the learned positions off again. What
    the components leave free starts at random on the way in, at 0 on the way out.

    Args:
        model: Untrained, with linear compression.
        weights: Training networks, clean.
        loss_scale: What errors are divided by, alike within a layer; None: nothing.
        table: Permutations that the training shows; None: all, if any.
        rng: On the device of weights.

    Raises:
        SettingsError: If networks have too many parameters for it.
    """
    if (size := weights.shape[1]) > LARGEST:
        raise SettingsError(
            "hyper_rep.initialization: components are for networks of up to"
            f" {LARGEST:,} parameters, not {size:,}; set it to release"
        )
    encoder, decoder = model.encoder, model.decoder
    inputs = (weights - model.shift) / model.scale
    moment = inputs.T @ inputs / len(inputs)
    if model.settings.permutation:
        moment = permuted_moment(moment, model.architecture, table=table, rng=rng)
    index = encoder.tokenizer.index
    moment = moment[index][:, index]
    tokens, used = _start_tokens(model, moment)
    # what an error of 1 in a number of a token is in the loss, alike within a layer
    unit = model.scale / (1 if loss_scale is None else loss_scale)
    units = tokens.square() @ unit.expand(len(index))[index]
    seen = tokens * units[:, None]
    components = _components(seen @ moment @ seen.T, model.settings.latent)
    rank = len(components)
    inward, outward = encoder.bottleneck.weight, decoder.bottleneck.weight
    inward[:rank] = 0
    inward[:rank, used] = components * units
    outward[used, :rank] = components.T / units[:, None]
    outward[:, rank:] = 0
    encoder.bottleneck.bias.copy_(-inward @ encoder.position.flatten())
    decoder.bottleneck.bias.copy_(-decoder.position.flatten())
    for block in (*encoder.transformer.layers, *decoder.transformer.layers):
        for last in (block.self_attn.out_proj, block.linear2):
            last.weight.zero_()
            last.bias.zero_()


def permuted_moment(
    moment: Float[Tensor, "parameters parameters"],
    architecture: Architecture,
    *,
    table: Permutations | None,
    rng: torch.Generator,
) -> Float[Tensor, "parameters parameters"]:
    """Returns the second moment of networks in their permutations.

    Args:
        moment: Of the networks as they are.
        architecture: Declares what may be permuted.
        table: Permutations to average over; None: all, but for a thousandth.
        rng: On the device of moment.
    """
    if table is not None:
        return _averaged(moment, permutation_index(architecture, table))
    for _ in range(REPETITIONS):
        drawn = random_permutations(architecture, PERMUTATIONS, rng=rng)
        moment = _averaged(moment, permutation_index(architecture, drawn))
    return moment


def _averaged(moment: Tensor, index: Tensor) -> Tensor:
    total = torch.zeros_like(moment)
    for order in index:
        total += moment[order][:, order]
    return total / len(index)


def _start_tokens(
    model: HyperRepresentation, moment: Float[Tensor, "parameters parameters"]
) -> tuple[Float[Tensor, "used parameters"], Bool[Tensor, "numbers"]]:
    """Starts the maps of tokens from the components of each layer's neurons.

    Returns:
        The map of a network, in token order, to those numbers of its tokens that hold
        components, and which of all numbers these are.
    """
    tokenizer, detokenizer = model.encoder.tokenizer, model.decoder.detokenizer
    width = model.settings.width
    maps, used, start = [], [], 0
    linear = zip(tokenizer.maps, detokenizer.maps, strict=True)
    for (inward, outward), units, length in zip(
        linear, tokenizer.units, tokenizer.lengths, strict=True
    ):
        assert isinstance(inward, nn.Linear)
        assert isinstance(outward, nn.Linear)
        own = moment[start : start + length, start : start + length]
        alike = own.view(units, length // units, units, length // units)
        components = _components(alike.diagonal(dim1=0, dim2=2).sum(-1), width)
        rank = len(components)
        inward.weight[:rank] = components
        inward.bias.zero_()
        outward.weight.zero_()
        outward.weight[:, :rank] = components.T
        outward.bias.zero_()
        maps += [components] * units
        used += [torch.arange(width, device=moment.device) < rank] * units
        start += length
    return torch.block_diag(*maps), torch.cat(used)


def _components(
    moment: Float[Tensor, "size size"], count: int
) -> Float[Tensor, "components size"]:
    """Returns the orthonormal directions of the largest moments, the largest first."""
    return torch.linalg.eigh(moment).eigenvectors.flip(1)[:, :count].T
