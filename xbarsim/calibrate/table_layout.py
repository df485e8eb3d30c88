"""Where the table of a measurement file lies: title lines, header rows, row of units, data, footer.

Instruments write lines about the measurement before the table and after it, a second header row
that names the channel, a row of units, or rows that begin with the words `DataName` and
`DataValue`. What is not the table is left out, and `Sheet.assumed` says so.
"""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Sequence
from typing import NoReturn, TypeAlias

import numpy as np

from xbarsim.base.array_types import Integers
from xbarsim.base.errors import ConfigError
from xbarsim.calibrate.separated_text import Row, read_rows
from xbarsim.calibrate.table_header import Header, comment_header, find_header

BLOCK = "block"  # name of the column that counts repeated tables of a file
LEAST_RUN = 3  # rows of numbers alone that are surely the data

Pattern: TypeAlias = tuple[bool, ...]  # which cells of a row hold numbers


@dataclasses.dataclass(frozen=True)
class Sheet:
    """The table of one file.

    header : names of the columns, () where there are none;  header_line : its line, 0 if none
    rows : cells, as many in each row;  lines : line of each row
    separator : what stood between the cells, see `separated_text.SEPARATORS`
    si : the format of the file has SI units throughout
    assumed : what was found or left out, for the echo
    """

    header: tuple[str, ...]
    header_line: int
    rows: list[tuple[str, ...]]
    lines: Integers
    separator: str | None
    si: bool
    assumed: tuple[str, ...]

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.rows[0])

    def column(self, index: int) -> list[str]:
        """Cells of one column."""
        return [row[index] for row in self.rows]


def read_sheet(path: str, skip: int = 0, words: bool = False) -> Sheet:
    """The table of a file, without its first `skip` lines.

    words : whether rows of data may have no number at all

    Raises
    ------
    ConfigError : no table, rows longer than the header; see also `read_rows`
    """
    read = read_rows(path, skip)
    rows = [row for row in read.rows if not row.comment]
    exported = any(row.cells[0] == "DataName" for row in rows)
    if exported:
        found = _data_names(path, rows)
    else:
        comments = [row for row in read.rows if row.comment]
        found = _table(path, rows, comments, words)
    sheet = _aligned(path, found, read.separator)
    return dataclasses.replace(sheet, si=exported, assumed=(*read.assumed, *sheet.assumed))


@dataclasses.dataclass(frozen=True)
class _Found:
    """Header and rows as they stand in a file, before they are made equally wide.

    blocks : number of the table that a row belongs to, counted from 1
    """

    header: tuple[str, ...]
    header_line: int
    rows: list[Row]
    blocks: list[int]
    assumed: list[str]


# --- exports whose rows begin with DataName and DataValue


def _data_names(path: str, rows: Sequence[Row]) -> _Found:
    headers = [row for row in rows if row.cells[0] == "DataName"]
    for other in headers[1:]:
        if other.cells != headers[0].cells:
            raise ConfigError(
                f"{path}, line {other.line}: a second table with other columns than that of line "
                f"{headers[0].line}; write the tables to files of their own"
            )
    data = []
    blocks = []
    block = 0
    for row in rows:
        if row.cells[0] == "DataName":
            block += 1
        if block and row.cells[0] == "DataValue":
            data.append(dataclasses.replace(row, cells=row.cells[1:]))
            blocks.append(block)
    if not data:
        raise ConfigError(f"{path}, line {headers[0].line}: a DataName row and no DataValue row")
    assumed = ["DataName export", "units SI where the header has none"]
    return _Found(headers[0].cells[1:], headers[0].line, data, blocks, assumed)


# --- every other table


def _table(path: str, rows: Sequence[Row], comments: Sequence[Row], words: bool) -> _Found:
    numeric = [tuple(row.numbers()) for row in rows]
    kinds = _kinds(rows, numeric)
    if kinds is None and words and len(rows) > 1:
        data = list(rows[1:])
        return _Found(rows[0].cells, rows[0].line, data, blocks=[1] * len(data), assumed=[])
    if kinds is None:
        raise ConfigError(f"{path}, line {rows[-1].line}: a header and no data")
    fits = [_fits(kinds, numbers) for numbers in numeric]
    start = _start(rows, numeric, fits)
    end = len(fits) - fits[::-1].index(True)
    end = _without_footer(rows, numeric, end)
    header = find_header(rows[:start], rows[start])
    if not header.names:
        header = comment_header(comments, rows[start])
    data, blocks = _without_repeated_headers(rows[start:end], header)
    assumed = [*header.assumed, *_left_out(rows, start, end, header)]
    if blocks[-1] > 1:
        assumed.append(f"the header repeats: {blocks[-1]} tables, counted by column {BLOCK!r}")
    return _Found(header.names, header.line, data, blocks, assumed)


def _left_out(rows: Sequence[Row], start: int, end: int, header: Header) -> list[str]:
    """What is said of the lines before and after the table."""
    assumed = []
    before = [row.line for row in rows[:start] if row.line < header.first_line]
    if before:
        assumed.append(_lines_left_out(before, "before the table"))
    if end < len(rows):
        assumed.append(_lines_left_out([row.line for row in rows[end:]], "after it"))
    return assumed


def _lines_left_out(lines: Sequence[int], where: str) -> str:
    span = f"line {lines[0]}"
    if len(lines) > 1:
        span = f"lines {lines[0]} to {lines[-1]}"
    return f"{span} {where} left out"


def _kinds(rows: Sequence[Row], numeric: Sequence[Pattern]) -> Pattern | None:
    """Which cells of a row of data hold numbers: the pattern that most numbers of the file fit.

    A pattern of numbers alone that several rows in a run have comes first.  None where no row has a
    number.
    """
    runs: Counter[Pattern] = Counter()
    patterns = [_pattern(row, numbers) for row, numbers in zip(rows, numeric, strict=True)]
    for pattern, run in itertools.groupby(patterns):
        if any(pattern):
            runs[pattern] = max(runs[pattern], len(list(run)))
    if not runs:
        return None
    plain = [p for p, length in runs.items() if all(p) and length >= LEAST_RUN]
    counts = Counter(patterns)

    def numbers_that_fit(pattern: Pattern) -> int:
        rows_that_fit = sum(count for other, count in counts.items() if _fits(pattern, other))
        return rows_that_fit * sum(pattern)

    return max(plain or runs, key=numbers_that_fit)


def _pattern(row: Row, numbers: Pattern) -> Pattern:
    """Which cells are numbers, without the empty ones at the end."""
    return numbers[: _width(row.cells)]


def _fits(kinds: Pattern, numbers: Pattern) -> bool:
    """Whether a row has numbers where rows of data have them."""
    if len(numbers) < len(kinds):
        return False
    return all(number for number, wanted in zip(numbers, kinds, strict=False) if wanted)


def _start(rows: Sequence[Row], numeric: Sequence[Pattern], fits: Sequence[bool]) -> int:
    """First row of data.

    Rows with some numbers between a header and the first whole row are damaged data.
    """
    start = fits.index(True)
    above = start
    while above and any(numeric[above - 1]):
        above -= 1
    is_header = above > 0 and rows[above - 1].filled() >= max(2, rows[start].filled())
    return above if is_header else start


def _without_footer(rows: Sequence[Row], numeric: Sequence[Pattern], end: int) -> int:
    """End of the data: what follows begins with a blank line or a row without numbers, or is data
    that is damaged."""
    if end < len(rows) and (rows[end].after_blank or not any(numeric[end])):
        return end
    return len(rows)


def _without_repeated_headers(rows: Sequence[Row], header: Header) -> tuple[list[Row], list[int]]:
    """Rows of data, and the number of the table of each: a row that repeats the header begins a new
    one.
    """
    data = []
    blocks = []
    block = 1
    for row in rows:
        if header.cells is not None and row.cells == header.cells:
            block += 1
        else:
            data.append(row)
            blocks.append(block)
    return data, blocks


# --- rows of one width


def _aligned(path: str, found: _Found, separator: str | None) -> Sheet:
    """The table with as many cells in every row as the header has."""
    header = _header_of_columns(found)
    width = len(header) or _width_without_header(found.rows)
    rows = []
    padded = 0
    for row in found.rows:
        cells = row.cells[: max(width, _width(row.cells))]
        if len(cells) > width:
            _refuse_longer(path, row.line, len(cells), header, width, separator)
        if len(cells) < width:
            padded += 1
        blanks = [""] * (width - len(cells))
        rows.append((*cells, *blanks))
    assumed = list(found.assumed)
    if padded:
        assumed.append(f"{padded:,} rows are shorter than the others: blanks at their end")
    if found.blocks[-1] > 1 and header:
        header.append(BLOCK)
        rows = [(*row, str(block)) for row, block in zip(rows, found.blocks, strict=True)]
    return Sheet(
        header=tuple(header),
        header_line=found.header_line,
        rows=rows,
        lines=np.array([row.line for row in found.rows]),
        separator=separator,
        si=False,
        assumed=tuple(assumed),
    )


def _header_of_columns(found: _Found) -> list[str]:
    """The header without empty names at its end that no row has a cell for."""
    header = list(found.header)
    longest = max(_width(row.cells) for row in found.rows)
    while header and not header[-1] and len(header) > longest:
        header.pop()
    return header


def _width_without_header(rows: Sequence[Row]) -> int:
    """The width of most rows: the first may lack blanks at its end."""
    widths = Counter(_width(row.cells) for row in rows)
    most = widths.most_common(1)[0][0]
    return max(_width(rows[0].cells), most)


def _refuse_longer(
    path: str, line: int, cells: int, header: Sequence[str], width: int, separator: str | None
) -> NoReturn:
    where = "header has" if header else "lines before have"
    hint = ""
    if separator == ",":
        hint = "; decimal commas? separate the cells by ; or tabs"
    raise ConfigError(f"{path}, line {line}: {cells} cells where the {where} {width}{hint}")


def _width(cells: Sequence[str]) -> int:
    """Number of cells without the empty ones at the end."""
    width = len(cells)
    while width and not cells[width - 1]:
        width -= 1
    return width
