"""Where networks are trained: the device, its threads and its memory."""

from __future__ import annotations

import ctypes
import logging
import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from ..settings.stages import Engine, SettingsError

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where a job computes, and how.

    Attributes:
        device: auto takes a GPU where there is one.
        threads: CPU threads; results can depend on them.
        engine: What trains and evaluates networks; see engines/interface.py.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = 1
    engine: Engine = "auto"

    def prepare(self) -> torch.device:
        """Returns the device; sets threads and memory of this process.

        Raises:
            SettingsError: If cuda is asked for and there is none.
        """
        found = torch.cuda.is_available()
        if self.device == "cuda" and not found:
            raise SettingsError("device cuda: torch finds no GPU; use cpu or auto")
        torch.set_num_threads(self.threads)
        keep_freed_memory()
        if self.device == "auto":
            return torch.device("cuda" if found else "cpu")
        return torch.device(self.device)


def keep_freed_memory() -> None:
    """Tells glibc to keep freed buffers, which otherwise fault in anew at every step.

    Measured with 16 models per launch: up to 1.7 times the training speed. Does nothing
    where the C library has no mallopt.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
    mallopt(-2, 2**28)  # M_TOP_PAD
    mallopt(-3, 2**25)  # M_MMAP_THRESHOLD, the largest that glibc accepts


def fastest_precision(device: torch.device) -> Literal["float32", "bfloat16"]:
    """Returns what a device multiplies matrices in fastest, by a short measurement.

    On CPUs without units for bfloat16 it is slower than float32 there, on those with
    them about twice as fast and more; a lead below a third is not worth its rounding.
    """
    spent = {kind: _product_seconds(device, kind) for kind in PRECISIONS}
    gain = spent["float32"] / spent["bfloat16"]
    best: Literal["float32", "bfloat16"] = "bfloat16" if gain > 4 / 3 else "float32"
    logging.info("precision %s: bfloat16 multiplies %.1f times as fast", best, gain)
    return best


def _product_seconds(device: torch.device, kind: str) -> float:
    """Returns the least time of some matrix products; CPU time on a CPU."""
    on_cpu = device.type == "cpu"
    clock = time.process_time if on_cpu else time.perf_counter
    size = 512 if on_cpu else 4096  # far above what the start of a kernel takes
    a = torch.ones(size, size, dtype=PRECISIONS[kind], device=device)
    spent = []
    for _ in range(6):
        start = clock()
        float((a @ a)[0, 0])  # waits for a GPU
        spent.append(clock() - start)
    return min(spent)


def this_machine() -> str:
    """Returns processor, cores, memory and GPU of this machine."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = next(x.partition(": ")[2] for x in lines if "model name" in x)
    except (OSError, StopIteration):
        processor = platform.processor() or platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    parts = [processor, f"{os.cpu_count()} cores", f"{memory:.0f} GiB"]
    if torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name())
    return ", ".join(parts)
