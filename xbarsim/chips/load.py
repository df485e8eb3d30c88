"""Chip files by name or path: validated TOML files of three kinds of architecture
(data/chips/*.toml, or a path).

`in-situ` chips hold every weight in the array that multiplies with it; `synergy` chips store
weights in dense arrays and multiply in a pool of computation crossbars; `processor` chips are GPUs
and TPUs with measured latencies.  Parts name a component of the library (or of the file's own
`[component]` table); quantities that nobody published are values with an entry in `[[assumed]]`
that gives the range to sweep.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from xbarsim.base.errors import ConfigError
from xbarsim.base.toml_files import Presets, describe, parse
from xbarsim.chips.files.chip import Chip
from xbarsim.chips.files.parts import ROLES, TIMED, Assumed, Fitted
from xbarsim.chips.in_situ import InSitu
from xbarsim.chips.processor import Processor
from xbarsim.chips.synergy import Synergy
from xbarsim.config.study import merge
from xbarsim.config.tables import Table

CHIPS = Presets("chip", "chips")
AnyChip = Annotated[InSitu | Synergy | Processor, Field(discriminator="kind")]
_ADAPTER: TypeAdapter[InSitu | Synergy | Processor] = TypeAdapter(AnyChip)
Edit = tuple[tuple[str, ...], Any]  # path in a chip's content, and the value to put there


def chip_names() -> list[str]:
    """Names of the chips that come with xbarsim."""
    names: list[str] = CHIPS.names()
    return names


def chip_text(name_or_path: str | Path) -> str:
    """The TOML text of a chip."""
    text: str = CHIPS.text(name_or_path)
    return text


@dataclass(frozen=True)
class Description:
    """A chip as loaded: its name, its content as plain tables, and the validated file."""

    name: str
    content: dict[str, Any]
    chip: InSitu | Synergy | Processor

    def changed(self, *edits: Edit) -> "Description":
        """The description with values put at dotted paths."""
        content = self.content
        for path, value in edits:
            nested = value
            for key in reversed(path):
                nested = {key: nested}
            content = merge(content, nested)
        return describe_chip(self.name, content)


def load_chip(name_or_path: str | Path) -> Description:
    """Description of a chip by name or file.

    Parameters
    ----------
    name_or_path : one of those that `xbarsim chip list` shows, or a file of the form of
        docs/chips.md

    Returns
    -------
    Description : its name and its validated file

    Raises
    ------
    ConfigError : no such chip, not TOML, unknown or contradictory keys, a missing part, a value
        out of range
    """
    return parse_chip(name_or_path, chip_text(name_or_path))


def parse_chip(name_or_path: str | Path, text: str) -> Description:
    """Description of the text of a chip file; `name_or_path` names it.  Raises what `load_chip`
    raises.
    """
    content = parse(text, f"chip file {name_or_path}")
    found = describe_chip(CHIPS.label(name_or_path), content)
    for entry in found.chip.assumed:
        _check_assumed(found, entry)
    return found


def describe_chip(name: str, content: dict[str, Any]) -> Description:
    """Description of plain tables; see `load_chip` for what it raises."""
    try:
        chip = _ADAPTER.validate_python(content)
        problems = [*chip.contradictions(), *_problems_of_parts(chip)]
    except ValidationError as error:
        raise ConfigError(f"chip {name}: {describe(error, AnyChip)}") from None
    except ConfigError as error:
        raise ConfigError(f"chip {name}: {error}") from None
    if problems:
        raise ConfigError(f"chip {name}: " + "; ".join(problems))
    return Description(name, content, chip)


def _problems_of_parts(chip: Chip) -> Iterator[str]:
    for fitted in chip.parts:
        yield from _problems_of(fitted, chip)
    roles = [part.role for part, _ in chip.parts]
    for role in dict.fromkeys(roles):
        if roles.count(role) > 1:
            yield f"role {role!r} is given to two parts"


def _problems_of(fitted: Fitted, chip: Chip) -> Iterator[str]:
    part, component = fitted
    derived = chip.derived_counts.get(part.role, part.count)
    if derived is None:
        yield f"part {part.role} needs a count"
    elif part.count is not None and part.count != derived:
        yield (
            f"part {part.role}: count = {part.count:g} contradicts the {derived:g} of the "
            "organisation; leave it out"
        )
    if part.level not in chip.LEVELS:
        yield f"part {part.role}: level {part.level!r} is not one of {', '.join(chip.LEVELS)}"
    if component.kind not in ROLES[part.role]:
        yield (
            f"part {part.role}: {part.component} is of kind {component.kind}, not "
            f"{' or '.join(ROLES[part.role])}"
        )
    if part.role in TIMED and component.delay is None:
        yield (
            f"part {part.role}: {part.component} states no delay_ns or rate_mhz, which this role "
            "needs"
        )
    if component.action in ("access", "flit") and component.bits is None:
        yield (
            f"part {part.role}: {part.component} states no bits, the width of one "
            f"{component.action}"
        )


def stated_value(found: Description, entry: Assumed) -> Any:
    """What the file states at the key of an Assumed.

    Raises
    ------
    ConfigError : the file has no such key
    """
    value: Any = found.chip
    for key in entry.key.split("."):
        if not isinstance(value, Table) or key not in type(value).model_fields:
            raise ConfigError(
                f"chip {found.name}: assumed key {entry.key!r} is not a key of the file"
            )
        value = getattr(value, key)
    return value


def _check_assumed(found: Description, entry: Assumed) -> None:
    where = f"chip {found.name}: assumed key {entry.key!r}"
    value = stated_value(found, entry)
    if (entry.range is None) == (not entry.values):
        raise ConfigError(f"{where} needs either a range or values")
    if entry.range is None:
        inside = value in entry.values
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(
            f"{where} has a range, but its value is no number; give its choices as values"
        )
    else:
        inside = entry.range[0] <= value <= entry.range[1]
    if not inside:
        raise ConfigError(
            f"{where}: the value {value} is not in {list(entry.range or entry.values)}"
        )
