"""Networks as others keep them: state dicts in folders, made from a zoo's weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from hyperreps.networks.architectures import Architecture

# where the authors' class has the cnn's layers
AUTHORS = {"conv1": 0, "conv2": 3, "conv3": 6, "linear1": 9, "linear2": 11}


def state(row: np.ndarray, network: Architecture) -> dict[str, Tensor]:
    """Returns a weight vector as a state dict with the architecture's names."""
    found, start = {}, 0
    for name, shape in network.shapes().items():
        size = int(np.prod(shape))
        found[name] = torch.tensor(row[start : start + size]).reshape(shape)
        start += size
    return found


def renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns a state dict of the cnn with the keys of the authors' class."""
    parts = [(name.split("."), x) for name, x in tensors.items()]
    return {f"module_list.{AUTHORS[layer]}.{kind}": x for (layer, kind), x in parts}


def write_checkpoints(
    folder: Path,
    weights: np.ndarray,
    network: Architecture,
    *,
    epochs: Sequence[int],
    seeds: Sequence[int],
    accuracy: np.ndarray,
    wrapped: bool = False,
) -> list[Path]:
    """Writes weights [models, epochs, parameters] as the authors' dataset has them.

    Returns:
        The folder of each network.
    """
    folders = []
    for model, seed in enumerate(seeds):
        own = folder / f"NN_tune_trainable_{model:05d}_{model}_seed={seed}_2021-10-19"
        lines = []
        for column, epoch in enumerate(epochs):
            tensors = renamed(state(weights[model, column], network))
            place = own / f"checkpoint_{epoch:06d}"
            place.mkdir(parents=True)
            kept = {"model_state_dict": tensors, "epoch": epoch} if wrapped else tensors
            torch.save(kept, place / "checkpoints")
            torch.save({"state": {}, "param_groups": []}, place / "optimizer")
            line = {"train_acc": -999, "test_acc": float(accuracy[model, column])}
            lines.append(json.dumps({**line, "training_iteration": epoch}))
        (own / "result.json").write_text("\n".join(lines) + "\n", encoding="utf-8")
        parameters = {"seed": seed, "model::nlin": "tanh", "model::type": "CNN"}
        (own / "params.json").write_text(json.dumps(parameters), encoding="utf-8")
        folders.append(own)
    lengths = [item.whole.stop - item.whole.start for item in network.weighted]
    index = {"idx_length": lengths, "layer": [[i, ""] for i in AUTHORS.values()]}
    (folder / "index_dict.json").write_text(json.dumps(index), encoding="utf-8")
    (folder / "experiment_state-2021-10-19.json").write_text("{}", encoding="utf-8")
    (folder / "plots").mkdir()
    return folders


def write_files(
    folder: Path,
    weights: np.ndarray,
    network: Architecture,
    *,
    epochs: Sequence[int],
    seeds: Sequence[int],
    suffix: str,
    own_names: bool = False,
) -> None:
    """Writes weights [models, epochs, parameters] as one file per network and epoch.

    Those of one epoch do not name it.
    """
    folder.mkdir(parents=True)
    for model, seed in enumerate(seeds):
        for column, epoch in enumerate(epochs):
            tensors = state(weights[model, column], network)
            tensors = renamed(tensors) if own_names else tensors
            end = f"_epoch_{epoch}" if len(epochs) > 1 else ""
            path = folder / f"network_{seed}{end}{suffix}"
            if suffix == ".safetensors":
                save_file(tensors, path)
            else:
                torch.save(tensors, path)
