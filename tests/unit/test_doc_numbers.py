"""Numbers in README.md and docs/: those of the CSV files that their markers name."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from bench.doc_numbers import BLOCK, INLINE, NumberError, updated

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
ALLOWED = yaml.safe_load(
    Path(__file__).with_name("numbers_not_from_runs.yaml").read_text(encoding="utf-8")
)
# a decimal point, a percentage or a spread: what a run's numbers look like
NUMBER = re.compile(r"± ?\d[\d,.]*\d|± ?\d|\d[\d,]*\.\d+|\d+(?= %)")


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    (tmp_path / "a.csv").write_text(
        "case,models,speed\nslow,1,1234.5\nfast,1,2469\nfast, far,64,-3\nfast,64,\n",
        encoding="utf-8",
    )
    text = (tmp_path / "a.csv").read_text(encoding="utf-8")
    (tmp_path / "a.csv").write_text(
        text.replace("fast, far", '"fast, far"'), encoding="utf-8"
    )
    return tmp_path


def marked(expression: str, shown: str) -> str:
    return f"It is <!--= {expression}-->{shown}<!--/--> long.\n"


@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        ("a.csv [case=slow] speed :,.1f", "1,234.5"),
        ("a.csv [case=fast, models=1] speed / a.csv [case=slow] speed :.1f", "2.0"),
        ("100 * (a.csv [case=slow] speed + 0.5) :.0f", "123500"),
        ("a.csv [case=fast, far] speed :.1f", "\N{MINUS SIGN}3.0"),
        ("max(a.csv [models=1] speed) :.0f", "2469"),
        ("a.csv [case=slow] case :s", "slow"),
        ("sum(a.csv [case=s*|fast, far] speed) :.1f", "1231.5"),
    ],
)
def test_numbers_are_those_of_the_cells(
    docs: Path, expression: str, shown: str
) -> None:
    text = updated(marked(expression, "?"), name="page.md", docs=docs)
    assert text == marked(expression, shown)
    assert updated(text, name="page.md", docs=docs) == text


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("b.csv [case=slow] speed :.1f", "b.csv: no such file"),
        ("a.csv [case=none] speed :.1f", r"a.csv \[case=none\]: 0 rows"),
        ("a.csv [models=1] speed :.1f", r"a.csv \[models=1\]: 2 rows"),
        ("a.csv [width=1] speed :.1f", "no column 'width'"),
        ("a.csv [case=slow] length :.1f", "no column 'length'"),
        ("a.csv [case=fast, models=64] speed :.1f", "could not convert"),
        ("a.csv [case=slow] speed", "no format"),
        ("a.csv [case=slow] speed ** 2 :.1f", "no expression"),
        ("__import__('os') :.1f", "no expression"),
    ],
)
def test_a_marker_that_leads_nowhere_names_file_and_line(
    docs: Path, expression: str, problem: str
) -> None:
    with pytest.raises(NumberError, match=rf"^page\.md:2: .*{problem}"):
        updated("first\n" + marked(expression, "1"), name="page.md", docs=docs)


@pytest.mark.parametrize("text", ["<!--= a.csv speed :.1f-->1", "1<!--/-->"])
def test_a_marker_is_opened_and_closed(docs: Path, text: str) -> None:
    with pytest.raises(NumberError, match=r"page\.md: .* opened"):
        updated(text, name="page.md", docs=docs)


def test_a_number_may_have_a_name(docs: Path) -> None:
    names = '<!--numbers\nquick: "a.csv [case=fast, models=1] speed :.0f"\n-->\n'
    text = updated(f"<!--=quick-->?<!--/-->\n{names}", name="page.md", docs=docs)
    assert text == f"<!--=quick-->2469<!--/-->\n{names}"
    with pytest.raises(NumberError, match=r"page\.md: numbers quick are not used"):
        updated(names, name="page.md", docs=docs)
    with pytest.raises(NumberError, match=r"page\.md: numbers: "):
        updated("<!--numbers\nquick\n-->\n", name="page.md", docs=docs)


def test_rows_of_a_table_are_written(docs: Path) -> None:
    plan = (
        '<!--rows\nrows: {quick: "[case=fast, models=1]", slow: "[case=slow]"}\n'
        'columns: [a.csv]\ncells: ["{COLUMN ROW speed :.0f} km"]\n-->\n'
    )
    heading = "| | speed |\n|---|---|\n"
    text = updated(f"{plan}{heading}| old |\n<!--/-->", name="page.md", docs=docs)
    rows = "| quick | 2469 km |\n| slow | 1234 km |\n"
    assert text == f"{plan}{heading}{rows}<!--/-->"


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_have_the_numbers_of_the_files(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert updated(text, name=page, docs=ROOT / "docs") == text


@pytest.mark.parametrize("page", PAGES)
def test_other_numbers_are_known_not_to_be_a_runs(page: str) -> None:
    """A new number comes from a file, or says in the list where it comes from."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for pattern in (BLOCK, INLINE):
        text = pattern.sub("", text)
    text = re.sub(r"```.*?```|`[^`\n]*`|<!--.*?-->", "", text, flags=re.S)
    allowed = {
        str(number) for numbers in ALLOWED.get(page, {}).values() for number in numbers
    }
    found = set(NUMBER.findall(text))
    assert found <= allowed, f"{page}: from which file? {sorted(found - allowed)}"


def test_the_command_names_a_stale_line_and_mends_it(tmp_path: Path) -> None:
    script = tmp_path / "bench" / "doc_numbers.py"
    script.parent.mkdir(parents=True)
    script.write_bytes((ROOT / "bench" / "doc_numbers.py").read_bytes())
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.csv").write_text("x\n1.5\n", encoding="utf-8")
    page = tmp_path / "README.md"
    page.write_text("first\n" + marked("a.csv x :.1f", "1.4"), encoding="utf-8")

    def run(*flags: str) -> tuple[int, str]:
        command = [sys.executable, str(script), *flags]
        library = {"PYTHONPATH": str(ROOT / "workflow" / "scripts")}
        done = subprocess.run(
            command, env=os.environ | library, capture_output=True, text=True
        )
        return done.returncode, done.stderr

    problem = "error: README.md:2: not as in the CSV; run make numbers\n"
    assert run("--check") == (1, problem)
    assert run() == (0, "")
    assert page.read_text(encoding="utf-8") == "first\n" + marked("a.csv x :.1f", "1.5")
    assert run("--check") == (0, "")
