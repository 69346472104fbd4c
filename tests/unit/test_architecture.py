"""The library's packages import in one direction, and what the ground must not."""

from __future__ import annotations

import subprocess
import sys
from graphlib import TopologicalSorter

import pytest
from bench import architecture
from bench.architecture import LAYERS, SCRIPTS, imports, modules, package
from bench.layered import direct, picture, spots

KNOWN = set(modules())
GRAPH = {module: targets & KNOWN for module, targets in imports().items()}
EDGES = [(module, target) for module in GRAPH for target in sorted(GRAPH[module])]


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
    assert [*TopologicalSorter(GRAPH).static_order()]  # a CycleError names the circle


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.py")), ids=lambda p: p.stem)
def test_a_script_reads_calls_and_writes_within_80_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 80


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


def test_what_shows_results_imports_no_torch():
    """Tables and figures are half of a demo's jobs, and torch takes two seconds."""
    modules = [
        ".".join(path.relative_to(SCRIPTS).with_suffix("").parts)
        for path in sorted((SCRIPTS / "hyperreps" / "results").rglob("*.py"))
    ]
    scripts = "make_table", "make_figure", "make_values", "merge_zoo"
    lines = [f"import {name}" for name in (*modules, *scripts)]
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "\n".join(["import sys", *lines, "print(*sys.modules)"]),
        ],
        cwd=SCRIPTS,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "torch" not in done.stdout.split()


def test_table_picture_and_page_are_those_of_the_source():
    assert architecture.problems() == []


def test_what_is_no_longer_so_is_named(tmp_path, monkeypatch):
    was = architecture.recorded()
    one = was[2]._replace(lines=2 * was[2].lines, modules=("storage",), imports=())
    table, page = tmp_path / "architecture.csv", tmp_path / "architecture.md"
    table.write_text(architecture.table([*was[:2], one, *was[3:]]))
    stop = "[`{}`](../workflow/scripts/hyperreps/networks/architectures.py#L{})\n"
    page.write_text(stop.format("ARCHITECTURES", 1) + stop.format("cnnn", 9))
    monkeypatch.setattr(architecture, "TABLE", table)
    monkeypatch.setattr(architecture, "PAGE", page)
    found = "\n".join(architecture.problems())
    for part in (
        "modules of files are now fingerprint, ",
        "imports of files are now settings",
        f"files has {was[2].lines} lines, not ",
        "architecture.svg: is not drawn from architecture.csv",
        "architectures.py: ARCHITECTURES has moved by ",
        "architectures.py has no cnnn",
    ):
        assert part in found


def test_the_page_is_told_the_lines_of_what_it_points_to():
    path = SCRIPTS / "hyperreps" / "settings" / "stages.py"
    line = architecture.line_of(path, "Zoo.recipe_of")
    assert path.read_text().splitlines()[line - 1].startswith("    def recipe_of(")
    assert architecture.line_of(path, "stages") == 1
    page = "[`Zoo.half`](../workflow/scripts/hyperreps/settings/stages.py#L9)"
    with pytest.raises(ValueError, match=r"stages\.py has no Zoo\.half"):
        architecture.walked(page)


def test_arrows_go_down_and_say_all_that_is_imported():
    """What is left out of the picture follows from what is drawn."""
    found = architecture.recorded()
    arrows = direct(found)
    placed, paths = spots(arrows)
    assert len(paths) == sum(map(len, arrows.values()))
    for path in paths:
        tops = [placed[name].top for name in path]
        assert tops == sorted(tops)
        assert len(set(tops)) == len(tops)
    reached: dict[str, set[str]] = {}
    for name, _, _, others in found:
        reached[name] = {*arrows[name]}.union(*(reached[x] for x in arrows[name]))
        assert {*others} <= reached[name]


def test_boxes_do_not_touch():
    placed, _ = spots(direct(architecture.recorded()))
    for name, one in placed.items():
        for other, two in placed.items():
            if name < other and one.top == two.top:
                assert abs(one.x - two.x) > (one.width + two.width) / 2
    assert picture(architecture.recorded()).count('class="box"') == len(LAYERS)
