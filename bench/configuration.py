"""The page of all settings, docs/configuration.md, from their models and config/.

    python bench/configuration.py

writes it; with --check it compares.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tyro
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

from hyperreps.config.config_files import read_over_shipped
from hyperreps.config.configuration import Settings
from hyperreps.files.storage import replacing
from hyperreps.settings.limits import LARGEST, MOST

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "configuration.md"
TOP = """# Configuration

Every key, from the settings that check it; written by `make format`. An overlay, given
by `--configfile`, needs only the keys that differ. [config.yaml](../config/config.yaml)
and [methods.yaml](../config/methods.yaml) say more of each key, and where its value
comes from. Unknown keys and values out of range are refused before anything runs.

The default is what a run has that does not set the key: the paper's value, or for an
entry under a name of your own (datasets, zoos, methods) the model's. Counts end at
{most:,}.
"""
TOGETHER = "\N{NO-BREAK SPACE}"
HEADING = "| key | values | default | what it does |\n|---|---|---|---|\n"
# kinds of names, by what is in their pattern
NAMES = {"name": "[A-Za-z][A-Za-z0-9_.]", "`FILE.py:NAME`": ":[A-Za-z_]"}
# defaults that are too long to read
ITEMS = 4

Schema = Mapping[str, Any]


def text() -> str:
    """Returns the page: a table of the keys of the top, then one for each section."""
    schema = Settings.model_json_schema()
    shipped = read_over_shipped(ROOT / "config")
    plain, sections = {}, []
    for key, field in schema["properties"].items():
        named = next(iter(field.get("patternProperties", {}).values()), {})
        if "$ref" in field:
            sections += section(key, schema, field, shipped[key])
        elif "$ref" in named:
            sections += section(f"{key}.NAME", schema, named, {})
        if "$ref" not in field:
            plain[key] = field
    top = table(plain, required=schema["required"], shipped=shipped)
    return "\n".join([TOP.format(most=MOST), "## The run\n", top, *sections])


def section(path: str, schema: Schema, field: Schema, shipped: Schema) -> Iterator[str]:
    """Yields heading, meaning and table of a section, then of those inside it."""
    model = schema["$defs"][field["$ref"].rpartition("/")[2]]
    fields = model["properties"]
    yield f"## `{path}`\n"
    yield f"{model['description'].splitlines()[0]}\n"
    yield table(fields, required=model.get("required", ()), shipped=shipped)
    for key, inner in fields.items():
        if "$ref" in inner:
            yield from section(f"{path}.{key}", schema, inner, {})


def table(fields: Schema, *, required: Any, shipped: Schema) -> str:
    """Returns the table of some keys."""
    rows = HEADING
    for key, field in fields.items():
        if key in shipped:
            default = shown(shipped[key])
        elif key in required:
            default = "none: needed"
        else:
            default = shown(field.get("default", {}))
        cells = f"`{key}`", values(field), default, field["description"]
        rows += f"| {' | '.join(cell.replace('<', '&lt;') for cell in cells)} |\n"
    return rows


def values(field: Schema) -> str:
    """Returns what a field can be, in words."""
    if "$ref" in field:
        return "keys below"
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return ", ".join(f"`{name}`" for name in field["enum"])
    if "anyOf" in field:
        return " or ".join(map(values, field["anyOf"]))
    kind = field["type"]
    if kind in ("integer", "number"):
        return _number(kind, field)
    if kind == "boolean":
        return "`true`, `false`"
    if kind == "string":
        pattern = field.get("pattern", "")
        return " or ".join(word for word, part in NAMES.items() if part in pattern) or (
            "text"
        )
    if kind == "object":
        return "by name" if "patternProperties" in field else "by key"
    return _list(field)


def _number(kind: str, field: Schema) -> str:
    """Returns a kind of number with its ends; those that all have are left out."""
    low, over = field.get("minimum", -math.inf), field.get("exclusiveMinimum")
    high, under = field.get("maximum", math.inf), field.get("exclusiveMaximum")
    if kind == "integer" and under is not None:
        high, under = under - 1, None
    last = "2³¹ - 1" if high == 2**31 - 1 else f"{high:g}"
    bounded = high < LARGEST and high != MOST
    ends = [f"> {over:g}"] if over is not None else []
    if low > -LARGEST:
        ends.append(f"{low:g} to {last}" if bounded else f"≥ {low:g}")
    elif bounded:
        ends.append(f"≤ {last}")
    if under is not None:
        ends.append(f"< {under:g}")
    # an end stays in one line
    return ", ".join([kind, *(end.replace(" ", TOGETHER) for end in ends)])


def _list(field: Schema) -> str:
    """Returns of what a list is."""
    items = field.get("prefixItems")
    each = values(items[0] if items else field["items"])
    return f"list of {len(items)}: {each}" if items else f"list: {each}"


def shown(value: Any) -> str:
    """Returns a default as YAML has it, shortened."""
    if value in ("", {}, [], ()):
        return "empty"
    if isinstance(value, Mapping):
        value = list(value)
    if isinstance(value, list | tuple) and len(value) > ITEMS:
        value = [*value[: ITEMS - 1], "…"]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    written = yaml.safe_dump(
        value, default_flow_style=True, allow_unicode=True, width=math.inf
    )
    # scalars end with a line of their own
    return f"`{written.splitlines()[0]}`"


def main(*, check: bool = False) -> None:
    """Writes docs/configuration.md.

    Args:
        check: Only fail if the file is not up to date.
    """
    page = text()
    if not check:
        with replacing(PAGE) as temporary:
            temporary.write_text(page, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page:
        sys.exit("error: docs/configuration.md is not up to date; run make format")


if __name__ == "__main__":
    tyro.cli(main)
