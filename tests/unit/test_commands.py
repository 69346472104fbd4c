"""Command lines in terminals, pipes and on machines of all kinds."""

from __future__ import annotations

import ast
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hyperreps.running import commands

SCRIPTS = Path(commands.__file__).parents[2]
PRINT = r"print('68.6 \xb1 6.7, \u2248 1, \u2192, \xe9')"


def start(body: str, *words: str, **environment: str) -> subprocess.Popen[str]:
    """Starts a command line that does what body says."""
    head = "from hyperreps.running.commands import run"
    code = f"{head}\ndef main():\n    {body}\nrun(main)"
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        env={**os.environ, "PYTHONPATH": str(SCRIPTS), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


@pytest.mark.parametrize(
    ("environment", "shown"),
    [
        ({"PYTHONIOENCODING": "utf-8"}, "68.6 ± 6.7, ≈ 1, →, é\n"),
        ({"PYTHONIOENCODING": "ascii"}, "68.6 +- 6.7, ~ 1, ->, ?\n"),
        (
            {
                **{"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"},
                **{"PYTHONUTF8": "0", "PYTHONIOENCODING": ""},
            },
            "68.6 +- 6.7, ~ 1, ->, ?\n",
        ),
    ],
    ids=["utf-8", "ascii", "C"],
)
def test_any_terminal_shows_the_output(environment: dict, shown: str) -> None:
    done = start(PRINT, **environment)
    output, log = done.communicate()
    assert (done.returncode, output) == (0, shown), log


@pytest.mark.parametrize(
    "body", ["print('x' * 10**7)", "print('x')", "import time; time.sleep(0)"]
)
def test_a_reader_that_ends_first_is_no_error(body: str) -> None:
    """As head: neither while main prints nor when the rest is flushed."""
    done = start(f"import time; time.sleep(0.2); {body}")
    assert done.stdout is not None
    done.stdout.close()
    _, log = done.communicate()
    assert "Traceback" not in log
    assert "BrokenPipe" not in log
    assert done.returncode == (141 if "print" in body else 0), log


def test_a_disk_that_fails_is_one_line() -> None:
    failing = f"raise OSError({errno.EIO}, 'Input/output error', 'a.csv')"
    done = start(failing)
    _, log = done.communicate()
    assert done.returncode == 1
    assert log.splitlines()[-1] == "error: [Errno 5] Input/output error: 'a.csv'"
    assert "Traceback" not in log


def test_without_git_a_command_runs(tmp_path: Path) -> None:
    done = start(PRINT, PATH=str(tmp_path))
    _, log = done.communicate()
    assert done.returncode == 0, log


def test_all_scripts_print_through_the_same_place() -> None:
    texts = {
        path.name: path.read_text(encoding="utf-8") for path in SCRIPTS.glob("*.py")
    }
    printing = {name: text for name, text in texts.items() if "print(" in text}
    assert "show_results.py" in printing
    for name, text in printing.items():
        last = ast.unparse(ast.parse(text).body[-1])
        assert last.endswith("run(main)"), name
