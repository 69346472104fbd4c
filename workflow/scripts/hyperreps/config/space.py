"""How much room the results of a configuration take, from the shapes of their arrays.

Tables, figures, curves and summaries are below a hundredth and left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..networks.architectures import IMAGE_SIZE, Architecture
from ..settings.stages import Gan, HyperRep, Jump
from . import needs
from .costs import Number, Work, splits, window

FLOAT, INDEX = 4, 8  # bytes of a weight, and of a source that is named
# what a jump sees: sines and cosines, weight vectors; jump.py imports torch
CONDITIONS, VIEWS = 4 * 32, 3


def gigabytes(work: Work) -> Number:
    """Returns the size of all results, but of images whose number only a file tells.

    Args:
        work: Of the configuration.
    """
    sizes = [size for _, size in folders(work) if not math.isnan(size)]
    return sum(sizes) / 1e9


def folders(work: Work) -> Iterator[tuple[str, Number]]:
    """Yields a folder of the results and the bytes of something in it."""
    settings = work.settings
    for name in needs.zoos(settings):
        yield from _zoo(work, name)
    for name, variant in needs.hyper_reps(settings):
        model = settings.variant(variant, zoo=name)
        numbers = autoencoder_parameters(work.network(name), model)
        yield "hyper_reps", FLOAT * numbers * len(model.seeds)
    for name, method in needs.generators(settings):
        model = settings.variant(settings.methods[method].hyper_rep, zoo=name)
        numbers = gan_parameters(settings.gan, model.latent)
        yield "generators", FLOAT * numbers * len(model.seeds)
    for name, jump in needs.jumps(settings):
        wanted = settings.jump_of(jump)
        legs = len(wanted.stations_of(settings.zoos[name])) - 1
        numbers = jump_parameters(work.network(name), wanted, legs=legs)
        yield "jumps", FLOAT * numbers * len(wanted.seeds)
    for name, method in needs.samples(settings):
        latents = FLOAT * _dimensions(work, name, method, weights=0)
        sources = 2 * _sources(work, name, method)
        one = FLOAT * work.network(name).parameters + latents + sources
        yield "samples", work.networks(name, method) * one
    for source, target, method in needs.finetuned_networks(settings):
        epochs = settings.finetuning(source, target, method).epochs
        one = FLOAT * len(epochs) * work.network(source).parameters
        one += _sources(work, source, method)
        yield "finetuned", work.networks(source, method) * one
    yield from _audits(work)


def autoencoder_parameters(architecture: Architecture, settings: HyperRep) -> int:
    """Counts the numbers that a hyper-representation is saved as."""
    width, latent = settings.width, settings.latent
    tokens = sum(item.units for item in architecture.weighted)
    sizes = [item.fan_in + item.layer.bias for item in architecture.weighted]
    by_token = settings.compression == "token"
    maps = sum(2 * width * size + width + size for size in sizes)
    positions = (2 * tokens + 2 * by_token) * width
    flat = width * tokens
    bottlenecks = latent * (width if by_token else flat) + latent + latent * flat + flat
    head, before = 0, latent
    for after in [settings.projection_width] * settings.projection_layers:
        head += before * after + 5 * after
        before = after
    head += (before + 5) * settings.projection_size
    blocks = 2 * settings.blocks * _block(width, settings.feedforward)
    statistics = 3 * architecture.parameters
    return blocks + maps + positions + bottlenecks + head + statistics


def _block(width: int, hidden: int) -> int:
    """Counts the numbers of a transformer block: attention, two norms, an MLP."""
    attention, norms = 4 * (width**2 + width), 4 * width
    return attention + norms + 2 * width * hidden + width + hidden


def gan_parameters(settings: Gan, points: int) -> int:
    """Counts the numbers that a generator of so many dimensions is saved as."""
    width = settings.width
    layers = (settings.noise + 1) * width + (width + 1) * width + (width + 1) * points
    return layers + 2 * points


def jump_parameters(architecture: Architecture, settings: Jump, *, legs: int) -> int:
    """Counts the numbers that a jump of so many legs is saved as."""
    width, size = settings.width, settings.connection
    items = architecture.weighted
    biased = sum(item.layer.bias for item in items)
    units = {
        name: 1 if name in architecture.symmetric_axes else count
        for item in items
        for name, count in zip(item.ends, (item.units, item.inputs), strict=True)
    }
    hearing = 2 * width + (width + 1) * 2 * size + (size + 1) * size
    reading = sum(units.values()) * width + biased * (VIEWS + 1) * width
    reading += sum((VIEWS * item.block + 1) * size for item in items)
    writing = hearing + 2 * width + biased * (width + 1)
    writing += sum((size + 1) * item.block for item in items)
    messages = hearing + (2 * size + 1) * width + (size + 1) * size
    block = messages + _block(width, settings.feedforward) + (width + 1) * width
    conditions = (CONDITIONS + 1) * width + (width + 1) * width + legs * width
    statistics = 6 * legs * architecture.parameters
    return reading + conditions + settings.blocks * block + writing + statistics


def _zoo(work: Work, name: str) -> Iterator[tuple[str, Number]]:
    """Yields the images of a zoo, its networks, and these in aligned coordinates."""
    zoo, settings = work.settings.zoos[name], work.settings
    users = [x for x in needs.zoos(settings) if settings.zoos[x].dataset == zoo.dataset]
    if name == users[0]:
        parts = ("train", "val", "test")
        count = sum(work.image_count(name, split) for split in parts)
        yield "datasets", count * work.channels(name) * IMAGE_SIZE**2
    epochs = window(zoo) if zoo.weights else len(zoo.kept_epochs)
    parameters = work.network(name).parameters
    networks = FLOAT * zoo.models * epochs * parameters
    yield "zoos", networks
    if name in needs.aligned_zoos(settings):
        # with the place and sign of every weight of a model
        yield "zoos", networks + zoo.models * parameters * (INDEX + 1)


def _audits(work: Work) -> Iterator[tuple[str, Number]]:
    """Yields the pairs of networks of the audit, and answers of the training ones."""
    settings = work.settings
    for name, _ in needs.audit_references(settings):
        zoo = settings.zoos[name]
        images = min(settings.novelty.images, work.image_count(name, "test"))
        yield "novelty", splits(zoo)[0] * window(zoo) * images
        pairs = 2 * FLOAT * work.network(name).parameters
        yield "novelty", sum(work.referenced(name)) * pairs
    for name, method in settings.audited:
        pairs = 2 * FLOAT * work.network(name).parameters
        yield "novelty", work.networks(name, method) * pairs


def _dimensions(work: Work, zoo: str, method: str, *, weights: int) -> int:
    """Returns the dimensions a method draws in; of weight space those given."""
    variant = work.settings.methods[method].hyper_rep
    return work.settings.variant(variant, zoo=zoo).latent if variant else weights


def _sources(work: Work, zoo: str, method: str) -> int:
    """Returns the bytes that name where each of a sample's dimensions is from."""
    known = work.settings.methods[method]
    if known.sampler != "kde" or known.options.get("draws") == "released":
        return INDEX
    parameters = work.network(zoo).parameters
    return INDEX * _dimensions(work, zoo, method, weights=parameters)
