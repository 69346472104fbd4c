"""Compiles the fused CUDA kernel for the CPU and runs it in place of the GPU's."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from hyperreps.engines.cuda import engine as fused_cuda
from hyperreps.engines.cuda import kernel as fused_cuda_kernel

HEADER = Path(__file__).with_name("cuda_emulation.h")
COMPILER = shutil.which("g++")
PROBLEMS = {1: "threads wait for one another", 2: "writes outside shared memory"}

# kernels as ordinary functions: blocks, threads, shared memory, order of the threads
_ENTRY = """
template <class... Arguments>
int run(void (*kernel)(Arguments...), int blocks, int threads, size_t shared,
        bool reversed, Arguments... arguments) {
    return emulate([=] { kernel(arguments...); }, blocks, threads, shared, reversed);
}
extern "C" int emulate_train(
    int blocks, int threads, size_t shared, bool reversed, float* weights,
    float* firsts, float* seconds, const byte* pixels, const byte* labels,
    const float* affine, const int* order, const int* places, const float* corrections,
    double* losses, long long* corrects, int samples, int batch, int in_flight,
    float decay) {
    return run(train, blocks, threads, shared, reversed, weights, firsts, seconds,
               pixels, labels, affine, order, places, corrections, losses, corrects,
               samples, batch, in_flight, decay);
}
extern "C" int emulate_evaluate(
    int blocks, int threads, size_t shared, bool reversed, const float* weights,
    const byte* pixels, const byte* labels, const float* affine, const int* places,
    double* losses, long long* corrects, int samples, int in_flight) {
    return run(evaluate, blocks, threads, shared, reversed, weights, pixels, labels,
               affine, places, losses, corrects, samples, in_flight);
}
extern "C" void emulate_activate(float* values, float* slopes, int count) {
    for (int i = 0; i < count; i++)
        values[i] = activate(values[i], slopes[i]);
}
"""


def emulator(
    folder: Path, *, threads_reversed: bool = False
) -> Callable[..., fused_cuda.Kernels]:
    """Returns a stand-in for fused_cuda.load_kernel, with libraries in a folder."""

    def load(plan: fused_cuda_kernel.Plan, device: object) -> fused_cuda.Kernels:
        loaded = emulation(plan, folder)

        def launch(name, models, arguments):
            settings = (
                ctypes.c_int(models),
                ctypes.c_int(fused_cuda_kernel.THREADS),
                ctypes.c_size_t(plan.shared_bytes),
                ctypes.c_bool(threads_reversed),
            )
            run = getattr(loaded, f"emulate_{name}")
            status = run(*settings, *map(fused_cuda.as_c, arguments))
            assert status == 0, PROBLEMS[status]

        return launch

    return load


def emulation(plan: fused_cuda_kernel.Plan, folder: Path) -> ctypes.CDLL:
    """Returns the kernel of a plan as a library, compiled once per folder."""
    channels = plan.architecture.channels
    library = folder / f"{plan.activation}_{channels}_{plan.images}.so"
    if not library.exists():
        _compile(plan, library)
    return ctypes.CDLL(str(library))


def _compile(plan: fused_cuda_kernel.Plan, library: Path) -> None:
    source = library.with_suffix(".cpp")
    kernel = fused_cuda_kernel.kernel_source(plan)
    source.write_text(f'#include "{HEADER}"\n{kernel}{_ENTRY}')
    flags = ["-std=c++17", "-O2", "-march=native", "-w", "-shared", "-fPIC"]
    command = [COMPILER, *flags, str(source), "-o", str(library)]
    subprocess.run(command, check=True)
