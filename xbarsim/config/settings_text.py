"""Keys of a study in words of the command line: `adc.bits=6`, `adc.bits=4,6,8`."""

import itertools
import tomllib
from collections.abc import Iterable
from typing import Any

from xbarsim.base.errors import ConfigError
from xbarsim.base.toml_files import Content
from xbarsim.config.study import merge


def settings_of_texts(texts: Iterable[str]) -> Content:
    """{table: {key: value}} of `KEY=VALUE`; a value is TOML, or else the text itself.

    Raises
    ------
    ConfigError : a text of another form
    """
    content: Content = {}
    for text in texts:
        key, value = _parted(text, "KEY=VALUE, such as adc.bits=6")
        content = merge(content, nested(key, _value(value)))
    return content


def axes_of_texts(texts: Iterable[str]) -> dict[str, list[Any]]:
    """{key: [value]} of `KEY=VALUE,VALUE`.

    Raises
    ------
    ConfigError : a text of another form, or a key twice
    """
    axes: dict[str, list[Any]] = {}
    for text in texts:
        key, values = _parted(text, "KEY=VALUE,VALUE, such as adc.bits=4,6,8")
        if key in axes:
            raise ConfigError(f"{key} is given twice; name all its values together")
        axes[key] = _values(values)
    return axes


def cases_of_axes(axes: dict[str, list[Any]]) -> list[Content]:
    """`[[case]]` tables of every combination of the values of axes, the last varying fastest."""
    cases = []
    for values in itertools.product(*axes.values()):
        named = dict(zip(axes, values, strict=True))
        described = ", ".join(f"{key} = {value}" for key, value in named.items())
        case: Content = {"name": described.replace("/", "-")}  # no name has a slash
        for key, value in named.items():
            case = merge(case, nested(key, value))
        cases.append(case)
    return cases


def nested(key: str, value: Any) -> Content:
    """{"a": {"b": value}} of "a.b"."""
    for part in reversed(key.split(".")):
        value = {part: value}
    content: Content = value
    return content


def _parted(text: str, form: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not all(key.strip().split(".")):
        raise ConfigError(f"{text!r} is not of the form {form}")
    return key.strip(), value.strip()


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _values(text: str) -> list[Any]:
    try:
        found = tomllib.loads(f"value = [{text}]")["value"]
    except tomllib.TOMLDecodeError:
        found = [_value(part.strip()) for part in text.split(",")]
    return list(found)
