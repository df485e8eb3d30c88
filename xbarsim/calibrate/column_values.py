"""Cells of a chosen column as numbers in SI units, or as labels."""

import re

import numpy as np

from xbarsim.base.errors import ConfigError
from xbarsim.calibrate.quantities import PREFIXES, is_unit, parse_number, unit_scale

OVERFLOW = 9.9e36  # instruments write 9.9e37 where a measurement failed
NO_LABELS = {"", "nan", "null", "none", "n/a", "na", "#n/a"}


def parsed_numbers(file, cells, column):
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


def has_decimal_commas(file, numbers, column):
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


def comma_note(path, commas):
    """What the echo says of decimal commas; ConfigError where columns contradict each other."""
    with_comma = [label for label, comma in commas.items() if comma is True]
    with_point = [label for label, comma in commas.items() if comma is False]
    if with_comma and with_point:
        raise ConfigError(
            f"{path}: {with_comma[0]} has commas in its numbers and {with_point[0]} decimal "
            "points: decimals or thousands? write all decimals behind points"
        )
    return ["decimal commas"] if with_comma else []


def unit_of_numbers(file, numbers, column):
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
            f"(wanted: {column.wanted.name} in {column.wanted.unit}); write the unit in every "
            f"cell, or a header in {column.wanted.unit}"
        )


def _check_unit(file, row, unit, column):
    wanted = column.wanted
    if unit_scale(unit, wanted.unit) is not None:
        return
    problem = f"{column.label} has no unit of"
    if unit:
        problem = f"unit {unit!r} of {column.label} is not one of"
    raise ConfigError(
        f"{file.where(row)}: {problem} {wanted.name} ({wanted.unit}); say it in the header, such "
        f"as '{wanted.name} ({wanted.unit})', or as --column {wanted.name}=NAME:{wanted.unit}"
    )


def _refuse_mixed(file, own, base, column):
    """own : {unit in cells: first row with it}."""
    first = base or next(iter(own))
    other = next(unit for unit in own if unit != first)
    says = "the header" if base else "a line before"
    raise ConfigError(
        f"{file.where(own[other])}: mixed units in {column.label}: {other or 'none'!r} where "
        f"{says} says {first or 'none'!r}; write one unit"
    )


def check_finite(file, values, cells, column):
    bad = np.flatnonzero(~np.isfinite(values) | (abs(values) > OVERFLOW))
    if bad.size:
        more = f" and {bad.size - 1} more rows" if bad.size > 1 else ""
        raise ConfigError(
            f"{file.where(bad[0])}{more}: {cells[bad[0]]!r} in {column.label} is not a measurement "
            f"(wanted: {column.wanted.name}); remove the row{'s' if more else ''}"
        )


def in_si(file, values, unit, column):
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


def labels(file, cells, column):
    """Labels of cells or sweeps: none missing, none written in two ways."""
    first = {}
    for row, cell in enumerate(cells):
        if cell.lower() in NO_LABELS and not column.wanted.blank:
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
