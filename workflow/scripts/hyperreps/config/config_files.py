"""Configurations as they are given, in files and on the command line.

Snakemake merges them. What it would lose or change on the way is found here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..settings.stages import SettingsError
from .configuration import Settings

# what every run starts from: the catalogue of methods and, over it, the paper's run
SHIPPED = ("methods.yaml", "config.yaml")
MERGE = "tag:yaml.org,2002:merge"
ALIAS = "found undefined alias "
# options of snakemake that take many values, and forget the first if given twice
ONCE = (("--configfile", "--configfiles"), ("--config", "-C"))
HEADER = """\
# All settings of the experiment, merged, with the defaults of keys that no file gives.
# Written when a run starts; to be used again it can be given as --configfile.
"""


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice: YAML would keep the last one, silently."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        first: dict[tuple[str, str], yaml.Mark] = {}
        for key, _ in node.value:
            name = (key.tag, key.value)
            if not isinstance(key, yaml.ScalarNode) or key.tag == MERGE:
                continue
            if name in first:
                raise yaml.composer.ComposerError(
                    problem=f"key {key.value!r} stands in line"
                    f" {first[name].line + 1} already, which would be lost; join them",
                    problem_mark=key.start_mark,
                )
            first[name] = key.start_mark
        return node


class _Dumper(yaml.SafeDumper):
    """Writes equal parts in full, without anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def parsed(text: str, *, origin: str) -> Any:
    """Returns what a YAML or JSON text says.

    Args:
        text: The text.
        origin: File or option that it is from, for messages.

    Raises:
        SettingsError: In one line that names the line, if the text is no YAML, uses an
            anchor that it does not define, or gives a key twice.
    """
    try:
        json.loads(text)
        text = text.expandtabs()  # JSON may be indented by tabs, YAML may not
    except ValueError:
        pass
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "no YAML"
        if problem.startswith(ALIAS):
            problem = (
                f"*{problem.removeprefix(ALIAS).strip(chr(39))}: the file defines no"
                " such anchor, and those of other files do not count; copy the block"
                " with & that it stands for"
            )
        line = f", line {mark.line + 1}" if mark else ""
        raise SettingsError(f"config: {origin}{line}: {problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise SettingsError(f"config: {origin}: no YAML ({reason})") from None


def read_config(path: Path) -> dict[str, Any]:
    """Returns the content of a configuration file.

    Raises:
        SettingsError: As parsed(), and if the file cannot be read or has no keys.
    """
    try:
        content = parsed(path.read_text(encoding="utf-8"), origin=str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no UTF-8"
        raise SettingsError(f"config: {path}: cannot be read ({reason})") from None
    if not isinstance(content, dict):
        raise SettingsError(f"config: {path}: must have keys with values")
    return content


def merged(base: Mapping[str, Any], *overlays: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a configuration with others over it, key by key, as Snakemake does it."""
    result = dict(base)
    for overlay in overlays:
        for key, value in overlay.items():
            below = result.get(key)
            if isinstance(value, Mapping) and isinstance(below, Mapping):
                value = merged(below, value)
            result[key] = value
    return result


def read_over_shipped(folder: Path, *overlays: Path) -> dict[str, Any]:
    """Returns the shipped configuration with others over it.

    Args:
        folder: Of the shipped files, config/ of the project.
        overlays: Files, in their order.

    Raises:
        SettingsError: As read_config().
    """
    files = (*(folder / name for name in SHIPPED), *overlays)
    return merged(*map(read_config, files))


def nested_arguments(arguments: Sequence[str]) -> dict[str, Any]:
    """Returns the sections and lists among the values of --config.

    Snakemake makes texts of all that is in them, of 2 as well.

    Args:
        arguments: As given, such as "compute={shard_size: 2}".

    Raises:
        SettingsError: As parsed().
    """
    texts = (argument.partition("=")[::2] for argument in arguments)
    return {
        key: parsed(text, origin=f"--config {key}")
        for key, text in ((key, text.strip("'\"")) for key, text in texts)
        if text.startswith(("{", "["))
    }


def check_options(arguments: Sequence[str]) -> None:
    """Refuses options of snakemake that are given twice, of which it drops the first.

    Args:
        arguments: Of the command line.

    Raises:
        SettingsError: With what to give instead.
    """
    for names in ONCE:
        uses, values, inside = 0, [], False
        for argument in arguments:
            name, _, value = argument.partition("=")
            if name in names:
                uses, inside = uses + 1, True
                values += [value] if value else []
            elif argument.startswith("-"):
                inside = False
            elif inside:
                values.append(argument)
        if uses > 1:
            raise SettingsError(
                f"config: {names[0]} is given {uses} times, and all but the last would"
                f" be lost; give it once: {names[0]} {' '.join(values)}"
            )


def config_text(settings: Settings) -> str:
    """Returns all settings as the text of a configuration file."""
    content = yaml.dump(
        settings.model_dump(mode="json"),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=None,
    )
    return HEADER + content
