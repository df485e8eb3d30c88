"""Which column of a table is what: by the words and units of the header, or as a user says."""

import dataclasses
import re

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
    words: tuple
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

    def where(self, row):
        return f"{self.path}, line {self.sheet.lines[row]}"

    def label(self, index):
        header = self.sheet.header
        if not header or not header[index]:
            return f"column {index + 1}"
        repeated = f" (column {index + 1})" if header.count(header[index]) > 1 else ""
        return repr(header[index]) + repeated


def position(file, key):
    """Index of a column by its header, or its number counted from 1."""
    header, width = file.sheet.header, file.sheet.width
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


def choose(file, wanted, given):
    """Column of every wanted one that there is, in the order of `wanted`."""
    chosen = {w.name: _given(file, w, str(given[w.name])) for w in wanted if w.name in given}
    for w in wanted:
        if w.name in chosen:
            continue
        taken = {column.index for column in chosen.values()}
        index = _guess(file, w, taken, wanted) if file.sheet.header else None
        if index is not None:
            unit = split_header(file.sheet.header[index])[1]
            chosen[w.name] = Column(w, index, file.label(index), unit, "guessed")
        elif not w.optional:
            _refuse_missing(file, w)
    return [chosen[w.name] for w in wanted if w.name in chosen]


def _given(file, wanted, text):
    """The column that a user names: "header", "number", or either with ":unit"."""
    header = file.sheet.header
    key, unit = text, ""
    if ":" in text and text not in header:  # a header may have a colon in it
        key, _, unit = text.rpartition(":")
    index = position(file, key)
    of_a_fit = wanted.unit != "text" and not (wanted.free and unit == "1")
    if unit and of_a_fit and unit_scale(unit, wanted.unit) is None:
        raise ConfigError(
            f"unit {unit!r} given for column {wanted.name!r} is not one of {wanted.unit}"
        )
    if unit == "1":
        return Column(wanted, index, file.label(index), "", "given")
    if not unit and header:
        unit = split_header(header[index])[1]
    return Column(wanted, index, file.label(index), unit, "given")


def _refuse_missing(file, wanted):
    sheet = file.sheet
    have = f"the file has {sheet.width} columns and no header"
    if sheet.header:
        have = f"the header (line {sheet.header_line}) has {', '.join(map(repr, sheet.header))}"
    key = "HEADER" if sheet.header else "NUMBER:UNIT"
    raise ConfigError(
        f"{file.path}: no column for {wanted.name} ({wanted.unit}): {have}; name it as --column "
        f"{wanted.name}={key}, or give the number of lines above the table as --skip N"
    )


def _guess(file, wanted, taken, every):
    """Index of the column whose header means `wanted`, None if there is none.

    A word of the header counts, the whole name more than one of its parts; then a unit that nothing
    else has.
    """
    header = file.sheet.header
    free = [index for index in range(len(header)) if index not in taken]
    ranked = {index: _rank(header[index], wanted) for index in free}
    ranked = {index: rank for index, rank in ranked.items() if rank is not None}
    if ranked:
        best = min(ranked.values())
        same = [index for index, rank in ranked.items() if rank == best]
        if len(same) > 1:  # "G initial" is no reading of G
            others = [w for w in every if w is not wanted and w.unit == wanted.unit]
            means_other = {i for i in same for w in others if _rank(header[i], w) is not None}
            same = [index for index in same if index not in means_other] or same
        if len(same) > 1:
            _refuse_ambiguous(file, wanted, same)
        return same[0]
    if wanted.optional or wanted.unit in ("text", "1"):
        return None
    units = {index: split_header(header[index])[1] for index in free}
    fitting = [i for i, unit in units.items() if unit and unit_scale(unit, wanted.unit) is not None]
    return fitting[0] if len(fitting) == 1 else None


def _rank(header, wanted):
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


def _refuse_ambiguous(file, wanted, same):
    header = file.sheet.header
    if len({header[index] for index in same}) == 1:
        position(file, header[same[0]])  # refuses a repeated name
    names = " and ".join(repr(header[index]) for index in same)
    raise ConfigError(
        f"{file.path}: {names} could both be {wanted.name}; choose with --column "
        f"{wanted.name}=HEADER"
    )
