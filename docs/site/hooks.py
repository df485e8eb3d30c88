"""What mkdocs does for the site beside what its plugins do."""

import html
import re
from collections.abc import Iterator

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from xbarsim.config.reference import KeyFacts, study_keys

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.S)
KEYS = "keys.md"
HEAD = """# Keys of a study

Every key that a study may have, from the tables that validate studies: this page is made of them when the site is
built. `xbarsim study --schema` prints the same, `xbarsim study default --full` a study with all of them as comments,
`xbarsim study --schema --json` a JSON Schema for an editor. What is not stated has its default; an unknown key is
refused. A `[[case]]` overrides any table, a `[[layer]]` those of arrays for the steps that it matches.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The page of keys is made, not kept."""
    files.append(File.generated(config, KEYS, content=keys_page()))
    return files


def on_page_content(content: str, **_: object) -> str:
    """Formulas become MathML: browsers draw it, nothing is loaded."""
    return FORMULA.sub(_drawn, content)


def _drawn(found: re.Match[str]) -> str:
    display = "block" if found[2] == "[" else "inline"
    return convert(html.unescape(found[3]), display=display)


def keys_page() -> str:
    """Markdown of all keys, a table for every table of a study."""
    return HEAD + "\n".join(_lines(study_keys()))


def _lines(keys: list[KeyFacts]) -> Iterator[str]:
    yield "\n## At the top"
    yield from _heading()
    for place, key in enumerate(keys):
        if not key.is_table:
            yield _row(key)
            continue
        yield f"\n## [{key.path}] {{ #{key.path} }}\n\n{_cell(key.description)}"
        has_keys = place + 1 < len(keys) and not keys[place + 1].is_table
        if has_keys:
            yield from _heading()


def _heading() -> tuple[str, ...]:
    return "", "| key | values | unit | default | meaning |", "|---|---|---|---|---|"


def _row(key: KeyFacts) -> str:
    default = f"`{_cell(key.default)}`" if key.default else ""
    cells = (
        f"`{key.path}`",
        _cell(key.allowed),
        key.unit,
        default,
        _cell(key.description),
    )
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
