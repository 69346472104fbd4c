"""Trains and evaluates small networks on a CPU, one fused loop per model.

Twenty times the speed of one model at a time in PyTorch: see bench/zoo.py. The kernel
is written for an architecture and a CPU (kernel.py) and compiled by numba once
per machine. numba is optional; `unsupported_here` tells why the engine cannot be used.

A model's results do not depend on the number of threads nor on its company. They
do depend on the CPU: sums are ordered differently for different vector lengths.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import socket
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ...networks.architectures import CLASSES, IMAGE_SIZE, Architecture
from ...numbers.shapes import Float, Int, UInt8
from ...running import machine_code
from ...settings.stages import Recipe
from ..plan import ACTIVATIONS, IMAGES, Plan, kernel_order, unsupported
from .kernel import kernel_source

log = logging.getLogger(__name__)

CACHED = ", cache=True"  # of numba's decorators, in the source
KEPT_FILES = 4  # of a kernel: an index and machine code of both functions
ROOM = 2**21  # bytes; they take a third of it


def unsupported_here(
    architecture: Architecture, activation: str, optimizer: str
) -> str | None:
    """Returns why this engine cannot train such networks here; None: it can."""
    if importlib.util.find_spec("numba") is None:
        return "numba is not installed; pip install numba"
    if optimizer != "adam":
        return f"the fused engine trains with adam only, not {optimizer}"
    if activation not in ACTIVATIONS:
        return f"the fused engine does not know the activation {activation}"
    return unsupported(architecture)


def train_epoch(
    weights: Float[np.ndarray, "models parameters"],
    first_moment: Float[np.ndarray, "models parameters"],
    second_moment: Float[np.ndarray, "models parameters"],
    step: int,
    *,
    architecture: Architecture,
    recipe: Recipe,
    pixels: UInt8[np.ndarray, "images channels height width"],
    labels: UInt8[np.ndarray, images],
    mean: Sequence[float] | Float[np.ndarray, channels],
    std: Sequence[float] | Float[np.ndarray, channels],
    order: Int[np.ndarray, "models samples"],
    threads: int,
) -> tuple[Float[np.ndarray, models], Int[np.ndarray, models]]:
    """Trains every model for one epoch with Adam.

    Args:
        weights: Float32, in PyTorch's order; changed in place.
        first_moment: Adam's running mean of gradients; changed in place.
        second_moment: Adam's running mean of squared gradients; changed in place.
        step: Adam steps already done; afterwards step + ceil(images / batch size).
        architecture: The network; must be supported.
        recipe: Activation, learning rate, weight decay and batch size.
        pixels: Raw intensities.
        labels: Classes.
        mean: Of the pixels in [0, 1], per channel.
        std: Of the pixels in [0, 1], per channel.
        order: Int32; which images a model sees, in turn; usually every image once.
        threads: Models trained at the same time.

    Returns:
        Cross-entropy summed over the epoch and number of correct answers, both before
        the step of each batch.

    Raises:
        ValueError: If the recipe is not supported, or an array has another type or
            shape, or an index is out of range.
    """
    reason = unsupported_here(architecture, recipe.activation, recipe.optimizer)
    if reason:
        raise ValueError(reason)
    _check_images(architecture, pixels, labels)
    for rows in (weights, first_moment, second_moment):
        _check_type("weights and moments", rows, np.float32)
    _check_type("order", order, np.int32)
    if order.size and not 0 <= order.min() <= order.max() < len(labels):
        raise ValueError(
            f"order has indices in {order.min()}..{order.max()}, the images are"
            f" 0..{len(labels) - 1}; give positions in pixels"
        )
    kernel = load_kernel(architecture)
    index = kernel_order(architecture)
    flat = np.ascontiguousarray(pixels).reshape(-1)
    scale, shift = _affine(mean, std)

    def train(model: int) -> tuple[float, int]:
        state = [
            np.ascontiguousarray(rows[model, index])
            for rows in (weights, first_moment, second_moment)
        ]
        result = kernel.train_model(
            *state,
            int(step),
            flat,
            labels,
            np.ascontiguousarray(order[model]),
            int(recipe.batch_size),
            scale,
            shift,
            ACTIVATIONS.index(recipe.activation),
            float(recipe.learning_rate),
            float(recipe.weight_decay),
        )
        for rows, values in zip(
            (weights, first_moment, second_moment), state, strict=True
        ):
            rows[model, index] = values
        return result

    return _for_each(train, len(weights), threads=threads)


def evaluate(
    weights: Float[np.ndarray, "models parameters"],
    *,
    architecture: Architecture,
    activation: str,
    pixels: UInt8[np.ndarray, "images channels height width"],
    labels: UInt8[np.ndarray, images],
    mean: Sequence[float] | Float[np.ndarray, channels],
    std: Sequence[float] | Float[np.ndarray, channels],
    threads: int,
    scores: Float[np.ndarray, "models images classes"] | None = None,
) -> tuple[Float[np.ndarray, models], Int[np.ndarray, models]]:
    """Returns summed cross-entropy and number of correct answers of every model.

    Args and Raises: as for train_epoch; activation is one of ACTIVATIONS, and the class
    scores are written to scores, unless None.
    """
    reason = unsupported(architecture)
    if reason:
        raise ValueError(reason)
    _check_images(architecture, pixels, labels)
    _check_type("weights", weights, np.float32)
    kernel = load_kernel(architecture)
    index = kernel_order(architecture)
    flat = np.ascontiguousarray(pixels).reshape(-1)
    scale, shift = _affine(mean, std)
    chunks = -(-len(labels) // IMAGES)

    def judge(model: int) -> tuple[float, int]:
        row = np.ascontiguousarray(weights[model, index])
        code = ACTIVATIONS.index(activation)
        written = np.empty((chunks, CLASSES, IMAGES), np.float32)
        sums = kernel.evaluate_model(
            row, flat, labels, scale, shift, code, written.reshape(-1)
        )
        if scores is not None:
            by_image = written.transpose(0, 2, 1).reshape(-1, CLASSES)
            scores[model] = by_image[: len(labels)]
        return sums

    return _for_each(judge, len(weights), threads=threads)


def _check_images(
    architecture: Architecture, pixels: np.ndarray, labels: np.ndarray
) -> None:
    shape = (len(labels), architecture.channels, IMAGE_SIZE, IMAGE_SIZE)
    if pixels.shape != shape:
        raise ValueError(f"pixels have shape {pixels.shape}, expected {shape}")
    _check_type("pixels", pixels, np.uint8)
    _check_type("labels", labels, np.uint8)


def _check_type(name: str, array: np.ndarray, dtype: type) -> None:
    # another type would be compiled for, silently and for half a minute
    if array.dtype != dtype:
        raise ValueError(f"{name}: {array.dtype}, expected {np.dtype(dtype)}")


def _affine(
    mean: Sequence[float] | np.ndarray, std: Sequence[float] | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns factor and offset that normalise a pixel of 0..255, per channel."""
    centre, spread = np.asarray(mean, np.float64), np.asarray(std, np.float64)
    return (1 / (255 * spread)).astype(np.float32), (-centre / spread).astype(
        np.float32
    )


def _for_each(
    work: Callable[[int], tuple[float, int]], models: int, *, threads: int
) -> tuple[np.ndarray, np.ndarray]:
    # The kernel works without the interpreter's lock, so plain threads do. The first
    # model goes alone: it may compile.
    results = [work(model) for model in range(min(1, models))]
    rest = range(len(results), models)
    if threads == 1:
        results += map(work, rest)
    else:
        with ThreadPoolExecutor(threads) as pool:
            results += pool.map(work, rest)
    loss = np.array([r[0] for r in results], np.float64)
    return loss, np.array([r[1] for r in results], np.int64)


@cache
def load_kernel(
    architecture: Architecture, *, lanes: int | None = None
) -> ModuleType | Any:
    """Returns the module with the compiled kernel of an architecture.

    The source is written to a folder of this machine, where numba keeps the machine
    code: NUMBA_CACHE_DIR, or one per host in the user's cache, else of temporary files.
    Where there is none, every process compiles for itself.

    Args:
        architecture: The network; must be supported.
        lanes: Vector length, 8 or 16; None: the best for this CPU.
    """
    import llvmlite
    import llvmlite.binding
    import numba

    # numba's own settings, for one result on machines of different kinds
    features = numba.config.CPU_FEATURES  # type: ignore[attr-defined]
    if features is None:
        features = llvmlite.binding.get_host_cpu_features().flatten()
    chosen = numba.config.CPU_NAME  # type: ignore[attr-defined]
    cpu = chosen or llvmlite.binding.get_host_cpu_name()
    wide = "+avx512f" in features
    plan = Plan(
        architecture,
        lanes=lanes or (16 if wide else 8),
        registers=32 if wide else 16,
    )
    source = kernel_source(plan)
    key = hashlib.sha256()
    vectors_source = Path(__file__).with_name("vectors.py").read_text(encoding="utf-8")
    for text in (
        *(source, vectors_source, cpu, features),
        *(numba.__version__, llvmlite.__version__, sys.version),
    ):
        key.update(text.encode() + b"\0")
    name = f"hyperreps_kernel_{key.hexdigest()[:16]}"
    for folder in machine_code.folders():
        try:
            return _kept(folder / f"{name}.py", source)
        # numba finds no place for its own files: a RuntimeError
        except (OSError, RuntimeError) as error:
            log.info("%s: machine code cannot be kept there (%s)", folder, error)
    log.info("machine code is not kept; it is compiled by every process")
    module = ModuleType(name)
    exec(source.replace(CACHED, ""), module.__dict__)
    return module


def _kept(path: Path, source: str) -> ModuleType:
    """Returns the module of a source that is kept at path, beside its machine code.

    Raises:
        OSError: If there is no room, or files of others cannot be read.
        RuntimeError: If numba finds no place.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _write(path, source)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # numba finds the globals of cached code by the name of the module
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    for function in (module.train_model, module.evaluate_model):
        _require_room(Path(function.stats.cache_path), path.stem)
    return module


def _require_room(folder: Path, name: str) -> None:
    """Raises an OSError where numba could not read or write what it keeps.

    It would raise the same after half a minute of compiling.
    """
    there = list(folder.glob(f"{name}.*"))
    for path in there:
        path.open("rb").close()
    if len(there) < KEPT_FILES:
        machine_code.require_room(folder, ROOM)


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.stem}.{socket.gethostname()}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.chmod(0o644)  # read by all who share the folder
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
