"""The hyper-representation: a transformer autoencoder on the weights of a network.

A token is a neuron: its incoming weights and its bias. Each layer has its own linear
maps between tokens and the transformer's width. Source: Schuerholt et al. 2022, section
3, and the authors' release; docs/method.md maps equations to code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..files.own_parts import is_own
from ..files.storage import DataFileError
from ..files.tensors import read_tensors, write_tensors
from ..networks.architectures import Architecture, build, layer_data, layer_from
from ..numbers.shapes import Float, Int
from ..settings.stages import HyperRep, Jump
from ..symmetry.permutations import invariant_mean
from .hub import read_folder, write_folder

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
        self.register_buffer("index", token_index(architecture), persistent=False)
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
        rows = torch.cat(ordered, dim=1)
        weights = torch.empty_like(rows)
        # written, not read, by the index: its gradient is a gather, not a scattered sum
        weights[:, self.index] = rows
        return weights


class Block(nn.Module):
    """A pre-norm transformer block: what nn.TransformerEncoderLayer(norm_first) is.

    With its parameters and their names, but attention written out on a CPU, where for
    the few tokens of a network that is faster than PyTorch's fused kernel.
    """

    def __init__(self, settings: HyperRep | Jump) -> None:
        """Builds a block that starts as the release's."""
        super().__init__()
        width, hidden = settings.width, settings.feedforward
        self.self_attn = nn.MultiheadAttention(width, settings.heads, settings.dropout)
        self.linear1, self.linear2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.activation = F.gelu if settings.block_activation == "gelu" else F.relu
        self.dropout = Dropout(settings.dropout)
        # as the release's four linear maps start: weights and biases alike in PyTorch's
        # default of nn.Linear, which PyTorch's attention does not follow
        for parameter in self.self_attn.parameters():
            nn.init.uniform_(parameter, -(width**-0.5), width**-0.5)

    def forward(
        self, tokens: Float[Tensor, "batch tokens width"], *, first: bool = False
    ) -> Float[Tensor, "batch queries width"]:
        """Returns the next tokens.

        Args:
            tokens: Of each network.
            first: Compute only what becomes of the first one.
        """
        normed = self.norm1(tokens)
        asking = slice(0, 1) if first else slice(None)
        mixed = self._attention(normed[:, asking], normed)
        x = tokens[:, asking] + self.dropout(mixed)
        hidden = self.activation(self.linear1(self.norm2(x)))
        return x + self.dropout(self.linear2(self.dropout(hidden)))

    def _attention(self, queries: Tensor, tokens: Tensor) -> Tensor:
        inner = self.self_attn
        width = inner.embed_dim
        weight, bias = inner.in_proj_weight, inner.in_proj_bias
        if queries.shape == tokens.shape:
            q, k, v = F.linear(tokens, weight, bias).chunk(3, dim=-1)
        else:
            q = F.linear(queries, weight[:width], bias[:width])
            k, v = F.linear(tokens, weight[width:], bias[width:]).chunk(2, dim=-1)
        by_head = (inner.num_heads, -1)
        q, k, v = (x.unflatten(-1, by_head).transpose(1, 2) for x in (q, k, v))
        rate = inner.dropout if self.training else 0.0
        if tokens.device.type == "cpu":
            mixed = attention(q, k, v, dropout=rate)
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=rate)
        return inner.out_proj(mixed.transpose(1, 2).flatten(2))


def attention(
    q: Float[Tensor, "batch heads queries size"],
    k: Float[Tensor, "batch heads tokens size"],
    v: Float[Tensor, "batch heads tokens size"],
    *,
    dropout: float,
) -> Float[Tensor, "batch heads queries size"]:
    """Scaled dot-product attention, written out (Vaswani et al. 2017, Eq. 1)."""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    # in float32 at least, which is faster than PyTorch's softmax of bfloat16, too
    kind = torch.promote_types(q.dtype, torch.float32)
    shares = scores.softmax(-1, dtype=kind).to(v.dtype)
    return drop(shares, dropout) @ v


def drop(x: Float[Tensor, ...], rate: float) -> Float[Tensor, ...]:
    """Dropout, with 16 random bits per entry on a CPU: five times as fast there.

    The share that is dropped is the rate to within 1/65536.
    """
    if rate == 0 or x.device.type != "cpu":
        return F.dropout(x, rate)
    words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    bits = words.view(torch.int16)[: x.numel()].view(x.shape)
    kept = bits.ge_(round(rate * 2**16) - 2**15).to(x.dtype)
    return x * kept.mul_(1 / (1 - rate))


class Dropout(nn.Dropout):
    """nn.Dropout by drop()."""

    def forward(self, x: Float[Tensor, ...]) -> Float[Tensor, ...]:
        """Returns the entries, some of them 0 and the others larger, in training."""
        return drop(x, self.p) if self.training else x


class Transformer(nn.Module):
    """A stack of blocks without a norm at the end, as in the release."""

    def __init__(self, settings: HyperRep) -> None:
        """Builds the blocks, which start as copies of one, as PyTorch's stack does."""
        super().__init__()
        block = Block(settings)
        self.layers = nn.ModuleList(deepcopy(block) for _ in range(settings.blocks))

    def forward(
        self, tokens: Float[Tensor, "batch tokens width"], *, first: bool = False
    ) -> Float[Tensor, "batch outputs width"]:
        """Returns the tokens after the last block, or only the first of them."""
        *before, last = self.layers
        for block in before:
            tokens = block(tokens)
        return last(tokens, first=first)


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
        self.transformer = Transformer(settings)
        self.bottleneck = nn.Linear(
            width if by_token else tokens * width, settings.latent
        )

    def forward(
        self, weights: Float[Tensor, "batch parameters"]
    ) -> Float[Tensor, "batch latent"]:
        """Returns the latent vectors."""
        x = self.tokenizer(weights.to(self.position.dtype))
        if self.compression is not None:
            x = torch.cat([self.compression.expand(len(x), 1, -1), x], dim=1)
        x = self.transformer(x + self.position, first=self.compression is not None)
        return self.bottleneck(x.flatten(1))


class Decoder(nn.Module):
    """Latent vectors to weight vectors."""

    def __init__(self, architecture: Architecture, settings: HyperRep) -> None:
        """Builds the decoder: a second stack of self-attention, no cross attention."""
        super().__init__()
        tokens, width = sum(w.units for w in architecture.weighted), settings.width
        self.bottleneck = nn.Linear(settings.latent, tokens * width)
        self.position = nn.Parameter(torch.randn(tokens, width))
        self.transformer = Transformer(settings)
        self.detokenizer = Detokenizer(architecture, width)

    def forward(
        self, latents: Float[Tensor, "batch latent"]
    ) -> Float[Tensor, "batch parameters"]:
        """Returns the weight vectors."""
        x = self.bottleneck(latents.to(self.position.dtype))
        x = x.unflatten(1, self.position.shape)
        return self.detokenizer(self.transformer(x + self.position))


class Normalization(NamedTuple):
    """Statistics of the clean training weights.

    Attributes:
        shift: Subtracted from weights before the encoder.
        scale: Divides them: one number, or one per coordinate.
        mean: Mean per coordinate, the reference of R2.
        layer_std: Standard deviation of all entries of each coordinate's layer, at
            least 1e-4.
    """

    shift: Float[Tensor, parameters]
    scale: Float[Tensor, "*parameters"]
    mean: Float[Tensor, parameters]
    layer_std: Float[Tensor, parameters]


def normalization(
    weights: Float[Tensor, "samples parameters"],
    architecture: Architecture,
    *,
    centering: bool,
    inputs: str = "raw",
) -> Normalization:
    """Measures the statistics of training weights.

    Args:
        weights: Clean training networks.
        architecture: Of the networks.
        centering: As in the settings.
        inputs: As in the settings.
    """
    mean = weights.mean(0)
    layers = torch.from_numpy(architecture.layer_index).to(weights.device)
    stds = [
        weights[:, layers == layer].std().clamp(min=1e-4)
        for layer in range(len(architecture.weighted))
    ]
    layer_std = torch.stack(stds)[layers]
    shift, scale = torch.zeros_like(mean), torch.ones_like(mean[0])
    if centering:
        shift, scale = mean, weights.std()
    elif inputs == "layer":
        shift, scale = invariant_mean(weights, architecture), layer_std
    return Normalization(shift, scale, mean, layer_std)


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

    def forward(
        self, weights: Float[Tensor, "batch parameters"]
    ) -> tuple[Float[Tensor, "batch latent"], Float[Tensor, "batch parameters"]]:
        """Returns latent vectors of networks, and the networks that these give back."""
        latents = self.encode(weights)
        return latents, self.decode(latents)

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

    def to_folder(
        self, folder: Path | str, *, trained_on: Mapping[str, Any] | None = None
    ) -> None:
        """Writes a folder that the Hugging Face Hub takes as it is.

        Args:
            folder: To make: README.md, config.json and model.safetensors.
            trained_on: What describe() knows of its training, for the model card.

        Raises:
            OutputError: If there is something of this name, or it cannot be written.
        """
        config = {
            "architecture": self.architecture.name,
            "channels": self.architecture.channels,
            "layers": [layer_data(layer) for layer in self.architecture.layers],
            "settings": self.settings.model_dump(),
            "zoo": self.zoo,
            "seed": self.seed,
            "trained_on": trained_on or {},
        }
        write_folder(
            Path(folder), self.state_dict(), config, architecture=self.architecture
        )

    @classmethod
    def from_folder(
        cls, folder: Path | str, *, device: torch.device | str = "cpu"
    ) -> HyperRepresentation:
        """Reads what to_folder() wrote, ready for use (evaluation mode).

        An architecture of a user's file is read from the folder, without that file.

        Raises:
            DataFileError: If a file is missing, damaged or of another model.
        """
        tensors, config = read_folder(Path(folder))
        try:
            settings = HyperRep(**config["settings"])
            model = _built(tensors, config, settings, _described(config))
        except (LookupError, TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise DataFileError(
                f"{folder}: config.json does not describe model.safetensors ({reason});"
                " get both anew"
            ) from error
        return model.to(device)


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


@runtime_checkable
class Saved(Protocol):
    """A model of networks, as write_model() keeps it."""

    architecture: Architecture
    zoo: str
    seed: int

    @property
    def settings(self) -> Any:
        """Of its shape and training, a pydantic model."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Returns its tensors."""
        ...


def write_model(model: Saved, path: Path, *, kind: str, **more: str) -> None:
    """Writes a model of networks as safetensors, with what it is as metadata.

    Args:
        model: To write.
        path: File to create or replace.
        kind: Of model.
        more: What its reader needs besides.
    """
    about = {
        "architecture": model.architecture.name,
        "channels": str(model.architecture.channels),
        "settings": model.settings.model_dump_json(),
        "zoo": model.zoo,
        "seed": str(model.seed),
    }
    write_tensors(path, model.state_dict(), kind=kind, about={**about, **more})


def save(model: HyperRepresentation, path: Path) -> None:
    """Writes a hyper-representation with its settings as safetensors metadata."""
    write_model(model, path, kind="hyper_rep")


def load(path: Path, *, device: torch.device) -> HyperRepresentation:
    """Reads a hyper-representation, ready for use (evaluation mode).

    Raises:
        DataFileError: If the file is missing, damaged or of another kind.
    """
    tensors, about = read_tensors(path, kind="hyper_rep")
    settings = HyperRep(**json.loads(about["settings"]))
    architecture = build(about["architecture"], channels=int(about["channels"]))
    return _built(tensors, about, settings, architecture).to(device)


def _described(config: Mapping[str, Any]) -> Architecture:
    """Returns the architecture that the config of a folder names, or describes."""
    name, channels = config["architecture"], config["channels"]
    if not is_own(name):
        return build(name, channels=channels)
    return Architecture(name, channels, tuple(map(layer_from, config["layers"])))


def _built(
    tensors: Mapping[str, Tensor],
    about: Mapping[str, Any],
    settings: HyperRep,
    architecture: Architecture,
) -> HyperRepresentation:
    """Returns a model with these tensors, in evaluation mode."""
    model = HyperRepresentation(
        architecture,
        settings,
        Normalization(*(tensors[name] for name in Normalization._fields)),
        zoo=about["zoo"],
        seed=int(about["seed"]),
    )
    model.load_state_dict(tensors)
    return model.eval()
