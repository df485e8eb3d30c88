"""Which column of a table is what: by the words and units of the header, or as a user says."""

import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence
from typing import NoReturn

from xbarsim.base.errors import ConfigError
from xbarsim.calibrate.quantities import split_header, unit_scale
from xbarsim.calibrate.table_layout import Sheet


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A column that a fit asks for.

    name : in the fit's signature;  unit : V, A, S, s, Hz, "1" (a plain number) or "text"
    words : words of headers that mean it, best first;  optional : the fit works without it
    free : the unit may be missing: the numbers are then in arbitrary units (1)
    blank : words may be missing: an empty cell says something
    """

    name: str
    unit: str
    words: tuple[str, ...]
    optional: bool = False
    free: bool = False
    blank: bool = False


@dataclasses.dataclass(frozen=True)
class Column:
    """A chosen column: its index and label, the unit of header or user, and who chose it."""

    wanted: Wanted
    index: int
    label: str
    unit: str
    how: str


@dataclasses.dataclass(frozen=True)
class File:
    """A sheet with its path, for messages."""

    path: str
    sheet: Sheet

    def where(self, row: int) -> str:
        """Path and line of a row."""
        return f"{self.path}, line {self.sheet.lines[row]}"

    def label(self, index: int) -> str:
        """Name of a column, its number where that is not clear."""
        header = self.sheet.header
        if not header or not header[index]:
            return f"column {index + 1}"
        name = repr(header[index])
        if header.count(header[index]) > 1:
            return f"{name} (column {index + 1})"
        return name


def position(file: File, key: str) -> int:
    """Index of a column by its header, or its number counted from 1."""
    header = file.sheet.header
    width = file.sheet.width
    if header.count(key) > 1:
        at = " and ".join(str(k + 1) for k, name in enumerate(header) if name == key)
        raise ConfigError(
            f"{file.path}, line {file.sheet.header_line}: column {key!r} appears more than once, "
            f"as {at}; choose one by its number"
        )
    if key in header:
        return header.index(key)
    if key.isdigit() and 1 <= int(key) <= width:
        return int(key) - 1
    names = f"numbers 1 to {width} (the file has no header)"
    if header:
        names = ", ".join(map(repr, header))
    raise ConfigError(f"{file.path}: no column {key!r}; columns are {names}")


def choose(file: File, wanted: Sequence[Wanted], given: Mapping[str, str]) -> list[Column]:
    """Column of every wanted one that there is, in the order of `wanted`."""
    chosen = {w.name: _given(file, w, str(given[w.name])) for w in wanted if w.name in given}
    for w in wanted:
        if w.name in chosen:
            continue
        taken = {column.index for column in chosen.values()}
        index = _guess(file, w, taken, wanted) if file.sheet.header else None
        if index is not None:
            unit = split_header(file.sheet.header[index]).unit
            chosen[w.name] = Column(w, index, file.label(index), unit, "guessed")
        elif not w.optional:
            _refuse_missing(file, w)
    return [chosen[w.name] for w in wanted if w.name in chosen]


def _given(file: File, wanted: Wanted, text: str) -> Column:
    """The column that a user names: "header", "number", or either with ":unit"."""
    header = file.sheet.header
    key = text
    unit = ""
    if ":" in text and text not in header:  # a header may have a colon in it
        key, _, unit = text.rpartition(":")
    index = position(file, key)
    of_a_fit = wanted.unit != "text" and not (wanted.free and unit == "1")
    if unit and of_a_fit and unit_scale(unit, wanted.unit) is None:
        raise ConfigError(
            f"unit {unit!r} given for column {wanted.name!r} is not one of {wanted.unit}"
        )
    if unit == "1":
        unit = ""
    elif not unit and header:
        unit = split_header(header[index]).unit
    return Column(wanted, index, file.label(index), unit, "given")


def _refuse_missing(file: File, wanted: Wanted) -> NoReturn:
    sheet = file.sheet
    have = f"the file has {sheet.width} columns and no header"
    if sheet.header:
        have = f"the header (line {sheet.header_line}) has {', '.join(map(repr, sheet.header))}"
    key = "HEADER" if sheet.header else "NUMBER:UNIT"
    raise ConfigError(
        f"{file.path}: no column for {wanted.name} ({wanted.unit}): {have}; name it as --column "
        f"{wanted.name}={key}, or give the number of lines above the table as --skip N"
    )


def _guess(
    file: File, wanted: Wanted, taken: Collection[int], every: Sequence[Wanted]
) -> int | None:
    """Index of the column whose header means `wanted`, None if there is none.

    A word of the header counts, the whole name more than one of its parts; then a unit that nothing
    else has.
    """
    free = [index for index in range(len(file.sheet.header)) if index not in taken]
    same = _best_by_words(file, wanted, free)
    if len(same) > 1:  # "G initial" is no reading of G
        same = _without_other_meanings(file, wanted, same, every) or same
    if len(same) > 1:
        _refuse_ambiguous(file, wanted, same)
    if same:
        return same[0]
    if wanted.optional or wanted.unit in ("text", "1"):
        return None
    return _by_unit(file, wanted, free)


def _best_by_words(file: File, wanted: Wanted, free: Sequence[int]) -> list[int]:
    """Those of the free columns whose headers mean `wanted` best."""
    ranked = {}
    for index in free:
        rank = _rank(file.sheet.header[index], wanted)
        if rank is not None:
            ranked[index] = rank
    best = min(ranked.values(), default=None)
    return [index for index, rank in ranked.items() if rank == best]


def _without_other_meanings(
    file: File, wanted: Wanted, columns: Sequence[int], every: Sequence[Wanted]
) -> list[int]:
    """The columns whose headers mean nothing else of the same unit."""
    others = [w for w in every if w is not wanted and w.unit == wanted.unit]
    found = []
    for index in columns:
        header = file.sheet.header[index]
        if all(_rank(header, other) is None for other in others):
            found.append(index)
    return found


def _by_unit(file: File, wanted: Wanted, free: Sequence[int]) -> int | None:
    """The only free column whose unit fits."""
    fitting = []
    for index in free:
        unit = split_header(file.sheet.header[index]).unit
        if unit and unit_scale(unit, wanted.unit) is not None:
            fitting.append(index)
    return fitting[0] if len(fitting) == 1 else None


def _rank(header: str, wanted: Wanted) -> tuple[int, int] | None:
    """How well a header means `wanted`, lower is better; None where it does not."""
    name, unit = split_header(header)
    if unit and wanted.unit not in ("text", "1") and unit_scale(unit, wanted.unit) is None:
        return None
    name = name.lower()
    parts = set(re.split(r"[^a-z0-9]+", name))
    channel = re.fullmatch(r"([a-z]+)\d+", name)  # "V1" of an instrument's channel
    for place, word in enumerate(wanted.words):
        if name == word:
            return 0, place
        if word in parts:
            return 1, place
        if channel and channel[1] == word:
            return 2, place
    return None


def _refuse_ambiguous(file: File, wanted: Wanted, same: Sequence[int]) -> NoReturn:
    header = file.sheet.header
    if len({header[index] for index in same}) == 1:
        position(file, header[same[0]])  # refuses a repeated name
    names = " and ".join(repr(header[index]) for index in same)
    raise ConfigError(
        f"{file.path}: {names} could both be {wanted.name}; choose with --column "
        f"{wanted.name}=HEADER"
    )
