"""The library's packages import in one direction, and what the ground must not."""

from __future__ import annotations

import subprocess
import sys
from graphlib import TopologicalSorter

import pytest
from bench.architecture import LAYERS, SCRIPTS, imports, modules, package

EDGES = [
    (module, target)
    for module, targets in imports().items()
    for target in sorted(targets)
    if target in modules()
]


def test_every_package_has_a_layer():
    folders = {path.parent.name for path in (SCRIPTS / "hyperreps").glob("*/*.py")}
    assert folders <= set(LAYERS)


def test_imports_are_found_in_all_their_forms():
    found = set(EDGES)
    assert ("zoo.population", "engines.interface") in found  # another package
    assert ("engines.interface", "engines.cuda.engine") in found  # a module whole
    assert ("engines.fused.steps", "engines.fused.vectors") in found  # by full name
    assert ("config.configuration", "sampling.samplers") in found  # in a function
    assert len(found) > 200


@pytest.mark.parametrize("name", LAYERS)
def test_a_package_imports_only_from_those_before_it(name):
    allowed = LAYERS[: LAYERS.index(name) + 1]
    wrong = [
        f"{module} imports {target}"
        for module, target in EDGES
        if package(module) == name and package(target) not in allowed
    ]
    assert not wrong


def test_no_module_imports_itself_through_others():
    graph = {module: targets & set(modules()) for module, targets in imports().items()}
    assert [*TopologicalSorter(graph).static_order()]  # a CycleError names the circle


def test_settings_import_no_torch():
    lines = [
        *("import sys", "import hyperreps.settings.sections"),
        *("import hyperreps.settings.stages", "import hyperreps.settings.limits"),
        "print('torch' in sys.modules, 'numpy' in sys.modules)",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        cwd=SCRIPTS,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False", "False"]
