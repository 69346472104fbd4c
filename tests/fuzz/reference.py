"""What a configuration may hold, said a second time and without pydantic.

fits() compares values with the declared types to the letter: nothing is converted.
sane() is stricter than any declaration has to be, so that a key that was declared with
no limit is found.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

LARGEST = 2**31  # of what is counted
EXACT = 2**53  # integers up to here are exact as real numbers
LONGEST = 4096  # characters of a string, entries of a list
CONTROL = {"Cc", "Cs", "Zl", "Zp"}  # categories of characters
Path = tuple[str, ...]


def keys(model: type[BaseModel], value: Mapping, path: Path = ()) -> Iterator[Path]:
    """Yields the path of every key of a model, in its first entry where it has names.

    Args:
        model: The model.
        value: All its keys with valid values.
        path: Of the model.
    """
    for name, field in model.model_fields.items():
        yield (*path, name)
        inner = value[name]
        annotation = field.annotation
        if get_origin(annotation) is dict and inner:
            entry, annotation = next(iter(inner)), get_args(annotation)[1]
            yield (*path, name, entry)
            name, inner = f"{name}/{entry}", inner[entry]
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from keys(annotation, inner, (*path, *name.split("/")))


def fits(kind: Any, value: Any, limits: Sequence[Any] = ()) -> bool:
    """Returns whether a value is of a type and within its limits, as it stands."""
    if not all(_within(limit, value) for limit in _flat(limits)):
        return False
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return True
    if origin is Annotated:
        return fits(inner[0], value) and fits(Any, value, inner[1:])
    if origin is Literal:
        return any(type(value) is type(one) and value == one for one in inner)
    if origin in (Union, UnionType):
        return any(fits(one, value) for one in inner)
    if origin is tuple:
        if type(value) is not list:
            return False
        wanted = inner if inner[-1] is not ... else inner[:1] * len(value)
        return len(wanted) == len(value) and all(map(fits, wanted, value))
    if origin is dict:
        return type(value) is dict and all(
            fits(inner[0], name) and fits(inner[1], entry)
            for name, entry in value.items()
        )
    if issubclass(kind, BaseModel):
        return _fits_model(kind, value)
    if kind is int:
        return type(value) is int and abs(value) <= LARGEST
    if kind is float:
        return type(value) in (int, float)
    return type(value) is kind


def _fits_model(model: type[BaseModel], value: Any) -> bool:
    fields = model.model_fields
    if type(value) is not dict or not value.keys() <= fields.keys():
        return False
    return all(
        fits(field.annotation, value[name], field.metadata)
        if name in value
        else not field.is_required()
        for name, field in fields.items()
    )


def _flat(limits: Sequence[Any]) -> Iterator[Any]:
    for limit in limits:
        yield from _flat(limit.metadata) if isinstance(limit, FieldInfo) else [limit]


def _within(limit: Any, value: Any) -> bool:
    try:
        match limit:
            case annotated_types.Ge():
                return value >= limit.ge
            case annotated_types.Gt():
                return value > limit.gt
            case annotated_types.Le():
                return value <= limit.le
            case annotated_types.Lt():
                return value < limit.lt
            case annotated_types.MinLen():
                return len(value) >= limit.min_length
            case annotated_types.MaxLen():
                return len(value) <= limit.max_length
    except TypeError:
        return False
    pattern = getattr(limit, "pattern", None)
    return pattern is None or bool(
        isinstance(value, str) and re.fullmatch(pattern.rstrip("$"), value)
    )


def sane(value: Any) -> bool:
    """Returns whether a value is of a size that a run can have, whatever its key."""
    match value:
        case bool() | None:
            return True
        case int():
            return abs(value) <= EXACT
        case float():
            return math.isfinite(value)
        case str():
            return len(value) <= LONGEST and not any(
                unicodedata.category(c) in CONTROL for c in value
            )
        case list():
            return len(value) <= LONGEST and all(map(sane, value))
        case dict():
            return all(sane(key) and sane(entry) for key, entry in value.items())
    return False
