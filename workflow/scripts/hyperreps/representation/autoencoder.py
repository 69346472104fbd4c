"""The hyper-representation: a transformer autoencoder on the weights of a network.

A token is a neuron: its incoming weights and its bias. Each layer has its own linear
maps between tokens and the transformer's width. Source: Schuerholt et al. 2022, section
3, and the authors' release; docs/method.md maps equations to code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..files.tensors import read_tensors, write_tensors
from ..networks.architectures import Architecture, build
from ..numbers.shapes import Float, Int
from ..settings.stages import HyperRep

# initial bias of the projection head's linear maps
HEAD_BIAS = 0.01


def token_index(architecture: Architecture) -> Int[Tensor, parameters]:
    """Returns the gather index that sorts a weight vector by token.

    In token order the incoming weights of a neuron are followed by its bias, neuron by
    neuron, layer by layer. The index is a bijection; its argsort goes back.
    """
    pieces = []
    for item in architecture.weighted:
        weight = torch.arange(item.weight.start, item.weight.stop)
        tokens = weight.view(item.units, item.fan_in)
        if item.layer.bias:
            bias = torch.arange(item.bias.start, item.bias.stop)
            tokens = torch.cat([tokens, bias[:, None]], dim=1)
        pieces.append(tokens.flatten())
    return torch.cat(pieces)


class _TokenLayout(nn.Module):
    """Weight vectors to tokens of equal width and back, one linear map per layer."""

    index: Tensor

    def __init__(self, architecture: Architecture, width: int, *, decode: bool) -> None:
        super().__init__()
        self.units = [item.units for item in architecture.weighted]
        sizes = [item.fan_in + item.layer.bias for item in architecture.weighted]
        self.lengths = [u * s for u, s in zip(self.units, sizes, strict=True)]
        order = token_index(architecture)
        self.register_buffer(
            "index", order.argsort() if decode else order, persistent=False
        )
        self.maps = nn.ModuleList(
            nn.Linear(width, size) if decode else nn.Linear(size, width)
            for size in sizes
        )


class Tokenizer(_TokenLayout):
    """Weight vectors to tokens."""

    def __init__(self, architecture: Architecture, width: int) -> None:
        """Makes one map per layer from its token size to width."""
        super().__init__(architecture, width, decode=False)

    def forward(
        self, weights: Float[Tensor, "batch parameters"]
    ) -> Float[Tensor, "batch tokens width"]:
        """Returns one token per neuron."""
        parts = weights[:, self.index].split(self.lengths, dim=1)
        layers = zip(self.maps, parts, self.units, strict=True)
        return torch.cat([m(p.unflatten(1, (u, -1))) for m, p, u in layers], dim=1)


class Detokenizer(_TokenLayout):
    """Tokens to weight vectors."""

    def __init__(self, architecture: Architecture, width: int) -> None:
        """Makes one map per layer from width to its token size."""
        super().__init__(architecture, width, decode=True)

    def forward(
        self, tokens: Float[Tensor, "batch tokens width"]
    ) -> Float[Tensor, "batch parameters"]:
        """Returns the weight vectors that the tokens describe."""
        parts = tokens.split(self.units, dim=1)
        ordered = [m(p).flatten(1) for m, p in zip(self.maps, parts, strict=True)]
        return torch.cat(ordered, dim=1)[:, self.index]


def _transformer(settings: HyperRep) -> nn.TransformerEncoder:
    # pre-norm and no norm at the end, as in the release
    block = nn.TransformerEncoderLayer(
        settings.width,
        settings.heads,
        settings.feedforward,
        settings.dropout,
        activation=settings.block_activation,
        norm_first=True,
        batch_first=True,
    )
    # as the release's four linear maps start: weights and biases alike in PyTorch's
    # default of nn.Linear, which PyTorch's attention does not follow
    for parameter in block.self_attn.parameters():
        nn.init.uniform_(parameter, -(settings.width**-0.5), settings.width**-0.5)
    return nn.TransformerEncoder(block, settings.blocks, enable_nested_tensor=False)


class Encoder(nn.Module):
    """Weight vectors to latent vectors."""

    def __init__(self, architecture: Architecture, settings: HyperRep) -> None:
        """Builds the encoder; all learned positions start at N(0, 1)."""
        super().__init__()
        tokens, width = sum(w.units for w in architecture.weighted), settings.width
        self.tokenizer = Tokenizer(architecture, width)
        by_token = settings.compression == "token"
        self.compression = nn.Parameter(torch.randn(1, width)) if by_token else None
        self.position = nn.Parameter(torch.randn(tokens + by_token, width))
        self.transformer = _transformer(settings)
        self.bottleneck = nn.Linear(
            width if by_token else tokens * width, settings.latent
        )

    def forward(
        self, weights: Float[Tensor, "batch parameters"]
    ) -> Float[Tensor, "batch latent"]:
        """Returns the latent vectors."""
        x = self.tokenizer(weights)
        if self.compression is not None:
            x = torch.cat([self.compression.expand(len(x), 1, -1), x], dim=1)
        x = self.transformer(x + self.position)
        x = x[:, 0] if self.compression is not None else x.flatten(1)
        return self.bottleneck(x)


class Decoder(nn.Module):
    """Latent vectors to weight vectors."""

    def __init__(self, architecture: Architecture, settings: HyperRep) -> None:
        """Builds the decoder: a second stack of self-attention, no cross attention."""
        super().__init__()
        tokens, width = sum(w.units for w in architecture.weighted), settings.width
        self.bottleneck = nn.Linear(settings.latent, tokens * width)
        self.position = nn.Parameter(torch.randn(tokens, width))
        self.transformer = _transformer(settings)
        self.detokenizer = Detokenizer(architecture, width)

    def forward(
        self, latents: Float[Tensor, "batch latent"]
    ) -> Float[Tensor, "batch parameters"]:
        """Returns the weight vectors."""
        x = self.bottleneck(latents).unflatten(1, self.position.shape)
        return self.detokenizer(self.transformer(x + self.position))


class Normalization(NamedTuple):
    """Statistics of the clean training weights.

    Attributes:
        shift: Subtracted from weights before the encoder.
        scale: Divides them: one number.
        mean: Mean per coordinate, the reference of R2.
        layer_std: Standard deviation of all entries of each coordinate's layer, at
            least 1e-4.
    """

    shift: Float[Tensor, parameters]
    scale: Float[Tensor, ""]
    mean: Float[Tensor, parameters]
    layer_std: Float[Tensor, parameters]


def normalization(
    weights: Float[Tensor, "samples parameters"],
    architecture: Architecture,
    *,
    centering: bool,
) -> Normalization:
    """Measures the statistics of training weights."""
    mean = weights.mean(0)
    layers = torch.from_numpy(architecture.layer_index).to(weights.device)
    stds = [
        weights[:, layers == layer].std().clamp(min=1e-4)
        for layer in range(len(architecture.weighted))
    ]
    return Normalization(
        shift=mean if centering else torch.zeros_like(mean),
        scale=weights.std() if centering else torch.ones_like(mean[0]),
        mean=mean,
        layer_std=torch.stack(stds)[layers],
    )


class HyperRepresentation(nn.Module):
    """Encoder, decoder, projection head and the statistics of their training data."""

    shift: Tensor
    scale: Tensor
    mean: Tensor
    layer_std: Tensor

    def __init__(
        self,
        architecture: Architecture,
        settings: HyperRep,
        statistics: Normalization,
        *,
        zoo: str = "",
        seed: int = 0,
    ) -> None:
        """Builds an untrained hyper-representation.

        Args:
            architecture: Of the networks it represents.
            settings: Its shape and training.
            statistics: Of the training weights.
            zoo: Name of the zoo, kept with the file.
            seed: Of its training, kept with the file.
        """
        super().__init__()
        self.architecture, self.settings = architecture, settings
        self.zoo, self.seed = zoo, seed
        for name, value in statistics._asdict().items():
            self.register_buffer(name, value.clone())
        self.encoder = Encoder(architecture, settings)
        self.decoder = Decoder(architecture, settings)
        self.projection = _projection_head(settings)

    def encode(
        self, weights: Float[Tensor, "batch parameters"]
    ) -> Float[Tensor, "batch latent"]:
        """Returns latent vectors of networks."""
        return self.encoder((weights - self.shift) / self.scale)

    def decode(
        self, latents: Float[Tensor, "batch latent"]
    ) -> Float[Tensor, "batch parameters"]:
        """Returns networks of latent vectors."""
        return self.decoder(latents).float() * self.scale + self.shift

    @torch.no_grad()
    def map(
        self, direction: str, rows: Float[Tensor, "rows columns"], *, batch: int = 256
    ) -> Float[Tensor, "rows mapped"]:
        """Encodes or decodes any number of rows, in evaluation mode and in batches."""
        was_training = self.training
        self.eval()
        function = self.encode if direction == "encode" else self.decode
        mapped = torch.cat([function(part) for part in rows.split(batch)])
        self.train(was_training)
        return mapped


def _projection_head(settings: HyperRep) -> nn.Sequential:
    """Builds the head of the contrastive loss: batch norm after every linear map.

    Linear maps start as in the release: kaiming_normal, biases at 0.01.
    """
    layers: list[nn.Module] = []
    size = settings.latent
    for _ in range(settings.projection_layers):
        layers += [
            nn.Linear(size, settings.projection_width),
            nn.BatchNorm1d(settings.projection_width),
            nn.ReLU(),
        ]
        size = settings.projection_width
    last = settings.projection_size
    head = nn.Sequential(*layers, nn.Linear(size, last), nn.BatchNorm1d(last))
    for layer in head:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.constant_(layer.bias, HEAD_BIAS)
    return head


def save(model: HyperRepresentation, path: Path) -> None:
    """Writes a hyper-representation with its settings as safetensors metadata."""
    about = {
        "architecture": model.architecture.name,
        "channels": str(model.architecture.channels),
        "settings": model.settings.model_dump_json(),
        "zoo": model.zoo,
        "seed": str(model.seed),
    }
    write_tensors(path, model.state_dict(), kind="hyper_rep", about=about)


def load(path: Path, *, device: torch.device) -> HyperRepresentation:
    """Reads a hyper-representation, ready for use (evaluation mode).

    Raises:
        DataFileError: If the file is missing, damaged or of another kind.
    """
    tensors, about = read_tensors(path, kind="hyper_rep")
    model = HyperRepresentation(
        build(about["architecture"], channels=int(about["channels"])),
        HyperRep(**json.loads(about["settings"])),
        Normalization(*(tensors[name] for name in Normalization._fields)),
        zoo=about["zoo"],
        seed=int(about["seed"]),
    )
    model.load_state_dict(tensors)
    return model.eval().to(device)
