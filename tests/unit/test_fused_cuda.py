"""The fused CUDA kernel without a GPU: emulated on the CPU, and compiled for Hopper.

The emulation compiles the kernel's own source as C++ (cuda_emulation.h). What only a
GPU can show is in test_gpu.py.
"""

import ctypes
import re
import shutil
import subprocess

import numpy as np
import pytest
import torch

from hyperreps.data.images import Images
from hyperreps.engines.cuda import engine as fused_cuda
from hyperreps.engines.cuda.kernel import (
    ACTIVATIONS,
    BLOCKS,
    HOPPER,
    THREADS,
    Limits,
    kernel_source,
    make_plan,
    unsupported,
)
from hyperreps.engines.fused import engine as fused
from hyperreps.networks.architectures import Architecture, Convolution, Linear, build
from hyperreps.networks.initialisation import initial_weights
from hyperreps.numbers.randomness import batch_order
from hyperreps.zoo.population import PopulationTraining

from .conftest import make_images
from .cuda_emulation import COMPILER, emulation, emulator
from .fused_oracle import (
    RECIPE,
    RECIPES,
    assert_activation,
    assert_layers_agree,
    decided,
    digits,
    distance,
    epoch,
    gradient,
    tails,
)

IMAGES = 47
REGISTERS = 65536


@pytest.fixture(scope="session")
def libraries(tmp_path_factory):
    return tmp_path_factory.mktemp("libraries")


@pytest.fixture
def emulated(monkeypatch, libraries):
    """Kernels run on the CPU; called with an order of threads, changes it."""
    if COMPILER is None:
        pytest.skip("the emulation needs g++")

    def use(*, threads_reversed: bool = False):
        load = emulator(libraries, threads_reversed=threads_reversed)
        monkeypatch.setattr(fused_cuda, "load_kernel", load)

    monkeypatch.setattr(fused_cuda, "device_limits", lambda device: HOPPER)
    use()
    return use


def arguments(channels: int) -> dict:
    arrays = make_images(channels, (IMAGES, 1, 1))
    return {
        "architecture": build("cnn", channels=channels),
        "pixels": torch.from_numpy(arrays["train/images"]),
        "labels": torch.from_numpy(arrays["train/labels"]),
        "mean": torch.tensor([0.4, 0.3, 0.5][:channels]),
        "std": torch.tensor([0.2, 0.25, 0.3][:channels]),
    }


def start(
    models: int, *, channels: int, initialization: str = RECIPE.initialization
) -> torch.Tensor:
    network = build("cnn", channels=channels)
    return initial_weights(network, initialization=initialization, seeds=range(models))


def orders(models: int, *, images: int = IMAGES) -> torch.Tensor:
    rows = [
        np.random.default_rng(k).permutation(IMAGES)[:images] for k in range(models)
    ]
    return torch.from_numpy(np.stack(rows).astype(np.int32))


def train(weights, order, data, *, recipe=RECIPE, state=None, step=0):
    """Returns weights, moments, loss and correct answers after an epoch."""
    state = state or (torch.zeros_like(weights), torch.zeros_like(weights))
    rows = [x.clone() for x in (weights, *state)]
    result = fused_cuda.train_epoch(*rows, step, recipe=recipe, order=order, **data)
    return (*rows, *result)


@pytest.mark.parametrize(
    ("activation", "size"),
    [*((name, 10) for name in ACTIVATIONS), ("tanh", 1), ("tanh", 4), ("tanh", 37)],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_gradient_equals_autograd_in_float64(emulated, channels, activation, size):
    """Adam's first moment after one step from zero is a tenth of the gradient."""
    data = arguments(channels)
    weights, order = start(1, channels=channels), orders(1, images=size)
    changes = {"activation": activation, "batch_size": size, "weight_decay": 0.0}
    recipe = RECIPE.model_copy(update=changes)
    _, moment, _, loss, correct = train(weights, order, data, recipe=recipe)
    expected = gradient(weights[0], data, order[0], activation=activation)
    assert distance(moment[0] / 0.1, expected[2]) < 1e-5 * expected[2].norm()
    assert loss[0] == pytest.approx(expected[0], rel=1e-5)
    assert correct[0] == expected[1]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_values_and_slopes_are_right_far_into_both_tails(
    emulated, libraries, activation
):
    x = tails()
    values, slopes = x.copy(), np.empty_like(x)
    plan = make_plan(build("cnn", channels=1), activation=activation)
    addresses = (ctypes.c_void_p(array.ctypes.data) for array in (values, slopes))
    emulation(plan, libraries).emulate_activate(*addresses, len(x))
    assert_activation(activation, x, values, slopes)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_every_layer_has_its_gradient_on_real_images(emulated, recipe):
    """Untrained and after 20 steps by the recipe; slopes are tiny."""
    data = {
        name: value if name == "architecture" else torch.as_tensor(value)
        for name, value in digits(1).items()
    }
    weights = start(1, channels=1, initialization=recipe.initialization)
    changes = {"batch_size": 50, "weight_decay": 0.0}
    whole = recipe.model_copy(update=changes)
    order = torch.arange(20 * recipe.batch_size, dtype=torch.int32)[None]
    for _ in range(2):
        index = np.arange(50, dtype=np.int32)
        index = decided(weights[0], data, index, activation=recipe.activation)
        rows = torch.from_numpy(index)[None]
        _, moment, *_ = train(weights, rows, data, recipe=whole)
        assert_layers_agree(
            moment[0] / 0.1, weights[0], data, index, activation=recipe.activation
        )
        weights, *_ = train(weights, order, data, recipe=recipe)


@pytest.mark.parametrize(("channels", "decay"), [(1, 0.0), (1, 1e-2), (3, 1e-2)])
def test_sixteen_steps_equal_torch_adam(emulated, channels, decay):
    """The last batch has two images instead of three."""
    data = arguments(channels)
    recipe = RECIPE.model_copy(update={"batch_size": 3, "weight_decay": decay})
    weights, order = start(1, channels=channels), orders(1)
    after, first, second, loss, _ = train(weights, order, data, recipe=recipe)
    expected, *moments, total = epoch(weights[0], data, order[0], recipe=recipe)
    assert distance(after[0], expected) < 1e-4 * distance(expected, weights[0])
    assert loss[0] == pytest.approx(total, rel=1e-5)
    for own, theirs in zip((first, second), moments, strict=True):
        assert distance(own[0], theirs) < 1e-5 * theirs.norm()


def test_epoch_equals_the_fused_cpu_engine(emulated):
    pytest.importorskip("numba", reason="the fused engine needs numba")
    data = arguments(1)
    weights, order = start(2, channels=1), orders(2)
    found = train(weights, order, data)
    rows = [weights.numpy().copy(), *np.zeros((2, *weights.shape), np.float32)]
    arrays = {k: v.numpy() for k, v in data.items() if k != "architecture"}
    loss, correct = fused.train_epoch(
        *rows,
        0,
        architecture=data["architecture"],
        recipe=RECIPE,
        order=order.numpy(),
        threads=1,
        **arrays,
    )
    difference = np.linalg.norm(found[0].numpy() - rows[0])
    assert difference < 1e-4 * np.linalg.norm(rows[0] - weights.numpy())
    np.testing.assert_allclose(found[3].numpy(), loss, rtol=1e-5)
    np.testing.assert_array_equal(found[4].numpy(), correct)


def test_epoch_equals_the_generic_engine(emulated):
    arrays = make_images(counts=(IMAGES, 5, 5))
    data = arguments(1)
    weights = start(2, channels=1)
    images = Images.by_split(arrays, mean=[0.4], std=[0.2], device=torch.device("cpu"))
    training = PopulationTraining(
        weights,
        data["architecture"],
        images=images,
        seeds=[3, 4],
        recipe=RECIPE,
        record=[],
        engine="grouped",
    )
    training.run_epoch()
    order = batch_order(torch.tensor([3, 4]), epoch=1, count=IMAGES).int()
    pixels = torch.from_numpy(arrays["train/images"])
    labels = torch.from_numpy(arrays["train/labels"])
    data |= {"pixels": pixels, "labels": labels}
    after, _, _, loss, correct = train(weights, order, data)
    moved = (training.weights - weights).norm()
    assert (after - training.weights).norm() < 1e-4 * moved
    np.testing.assert_allclose(loss / IMAGES, training.loss["train"][:, 1], rtol=1e-5)
    np.testing.assert_allclose(correct / IMAGES, training.accuracy["train"][:, 1])


@pytest.mark.parametrize("activation", ["tanh", "gelu"])
@pytest.mark.parametrize("channels", [1, 3])
def test_evaluation_equals_torch(emulated, channels, activation):
    data = arguments(channels)
    weights = start(2, channels=channels)
    loss, correct = fused_cuda.evaluate(weights, activation=activation, **data)
    every = torch.arange(IMAGES)
    for k, row in enumerate(weights):
        expected = gradient(row, data, every, activation=activation)
        assert loss[k] == pytest.approx(expected[0], rel=1e-5)
        assert correct[k] == expected[1]


def test_ties_count_as_in_torch(emulated):
    """A dead network answers with the first class."""
    data = arguments(1)
    weights = torch.zeros_like(start(1, channels=1))
    loss, correct = fused_cuda.evaluate(weights, activation="relu", **data)
    assert correct[0] == (data["labels"] == 0).sum()
    assert loss[0] == pytest.approx(IMAGES * np.log(10))


@pytest.mark.parametrize("channels", [1, 3])
def test_same_bits_in_company_and_whatever_thread_comes_first(emulated, channels):
    """Threads in another order between barriers find what a barrier too few breaks."""
    data = arguments(channels)
    weights, order = start(3, channels=channels), orders(3)
    company = train(weights, order, data)
    judged = fused_cuda.evaluate(weights, activation="tanh", **data)
    emulated(threads_reversed=True)
    again = train(weights[1:2], order[1:2], data)
    for together, alone in zip(company, again, strict=True):
        assert torch.equal(together[1], alone[0])
    alone = fused_cuda.evaluate(weights[1:2], activation="tanh", **data)
    assert (judged[0][1], judged[1][1]) == (alone[0][0], alone[1][0])


def test_stopped_and_resumed_training_has_the_same_bits(emulated):
    data = arguments(1)
    weights, order = start(2, channels=1), orders(2)
    whole = train(weights, order, data)
    *half, loss, correct = train(weights, order[:, :28].contiguous(), data)
    rest = order[:, 28:].contiguous()
    rest = train(half[0], rest, data, state=tuple(half[1:]), step=4)
    for one, other in zip(whole[:3], rest[:3], strict=True):
        assert torch.equal(one, other)
    torch.testing.assert_close(loss + rest[3], whole[3], rtol=1e-12, atol=0)
    assert torch.equal(correct + rest[4], whole[4])


@pytest.mark.parametrize("channels", [1, 3])
def test_weights_have_one_place_each(channels):
    plan = make_plan(build("cnn", channels=channels), activation="tanh")
    places = plan.places()
    used = places[places >= 0]
    assert sorted(used) == list(range(plan.architecture.parameters))
    starts = np.array(list(plan.layout.values()))
    assert (np.diff(starts) > 0).all()
    assert (starts % 4 == 0).all()


def test_chunks_cover_a_batch():
    plan = make_plan(build("cnn", channels=1), activation="tanh")
    for size in (1, 4, 10, 37, 128, 1000):
        chunk = plan.chunk(size)
        assert 1 <= chunk <= plan.images
        assert -(-size // chunk) == -(-size // plan.images)


@pytest.mark.parametrize("channels", [1, 3])
def test_two_models_share_a_multiprocessor(channels):
    network = build("cnn", channels=channels)
    plan = make_plan(network, activation="tanh")
    assert plan.blocks == 2
    assert 2 * (plan.shared_bytes + 1024) <= HOPPER.multiprocessor
    small = Limits(block=99 * 1024, multiprocessor=100 * 1024)
    plan = make_plan(network, activation="tanh", limits=small)
    assert plan.blocks == 1
    assert plan.shared_bytes <= 99 * 1024


def test_too_little_shared_memory_is_refused_in_one_line():
    tiny = Limits(block=16 * 1024, multiprocessor=32 * 1024)
    with pytest.raises(
        ValueError, match=r"cnn with 3 channels needs \d+ bytes"
    ) as error:
        make_plan(build("cnn", channels=3), activation="tanh", limits=tiny)
    assert "\n" not in str(error.value)


def test_the_reason_is_given_where_the_engine_does_not_fit(monkeypatch):
    network = build("cnn", channels=1)
    assert unsupported(network) is None
    odd = (*network.layers[:3], Convolution(5, 5), *network.layers[4:])
    assert "second convolution" in unsupported(Architecture("odd", 1, odd))
    wide = (*network.layers[:8], Linear(36), *network.layers[9:])
    assert "linear" in unsupported(Architecture("wide", 1, wide))
    short = Architecture("short", 1, network.layers[3:])
    assert "conv-pool" in unsupported(short)
    assert "conv-pool" in unsupported(build("cnn_4conv", channels=1))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "no GPU" in fused_cuda.unsupported_here(network, "tanh", "adam")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(fused_cuda.importlib.util, "find_spec", lambda name: None)
    assert "cuda-bindings" in fused_cuda.unsupported_here(network, "tanh", "adam")
    monkeypatch.undo()
    assert "adam only" in fused_cuda._unsupported(network, "tanh", "sgd")


def test_bad_input_is_refused():
    data = arguments(1)
    weights, order = start(1, channels=1), orders(1)
    with pytest.raises(ValueError, match="needs tensors on a GPU, not cpu"):
        train(weights, order, data)
    with pytest.raises(
        ValueError, match=r"order: torch\.int64 .* expected torch\.int32"
    ):
        train(weights, order.long(), data)
    with pytest.raises(ValueError, match=r"pixels: .* expected"):
        train(weights, order, data | {"pixels": data["pixels"][:, :, :9]})
    with pytest.raises(ValueError, match="contiguous"):
        train(weights, orders(1).repeat(1, 2)[:, ::2], data)


@pytest.mark.skipif(not shutil.which("nvcc"), reason="no nvcc")
@pytest.mark.parametrize("channels", [1, 3])
def test_nvcc_compiles_it_for_hopper(tmp_path, channels):
    """Two blocks fit the registers of a multiprocessor."""
    source = tmp_path / "kernel.cu"
    plan = make_plan(build("cnn", channels=channels), activation="gelu")
    source.write_text(kernel_source(plan))
    command = ["nvcc", "-arch=sm_90", "-cubin", "-Xptxas", "-v", "-o", "kernel.cubin"]
    done = subprocess.run(
        [*command, source.name], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    used = [int(n) for n in re.findall(r"Used (\d+) registers", done.stderr)]
    assert len(used) == 2
    assert max(used) * THREADS * BLOCKS <= REGISTERS


def test_nvrtc_compiles_it_for_hopper():
    """As PyTorch's CUDA wheels do; needs no GPU."""
    pytest.importorskip("cuda.bindings", reason="no cuda.bindings")
    pathfinder = pytest.importorskip("cuda.pathfinder")
    try:
        pathfinder.load_nvidia_dynamic_lib("nvrtc")
    except pathfinder.DynamicLibNotFoundError:
        pytest.skip("no NVRTC library")
    plan = make_plan(build("cnn", channels=1), activation="tanh")
    binary = fused_cuda.compile_source(kernel_source(plan), target="sm_90")
    assert binary[:4] == b"\x7fELF"
    with pytest.raises(RuntimeError, match="undefined"):
        fused_cuda.compile_source("__device__ int x = y;", target="sm_90")
