"""Which edits change the hash of a script's code, and which do not."""

import ast
import shutil
from modulefinder import ModuleFinder
from pathlib import Path

import pytest

from hyperreps.files import fingerprint
from hyperreps.files.fingerprint import code_fingerprint
from hyperreps.settings.sections import declared

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
# scripts, and those of results each with a class that it imports by name
STAGES = {path.name: (path.name,) for path in sorted(SCRIPTS.glob("*.py"))}
STAGES |= {
    f"{kind} {module}": (f"make_{kind}.py", f"hyperreps/results/{kind}s/{module}.py")
    for kind in ("table", "figure")
    for module in sorted({x.partition(".")[0] for x in declared(kind).values()})
}
PACKAGE = SCRIPTS / "hyperreps"
LIBRARY = sorted(
    path.relative_to(PACKAGE).as_posix()
    for path in PACKAGE.rglob("*.*")
    # names, types and a zoo for other projects: no script uses them
    if path.name not in ("__init__.pyi", "py.typed")
    and path.suffix != ".pyc"
    and path.parent.name != "mnist"
)
MODULES = [name for name in LIBRARY if name.endswith(".py")]
# where keys of the config are declared
DECLARING = (
    *(f"settings/{name}.py" for name in ("stages", "sections", "limits")),
    "config/configuration.py",
)
# no stage uses them: what a run takes, which the Snakefile prints, and what only
# `import hyperreps` hands out
BESIDE = (
    *("__main__.py", "zoo/small.py"),
    *(f"config/{name}.py" for name in ("costs", "measured_costs", "space")),
)
PARSED = {}


@pytest.fixture(autouse=True)
def always_read(monkeypatch):
    """Lets files change within a process, each content being parsed once."""
    parse = fingerprint._contents.__wrapped__

    def contents(path, root):
        key = path, path.read_bytes()
        if key not in PARSED:
            PARSED[key] = parse(path, root)
        return PARSED[key]

    monkeypatch.setattr(fingerprint, "_contents", contents)


@pytest.fixture
def code(tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/__init__.py").write_text('__version__ = "1"\n')
    (tmp_path / "lib/used.py").write_text('"""Doc."""\nfrom .deep import y\nX = 1\n')
    (tmp_path / "lib/deep.py").write_text('y = open("deep.cu")\nz = "look.mplstyle"\n')
    (tmp_path / "lib/deep.cu").write_text("int x; // a number\n")
    (tmp_path / "lib/look.mplstyle").write_text('# Look\ncolour: "#111"\n')
    (tmp_path / "lib/other.py").write_text("z = 3\n")
    (tmp_path / "lib/other.cu").write_text("int z;\n")
    (tmp_path / "lib/settings.py").write_text(SETTINGS)
    script = tmp_path / "script.py"
    script.write_text(
        "import json\nfrom lib.settings import Recipe\n"
        "def main():\n    '''Doc.'''\n    from lib.used import X\n    return X\n"
    )
    return script


SETTINGS = """
Count = Annotated[int, Field(ge=1)]
class Recipe(Strict):
    epochs: Count = Field(3, description="Passes.")
    def half(self):
        return self.epochs // 2
"""


@pytest.mark.parametrize(
    ("file", "old", "new", "changes"),
    [
        ("lib/used.py", '"""Doc."""\n', '"""Other."""\n\n\n', False),
        ("lib/used.py", "X = 1", "X  =  1  # why", False),
        ("lib/used.py", "X = 1", "X = 2", True),
        ("lib/deep.py", "y = ", "y = x = ", True),
        ("lib/other.py", "z = 3", "z = 4", False),
        ("lib/deep.cu", "int x", "int y", True),
        ("lib/deep.cu", "; // a number", ";  /* other\n words */\n", False),
        ("lib/look.mplstyle", "# Look", "# A look", False),
        ("lib/look.mplstyle", '"#111"', '"#222"', True),
        ("lib/other.cu", "int z", "int y", False),
        ("lib/__init__.py", '"1"', '"2"', False),
        ("lib/__init__.py", "__version__", "X = 1\n__version__", True),
        ("lib/settings.py", "Passes.", "Epochs.", False),
        ("lib/settings.py", "Field(3,", "Field(4, le=9,", False),
        ("lib/settings.py", "ge=1", "ge=2", False),
        (
            "lib/settings.py",
            "    def",
            "    rate: Real = Field(description='Step.')\n    def",
            False,
        ),
        ("lib/settings.py", "// 2", "// 3", True),
        ("lib/settings.py", "int,", "float,", True),
        ("script.py", "return X", "return 0", True),
    ],
)
def test_the_fingerprint_follows_logic_only(code, file, old, new, changes):
    before = code_fingerprint(code)
    path = code.parent / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    assert (code_fingerprint(code) != before) is changes


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the scripts and the library, to be edited and mended."""
    root = tmp_path_factory.mktemp("copy") / "scripts"
    shutil.copytree(SCRIPTS, root, ignore=shutil.ignore_patterns("__pycache__"))
    return root


@pytest.fixture(scope="module")
def used_by():
    """The library's files that each script runs or reads, found independently.

    By the byte code of the script and of all that it imports, inside functions too;
    and of files that no import shows, by their names in the text of those.
    """
    used = {}
    for script in STAGES:
        finder = ModuleFinder(path=[str(SCRIPTS)])
        finder.run_script(str(SCRIPTS / STAGES[script][0]))
        for path in STAGES[script][1:]:
            finder.import_hook(path.removesuffix(".py").replace("/", "."))
        files: set[str] = set()
        while True:
            loaded = [m.__file__ for m in finder.modules.values() if m.__file__]
            found = {name for name in LIBRARY if str(PACKAGE / name) in loaded}
            read = {name for name in LIBRARY if is_named(name, found)}
            if found | read == files:
                break
            files = found | read
            for name in read:
                if name.endswith(".py"):
                    module = Path(name).with_suffix("").as_posix().replace("/", ".")
                    finder.import_hook(f"hyperreps.{module}")
        used[script] = files
    return used


def is_named(name, modules):
    """Tells whether a module in the same folder has a file's name in its text."""
    path = PACKAGE / name
    beside = (PACKAGE / module for module in modules)
    return any(
        f'"{path.name}"' in module.read_text()
        for module in beside
        if module.parent == path.parent
    )


def fingerprints(tree):
    return {
        stage: code_fingerprint(*(tree / path for path in paths))
        for stage, paths in STAGES.items()
    }


def changed_logic(name, text):
    """Returns a file with one more line of logic, in its last function if any."""
    if name.endswith(".cu"):
        return f"{text}\nint one_more;\n"
    if not name.endswith(".py"):
        return f"{text}\nlines.linewidth: 7\n"
    parsed = ast.parse(text)
    functions = [n for n in ast.walk(parsed) if isinstance(n, ast.FunctionDef)]
    (functions or [parsed])[-1].body.append(ast.parse("one_more = 1").body[0])
    return ast.unparse(parsed)


@pytest.mark.parametrize("name", LIBRARY)
def test_a_line_of_logic_in_a_file_counts_for_the_scripts_that_use_it(
    tree, used_by, name
):
    before = fingerprints(tree)
    path = tree / "hyperreps" / name
    text = path.read_text(encoding="utf-8")
    path.write_text(changed_logic(name, text), encoding="utf-8")
    after = fingerprints(tree)
    path.write_text(text, encoding="utf-8")
    changed = {script for script in STAGES if after[script] != before[script]}
    assert changed == {script for script in STAGES if name in used_by[script]}
    assert bool(changed) is (name not in BESIDE)


def test_every_function_beside_declarations_counts(tree):
    """Where settings are declared, nothing else may be overlooked."""
    for name in DECLARING:
        path = tree / "hyperreps" / name
        text = path.read_text(encoding="utf-8")
        logic, _ = fingerprint._contents(path, tree)
        count = sum(isinstance(n, ast.FunctionDef) for n in ast.walk(ast.parse(text)))
        assert count
        for index in range(count):
            parsed = ast.parse(text)
            nodes = [n for n in ast.walk(parsed) if isinstance(n, ast.FunctionDef)]
            nodes[index].body.append(ast.Pass())
            path.write_text(ast.unparse(parsed), encoding="utf-8")
            assert fingerprint._contents(path, tree)[0] != logic, nodes[index].name
        path.write_text(text, encoding="utf-8")


def test_comments_layout_and_declarations_count_nowhere(tree):
    before = fingerprints(tree)
    texts = {name: (tree / "hyperreps" / name).read_text() for name in LIBRARY}
    for name in MODULES:
        text = ast.unparse(ast.parse(texts[name]))
        if name in DECLARING:
            text = text.replace("description='", "description='Other: ")
            text = text.replace("ge=1", "ge=2")
        (tree / "hyperreps" / name).write_text(f"# comment\n\n{text}\n")
    after = fingerprints(tree)
    for name, text in texts.items():
        (tree / "hyperreps" / name).write_text(text)
    assert after == before


def test_fields_are_declared_with_the_configuration_only(tree):
    """Or in limits of options, whose defaults stand outside; see fingerprint.py."""
    for name in set(MODULES) - set(DECLARING):
        parsed = ast.parse((tree / "hyperreps" / name).read_text())
        for node in ast.walk(parsed):
            if isinstance(node, ast.AnnAssign):
                assert not fingerprint._is_field(node.value), f"{name}:{node.lineno}"


def test_the_fingerprints_of_the_stages_differ():
    assert len(set(fingerprints(SCRIPTS).values())) == len(STAGES)
