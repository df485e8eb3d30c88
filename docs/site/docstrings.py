"""Docstrings as they are written here, made into Markdown for the page of public names.

A section is a title underlined by hyphens; in it an entry is `name : text`, its further lines indented.
"""

import re
from collections.abc import Iterator
from typing import Any

from griffe import Extension, Object

ENTRY = re.compile(r"^(\S[^:]*?) : (.*)$")
SPECIAL = re.compile(r"([*_<])")


class Sections(Extension):
    """The extension that mkdocstrings loads."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)


def markdown(docstring: str) -> str:
    """Markdown of a docstring."""
    lines = docstring.expandtabs().splitlines()
    return "\n".join(_written(lines))


def _written(lines: list[str]) -> Iterator[str]:
    in_section = False
    in_example = False
    for place, line in enumerate(lines):
        following = lines[place + 1] if place + 1 < len(lines) else ""
        begins_example = line.startswith(">>>") and not in_example
        if begins_example:
            in_example = True
            yield "```python"
        if in_example and not line.strip():
            in_example = False
            yield "```"
        if in_example:
            yield line
        elif _is_rule(following) and line.strip():
            in_section = True
            yield f"\n**{line.strip()}**\n"
        elif not _is_rule(line):
            yield _line_of_section(line) if in_section else _escaped(line)
    if in_example:
        yield "```"


def _is_rule(line: str) -> bool:
    return len(line) > 2 and set(line) == {"-"}


def _line_of_section(line: str) -> str:
    entry = ENTRY.match(line)
    if entry is None:
        return _escaped(line)
    return f"- `{entry[1].replace('`', '')}`: {_escaped(entry[2])}"


def _escaped(line: str) -> str:
    """What Markdown would take for emphasis or HTML, outside `code`."""
    parts = line.split("`")
    parts[::2] = [SPECIAL.sub(r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)
