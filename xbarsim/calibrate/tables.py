"""Columns of measurement files in SI units, with the columns and units that a fit wants.

Files are text (CSV, TSV and the like, plain or gzipped) or workbooks; `table_layout` finds the
table in them.  Columns are found by the words and units of the header, or given: `{"voltage":
"V1"}`, `{"current": "I1:uA"}`, a number for the column of a file without a header or with repeated
names. What was chosen and assumed is written down in `Table.echo`.  A file that cannot be read is
refused with the number of the line.
"""

import dataclasses
import os
from pathlib import Path

import numpy as np

from xbarsim.base.errors import ConfigError
from xbarsim.calibrate.column_choice import File, Wanted, choose, position
from xbarsim.calibrate.column_values import (
    check_finite,
    comma_note,
    has_decimal_commas,
    in_si,
    labels,
    parsed_numbers,
    unit_of_numbers,
)
from xbarsim.calibrate.quantities import parse_number, split_header, unit_scale
from xbarsim.calibrate.table_layout import read_sheet

__all__ = [
    "MeasurementFile",
    "Table",
    "Wanted",
    "read_table",
    "read_tables",
    "split_header",
    "unit_scale",
]


@dataclasses.dataclass(frozen=True)
class MeasurementFile:
    """A file whose first `skip` lines are not read; a path wherever one is expected."""

    path: Path
    skip: int = 0

    def __fspath__(self):
        return str(self.path)


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


def read_tables(paths, wanted, given=None, where=None, *, words=False):
    """`read_table` of every path."""
    return [read_table(path, wanted, given, where, words=words) for path in paths]


def read_table(path, wanted, given=None, where=None, *, words=False):
    """The wanted columns of a file.

    Parameters
    ----------
    path : path, that of a workbook perhaps with ":SHEET", or MeasurementFile
    wanted : sequence of Wanted
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
    given, where = dict(given or {}), dict(where or {})
    names = [w.name for w in wanted]
    for name in given:
        if name not in names:
            raise ConfigError(
                f"column {name!r} is not one of this kind of calibration: {', '.join(names)}"
            )
    skip = path.skip if isinstance(path, MeasurementFile) else 0
    path = os.fspath(path)
    file = File(path, _kept(File(path, read_sheet(path, skip, words)), where))
    chosen = choose(file, wanted, given)
    columns, units, echo, commas = {}, {}, [], {}
    for column in chosen:
        name, cells = column.wanted.name, file.sheet.column(column.index)
        if column.wanted.unit == "text":
            columns[name], units[name] = labels(file, cells, column), ""
            echo.append(f"{name} from {column.label} ({column.how})")
            continue
        numbers = parsed_numbers(file, cells, column)
        commas[column.label] = has_decimal_commas(file, numbers, column)
        unit, factors = unit_of_numbers(file, numbers, column)
        values = np.array([number.value for number in numbers]) * factors
        check_finite(file, values, cells, column)
        columns[name] = in_si(file, values, unit, column)
        units[name] = "1" if unit is None else column.wanted.unit
        echo.append(f"{name} from {column.label} in {_shown(unit)} ({column.how})")
    assumed = [*file.sheet.assumed, *comma_note(path, commas)]
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
        cells = sheet.column(position(file, key))
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
        return np.array(
            [
                cell == low or (wanted is not None and number is not None and _same(number, wanted))
                for cell, number in zip(cells, parsed, strict=True)
            ]
        )
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
