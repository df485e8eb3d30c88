"""Cells of a chosen column as numbers in SI units, or as labels."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from xbarsim.base.arguments import shown
from xbarsim.base.array_types import Floats
from xbarsim.base.errors import ConfigError
from xbarsim.calibrate.column_choice import Column, File
from xbarsim.calibrate.quantities import PREFIXES, Number, Scale, is_unit, parse_number, unit_scale

OVERFLOW = 9.9e36  # instruments write 9.9e37 where a measurement failed
NO_LABELS = {"", "nan", "null", "none", "n/a", "na", "#n/a"}


class NumbersUnit(NamedTuple):
    """Unit of a column of numbers, None where it is arbitrary, and the factor (n,) of every row to
    it.
    """

    name: str | None
    factors: Floats


def parsed_numbers(file: File, cells: Sequence[str], column: Column) -> list[Number]:
    """Number of every cell."""
    numbers = []
    for row, cell in enumerate(cells):
        number = parse_number(cell)
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
        numbers.append(number)
    return numbers


def has_decimal_commas(file: File, numbers: Sequence[Number], column: Column) -> bool | None:
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


def comma_note(path: str, commas: Mapping[str, bool | None]) -> list[str]:
    """What the echo says of decimal commas; ConfigError where columns contradict each other.

    commas : `has_decimal_commas` by the label of the column
    """
    with_comma = [label for label, comma in commas.items() if comma is True]
    with_point = [label for label, comma in commas.items() if comma is False]
    if with_comma and with_point:
        raise ConfigError(
            f"{path}: {with_comma[0]} has commas in its numbers and {with_point[0]} decimal "
            "points: decimals or thousands? write all decimals behind points"
        )
    return ["decimal commas"] if with_comma else []


def unit_of_numbers(file: File, numbers: Sequence[Number], column: Column) -> NumbersUnit:
    """Unit of a column, by its cells and its header.

    Cells that all say their unit may say different ones.  A prefix without a unit, as in "1.2u", is
    that of the unit in the header, or of the SI unit that is wanted.
    """
    first_rows: dict[str, int] = {}  # of every unit in the cells
    for row, number in enumerate(numbers):
        first_rows.setdefault(number.unit, row)
    prefixed = next((row for row, number in enumerate(numbers) if number.prefix), None)
    if prefixed is not None:
        _check_prefix(file, prefixed, numbers[prefixed], column)
        return _unit_with_prefixes(file, numbers, first_rows, column)
    if first_rows.keys() == {""}:
        return NumbersUnit(_unit_of_header(file, column), np.ones(len(numbers)))
    return _unit_of_cells(file, numbers, first_rows, column)


def _unit_with_prefixes(
    file: File, numbers: Sequence[Number], first_rows: Mapping[str, int], column: Column
) -> NumbersUnit:
    """Of numbers some of which have a prefix: none may have a unit."""
    base = column.unit or column.wanted.unit
    if first_rows.keys() != {""}:
        _refuse_mixed(file, first_rows, base, column)
    return NumbersUnit(base, np.array([PREFIXES[number.prefix] for number in numbers]))


def _unit_of_header(file: File, column: Column) -> str | None:
    """Of numbers without units."""
    wanted = column.wanted
    if not column.unit and file.sheet.si and wanted.unit != "1":
        return wanted.unit
    if not column.unit and wanted.free:
        return None
    _scale(file, 0, column.unit, column)
    return column.unit


def _unit_of_cells(
    file: File, numbers: Sequence[Number], first_rows: dict[str, int], column: Column
) -> NumbersUnit:
    """Of numbers with units of their own."""
    base = column.unit
    rows = dict(first_rows)
    if base:
        rows.pop("", None)
        rows.setdefault(base, 0)
    if "" in rows or (base and len(rows) > 1):
        _refuse_mixed(file, rows, base, column)
    scales = {unit: _scale(file, row, unit, column) for unit, row in rows.items()}
    if len(rows) == 1:
        return NumbersUnit(next(iter(rows)), np.ones(len(numbers)))
    if len({scale.inverted for scale in scales.values()}) > 1:
        _refuse_mixed(file, rows, base, column)
    first = numbers[0].unit
    relative = {unit: scale.factor / scales[first].factor for unit, scale in scales.items()}
    return NumbersUnit(first, np.array([relative[number.unit] for number in numbers]))


def _check_prefix(file: File, row: int, number: Number, column: Column) -> None:
    """A prefix alone must be clear: of a unit without one, and not the m of minutes."""
    base = column.unit or column.wanted.unit
    scale = _scale(file, row, base, column)
    plain = is_unit(base) and scale.factor == 1.0
    if not plain or (number.prefix == "m" and column.wanted.unit == "s"):
        written = f"{number.digits}{number.prefix}"
        raise ConfigError(
            f"{file.where(row)}: {written!r} in {column.label} leaves its unit open "
            f"(wanted: {column.wanted.name} in {column.wanted.unit}); write the unit in every "
            f"cell, or a header in {column.wanted.unit}"
        )


def _scale(file: File, row: int, unit: str, column: Column) -> Scale:
    """Scale of a unit to the one that is wanted; ConfigError where it is of another quantity."""
    wanted = column.wanted
    scale = unit_scale(unit, wanted.unit)
    if scale is not None:
        return scale
    problem = f"{column.label} has no unit of"
    if unit:
        problem = f"unit {unit!r} of {column.label} is not one of"
    raise ConfigError(
        f"{file.where(row)}: {problem} {wanted.name} ({wanted.unit}); say it in the header, such "
        f"as '{wanted.name} ({wanted.unit})', or as --column {wanted.name}=NAME:{wanted.unit}"
    )


def _refuse_mixed(file: File, first_rows: Mapping[str, int], base: str, column: Column) -> NoReturn:
    """Refuse cells of several units.

    first_rows : first row with every unit;  base : unit of the header, "" where it has none
    """
    first = base or next(iter(first_rows))
    other = next(unit for unit in first_rows if unit != first)
    says = "the header" if base else "a line before"
    raise ConfigError(
        f"{file.where(first_rows[other])}: mixed units in {column.label}: {other or 'none'!r} "
        f"where {says} says {first or 'none'!r}; write one unit"
    )


def check_finite(file: File, values: Floats, cells: Sequence[str], column: Column) -> None:
    """ConfigError where a number is not that of a measurement."""
    bad = np.flatnonzero(~np.isfinite(values) | (abs(values) > OVERFLOW))
    if not bad.size:
        return
    more = ""
    rows = "row"
    if bad.size > 1:
        more = f" and {bad.size - 1} more rows"
        rows = "rows"
    raise ConfigError(
        f"{file.where(int(bad[0]))}{more}: {shown(cells[bad[0]])} in {column.label} is not a "
        f"measurement (wanted: {column.wanted.name}); remove the {rows}"
    )


def in_si(file: File, values: Floats, unit: str | None, column: Column) -> Floats:
    """Values in the SI unit that is wanted; unit : None where it is arbitrary."""
    if unit is None:
        return values
    scale = _scale(file, 0, unit, column)
    if not scale.inverted:
        return scale.factor * values
    if (values == 0).any():
        raise ConfigError(
            f"{file.where(int(np.argmax(values == 0)))}: a resistance of 0 {unit} in "
            f"{column.label} has no conductance; remove the row"
        )
    return 1 / (scale.factor * values)


def labels(file: File, cells: Sequence[str], column: Column) -> NDArray[np.str_]:
    """Labels of cells or sweeps: none missing, none written in two ways."""
    first_rows: dict[str, int] = {}
    for row, cell in enumerate(cells):
        if cell.lower() in NO_LABELS and not column.wanted.blank:
            what = f"{cell!r} is no label" if cell else "no label"
            raise ConfigError(
                f"{file.where(row)}: {what} in {column.label} (wanted: {column.wanted.name}); "
                "name it or remove the row"
            )
        first_rows.setdefault(cell, row)
    spellings: dict[object, str] = {}
    for cell, row in first_rows.items():
        other = spellings.setdefault(_meaning(cell), cell)
        if other != cell:
            raise ConfigError(
                f"{file.where(row)}: {cell!r} in {column.label} where line "
                f"{file.sheet.lines[first_rows[other]]} has {other!r}: one {column.wanted.name} "
                "or two? write it one way"
            )
    return np.array(cells)


def _meaning(label: str) -> object:
    """What labels that are written in two ways have in common: the number, or the text."""
    number = parse_number(label)
    if number is None:
        return label
    return number.value, number.prefix, number.unit
