"""Python programs in processes of their own that find the libraries loaded.

Loading them takes a program longer than most of what it is asked for here. One server
for each worker has loaded them and forks; what is the project's own, each process
imports anew.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory

CHECKOUT = Path(__file__).parents[1]
# where pytest finds the project; programs have to find it by themselves
OWN = {"", str(CHECKOUT), str(CHECKOUT / "workflow" / "scripts")}
LIBRARIES = (
    *(
        "torch",
        "numpy",
        "scipy.stats",
        "scipy.optimize",
        "pandas",
        "h5py",
        "safetensors",
    ),
    *("pydantic", "tyro", "tqdm", "jinja2", "matplotlib.pyplot", "sklearn.neighbors"),
    *("pytest", "snakemake.cli", "snakemake_logger_plugin_rich"),
    *("snakemake_executor_plugin_slurm", "snakemake_executor_plugin_cluster_generic"),
)
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(list(LIBRARIES))


def python(
    words: Sequence[str],
    *,
    cwd: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    together: bool = False,
) -> CompletedProcess[str]:
    """Runs Python to its end; nothing that it started outlives an exception.

    Args:
        words: A script and its arguments, or -m and a module and its.
        cwd: Folder to run it in; None: the current one.
        environment: All variables that it sees.
        together: Whether what it prints and its errors are one text, the output.

    Returns:
        Its exit code and what it printed.
    """
    with TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("output", "errors")]
        arguments = ([*words], cwd or Path.cwd(), dict(environment), files, together)
        process = SERVER.Process(target=_program, args=arguments)
        process.start()
        try:
            process.join()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        texts = [file.read_text(encoding="utf-8") for file in files if file.exists()]
    return CompletedProcess(words, process.exitcode, *texts)


def _program(
    words: list[str],
    cwd: Path,
    environment: dict[str, str],
    files: list[Path],
    together: bool,
) -> None:
    """Is the program."""
    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.dont_write_bytecode = "PYTHONDONTWRITEBYTECODE" in environment
    output, errors = (os.open(file, os.O_WRONLY | os.O_CREAT) for file in files)
    os.dup2(output, 1)
    os.dup2(output if together else errors, 2)
    paths = [path for path in sys.path if path not in OWN]
    if words[0] == "-m":
        sys.path = [str(cwd), *paths]
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.path = [str(Path(words[0]).parent), *paths]
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")
