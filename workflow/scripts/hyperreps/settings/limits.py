"""Types of settings with their limits, and what is said where one is exceeded."""

from __future__ import annotations

import reprlib
from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

LARGEST = 2.0**53  # real number: integers up to here are exact
MOST = 10**6  # of what is counted: more is a slip, not a run
SHARDS = 10**4  # of a zoo: snakemake plans so many jobs in a minute

SHORT = reprlib.Repr()
SHORT.maxstring = SHORT.maxother = 80

Fraction = Annotated[float, Field(ge=0, le=1)]
# of a moving average, and of a whole: both ends would leave nothing
Decay = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0, le=LARGEST)]
NotNegative = Annotated[float, Field(ge=0, le=LARGEST)]
Real = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
Count = Annotated[int, Field(ge=1, le=MOST)]
Units = Annotated[int, Field(ge=1, le=2**16)]
Layers = Annotated[int, Field(ge=1, le=1000)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Epoch = Annotated[int, Field(ge=0, le=MOST)]
# names become parts of file names and wildcards
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.]*$", max_length=80)]
# an entry of a registry, or a part in a user's file: FILE.py:NAME or MODULE:NAME
OWN = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029:]+:[A-Za-z_][A-Za-z0-9_]*"
OwnPart = Annotated[str, Field(pattern=rf"^{OWN}$", max_length=250)]
Part = Annotated[
    str, Field(pattern=rf"^([A-Za-z][A-Za-z0-9_.]*|{OWN})$", max_length=250)
]
# no control characters: it becomes a part of a command
Text = Annotated[
    str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$", max_length=250)
]

Items = TypeVar("Items")
# YAML and JSON have lists only; sets, strings and the like stay errors
Listed = Annotated[
    Items,
    BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value),
    Field(max_length=1000),
]


def _different(names: tuple[str, ...]) -> tuple[str, ...]:
    """Refuses names that are given twice: they would count twice."""
    for name, number in Counter(names).items():
        if number > 1:
            raise ValueError(f"{name!r} is given {number} times; once is enough")
    return names


def _increasing(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuses numbers that do not increase."""
    if list(values) != sorted(set(values)):
        raise ValueError(f"must increase, got {list(values)}")
    return values


Increasing = Annotated[Listed[tuple[Items, ...]], AfterValidator(_increasing)]
Names = Annotated[Listed[tuple[Name, ...]], AfterValidator(_different)]


def problem_lines(
    error: ValidationError, prefix: tuple[str, ...] = ()
) -> Iterable[str]:
    """Yields one line per problem: the key's path, what is wrong and what was given."""
    for problem in error.errors(include_url=False):
        path = ".".join(shown_key(part) for part in (*prefix, *problem["loc"]))
        file = f"config/{'methods' if path.startswith('methods.') else 'config'}.yaml"
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = f"unknown key; see {file} for the known ones"
        elif problem["type"] == "missing":
            message = f"missing key; see {file} for an example"
        elif problem["type"] != "value_error":
            message += f", got {_shown(problem['input'])}"
            if problem["type"] == "float_type" and _is_number(problem["input"]):
                message += "; write it without quotes and with a point, as in 1.0e-4"
        yield from (f"{path}: {m}" if path else m for m in message.splitlines())


def shown_key(key: object) -> str:
    """Returns a key of the config as messages show it, in one line."""
    text = str(key)
    return text if text.isprintable() and len(text) <= 80 else _shown(text)


def _shown(value: object) -> str:
    """Returns what was given, shortened, in one line."""
    try:
        return SHORT.repr(value)
    except ValueError:  # Python writes no integers of more than 4300 digits
        return f"a huge {type(value).__name__}"


def _is_number(value: object) -> bool:
    try:
        float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return False
    return isinstance(value, str)
