"""Columns of measurement files in SI units, with the columns and units that a fit wants.

Files are text (CSV, TSV and the like, plain or gzipped) or workbooks; `table_layout` finds the table
in them.  Columns are found by the words and units of the header, or given: `{"voltage": "V1"}`,
`{"current": "I1:uA"}`, a number for the column of a file without a header or with repeated names.
What was chosen and assumed is written down in `Table.echo`.  A file that cannot be read is refused
with the number of the line.
"""
import dataclasses
import os
import re
from pathlib import Path

import numpy as np

from xbarsim.calibrate.quantities import (
    PREFIXES,
    is_unit,
    parse_number,
    split_header,
    unit_scale,
)
from xbarsim.calibrate.table_layout import Sheet, read_sheet
from xbarsim.errors import ConfigError

__all__ = [
    "MeasurementFile",
    "Table",
    "Wanted",
    "read_table",
    "read_tables",
    "split_header",
    "unit_scale",
]

OVERFLOW = 9.9e36                   # instruments write 9.9e37 where a measurement failed
NO_LABELS = {"", "nan", "null", "none", "n/a", "na", "#n/a"}


@dataclasses.dataclass(frozen=True)
class MeasurementFile:
    """A file whose first `skip` lines are not read; a path wherever one is expected."""

    path: Path
    skip: int = 0

    def __fspath__(self):
        return str(self.path)


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A column that a fit asks for.

    name : in the fit's signature;  unit : V, A, S, s, Hz, "1" (a plain number) or "text"
    words : words of headers that mean it, best first;  optional : the fit works without it
    free : the unit may be missing: the numbers are then in arbitrary units (1)
    """

    name: str
    unit: str
    words: tuple
    optional: bool = False
    free: bool = False


@dataclasses.dataclass(frozen=True)
class Table:
    """Columns of one file in SI units, by the name of their `Wanted`; `lines` are the line numbers
    of the rows."""

    path: str
    columns: dict
    units: dict
    lines: np.ndarray
    echo: str

    def __getitem__(self, name):
        return self.columns[name]

    def __contains__(self, name):
        return name in self.columns

    def __len__(self):
        return len(self.lines)

    def require(self, rows, purpose):
        """ConfigError unless there are so many rows."""
        if len(self) < rows:
            where = f" (line {self.lines[0]})" if len(self) == 1 else ""
            raise ConfigError(
                f"{self.path}: {len(self)} row{'s' * (len(self) != 1)} of data{where}; {purpose} "
                f"needs at least {rows}"
            )


@dataclasses.dataclass(frozen=True)
class _Column:
    """A chosen column: its index and label, the unit of header or user, and who chose it."""

    wanted: Wanted
    index: int
    label: str
    unit: str
    how: str


@dataclasses.dataclass(frozen=True)
class _File:
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


def read_tables(paths, wanted, given=None, where=None):
    """`read_table` of every path."""
    return [read_table(path, wanted, given, where) for path in paths]


def read_table(path, wanted, given=None, where=None):
    """The wanted columns of a file.

    Parameters
    ----------
    path : path, that of a workbook perhaps with ":SHEET", or MeasurementFile
    wanted : sequence of Wanted
    given : {name of a Wanted: header, number of a column, or either with ":unit"}, over what would
        be guessed
    where : {header or number of a column: value, or "low..high"}: rows to keep, in the numbers or
        words of the file

    Raises
    ------
    ConfigError : no file, binary, empty, a column missing or ambiguous, no unit, mixed units, not a
        number, decimal commas beside decimal points
    """
    given, where = dict(given or {}), dict(where or {})
    names = [w.name for w in wanted]
    for name in given:
        if name not in names:
            raise ConfigError(
                f"column {name!r} is not one of this kind of calibration: {', '.join(names)}"
            )
    skip = path.skip if isinstance(path, MeasurementFile) else 0
    path = os.fspath(path)
    file = _File(path, _kept(_File(path, read_sheet(path, skip)), where))
    chosen = _choose(file, wanted, given)
    columns, units, echo, commas = {}, {}, [], {}
    for column in chosen:
        name, cells = column.wanted.name, file.sheet.column(column.index)
        if column.wanted.unit == "text":
            columns[name], units[name] = _labels(file, cells, column), ""
            echo.append(f"{name} from {column.label} ({column.how})")
            continue
        numbers = _parsed(file, cells, column)
        commas[column.label] = _decimal_comma(file, numbers, column)
        unit, factors = _unit(file, numbers, column)
        values = np.array([number.value for number in numbers]) * factors
        _check_finite(file, values, cells, column)
        columns[name] = _in_si(file, values, unit, column)
        units[name] = "1" if unit is None else column.wanted.unit
        echo.append(f"{name} from {column.label} in {_shown(unit)} ({column.how})")
    assumed = [*file.sheet.assumed, *_comma_note(path, commas)]
    remarks = f"; {', '.join(assumed)}" if assumed else ""
    kept = ", where " + ", ".join(f"{k} = {v}" for k, v in where.items()) if where else ""
    rows = len(file.sheet.rows)
    return Table(
        path=path,
        columns=columns,
        units=units,
        lines=file.sheet.lines,
        echo=f"{Path(path).name}: {', '.join(echo)}; {rows:,} rows{kept}{remarks}",
    )


def _shown(unit):
    if unit is None:
        return "arbitrary units"
    return unit or "plain numbers"


# --- rows


def _kept(file, where):
    """The sheet with the rows that fulfil all conditions."""
    sheet = file.sheet
    keep = np.ones(len(sheet.rows), bool)
    for key, condition in where.items():
        cells = sheet.column(_position(file, key))
        keep &= _condition(file.path, cells, key, condition)
    if not keep.any():
        conditions = ", ".join(f"{k}={v}" for k, v in where.items())
        raise ConfigError(f"{file.path}: no row fulfils {conditions}")
    rows = [row for row, kept in zip(sheet.rows, keep, strict=True) if kept]
    return dataclasses.replace(sheet, rows=rows, lines=sheet.lines[keep])


def _condition(path, cells, key, condition):
    """Which cells equal a value, or lie in "low..high"."""
    low, dots, high = str(condition).partition("..")
    parsed = [parse_number(cell) for cell in cells]
    if not dots:
        wanted = parse_number(low)
        return np.array([
            cell == low or (wanted is not None and number is not None and _same(number, wanted))
            for cell, number in zip(cells, parsed, strict=True)
        ])
    try:
        low, high = float(low or "-inf"), float(high or "inf")
        values = np.array([number.value for number in parsed])
    except (ValueError, AttributeError):
        raise ConfigError(
            f"{path}: the rows where {key} = {condition} are asked for, but one of these is not a "
            "number"
        ) from None
    return (values >= low) & (values <= high)


def _same(number, other):
    alike = (number.unit, number.prefix) == (other.unit, other.prefix)
    return alike and number.value == other.value


# --- choice of columns


def _position(file, key):
    """Index of a column by its header, or its number counted from 1."""
    header, width = file.sheet.header, file.sheet.width
    if header.count(key) > 1:
        at = " and ".join(str(k + 1) for k, name in enumerate(header) if name == key)
        raise ConfigError(
            f"{file.path}, line {file.sheet.header_line}: column {key!r} appears more than once, as "
            f"{at}; choose one by its number"
        )
    if key in header:
        return header.index(key)
    if key.isdigit() and 1 <= int(key) <= width:
        return int(key) - 1
    names = f"numbers 1 to {width} (the file has no header)"
    if header:
        names = ", ".join(map(repr, header))
    raise ConfigError(f"{file.path}: no column {key!r}; columns are {names}")


def _choose(file, wanted, given):
    """_Column of every wanted one that there is, in the order of `wanted`."""
    chosen = {w.name: _given(file, w, str(given[w.name])) for w in wanted if w.name in given}
    for w in wanted:
        if w.name in chosen:
            continue
        taken = {column.index for column in chosen.values()}
        index = _guess(file, w, taken, wanted) if file.sheet.header else None
        if index is not None:
            unit = split_header(file.sheet.header[index])[1]
            chosen[w.name] = _Column(w, index, file.label(index), unit, "guessed")
        elif not w.optional:
            _refuse_missing(file, w)
    return [chosen[w.name] for w in wanted if w.name in chosen]


def _given(file, wanted, text):
    """The column that a user names: "header", "number", or either with ":unit"."""
    header = file.sheet.header
    key, unit = text, ""
    if ":" in text and text not in header:              # a header may have a colon in it
        key, _, unit = text.rpartition(":")
    index = _position(file, key)
    of_a_fit = wanted.unit != "text" and not (wanted.free and unit == "1")
    if unit and of_a_fit and unit_scale(unit, wanted.unit) is None:
        raise ConfigError(f"unit {unit!r} given for column {wanted.name!r} is not one of {wanted.unit}")
    if unit == "1":
        return _Column(wanted, index, file.label(index), "", "given")
    if not unit and header:
        unit = split_header(header[index])[1]
    return _Column(wanted, index, file.label(index), unit, "given")


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
        if len(same) > 1:                               # "G initial" is no reading of G
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
    channel = re.fullmatch(r"([a-z]+)\d+", name)         # "V1" of an instrument's channel
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
        _position(file, header[same[0]])                # refuses a repeated name
    names = " and ".join(repr(header[index]) for index in same)
    raise ConfigError(
        f"{file.path}: {names} could both be {wanted.name}; choose with --column "
        f"{wanted.name}=HEADER"
    )


# --- cells to numbers


def _parsed(file, cells, column):
    """Number of every cell."""
    numbers = [parse_number(cell) for cell in cells]
    for row, number in enumerate(numbers):
        cell = cells[row]
        if number is None:
            what = f"{cell[:40]!r} is not a number" if cell else "an empty cell"
            raise ConfigError(
                f"{file.where(row)}: {what} in {column.label} (wanted: {column.wanted.name}); "
                "correct or remove the row, or leave lines above the table out by --skip N"
            )
        if file.sheet.separator == "," and re.match(r"[+-]?0\d", cell):
            raise ConfigError(
                f"{file.where(row)}: {cell!r} in {column.label} begins with 0: the decimals behind "
                "a comma? separate the cells by ; or tabs"
            )
    return numbers


def _decimal_comma(file, numbers, column):
    """True where decimals stand behind commas, False behind points, None where there are none."""
    commas = [row for row, number in enumerate(numbers) if number.comma]
    points = [row for row, number in enumerate(numbers) if "." in number.digits]
    if commas and points:
        raise ConfigError(
            f"{file.where(commas[0])}: a decimal comma in {column.label} where line "
            f"{file.sheet.lines[points[0]]} has a decimal point; write one of them"
        )
    if not commas and not points:
        return None
    return bool(commas)


def _comma_note(path, commas):
    """What the echo says of decimal commas; ConfigError where columns contradict each other."""
    with_comma = [label for label, comma in commas.items() if comma is True]
    with_point = [label for label, comma in commas.items() if comma is False]
    if with_comma and with_point:
        raise ConfigError(
            f"{path}: {with_comma[0]} has commas in its numbers and {with_point[0]} decimal points: "
            "decimals or thousands? write all decimals behind points"
        )
    return ["decimal commas"] if with_comma else []


def _unit(file, numbers, column):
    """(unit of the column, factor of every row to that unit); the unit is None where it is
    arbitrary.

    Cells that all say their unit may say different ones.  A prefix without a unit, as in "1.2u", is
    that of the unit in the header, or of the SI unit that is wanted.
    """
    wanted = column.wanted
    base = column.unit
    ones = np.ones(len(numbers))
    prefixed = next((row for row, number in enumerate(numbers) if number.prefix), None)
    own = {}
    for row, number in enumerate(numbers):
        own.setdefault(number.unit, row)
    if prefixed is not None:
        base = base or wanted.unit
        _check_prefix(file, prefixed, numbers[prefixed], base, column)
        if len(own) > 1 or own.keys() != {""}:
            _refuse_mixed(file, own, base, column)
        return base, np.array([PREFIXES[number.prefix] for number in numbers])
    if own.keys() == {""}:
        if not base and file.sheet.si and wanted.unit != "1":
            base = wanted.unit
        if not base and wanted.free:
            return None, ones
        _check_unit(file, 0, base, column)
        return base, ones
    if base:
        own.pop("", None)
        own.setdefault(base, 0)
    if "" in own or (base and len(own) > 1):
        _refuse_mixed(file, own, base, column)
    for unit, row in own.items():
        _check_unit(file, row, unit, column)
    if len(own) == 1:
        return next(iter(own)), ones
    scales = {unit: unit_scale(unit, wanted.unit) for unit in own}
    if len({inverted for _, inverted in scales.values()}) > 1:
        _refuse_mixed(file, own, base, column)
    first = numbers[0].unit
    relative = {unit: factor / scales[first][0] for unit, (factor, _) in scales.items()}
    return first, np.array([relative[number.unit] for number in numbers])


def _check_prefix(file, row, number, base, column):
    """A prefix alone must be clear: of a unit without one, and not the m of minutes."""
    written = f"{number.digits}{number.prefix}"
    if unit_scale(base, column.wanted.unit) is None:
        _check_unit(file, row, base, column)
    plain = is_unit(base) and unit_scale(base, column.wanted.unit)[0] == 1.0
    if not plain or (number.prefix == "m" and column.wanted.unit == "s"):
        raise ConfigError(
            f"{file.where(row)}: {written!r} in {column.label} leaves its unit open "
            f"(wanted: {column.wanted.name} in {column.wanted.unit}); write the unit in every cell, "
            f"or a header in {column.wanted.unit}"
        )


def _check_unit(file, row, unit, column):
    wanted = column.wanted
    if unit_scale(unit, wanted.unit) is not None:
        return
    problem = f"{column.label} has no unit of"
    if unit:
        problem = f"unit {unit!r} of {column.label} is not one of"
    raise ConfigError(
        f"{file.where(row)}: {problem} {wanted.name} ({wanted.unit}); say it in the header, such as "
        f"'{wanted.name} ({wanted.unit})', or as --column {wanted.name}=NAME:{wanted.unit}"
    )


def _refuse_mixed(file, own, base, column):
    """own : {unit in cells: first row with it}."""
    first = base or next(iter(own))
    other = next(unit for unit in own if unit != first)
    says = "the header" if base else "a line before"
    raise ConfigError(
        f"{file.where(own[other])}: mixed units in {column.label}: {other or 'none'!r} where {says} "
        f"says {first or 'none'!r}; write one unit"
    )


def _check_finite(file, values, cells, column):
    bad = np.flatnonzero(~np.isfinite(values) | (abs(values) > OVERFLOW))
    if bad.size:
        more = f" and {bad.size - 1} more rows" if bad.size > 1 else ""
        raise ConfigError(
            f"{file.where(bad[0])}{more}: {cells[bad[0]]!r} in {column.label} is not a measurement "
            f"(wanted: {column.wanted.name}); remove the row{'s' if more else ''}"
        )


def _in_si(file, values, unit, column):
    """Values in the SI unit that is wanted."""
    if unit is None:
        return values
    factor, inverted = unit_scale(unit, column.wanted.unit)
    if not inverted:
        return factor * values
    if (values == 0).any():
        raise ConfigError(
            f"{file.where(np.argmax(values == 0))}: a resistance of 0 {unit} in {column.label} has "
            "no conductance; remove the row"
        )
    return 1 / (factor * values)


def _labels(file, cells, column):
    """Labels of cells or sweeps: none missing, none written in two ways."""
    first = {}
    for row, cell in enumerate(cells):
        if cell.lower() in NO_LABELS:
            what = f"{cell!r} is no label" if cell else "no label"
            raise ConfigError(
                f"{file.where(row)}: {what} in {column.label} (wanted: {column.wanted.name}); "
                "name it or remove the row"
            )
        first.setdefault(cell, row)
    spellings = {}
    for cell, row in first.items():
        number = parse_number(cell)
        meant = cell if number is None else (number.value, number.prefix, number.unit)
        other = spellings.setdefault(meant, cell)
        if other != cell:
            raise ConfigError(
                f"{file.where(row)}: {cell!r} in {column.label} where line "
                f"{file.sheet.lines[first[other]]} has {other!r}: one {column.wanted.name} or two? "
                "write it one way"
            )
    return np.array(cells)
