"""Settings that are wrong in every way: refused by key in one line, never changed."""

from __future__ import annotations

import copy
import datetime
import json
import math
import time
from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import suppress
from functools import reduce
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hyperreps.config.configuration import Settings, load_settings
from hyperreps.config.costs import Speeds, estimate
from hyperreps.settings.stages import SettingsError

from ..workflow.project import CHECKOUT
from .conftest import fuzzed
from .reference import Path, fits, keys, sane

HUGE = 10**5000  # Python does not write it: neither do errors
SECONDS = 5  # of CPU time: more is a hang
LINE = 1500  # characters
SMALL: dict[str, Any] = {
    "experiment": "fuzz",
    "datasets": {
        "gray": {"source": "mnist", "validation": 10},
        "colour": {"source": "npz", "path": "own.npz", "validation": 10},
    },
    "zoos": {
        name: {
            "dataset": dataset,
            "models": 60,
            "window": [1, 5],
            "keep": [0, 1],
            "recipe": {
                "initialization": "uniform",
                "activation": "tanh",
                "learning_rate": 0.1,
                "batch_size": 8,
                "epochs": 5,
            },
        }
        for name, dataset in (("one", "gray"), ("two", "colour"))
    },
    "variants": {"normalized": {}, "baseline": {"loss_normalization": "none"}},
    "methods": {
        "S": {
            "sampler": "kde",
            "hyper_rep": "normalized",
            "options": {"bandwidth": 0.1},
        },
        "G": {"sampler": "gan", "hyper_rep": "baseline"},
        "R": {"sampler": "identity", "architecture": "cnn_res_skip"},
    },
    "in_distribution": {"zoos": ["one", "two"], "methods": ["S"], "references": ["G"]},
    "samplers": {"zoos": ["one"], "methods": ["S", "G"]},
    "transfer": {"pairs": [["one", "two"]], "methods": ["S"]},
    "architectures": {"zoos": ["one"], "methods": ["R"]},
    "ensembles": {"zoos": ["one"], "methods": ["S"], "epochs": [0, 1]},
    "reconstruction": {"zoos": ["one"], "variants": ["normalized"]},
    "properties": {"zoos": ["one"], "variants": ["baseline"]},
    "ablation": {"zoos": ["one"], "variants": ["normalized", "baseline"]},
    "novelty": {"zoos": ["one"], "methods": ["S", "G"]},
}


def plain(settings: Settings) -> dict[str, Any]:
    """Returns settings as YAML would give them, with every key there is."""
    return json.loads(json.dumps(settings.model_dump()))


FULL = plain(load_settings(SMALL))
KEYS = list(keys(Settings, FULL))
SPEEDS = Speeds(CHECKOUT / "docs" / "measurements")
ITSELF: list[Any] = []
ITSELF.append(ITSELF)


def nested(depth: int, kind: type) -> Any:
    empty: Any = []
    return reduce(lambda x, _: [x] if kind is list else {"a": x}, range(depth), empty)


# the kinds of mistake that need no knowledge of the key
WRONG: list[Any] = [
    *(None, True, False, "", " ", "a\nb: c", "a\x00b", "../up", "\ud800", "ünïcode ☃"),
    *("5", "0.5", "1e-4", "true", "none", "nan", "x" * 100, "x" * 10**5, "~", "!!int"),
    *(0, 1, -1, 2, 3, 10**6, 2**31, 2**63, 10**12, 10**400, -(10**12)),
    *(0.0, -0.0, 0.5, 1.0, 1.7, 5e-324, 1e308, math.nan, math.inf, -math.inf),
    *([], [[]], {}, {"a": 1}, {1: 2}, {None: None}, {True: {}}, {"": ""}, {"a": {}}),
    *([1], ["a"], [1, 2], [0, 1, 1], [None], [True], ["one", "one"], [[1], [2]]),
    *(["a"] * 2000, list(range(2000)), {f"a{i}": {} for i in range(2000)}),
    *(datetime.date(2020, 2, 2), datetime.datetime(2020, 2, 2), b"5", {1, 2}, {"one"}),
    *(nested(200, list), nested(200, dict), nested(10**4, list), ITSELF),
    *({"learning_rate": []}, {"epochs": [1]}, {"batch_size": [8, 16]}),
]


def get(tree: Any, path: Path) -> Any:
    return reduce(lambda inner, key: inner[key], path, tree)


def changed(*changes: tuple[Path, Any], delete: Path = ()) -> dict[Any, Any]:
    """Returns FULL with other values, and without one key."""
    config = copy.deepcopy(FULL)
    for path, value in changes:
        holder = get(config, path[:-1])
        if isinstance(holder, dict):
            holder[path[-1]] = value
    if delete:
        del get(config, delete[:-1])[delete[-1]]
    return config


def near(value: Any) -> Iterator[Any]:
    """Yields what might be given instead of a valid value."""
    yield from (str(value), [value], {"a": value}, [value] * 2, json.dumps(value))
    match value:
        case bool():
            yield from (int(value), str(value).lower(), "yes", "off")
        case int() | float():
            yield from (value + 1, value - 1, -value, value * 10**9, value + 0.5)
            yield from (float(value), bool(value), f"{value:e}")
        case str():
            yield from (value + " ", value.upper(), value[:-1], value + "\n", value[:1])
        case list():
            yield from (value[::-1], value[1:], value + value[-1:], [*value, None])
            yield from (
                set(map(str, value)),
                dict.fromkeys(map(str, value)),
            )
            for index, entry in enumerate(value[:2]):
                for other in near(entry):
                    yield [*value[:index], other, *value[index + 1 :]]
        case dict():
            yield from (list(value.items()), value | {"unknown": 1}, value | {5: 1})


def refused(config: dict[Any, Any]) -> list[str]:
    """Returns the lines of a refusal; none if the configuration is accepted.

    What is accepted is held as it was given, and a whole run of it can be planned.
    """
    start = time.process_time()
    try:
        settings = load_settings(config)
    except SettingsError as error:
        lines = str(error).splitlines()
        for line in lines:
            assert line.startswith("config: "), line
            assert len(line) < LINE, line
            assert line.isprintable(), line
        assert lines
        return lines
    else:
        held = plain(settings)
        assert_same(held, given=config)
        plan(settings)
        return []
    finally:
        assert time.process_time() - start < SECONDS


def assert_same(held: Any, *, given: Any, path: Path = ()) -> None:
    """Checks that settings hold what was given; keys that were not are defaults."""
    if isinstance(held, dict):
        for key, value in held.items():
            if key in given:
                assert_same(value, given=given[key], path=(*path, key))
        assert given.keys() <= held.keys(), path
    elif isinstance(held, list):
        assert type(given) is list, path
        assert len(held) == len(given), path
        for index, (one, other) in enumerate(zip(held, given, strict=True)):
            assert_same(one, given=other, path=(*path, str(index)))
    else:
        whole = type(held) is float and type(given) is int
        assert type(held) is type(given) or whole, (path, held, given)
        assert held == given, path


def plan(settings: Settings) -> None:
    """Does what the rules do with settings before any job runs."""
    shards = 0
    for name, zoo in settings.zoos.items():
        for first, _ in zoo.shards(settings.compute.shard_size):
            zoo.recipe_of(first)
            shards += 1
        for variant in settings.variants:
            settings.variant(variant, zoo=name)
    assert shards <= 10**5
    assert all(math.isfinite(c.core_hours) for c in estimate(settings, SPEEDS))


def must_refuse(config: dict[Any, Any]) -> bool:
    """Returns whether a configuration is wrong by types, ranges, names or sizes."""
    return not (fits(Settings, config) and sane(config))


def check(config: dict[Any, Any], path: Path, tried: Counter[str], what: str) -> None:
    lines = refused(config)
    if lines:
        assert any(path[-1] in line for line in lines), lines
    else:
        assert not must_refuse(config), path
    tried[f"settings: {what}, {'refused' if lines else 'accepted'}"] += 1


@pytest.mark.parametrize("path", KEYS, ids=".".join)
def test_wrong_values_of_every_key(path: Path, tried: Counter[str]) -> None:
    for value in [*WRONG, HUGE, *near(get(FULL, path))]:
        check(changed((path, value)), path, tried, "another value")


@pytest.mark.parametrize("path", KEYS, ids=".".join)
def test_every_key_missing_or_misspelt(path: Path, tried: Counter[str]) -> None:
    check(changed(delete=path), path, tried, "missing")
    *parents, key = path
    for other in (key[:-1], key.upper(), f" {key}", f"{key}\n", key + "x" * 10**5):
        config = changed(((*parents, other), get(FULL, path)), delete=path)
        lines = refused(config)
        # a name that others refer to, or a new name that nothing refers to
        named = any(other.strip()[:20] in line or key in line for line in lines)
        assert named or (not lines and not must_refuse(config)), lines
        tried[f"settings: misspelt, {'refused' if lines else 'accepted'}"] += 1


# by its number: some cannot be shown
wrong = st.integers(0, len(WRONG) - 1).map(lambda index: WRONG[index])
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(0, 100),
    st.floats(),
    st.floats(0, 1),
    st.text(max_size=20),
    st.text(alphabet=st.characters(codec=None), max_size=5),
    st.dates(),
    st.binary(max_size=4),
    st.sampled_from(["one", "two", "S", "G", "R", "normalized", "baseline", "kde"]),
    wrong.filter(lambda value: isinstance(value, Hashable)),
)
values = st.one_of(
    scalars,
    wrong,
    st.recursive(
        scalars,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=4),
        ),
        max_leaves=8,
    ),
)
plausible = st.sampled_from(KEYS).flatmap(
    lambda path: st.tuples(
        st.just(path), st.sampled_from([*near(get(FULL, path)), get(FULL, path)])
    )
)
edits = st.lists(
    st.one_of(plausible, st.tuples(st.sampled_from(KEYS), values)),
    min_size=1,
    max_size=4,
)


@given(edits=edits)
@example(edits=[(("zoos", "one", "variations"), {"\x1b": []})])
@fuzzed(1500)
def test_several_wrong_values(
    edits: list[tuple[Path, Any]], tried: Counter[str]
) -> None:
    config = FULL
    for path, value in edits:
        # of a key whose parent is gone, nothing can be changed
        with suppress(KeyError, TypeError):
            config = changed_in(config, path, value)
    lines = refused(config)
    assert lines or not must_refuse(config)
    tried[f"settings: several values, {'refused' if lines else 'accepted'}"] += 1


def changed_in(config: dict[Any, Any], path: Path, value: Any) -> dict[Any, Any]:
    """Returns a configuration with another value, sharing all else."""
    key, *inner = path
    if not inner:
        return {**config, key: value}
    return {**config, key: changed_in(config[key], tuple(inner), value)}


@given(config=st.dictionaries(st.text(max_size=8) | scalars, values, max_size=5))
@fuzzed(300)
def test_no_configuration_at_all(config: dict[Any, Any], tried: Counter[str]) -> None:
    assert refused(config)
    tried["settings: anything, refused"] += 1
