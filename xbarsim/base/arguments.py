"""Arguments of public functions, refused by name where they are of another kind."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from xbarsim.base.errors import ConfigError, OutOfRangeError, ShapeError, XbarsimError
from xbarsim.base.given_files import printable

Kind = TypeVar("Kind")

LARGEST_WHOLE = 2**63 - 1  # of a number that is kept as int64
LONGEST_SHOWN = 120  # characters of a value in a message


def shown(value: object) -> str:
    """A value as a message shows it: shortened, without control characters."""
    try:
        text = printable(repr(value))
    except (RecursionError, ValueError):  # too deep; a number of more than 4,300 digits
        return f"a {type(value).__name__}"
    if len(text) > LONGEST_SHOWN:
        return text[:LONGEST_SHOWN] + "..."
    return text


def path_of(name: str, value: object, error: type[XbarsimError] = ConfigError) -> Path:
    """A path of a text or of `os.PathLike`."""
    if isinstance(value, (str, os.PathLike)):
        given = os.fspath(value)
        if isinstance(given, str) and "\0" not in given:
            return Path(given)
    raise error(f"{name} is {shown(value)}; allowed: a path without NUL, as text or pathlib.Path")


def whole_number(name: str, value: object, least: int = 0, most: int = LARGEST_WHOLE) -> int:
    """A whole number of a range."""
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        number = int(value)
        if least <= number <= most:
            return number
    end = f"to {most}"
    if most == LARGEST_WHOLE:
        end = "to 2^63 - 1"
    raise OutOfRangeError(f"{name} is {shown(value)}; allowed: a whole number, {least} {end}")


def seed_of(value: object) -> int:
    """The seed of a random stream."""
    return whole_number("seed", value)


def real_number(name: str, value: object) -> float:
    """A finite number."""
    if isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = np.inf
        if np.isfinite(number):
            return number
    raise OutOfRangeError(f"{name} is {shown(value)}; allowed: a finite number")


def flag(name: str, value: object) -> bool:
    """True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise ConfigError(f"{name} is {shown(value)}; allowed: True and False")
    return bool(value)


def text_of(name: str, value: object) -> str:
    """A text that can be written as UTF-8."""
    if not isinstance(value, str):
        raise ConfigError(f"{name} is {shown(value)}; allowed: a text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ConfigError(
            f"{name} is {shown(value)}, with half a character; allowed: text of whole characters"
        ) from None
    return value


def instance(name: str, value: object, kind: type[Kind], remedy: str) -> Kind:
    """A value of a kind of ours.

    remedy : what makes one
    """
    if not isinstance(value, kind):
        raise ShapeError(f"{name} is {shown(value)}; allowed: {remedy}")
    return value


def mapping(name: str, value: object, remedy: str) -> Mapping[str, Any]:
    """Tables by name.

    remedy : an example of them
    """
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ConfigError(f"{name} is {shown(value)}; allowed: {remedy}")
    return value
