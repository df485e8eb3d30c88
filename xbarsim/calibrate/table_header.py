"""The header of a measurement table: names of columns, in one row or two, and a row of units."""

import dataclasses
from collections.abc import Sequence

from xbarsim.calibrate.quantities import is_unit, split_header
from xbarsim.calibrate.separated_text import Row

NO_UNIT = {"1", "-", "a.u.", "arb.", "arb. unit", "none", "#", ""}


@dataclasses.dataclass(frozen=True)
class Header:
    """What stands above the data.

    names : of the columns, () where there are none;  line : of the names, 0 if none
    first_line : of the first row that belongs to the header, or of the data
    cells : of the row of names as it stands in the file, None where that is a comment
    assumed : what was found, for the echo
    """

    names: tuple[str, ...]
    line: int
    first_line: int
    cells: tuple[str, ...] | None = None
    assumed: tuple[str, ...] = ()


def find_header(above: Sequence[Row], first: Row) -> Header:
    """The header in the rows above the first one of data."""
    titles = list(above)
    if not titles or not _may_be_names(titles[-1], first):
        return Header((), line=0, first_line=first.line)
    names = titles.pop()
    units = None
    assumed = []
    if _is_units(names) and titles and _may_be_names(titles[-1], first):
        units = names
        names = titles.pop()
        assumed.append(f"units from line {units.line}")
    cells = list(names.cells)
    first_line = names.line
    if titles and _needs_second_row(cells) and _may_be_names(titles[-1], first):
        upper = titles[-1]
        cells = _joined(upper.cells, cells)
        first_line = upper.line
        assumed.append(f"header from lines {upper.line} and {names.line}")
    if units is not None:
        cells = _with_units(cells, units.cells)
    return Header(tuple(cells), names.line, first_line, names.cells, tuple(assumed))


def comment_header(comments: Sequence[Row], first: Row) -> Header:
    """The header in the comment right above the data, where it has a name for every column."""
    above = [row for row in comments if row.line < first.line]
    if above:
        row = above[-1]
        named = row.filled() == first.filled() and not any(row.numbers())
        if named and first.filled() > 1:
            return Header(row.cells, row.line, row.line, assumed=("header from a comment",))
    return Header((), line=0, first_line=first.line)


def _may_be_names(row: Row, first: Row) -> bool:
    """Whether a row has no numbers, and not one text where the data have several columns."""
    is_title = row.filled() < 2 <= first.filled()
    return not any(row.numbers()) and not is_title


def _is_units(row: Row) -> bool:
    """Whether all cells are units, such as V or (uA), and one says more than 1."""
    units = [cell.strip("()[] ") for cell in row.cells]
    if not any(is_unit(unit) for unit in units):
        return False
    return all(is_unit(unit) or unit.lower() in NO_UNIT for unit in units)


def _needs_second_row(names: Sequence[str]) -> bool:
    """Whether names repeat or are missing, so that a row above may tell them apart."""
    while names and not names[-1]:
        names = names[:-1]
    return len(set(names)) < len(names) or "" in names


def _joined(upper: Sequence[str], lower: Sequence[str]) -> list[str]:
    """Names of two header rows; an empty cell above goes on with what stands left of it."""
    names = []
    last = ""
    for index, name in enumerate(lower):
        if index < len(upper) and upper[index]:
            last = upper[index]
        names.append(f"{last} {name}".strip())
    return names


def _with_units(names: Sequence[str], units: Sequence[str]) -> list[str]:
    """Names with the unit of the row below, where they have none of their own."""
    found = list(names)
    for index, cell in enumerate(units[: len(names)]):
        unit = cell.strip("()[] ")
        if is_unit(unit) and not split_header(names[index]).unit:
            found[index] = f"{names[index]} ({unit})"
    return found
