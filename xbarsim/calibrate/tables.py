"""Columns of measurement files in SI units, with the columns and units that a fit wants.

Files are text (CSV, TSV and the like, plain or gzipped) or workbooks; `table_layout` finds the
table in them.  Columns are found by the words and units of the header, or given: `{"voltage":
"V1"}`, `{"current": "I1:uA"}`, a number for the column of a file without a header or with repeated
names. What was chosen and assumed is written down in `Table.echo`.  A file that cannot be read is
refused with the number of the line.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from xbarsim.base.array_types import AnyArray, Booleans, Floats, Integers
from xbarsim.base.errors import ConfigError
from xbarsim.calibrate.column_choice import Column, File, Wanted, choose, position
from xbarsim.calibrate.column_values import (
    check_finite,
    comma_note,
    has_decimal_commas,
    in_si,
    labels,
    parsed_numbers,
    unit_of_numbers,
)
from xbarsim.calibrate.quantities import Number, parse_number, split_header, unit_scale
from xbarsim.calibrate.table_layout import Sheet, read_sheet

__all__ = [
    "FilePath",
    "MeasurementFile",
    "Table",
    "Wanted",
    "read_table",
    "read_tables",
    "split_header",
    "unit_scale",
]

FilePath: TypeAlias = str | os.PathLike[str]  # that of a workbook perhaps with ":SHEET"


@dataclasses.dataclass(frozen=True)
class MeasurementFile(os.PathLike[str]):
    """A file whose first `skip` lines are not read; a path wherever one is expected."""

    path: FilePath
    skip: int = 0

    def __fspath__(self) -> str:
        return str(self.path)


@dataclasses.dataclass(frozen=True)
class Table:
    """Columns of one file in SI units, by the name of their `Wanted`.

    columns : (n,) numbers, or labels of columns of text;  units : "1" where they are arbitrary,
        "" of labels
    lines : (n,) line numbers of the rows;  echo : what was read, chosen and assumed
    """

    path: str
    columns: dict[str, AnyArray]
    units: dict[str, str]
    lines: Integers
    echo: str

    def __getitem__(self, name: str) -> AnyArray:
        return self.columns[name]

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def __len__(self) -> int:
        return len(self.lines)

    def require(self, rows: int, purpose: str) -> None:
        """ConfigError unless there are so many rows."""
        have = len(self)
        if have >= rows:
            return
        counted = f"{have} rows of data"
        if have == 1:
            counted = f"1 row of data (line {self.lines[0]})"
        raise ConfigError(f"{self.path}: {counted}; {purpose} needs at least {rows}")


@dataclasses.dataclass(frozen=True)
class _Read:
    """One column as it was read.

    commas : whether its decimals stand behind commas, None where it has none
    """

    column: Column
    values: AnyArray
    unit: str
    echo: str
    commas: bool | None = None

    @property
    def name(self) -> str:
        return self.column.wanted.name


def read_tables(
    paths: Sequence[FilePath],
    wanted: Sequence[Wanted],
    given: Mapping[str, str] | None = None,
    where: Mapping[str, str] | None = None,
    *,
    words: bool = False,
) -> list[Table]:
    """`read_table` of every path."""
    return [read_table(path, wanted, given, where, words=words) for path in paths]


def read_table(
    path: FilePath,
    wanted: Sequence[Wanted],
    given: Mapping[str, str] | None = None,
    where: Mapping[str, str] | None = None,
    *,
    words: bool = False,
) -> Table:
    """The wanted columns of a file.

    Parameters
    ----------
    path : of the file, perhaps a MeasurementFile
    wanted : columns, in the order of the echo
    given : {name of a Wanted: header, number of a column, or either with ":unit"}, over what would
        be guessed
    where : {header or number of a column: value, or "low..high"}: rows to keep, in the numbers or
        words of the file
    words : whether the file may have no number at all

    Raises
    ------
    ConfigError : no file, binary, empty, a column missing or ambiguous, no unit, mixed units, not a
        number, decimal commas beside decimal points
    """
    given = given or {}
    where = where or {}
    names = [w.name for w in wanted]
    for name in given:
        if name not in names:
            raise ConfigError(
                f"column {name!r} is not one of this kind of calibration: {', '.join(names)}"
            )
    skip = path.skip if isinstance(path, MeasurementFile) else 0
    path = os.fspath(path)
    whole = File(path, read_sheet(path, skip, words))
    file = File(path, _kept(whole, where))
    read = [_read(file, column) for column in choose(file, wanted, given)]
    return Table(
        path=path,
        columns={column.name: column.values for column in read},
        units={column.name: column.unit for column in read},
        lines=file.sheet.lines,
        echo=_echo(file, read, where),
    )


def _read(file: File, column: Column) -> _Read:
    """A chosen column in SI units, or as labels."""
    wanted = column.wanted
    cells = file.sheet.column(column.index)
    if wanted.unit == "text":
        echo = f"{wanted.name} from {column.label} ({column.how})"
        return _Read(column, labels(file, cells, column), unit="", echo=echo)
    numbers = parsed_numbers(file, cells, column)
    commas = has_decimal_commas(file, numbers, column)
    unit = unit_of_numbers(file, numbers, column)
    values = np.array([number.value for number in numbers]) * unit.factors
    check_finite(file, values, cells, column)
    return _Read(
        column=column,
        values=in_si(file, values, unit.name, column),
        unit="1" if unit.name is None else wanted.unit,
        echo=f"{wanted.name} from {column.label} in {_shown(unit.name)} ({column.how})",
        commas=commas,
    )


def _shown(unit: str | None) -> str:
    if unit is None:
        return "arbitrary units"
    return unit or "plain numbers"


def _echo(file: File, read: Sequence[_Read], where: Mapping[str, str]) -> str:
    """What was read, chosen and assumed."""
    commas = {column.column.label: column.commas for column in read}
    assumed = [*file.sheet.assumed, *comma_note(file.path, commas)]
    chosen = ", ".join(column.echo for column in read)
    text = f"{Path(file.path).name}: {chosen}; {len(file.sheet.rows):,} rows"
    if where:
        text += ", where " + ", ".join(f"{key} = {condition}" for key, condition in where.items())
    if assumed:
        text += f"; {', '.join(assumed)}"
    return text


# --- rows


def _kept(file: File, where: Mapping[str, str]) -> Sheet:
    """The sheet with the rows that fulfil all conditions."""
    sheet = file.sheet
    keep = np.ones(len(sheet.rows), bool)
    for key, condition in where.items():
        cells = sheet.column(position(file, key))
        keep &= _fulfils(file.path, cells, key, str(condition))
    if not keep.any():
        conditions = ", ".join(f"{key}={condition}" for key, condition in where.items())
        raise ConfigError(f"{file.path}: no row fulfils {conditions}")
    rows = [row for row, kept in zip(sheet.rows, keep, strict=True) if kept]
    return dataclasses.replace(sheet, rows=rows, lines=sheet.lines[keep])


def _fulfils(path: str, cells: Sequence[str], key: str, condition: str) -> Booleans:
    """Which cells equal a value, or lie in "low..high"."""
    low, dots, high = condition.partition("..")
    if not dots:
        return np.array([_equals(cell, condition) for cell in cells])
    try:
        lowest = float(low or "-inf")
        highest = float(high or "inf")
        values = _plain_values(cells)
    except ValueError:
        raise ConfigError(
            f"{path}: the rows where {key} = {condition} are asked for, but one of these is not a "
            "number"
        ) from None
    return (values >= lowest) & (values <= highest)


def _plain_values(cells: Sequence[str]) -> Floats:
    """Numbers as written; ValueError where a cell has none."""
    values = []
    for cell in cells:
        number = parse_number(cell)
        if number is None:
            raise ValueError(cell)
        values.append(number.value)
    return np.array(values)


def _equals(cell: str, condition: str) -> bool:
    """Whether a cell is written as the condition, or the same number with the same unit."""
    if cell == condition:
        return True
    number = parse_number(cell)
    wanted = parse_number(condition)
    return number is not None and wanted is not None and _same(number, wanted)


def _same(number: Number, other: Number) -> bool:
    alike = (number.unit, number.prefix) == (other.unit, other.prefix)
    return alike and number.value == other.value
