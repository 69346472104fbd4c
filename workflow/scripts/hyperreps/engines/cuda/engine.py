"""Trains and evaluates the zoo's CNN on a GPU, one thread block per model.

The kernel (kernel.cu) loops over the batches of an epoch by itself and keeps a
model in shared memory. It is compiled at run time by NVRTC through cuda.bindings, both
dependencies of PyTorch's CUDA wheels; nothing of them is imported without a GPU. No
function waits for the GPU: results are tensors on the device.

A model's results do not depend on its company.
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ...networks.architectures import IMAGE_SIZE, Architecture
from ...numbers.shapes import Float, Int, UInt8
from ...settings.stages import Recipe
from .kernel import (
    ACTIVATIONS,
    ADAM,
    THREADS,
    Limits,
    Plan,
    kernel_source,
    make_plan,
    unsupported,
)

Argument = Tensor | int | float
# name of the kernel, models, arguments
Kernels = Callable[[str, int, Sequence[Argument]], None]


def unsupported_here(
    architecture: Architecture, activation: str, optimizer: str
) -> str | None:
    """Returns why this engine cannot train such networks here; None: it can."""
    if not torch.cuda.is_available():
        return "torch finds no GPU"
    # without a package "cuda", asking for one inside it is an error
    if not all(importlib.util.find_spec(x) for x in ("cuda", "cuda.bindings")):
        return "cuda.bindings is not installed; pip install cuda-bindings"
    return _unsupported(architecture, activation, optimizer)


def _unsupported(
    architecture: Architecture, activation: str, optimizer: str
) -> str | None:
    if optimizer != "adam":
        return f"the fused CUDA engine trains with adam only, not {optimizer}"
    if activation not in ACTIVATIONS:
        return f"the fused CUDA engine does not know {activation}"
    return unsupported(architecture)


def train_epoch(
    weights: Float[Tensor, "models parameters"],
    first_moment: Float[Tensor, "models parameters"],
    second_moment: Float[Tensor, "models parameters"],
    step: int,
    *,
    architecture: Architecture,
    recipe: Recipe,
    pixels: UInt8[Tensor, "images channels height width"],
    labels: UInt8[Tensor, images],
    mean: Float[Tensor, channels],
    std: Float[Tensor, channels],
    order: Int[Tensor, "models samples"],
) -> tuple[Float[Tensor, models], Int[Tensor, models]]:
    """Trains every model for one epoch with Adam.

    Args:
        weights: Float32, in PyTorch's order, on the GPU; changed in place.
        first_moment: Adam's running mean of gradients; changed in place.
        second_moment: Adam's running mean of squared gradients; changed in place.
        step: Adam steps already done; afterwards step + ceil(samples / batch size).
        architecture: The network; must be supported.
        recipe: Activation, learning rate, weight decay and batch size.
        pixels: Raw intensities.
        labels: Classes.
        mean: Of the pixels in [0, 1], per channel.
        std: Of the pixels in [0, 1], per channel.
        order: Int32; which images a model sees, in turn. Positions in pixels; not
            checked, since that would wait for the GPU.

    Returns:
        Float64 cross-entropy summed over the epoch and int64 number of correct answers,
        both before the step of each batch.

    Raises:
        ValueError: If the recipe is not supported, the network does not fit the GPU, or
            a tensor has another type, shape or device.
    """
    reason = _unsupported(architecture, recipe.activation, recipe.optimizer)
    if reason:
        raise ValueError(reason)
    _check(architecture, weights, pixels, labels)
    device = weights.device
    for name, rows in (("first", first_moment), ("second", second_moment)):
        _check_tensor(f"{name} moment", rows, torch.float32, weights.shape, device)
    shape = (len(weights), order.shape[-1])
    _check_tensor("order", order, torch.int32, shape, device)
    plan = make_plan(
        architecture,
        activation=recipe.activation,
        limits=device_limits(device),
    )
    steps = -(-order.shape[1] // recipe.batch_size)
    loss, correct = _results(weights)
    load_kernel(plan, device)(
        "train",
        len(weights),
        [
            *(weights, first_moment, second_moment, pixels, labels),
            *(_affine(mean, std), order, _places(plan, device)),
            _corrections(step, steps, rate=recipe.learning_rate, device=device),
            *(loss, correct, order.shape[1], recipe.batch_size),
            *(plan.chunk(recipe.batch_size), recipe.weight_decay),
        ],
    )
    return loss, correct


def evaluate(
    weights: Float[Tensor, "models parameters"],
    *,
    architecture: Architecture,
    activation: str,
    pixels: UInt8[Tensor, "images channels height width"],
    labels: UInt8[Tensor, images],
    mean: Float[Tensor, channels],
    std: Float[Tensor, channels],
) -> tuple[Float[Tensor, models], Int[Tensor, models]]:
    """Returns summed cross-entropy and number of correct answers of every model.

    Args and Raises: as for train_epoch; activation is one of ACTIVATIONS.
    """
    reason = unsupported(architecture)
    if reason:
        raise ValueError(reason)
    _check(architecture, weights, pixels, labels)
    device = weights.device
    limits = device_limits(device)
    plan = make_plan(architecture, activation=activation, limits=limits)
    loss, correct = _results(weights)
    load_kernel(plan, device)(
        "evaluate",
        len(weights),
        [
            *(weights, pixels, labels, _affine(mean, std), _places(plan, device)),
            *(loss, correct, len(labels), plan.images),
        ],
    )
    return loss, correct


def _check(
    architecture: Architecture, weights: Tensor, pixels: Tensor, labels: Tensor
) -> None:
    device = weights.device
    shape = (len(weights), architecture.parameters)
    _check_tensor("weights", weights, torch.float32, shape, device)
    image = (architecture.channels, IMAGE_SIZE, IMAGE_SIZE)
    _check_tensor("pixels", pixels, torch.uint8, (len(labels), *image), device)
    _check_tensor("labels", labels, torch.uint8, (len(labels),), device)


def _check_tensor(
    name: str,
    tensor: Tensor,
    dtype: torch.dtype,
    shape: Sequence[int],
    device: torch.device,
) -> None:
    found = f"{tensor.dtype} {tuple(tensor.shape)} on {tensor.device}"
    expected = f"{dtype} {tuple(shape)} on {device}"
    if found != expected:
        raise ValueError(f"{name}: {found}, expected {expected}")
    if not tensor.is_contiguous():
        raise ValueError(f"{name} must be contiguous; call contiguous() first")


def _results(weights: Tensor) -> tuple[Tensor, Tensor]:
    models, device = len(weights), weights.device
    return (
        torch.empty(models, dtype=torch.float64, device=device),
        torch.empty(models, dtype=torch.int64, device=device),
    )


def _affine(mean: Tensor, std: Tensor) -> Tensor:
    """Returns factor and offset that normalise a pixel of 0..255: [2, channels]."""
    spread = std.double()
    return torch.stack([1 / (255 * spread), -mean.double() / spread]).float()


def _corrections(
    step: int, steps: int, *, rate: float, device: torch.device
) -> Float[Tensor, "steps 2"]:
    """Returns step size and root of the second correction of Adam for each step."""
    done = torch.arange(step + 1, step + steps + 1, dtype=torch.float64, device=device)
    size = rate / (1 - ADAM["BETA_1"] ** done)
    root = (1 - ADAM["BETA_2"] ** done).sqrt()
    return torch.stack([size, root], dim=1).float()


@cache
def _places(plan: Plan, device: torch.device) -> Tensor:
    return torch.from_numpy(plan.places()).to(device)


@cache
def device_limits(device: torch.device) -> Limits:
    """Returns the shared memory of a GPU.

    Raises:
        ValueError: If the device is no GPU.
    """
    if device.type != "cuda":
        raise ValueError(f"the fused CUDA engine needs tensors on a GPU, not {device}")
    found = torch.cuda.get_device_properties(device)
    return Limits(
        # missing in torch's stubs
        block=found.shared_memory_per_block_optin,  # type: ignore[attr-defined]
        multiprocessor=found.shared_memory_per_multiprocessor,
    )


@cache
def load_kernel(plan: Plan, device: torch.device) -> Kernels:
    """Compiles a plan for a GPU; returns what launches it on the current stream."""
    from cuda.bindings import driver

    major, minor = torch.cuda.get_device_capability(device)
    binary = compile_source(kernel_source(plan), target=f"sm_{major}{minor}")
    attribute = (
        driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    )
    functions = {}
    with torch.cuda.device(device):
        # makes the device's context current in this thread
        torch.cuda.synchronize()
        module = _ask(driver.cuModuleLoadData, binary)
        for name in ("train", "evaluate"):
            function = _ask(driver.cuModuleGetFunction, module, name.encode())
            _ask(driver.cuFuncSetAttribute, function, attribute, plan.shared_bytes)
            functions[name] = function

    def launch(name: str, models: int, arguments: Sequence[Argument]) -> None:
        values = [as_c(x) for x in arguments]
        addresses = (ctypes.c_void_p * len(values))(*map(ctypes.addressof, values))
        with torch.cuda.device(device):
            stream = driver.CUstream(torch.cuda.current_stream().cuda_stream)
            _ask(
                driver.cuLaunchKernel,
                *(functions[name], models, 1, 1, THREADS, 1, 1),
                *(plan.shared_bytes, stream, ctypes.addressof(addresses), 0),
            )

    return launch


def as_c(value: Argument) -> ctypes.c_void_p | ctypes.c_int | ctypes.c_float:
    """Returns what a kernel takes for a tensor (its address), an int or a float."""
    if isinstance(value, Tensor):
        return ctypes.c_void_p(value.data_ptr())
    return ctypes.c_int(value) if isinstance(value, int) else ctypes.c_float(value)


def compile_source(source: str, *, target: str) -> bytes:
    """Compiles CUDA C++ with NVRTC; needs no GPU.

    Args:
        source: What to compile.
        target: A real architecture such as sm_90.

    Returns:
        Machine code (cubin).

    Raises:
        RuntimeError: With the compiler's messages, if it does not compile.
    """
    from cuda.bindings import nvrtc

    program = _ask(nvrtc.nvrtcCreateProgram, source.encode(), b"kernel.cu", 0, [], [])
    options = [f"--gpu-architecture={target}".encode(), b"--std=c++17"]
    (status,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
    if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        log = bytes(_ask(nvrtc.nvrtcGetProgramLogSize, program))
        _ask(nvrtc.nvrtcGetProgramLog, program, log)
        raise RuntimeError(f"NVRTC: {log.decode()}")
    binary = bytes(_ask(nvrtc.nvrtcGetCUBINSize, program))
    _ask(nvrtc.nvrtcGetCUBIN, program, binary)
    _ask(nvrtc.nvrtcDestroyProgram, program)
    return binary


def _ask(call: Callable[..., tuple], *arguments: Any) -> Any:
    """Calls a function of cuda.bindings; returns its value or raises its error."""
    status, *found = call(*arguments)
    if status != 0:
        raise RuntimeError(f"{call.__name__}: {status}")
    return found[0] if found else None
