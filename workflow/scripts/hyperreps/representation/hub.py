"""A hyper-representation as a folder: what the Hugging Face Hub takes as it is.

README.md is the model card, config.json what builds the model, model.safetensors its
tensors. Unlike a file of a run, the folder may be renamed and its files linked to.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

from ..files.provenance import provenance
from ..files.storage import DataFileError, new_folder, reading_from
from ..networks.architectures import Architecture

CARD, CONFIG, MODEL = "README.md", "config.json", "model.safetensors"
MODEL_TYPE = "hyper-representation"


def write_folder(
    folder: Path,
    tensors: Mapping[str, Tensor],
    config: Mapping[str, Any],
    *,
    architecture: Architecture,
) -> None:
    """Writes a model, whole or not at all.

    Args:
        folder: To make.
        tensors: By name, on any device.
        config: What builds the model, and "trained_on", what is known of its training
            (describe.py).
        architecture: Of the networks it represents.

    Raises:
        OutputError: If there is something of this name, or it cannot be written.
    """
    plain = {name: x.detach().cpu().contiguous() for name, x in tensors.items()}
    content = save(plain, metadata={"format": "pt"})
    code = provenance()
    about = {
        "model_type": MODEL_TYPE,
        **config,
        "sha256": hashlib.sha256(content).hexdigest(),
        "git_commit": code["git_commit"],
        "versions": json.loads(code["versions"]),
    }
    if "own_parts" in code:
        about["own_parts"] = json.loads(code["own_parts"])
    text = json.dumps(about, indent=2, allow_nan=False) + "\n"
    with new_folder(folder) as temporary:
        (temporary / MODEL).write_bytes(content)
        (temporary / CONFIG).write_text(text, encoding="utf-8")
        (temporary / CARD).write_text(_card(about, architecture), encoding="utf-8")


def read_folder(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads the tensors and the config of a folder.

    Raises:
        DataFileError: If a file is missing, damaged or of another kind of model.
    """
    path = folder / CONFIG
    with reading_from(path):
        text = path.read_bytes()
    try:
        config = json.loads(text)
        kind = config["model_type"]
    except (ValueError, LookupError, TypeError) as error:
        raise DataFileError(f"{path}: is no config of a model; replace it") from error
    if kind != MODEL_TYPE:
        raise DataFileError(f"{path}: holds {kind!r}, but {MODEL_TYPE!r} is needed")
    path = folder / MODEL
    with reading_from(path):
        content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != config.get("sha256"):
        raise DataFileError(
            f"{path}: is not the file that {CONFIG} belongs to (sha256); get both anew"
        )
    return load(content), config


def _card(config: Mapping[str, Any], architecture: Architecture) -> str:
    template = Path(__file__).with_name("card.md").read_text(encoding="utf-8")
    trained_on = config["trained_on"]
    return template.format(
        zoo=config["zoo"] or "without a name",
        results=_results(config["zoo"], trained_on),
        parameters=architecture.parameters,
        architecture=architecture.name,
        channels=architecture.channels,
        latent=config["settings"]["latent"],
        r2=_r2(trained_on),
        training="\n".join(_training(trained_on)),
        layers=", ".join(
            f"{name} {shape}" for name, shape in architecture.shapes().items()
        ),
    )


def _results(zoo: str, trained_on: Mapping[str, Any]) -> str:
    """Returns the part of the card that the Hub shows as results."""
    if not trained_on:
        return ""
    metrics = [
        {"type": "r2", "name": f"R2 of held-out networks, {unit}", "value": value}
        for unit, value in trained_on["r2"]["held_out"].items()
    ]
    result = {
        "task": {"type": "feature-extraction", "name": "Reconstruction of networks"},
        "dataset": {"type": trained_on["dataset"], "name": f"zoo {zoo}"},
        "metrics": metrics,
    }
    # JSON is YAML
    return f"model-index: {json.dumps([{'name': zoo, 'results': [result]}])}\n"


def _r2(trained_on: Mapping[str, Any]) -> str:
    if not trained_on:
        return "Not recorded."
    lines = ["| R² of | " + " | ".join(trained_on["r2"]["held_out"]) + " |"]
    lines.append("|---" * (1 + len(trained_on["r2"]["held_out"])) + "|")
    for which, values in trained_on["r2"].items():
        numbers = " | ".join(f"{value:.4f}" for value in values.values())
        lines.append(f"| {which.replace('_', '-')} networks | {numbers} |")
    return "\n".join(lines)


def _training(trained_on: Mapping[str, Any]) -> list[str]:
    if not trained_on:
        return ["- Not recorded."]
    first, last = trained_on["window"]
    recipe = ", ".join(f"{key} {value}" for key, value in trained_on["recipe"].items())
    return [
        f"- Networks of {trained_on['networks']} training runs on images"
        f" `{trained_on['dataset']}`, at epochs {first} to {last};"
        f" {trained_on['held_out']} other runs are held out, at epoch {last}.",
        f"- Their recipe: {recipe}.",
        f"- {trained_on['epochs']} epochs of training of the autoencoder.",
        "",
    ]
