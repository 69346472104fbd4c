"""The documentation site: README.md and docs/ as pages, with all that they link to.

    python bench/site.py

gathers pages in results/site/pages, has Zensical build results/site/html from them by
mkdocs.yml, and checks every link and anchor of the result. Links that lead to files on
a repository's pages lead to pages with their text. Nothing is fetched, neither to build
the site nor to read it.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from os.path import relpath
from pathlib import Path
from urllib.parse import unquote, urlsplit

import tyro

ROOT = Path(__file__).parents[1]
SITE = ROOT / "results" / "site"
STYLE = ROOT / "docs" / "site.css"
PUBLIC = ROOT / "workflow" / "scripts" / "hyperreps" / "__init__.pyi"
# a browser shows them as they are
SHOWN = (".png", ".svg", ".csv", ".txt", ".jpg")
LANGUAGES = {".py": "python", ".pyi": "python", ".smk": "python", ".yaml": "yaml"}
FENCED = re.compile(r"(^```.*?^```$)", re.M | re.S)
# markers of doc_numbers.py, on lines of their own and within lines
COMMENT_LINES = re.compile(r"^<!--(?:(?!-->).)*-->\n", re.M | re.S)
COMMENT = re.compile(r"<!--.*?-->", re.S)
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)(?P<to>[^)\s#]+)(?P<anchor>#[^)\s]*)?(?=\))")
# of a file's line, as repositories and as highlighted code name it
LINE = re.compile(r"#L(\d+)")
# files of the repository are found by links, not by the search
UNLISTED = "---\nsearch:\n  exclude: true\nhide:\n  - toc\n---\n"


class SiteError(ValueError):
    """A page that cannot be made, or a link that leads nowhere."""


def place(path: Path) -> Path:
    """Returns where a file or folder of the project stands among the pages."""
    inside = path.relative_to(ROOT)
    if inside.parts[0] == "docs":
        inside = inside.relative_to("docs")
    elif inside != Path("README.md"):
        inside = "repository" / inside
    if path.is_dir():
        return inside / "index.md"
    if path.name == "README.md":
        return inside.with_name("index.md")
    shown = path.suffix in (*SHOWN, ".md")
    return inside if shown else inside.with_name(f"{inside.name}.md")


def gathered() -> dict[Path, str | Path]:
    """Returns the pages and what they show: their text, or the file to copy."""
    pages: dict[Path, str | Path] = {
        Path("api.md"): interface(),
        Path(STYLE.name): STYLE,
    }
    waiting = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    while waiting:
        path = waiting.pop()
        if place(path) in pages:
            continue
        text, linked = page(path)
        pages[place(path)] = text
        waiting += linked
    return pages


def page(path: Path) -> tuple[str | Path, list[Path]]:
    """Returns what a page shows of a file or folder, and the files it links to."""
    if path.is_dir():
        if (path / "README.md").exists():
            return page(path / "README.md")
        files = sorted(file for file in path.iterdir() if file.suffix in SHOWN)
        items = [f"- [{file.name}]({file.name})\n" for file in files]
        return f"{UNLISTED}# {path.relative_to(ROOT)}\n\n{''.join(items)}", files
    if path.suffix in SHOWN:
        return path, []
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".md":
        return source(path.relative_to(ROOT), text), []
    linked: list[Path] = []

    def moved(match: re.Match[str]) -> str:
        target = (path.parent / match["to"]).resolve()
        if not target.exists():
            raise SiteError(f"{path.relative_to(ROOT)}: {match['to']}: no such file")
        linked.append(target)
        anchor = LINE.sub(r"#__codelineno-0-\1", match["anchor"] or "")
        return relpath(place(target), place(path).parent) + anchor

    parts = FENCED.split(text)
    parts[::2] = [
        LINK.sub(moved, COMMENT.sub("", COMMENT_LINES.sub("", part)))
        for part in parts[::2]
    ]
    return "".join(parts), linked


def source(name: Path, text: str) -> str:
    """Returns a page with the text of a file."""
    language = LANGUAGES.get(name.suffix, "text")
    fence = "`" * 5
    return (
        f'{UNLISTED}# {name}\n\n{fence}{language} linenums="1"\n{text.rstrip()}\n'
        f"{fence}\n"
    )


def interface() -> str:
    """Returns the page of the public interface: a heading per module, its names."""
    lines = [
        "# API\n\nWhat `import hyperreps` hands out, from the docstrings, by module."
        " The keys of settings are those of the [configuration](configuration.md).\n"
    ]
    for node in ast.parse(PUBLIC.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        lines.append(f"## {node.module}\n")
        lines += [f"::: hyperreps.{node.module}.{alias.name}\n" for alias in node.names]
    return "\n".join(lines)


class Found(HTMLParser):
    """What a page of HTML links to and loads, and the anchors that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keeps the addresses and anchors of an element."""
        known = {name: value for name, value in attrs if value}
        self.anchors |= {known[name] for name in ("id", "name") if name in known}
        if tag == "a" and "href" in known:
            self.links.append(known["href"])
        elif tag in ("script", "img", "link", "iframe"):
            self.loaded += [known[name] for name in ("src", "href") if name in known]


def problems(folder: Path) -> Iterator[str]:
    """Yields a line for each link that leads nowhere and each thing loaded from afar.

    Args:
        folder: Of a built site.
    """
    pages = {
        path: Found(path.read_text(encoding="utf-8")) for path in folder.rglob("*.html")
    }
    for path, found in sorted(pages.items()):
        if path.name == "404.html":  # its addresses are those of a server
            continue
        name = path.relative_to(folder)
        for address in found.loaded:
            if urlsplit(address).netloc:
                yield f"{name}: {address} is not part of the site"
        for address in {*found.links, *found.loaded}:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve()
            target = path if not parts.path else target
            if not target.exists():
                yield f"{name}: {address} leads nowhere"
            elif target not in pages or not parts.fragment:
                continue
            elif unquote(parts.fragment) not in pages[target].anchors:
                yield f"{name}: {address} has no such anchor"


def main() -> None:
    """Builds the site and checks it."""
    pages = SITE / "pages"
    shutil.rmtree(SITE, ignore_errors=True)
    try:
        for name, content in gathered().items():
            target = pages / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                shutil.copyfile(content, target)
            else:
                target.write_text(content, encoding="utf-8")
    except SiteError as error:
        sys.exit(f"error: {error}")
    # as a module: the environment need not be active
    build = [sys.executable, "-m", "zensical", "build", "-f", "mkdocs.yml"]
    command = [*build, "--clean", "--strict"]
    if code := subprocess.run(command, cwd=ROOT, check=False).returncode:
        sys.exit(code)
    if found := list(problems(SITE / "html")):
        sys.exit("\n".join(f"error: {line}" for line in found))
    html = (SITE / "html").relative_to(ROOT)
    # a browser that opens files lets no worker look into the index
    print(f"{html}/index.html; to search it: python -m http.server -d {html}")


if __name__ == "__main__":
    tyro.cli(main)
