"""TOML files: studies, devices and chips by name or path, and the tables that come with xbarsim.

Files are UTF-8 (a byte-order mark is allowed) and are read whenever they are asked for: a file that
was edited, or one of the same name in another directory, is never taken for what was read before.
"""

import importlib.resources
import re
import tomllib
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from xbarsim.base.arguments import path_of, shown
from xbarsim.base.errors import ConfigError
from xbarsim.base.given_files import (
    SETTINGS_BYTES,
    check_depth,
    check_file,
    exists,
    is_file,
    printable,
)
from xbarsim.base.table_keys import nearest_key

MOST_PARTS = 32  # of a dotted key: tomllib takes the square of their number
_PART = r"""(?:(?<![\w-])[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*"""
LONG_KEY = re.compile(f"(?:{_PART}){{{MOST_PARTS},}}")

Content = dict[str, Any]  # tables of a TOML file, by name
Form = TypeVar("Form")


@dataclass(frozen=True)
class Presets:
    """Files of one kind: those that come with xbarsim in a folder of its data, and any path.

    kind : what messages call one of them, such as "device"
    folder : below xbarsim.data
    """

    kind: str
    folder: str

    def names(self) -> list[str]:
        """Names of those that come with xbarsim, sorted."""
        names = [entry.name for entry in self._folder().iterdir()]
        return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))

    def text(self, name_or_path: str | Path) -> str:
        """The TOML text of a file, or else of a name.

        Raises
        ------
        ConfigError : neither a file nor a name; not readable; not UTF-8
        """
        path_of(self.kind, name_or_path)
        if exists(name_or_path) and str(name_or_path) not in self.names():
            check_file(Path(name_or_path), ConfigError)
        if is_file(name_or_path):
            return read_text(Path(name_or_path), f"{self.kind} file {name_or_path}")
        name = str(name_or_path)
        if name not in self.names():
            raise ConfigError(
                f"no {self.kind} {shown(name)}: it is neither a file nor one of "
                f"{', '.join(self.names())}"
            )
        return read_text(self._folder().joinpath(f"{name}.toml"), f"{self.kind} {name}")

    def path(self, name: str) -> str:
        """Where the file of a name lies."""
        return str(self._folder().joinpath(f"{name}.toml"))

    def content(self, name_or_path: str | Path) -> Content:
        """The tables of a file, or else of a name; see `text` and `parse` for what is refused."""
        return parse(self.text(name_or_path), f"{self.kind} file {name_or_path}")

    def load(self, form: type[Form], name_or_path: str | Path) -> Form:
        """The content, validated; see `validated`."""
        return validated(form, self.content(name_or_path), f"{self.kind} file {name_or_path}")

    def label(self, name_or_path: str | Path) -> str:
        """What results call it: the name, or that of the file without its suffix."""
        path = path_of(self.kind, name_or_path)
        if str(name_or_path) in self.names() and not is_file(path):
            return str(name_or_path)
        return path.stem

    def _folder(self) -> Traversable:
        return importlib.resources.files("xbarsim.data").joinpath(self.folder)


def packaged(name: str) -> Content:
    """Tables of one of xbarsim's own data files, such as "wires.toml"."""
    return parse(read_text(importlib.resources.files("xbarsim.data").joinpath(name), name), name)


def read_text(path: Traversable | Path, where: str) -> str:
    """Text of a file; `where` names it in the error.

    Raises
    ------
    ConfigError : no such file, not readable, not UTF-8
    """
    try:
        if isinstance(path, Path):
            check_file(path, ConfigError, SETTINGS_BYTES)
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{where}: no such file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where} is not a TOML file: not UTF-8 ({error})") from None
    except OSError as error:
        raise ConfigError(f"{where} cannot be read: {error.strerror or error}") from None


def parse(text: str, where: str) -> Content:
    """Tables of a TOML text; `where` names its origin in the error.

    Raises
    ------
    ConfigError : not TOML, tables too deep in one another, a number of too many digits
    """
    if LONG_KEY.search(text):
        raise ConfigError(
            f"{where} is not a file of settings: a key of more than {MOST_PARTS} parts"
        )
    try:
        content = tomllib.loads(text)
        check_depth(content)
    except RecursionError:
        raise ConfigError(f"{where} is not a file of settings: nested too deep") from None
    except ValueError as error:  # of a number of more than 4,300 digits, too
        raise ConfigError(f"{where} is not a TOML file: {printable(str(error))}") from None
    return content


def validated(form: type[Form], content: object, where: str) -> Form:
    """A pydantic table of plain content.

    form : a model class, or any type that pydantic validates

    Raises
    ------
    ConfigError : every unknown or missing key and value out of range, in one line
    """
    try:
        return TypeAdapter(form).validate_python(content)
    except ValidationError as error:
        raise ConfigError(f"{where}: {describe(error, form)}") from None


ALTERNATIVES = ("literal[", "constrained-")  # in the place of an error, of a union of types


def describe(error: ValidationError, form: object) -> str:
    """One line for a pydantic ValidationError: every key, what is wrong, what was given, what was
    meant.

    form : the table, or the annotation, that the content should have been
    """
    parts = []
    for item in error.errors(include_url=False):
        parts_of_key = [str(part) for part in item["loc"]]
        key = ".".join(part for part in parts_of_key if not part.startswith(ALTERNATIVES))
        if item["type"] == "extra_forbidden":
            meant = nearest_key(form, item["loc"])
            remedy = f"did you mean {meant}?" if meant else "remove it or correct its spelling"
            parts.append(f"unknown key {key!r}; {remedy}")
        else:
            message = item["msg"].removeprefix("Value error, ")
            message = message[:1].lower() + message[1:]
            given = ""
            if not isinstance(item["input"], dict):  # which would be too long
                given = f" = {shown(item['input'])}"
            if key or given:
                message = f"{key}{given}: {message}"
            parts.append(message)
    return "; ".join(dict.fromkeys(parts))
