"""Every key of a study with its meaning, unit, range and default: as a listing, as a JSON Schema, and beside the values
of a study; all made of the tables that validate studies.
"""

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from xbarsim.base.errors import ConfigError
from xbarsim.base.table_keys import Key, keys_of, tables_of
from xbarsim.base.toml_files import Content
from xbarsim.config.study import STUDIES, Study, load_study

Schema = dict[str, Any]

WIDTH = 100
UNITS = {
    "ohm": "ohm",
    "ns": "ns",
    "nm": "nm",
    "s": "s",
    "k": "K",
    "v": "V",
    "ua": "uA",
    "gb": "GB",
}
TYPES = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "array": "list",
    "object": "table",
}
EXAMPLES = {
    "layer": '[[layer]]\nmatch = "layer.0.*"\nadc = { bits = 10 }',
    "case": '[[case]]\nname = "chip"',
    "sweep": '[sweep]\n"wires.word_line_resistance_ohm" = [1.0, 5.0, 10.0]',
}


@dataclass(frozen=True)
class KeyFacts:
    """What is said of a key.

    path : such as "adc.bits";  allowed : values, in words;  default : TOML, "" where there is none
    unit : "" of a number without one
    """

    path: str
    allowed: str
    default: str
    unit: str
    description: str

    @property
    def is_table(self) -> bool:
        return self.allowed == "table"

    def summary(self) -> str:
        """Allowed values, unit and default in one line."""
        unit = f" in {self.unit}" if self.unit else ""
        parts = [self.allowed + unit]
        if self.default:
            parts.append(f"default {self.default}")
        elif not self.is_table:
            parts.append("absent if not stated")
        return "; ".join(parts)


def study_keys() -> list[KeyFacts]:
    """Every key of a study, in the order of its tables."""
    return [_facts_of(key) for key in keys_of(Study)]


def _facts_of(key: Key) -> KeyFacts:
    field = key.field
    name = key.path.rpartition(".")[2]
    is_table = bool(tables_of(field.annotation))
    allowed = "table"
    default = ""
    if not is_table:
        schema = key.table.model_json_schema()
        allowed = _in_words(schema["properties"][name], schema.get("$defs", {}))
        default = _toml(field.default)
    return KeyFacts(key.path, allowed, default, _unit_of(name), field.description or "")


def _unit_of(name: str) -> str:
    _, mark, suffix = name.rpartition("_")
    if not mark:
        return ""
    return UNITS.get(suffix, "")


def _toml(value: object) -> str:
    """A default as it stands in a file; "" of none."""
    if value is None or value is PydanticUndefined:
        return ""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, tuple):
        value = list(value)
    if value in ([], {}):
        return ""
    text = tomli_w.dumps({"key": value}).removeprefix("key = ")
    return " ".join(text.split())


def _in_words(schema: Schema, definitions: Schema) -> str:
    """What a JSON Schema allows."""
    if "$ref" in schema:
        return _in_words(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        kinds = [_in_words(kind, definitions) for kind in schema["anyOf"]]
        return " or ".join(kind for kind in kinds if kind)
    if "enum" in schema:
        return ", ".join(_toml(value) for value in schema["enum"])
    if "const" in schema:
        return _toml(schema["const"])
    kind = schema.get("type", "any value")
    if kind == "null":
        return ""
    return str(TYPES.get(kind, kind)) + _range_of(schema)


def _range_of(schema: Schema) -> str:
    """The ends of a number's range."""
    ends = []
    if "minimum" in schema:
        ends.append(f"from {schema['minimum']:g}")
    if "exclusiveMinimum" in schema:
        ends.append(f"above {schema['exclusiveMinimum']:g}")
    if "maximum" in schema:
        ends.append(f"to {schema['maximum']:g}")
    return "".join(f" {end}" for end in ends)


# ---------------------------------------------------------------- as a listing


def listing(table: str | None = None) -> str:
    """The keys of all tables, or of one.

    Raises
    ------
    ConfigError : no such table
    """
    found = study_keys()
    if table is not None:
        inside = [key for key in found if key.path == table or key.path.startswith(f"{table}.")]
        if not inside:
            tables = ", ".join(key.path for key in found if key.is_table)
            raise ConfigError(f"a study has no table {table!r}; it has {tables}")
        found = inside
    return "\n".join(line for key in found for line in _listed(key))


def _listed(key: KeyFacts) -> Iterator[str]:
    if key.is_table:
        yield ""
        yield f"[{key.path}]  {key.description}"
        return
    yield f"{key.path}  {key.summary()}"
    yield from textwrap.wrap(
        key.description, WIDTH, initial_indent="    ", subsequent_indent="    "
    )


# ---------------------------------------------------------------- as a JSON Schema


def json_schema() -> Schema:
    """JSON Schema of a study file, with `unit` beside the keys that have one."""
    schema = Study.model_json_schema()
    schema["title"] = "A study of xbarsim"
    for table in (schema, *schema["$defs"].values()):
        for name, stated in table.get("properties", {}).items():
            if _unit_of(name):
                stated["unit"] = _unit_of(name)
    sweep = schema["$defs"]["Sweep"]
    sweep["patternProperties"] = {r"\.|^seed$": sweep["properties"]["axes"]["additionalProperties"]}
    del sweep["required"]  # axes stand in the table itself as well
    return schema


# ---------------------------------------------------------------- beside a study


def full_text(name_or_path: str | Path) -> str:
    """TOML text of a study with every key: those that it states, and the others as comments with their
    defaults.

    Raises
    ------
    ConfigError : what `load_study` raises
    """
    load_study(name_or_path)
    content = STUDIES.content(name_or_path)
    facts = {key.path: key for key in study_keys()}
    lines = [
        f"# The study {STUDIES.label(name_or_path)!r} with every key. What begins with a single # is a default.",
        "",
    ]
    tables = []
    for name, field in Study.model_fields.items():
        if tables_of(field.annotation) or name in EXAMPLES:
            tables.append(name)
        else:
            lines += _key_lines(facts[name], name, content)
    for name in tables:
        if name in EXAMPLES:
            lines += _list_lines(facts[name], content)
        else:
            field = Study.model_fields[name]
            (form,) = tables_of(field.annotation)
            of_table = _table_lines(name, form, facts, content.get(name, {}))
            if field.default is None and name not in content:  # an empty table would say something
                of_table = [
                    f"#{line}" if line.startswith(f"[{name}") else line for line in of_table
                ]
            lines += of_table
    return "\n".join(lines) + "\n"


def _table_lines(
    path: str, form: type[BaseModel], facts: Mapping[str, KeyFacts], content: Content
) -> list[str]:
    lines = ["", *_comment(facts[path].description), f"[{path}]"]
    inner = []
    for name, field in form.model_fields.items():
        if tables_of(field.annotation):
            inner.append((name, tables_of(field.annotation)[0]))
        else:
            lines += _key_lines(facts[f"{path}.{name}"], name, content)
    for name, table in inner:
        lines += _table_lines(f"{path}.{name}", table, facts, content.get(name, {}))
    return lines


def _key_lines(key: KeyFacts, name: str, content: Content) -> list[str]:
    lines = _comment(f"{key.description} ({key.summary()})")
    if name in content:
        return [*lines, tomli_w.dumps({name: content[name]}).rstrip()]
    return [*lines, f"#{name} = {key.default}".rstrip()]


def _list_lines(key: KeyFacts, content: Content) -> list[str]:
    """Lines of what is repeated, or has keys of its own."""
    name = key.path
    lines = ["", *_comment(key.description)]
    if name not in content:
        return [*lines, *(f"#{line}" for line in EXAMPLES[name].splitlines())]
    stated = content[name]
    if isinstance(stated, dict):
        return [*lines, *_tables(name, f"[{name}]", stated)]
    for entry in stated:
        lines += _tables(name, f"[[{name}]]", entry)
    return lines


def _tables(path: str, header: str, content: Content) -> list[str]:
    """A table below its header, and its inner tables below theirs, so that any may stand before."""
    plain = {key: value for key, value in content.items() if not isinstance(value, dict)}
    lines = [header, *tomli_w.dumps(plain).splitlines()]
    for key, value in content.items():
        if isinstance(value, dict):
            inner = f"{path}.{key}"
            lines += _tables(inner, f"[{inner}]", value)
    return lines


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="## ", subsequent_indent="## ")
