"""The page of all settings: in sync, complete, and right about what a key may be."""

from __future__ import annotations

import re

import pytest
from bench.configuration import PAGE, shown, text, values
from pydantic import TypeAdapter

from hyperreps.config.configuration import Settings
from hyperreps.settings.limits import Count, Decay, Fraction, Listed, Name, Seed, Units

DESCRIBED = re.compile(r"^\| `(\w+)` \|", re.M)


def test_the_page_is_in_sync() -> None:
    assert PAGE.read_text(encoding="utf-8") == text(), "run make format"


def test_every_key_is_on_the_page_once_a_section() -> None:
    schema = Settings.model_json_schema()
    models = schema["$defs"].values()
    keys = [key for model in models for key in model["properties"]]
    # a section's own key is its heading, not a row
    keys += [k for k, field in schema["properties"].items() if "$ref" not in field]
    assert sorted(DESCRIBED.findall(text())) == sorted(keys)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Count, "integer, ≥ 1"),
        (Units, "integer, 1 to 65536"),
        (Seed, "integer, 0 to 2³¹ - 1"),
        (Fraction, "number, 0 to 1"),
        (Decay, "number, ≥ 0, < 1"),
        (Name, "name"),
        (Listed[tuple[Count, ...]], "list: integer, ≥ 1"),
        (Listed[tuple[Fraction, Fraction]], "list of 2: number, 0 to 1"),
        (bool, "`true`, `false`"),
    ],
)
def test_ranges_in_words(kind: type, words: str) -> None:
    assert values(TypeAdapter(kind).json_schema()).replace("\xa0", " ") == words


def test_defaults_are_those_of_a_run() -> None:
    """That of config.yaml, which every run is merged over, not the model's."""
    page = text().replace("\xa0", " ")
    assert "| `latent` | integer, 1 to 65536 | `1400` |" in page
    assert "| `split_seed` | integer, 0 to 2³¹ - 1 | `42` |" in page
    assert "| `learning_rate` | number, > 0 | none: needed |" in page


def test_long_defaults_are_shortened() -> None:
    assert shown([1, 2, 3, 4, 5]) == "`[1, 2, 3, …]`"
    assert shown(1000.0) == "`1000`"
    assert shown("") == "empty"
    assert shown(False) == "`false`"
