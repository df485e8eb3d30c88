"""The keys that pydantic tables have, found by their annotations: what an unknown key may have meant, and a list of
all of them."""

import difflib
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

SIMILAR = 0.6  # of difflib: share of letters that two names of one table have in common
SIMILAR_ELSEWHERE = 0.75  # and of names with their tables
SHOWN = 3  # places of a key that a message names


def stated_keys(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{path: value} of the leaves of nested dictionaries."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            found |= stated_keys(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


@dataclass(frozen=True)
class Key:
    """A key of a table.

    path : with the tables that it lies in, such as "adc.bits"; of a list of tables "layer[].match", of tables
        with names of their own "sweep.axes.*.low"
    table : that it lies in
    """

    path: str
    field: FieldInfo
    table: type[BaseModel]


def tables_of(annotation: Any) -> list[type[BaseModel]]:
    """The tables that a value of this annotation may be, or be a list of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    found: list[type[BaseModel]] = []
    for argument in typing.get_args(annotation):
        found += tables_of(argument)
    return found


def keys_of(form: Any, before: str = "") -> Iterator[Key]:
    """Every key of a table, or of any table of an annotation; those that hold a table before its keys."""
    for table in tables_of(form):
        for name, field in table.model_fields.items():
            path = before + (field.alias or name)
            yield Key(path, field, table)
            inner = tables_of(field.annotation)
            if inner and table not in inner:
                yield from keys_of(field.annotation, f"{path}{_mark(field.annotation)}.")


def _mark(annotation: Any) -> str:
    """What stands behind a key of several tables."""
    origin = typing.get_origin(annotation)
    if origin in (tuple, list):
        return "[]"
    if origin is dict:
        return ".*"
    return ""


def nearest_key(form: Any, place: Iterable[str | int]) -> str:
    """What an unknown key may have meant, in words; "" where nothing is near.

    place : of the key, as pydantic states it
    """
    *before, last = [str(step) for step in place]
    tables = _tables_at(form, before)
    names = [key.path for table in tables for key in keys_of(table) if "." not in key.path]
    near = difflib.get_close_matches(last, names, n=1, cutoff=SIMILAR)
    if near:
        return repr(".".join([*before, near[0]]))
    paths = dict.fromkeys(key.path for key in keys_of(form))
    same = [path for path in paths if path.rpartition(".")[2] == last]
    if not same:
        whole = difflib.get_close_matches(
            ".".join([*before, last]), paths, n=1, cutoff=SIMILAR_ELSEWHERE
        )
        same = list(whole)
    return " or ".join(map(repr, same[:SHOWN]))


def _tables_at(form: Any, steps: Iterable[str]) -> list[type[BaseModel]]:
    """The tables that a place leads to; numbers of lists and names of alternatives lead nowhere else."""
    tables = tables_of(form)
    for step in steps:
        inner = [
            found
            for table in tables
            if step in table.model_fields
            for found in tables_of(table.model_fields[step].annotation)
        ]
        tables = inner or tables
    return tables
