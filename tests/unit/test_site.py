"""The documentation site: what links lead to, what is refused, what is listed."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from bench import site

import hyperreps

ROOT = site.ROOT
PAGES = sorted(path.name for path in (ROOT / "docs").glob("*.md"))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a page and something to link to."""
    (tmp_path / "docs" / "numbers").mkdir(parents=True)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "a.yaml").write_text("seed: 1\n", encoding="utf-8")
    (tmp_path / "docs" / "numbers" / "b.csv").write_text("x\n1\n", encoding="utf-8")
    (tmp_path / "README.md").write_text("# Start\n", encoding="utf-8")
    monkeypatch.setattr(site, "ROOT", tmp_path)
    return tmp_path


def written(project: Path, text: str) -> str | Path:
    page = project / "docs" / "page.md"
    page.write_text(text, encoding="utf-8")
    return site.gathered()[Path("page.md")]


@pytest.mark.parametrize(
    ("link", "leads_to"),
    [
        ("../README.md", "index.md"),
        ("../config/a.yaml", "repository/config/a.yaml.md"),
        ("../config/a.yaml#L1", "repository/config/a.yaml.md#__codelineno-0-1"),
        ("numbers", "numbers/index.md"),
        ("numbers/b.csv", "numbers/b.csv"),
        ("#below", "#below"),
        ("https://example.org/a.md", "https://example.org/a.md"),
    ],
)
def test_links_lead_to_where_files_are_on_the_site(
    project: Path, link: str, leads_to: str
) -> None:
    assert written(project, f"[a]({link})\n") == f"[a]({leads_to})\n"
    place = leads_to.partition("#")[0]
    assert not place or place in map(str, site.gathered()) or ":" in place


def test_a_file_becomes_a_page_with_its_text(project: Path) -> None:
    written(project, "[a](../config/a.yaml)\n")
    shown = site.gathered()[Path("repository/config/a.yaml.md")]
    assert "# config/a.yaml\n" in str(shown)
    assert 'yaml linenums="1"\nseed: 1\n' in str(shown)


def test_a_link_to_no_file_is_refused(project: Path) -> None:
    with pytest.raises(site.SiteError, match=r"docs/page\.md: nothing\.md: no such"):
        written(project, "[a](nothing.md)\n")


def test_markers_are_not_shown_but_in_code(project: Path) -> None:
    """A table starts at the beginning of a line, and ends before its end marker."""
    table = "| a |\n|---|\n| 1 |\n"
    marked = (
        f"It is <!--= x-->2.5<!--/-->\nlong.\n\n<!--rows\nx: 1\n-->\n{table}<!--/-->\n"
    )
    code = "```\n<!--= x-->[a](b)<!--/-->\n```\n"
    shown = f"It is 2.5\nlong.\n\n{table}"
    assert written(project, marked + code) == shown + code


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('<a href="b.html#there">b</a>', None),
        ('<a href="#here">a</a><i id="here"></i>', None),
        ('<a href="c.html">c</a>', "a.html: c.html leads nowhere"),
        ('<a href="b.html#gone">b</a>', "a.html: b.html#gone has no such anchor"),
        ('<a href="#gone">a</a>', "a.html: #gone has no such anchor"),
        ('<img src="c.png">', "a.html: c.png leads nowhere"),
        ('<a href="https://example.org">e</a>', None),
        (
            '<script src="https://example.org/x.js"></script>',
            "a.html: https://example.org/x.js is not part of the site",
        ),
    ],
)
def test_what_leads_nowhere_is_found(
    tmp_path: Path, body: str, problem: str | None
) -> None:
    (tmp_path / "a.html").write_text(body, encoding="utf-8")
    (tmp_path / "b.html").write_text('<p id="there">', encoding="utf-8")
    assert list(site.problems(tmp_path)) == ([problem] if problem else [])


def test_the_page_of_the_interface_has_every_public_name() -> None:
    described = re.findall(r"^::: hyperreps\..*\.(\w+)$", site.interface(), re.M)
    assert len(described) == len(hyperreps.__all__)


def test_every_page_is_in_the_menu_or_linked_from_one() -> None:
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = set(re.findall(r"[\w/]+\.md", menu))
    assert not {*PAGES} - listed
    assert not listed - {*PAGES, "index.md", "api.md"}


def test_the_troubleshooting_page_quotes_lines_that_there_are() -> None:
    """Each piece between two … is a text of the code."""
    sources = [*ROOT.glob("workflow/scripts/**/*.py")]
    texts = [
        node.value
        for path in sources
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?`) \|", page, re.M)
    quoted = [line for row in rows for line in re.findall(r"`([^`]+)`", row)]
    assert len(quoted) > 25
    for line in quoted:
        for piece in filter(None, line.split("…")):
            assert any(piece in text for text in texts), piece
