"""Where the table of a measurement file lies: title lines, header rows, row of units, data, footer.

Instruments write lines about the measurement before the table and after it, a second header row
that names the channel, a row of units, or rows that begin with the words `DataName` and
`DataValue`. What is not the table is left out, and `Sheet.assumed` says so.
"""

import dataclasses
import itertools
from collections import Counter

import numpy as np

from xbarsim.base.errors import ConfigError
from xbarsim.calibrate.quantities import is_unit, split_header
from xbarsim.calibrate.separated_text import Row, read_rows

BLOCK = "block"  # name of the column that counts repeated tables of a file
NO_UNIT = {"1", "-", "a.u.", "arb.", "arb. unit", "none", "#", ""}
LEAST_RUN = 3  # rows of numbers alone that are surely the data


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
    lines: np.ndarray
    separator: str | None
    si: bool
    assumed: tuple[str, ...]

    @property
    def width(self):
        return len(self.rows[0])

    def column(self, index):
        """Cells of one column."""
        return [row[index] for row in self.rows]


def read_sheet(path, skip=0, words=False):
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
    found = dataclasses.replace(found, assumed=[*read.assumed, *found.assumed])
    return _aligned(path, found, read.separator, si=exported)


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


def _data_names(path, rows):
    headers = [row for row in rows if row.cells[0] == "DataName"]
    for other in headers[1:]:
        if other.cells != headers[0].cells:
            raise ConfigError(
                f"{path}, line {other.line}: a second table with other columns than that of line "
                f"{headers[0].line}; write the tables to files of their own"
            )
    data, blocks, block = [], [], 0
    for row in rows:
        block += row.cells[0] == "DataName"
        if block and row.cells[0] == "DataValue":
            data.append(dataclasses.replace(row, cells=row.cells[1:]))
            blocks.append(block)
    if not data:
        raise ConfigError(f"{path}, line {headers[0].line}: a DataName row and no DataValue row")
    assumed = ["DataName export", "units SI where the header has none"]
    return _Found(headers[0].cells[1:], headers[0].line, data, blocks, assumed)


# --- every other table


def _table(path, rows, comments, words):
    numeric = [row.numbers() for row in rows]
    kinds = _kinds(rows, numeric)
    if kinds is None and words and len(rows) > 1:
        return _Found(rows[0].cells, rows[0].line, rows[1:], [1] * (len(rows) - 1), [])
    if kinds is None:
        raise ConfigError(f"{path}, line {rows[-1].line}: a header and no data")
    fits = [_fits(kinds, numbers) for numbers in numeric]
    start = _start(rows, numeric, fits)
    end = len(fits) - fits[::-1].index(True)
    end = _without_footer(rows, numeric, end)
    header, header_line, first_line, assumed = _header(rows[:start], numeric[:start], rows[start])
    if not header:
        header, header_line = _comment_header(comments, rows[start])
        first_line = header_line or first_line
        assumed += ["header from a comment"] if header else []
    before = [row.line for row in rows[:start] if row.line < first_line]
    if before:
        assumed.append(_lines_left_out(before, "before the table"))
    if end < len(rows):
        assumed.append(_lines_left_out([row.line for row in rows[end:]], "after it"))
    data, blocks = _without_repeated_headers(rows, start, end, header_line)
    if blocks[-1] > 1:
        assumed.append(f"the header repeats: {blocks[-1]} tables, counted by column {BLOCK!r}")
    return _Found(header, header_line, data, blocks, assumed)


def _lines_left_out(lines, where):
    span = f"line {lines[0]}" if len(lines) == 1 else f"lines {lines[0]} to {lines[-1]}"
    return f"{span} {where} left out"


def _kinds(rows, numeric):
    """Which cells of a row of data hold numbers: the pattern that most numbers of the file fit.

    A pattern of numbers alone that several rows in a run have comes first.  None where no row has a
    number.
    """
    runs = Counter()
    patterns = [_pattern(row, numbers) for row, numbers in zip(rows, numeric, strict=True)]
    for pattern, run in itertools.groupby(patterns):
        if any(pattern):
            runs[pattern] = max(runs[pattern], len(list(run)))
    if not runs:
        return None
    plain = [p for p, length in runs.items() if all(p) and length >= LEAST_RUN]
    counts = Counter(patterns)

    def numbers_that_fit(pattern):
        rows_that_fit = sum(n for other, n in counts.items() if _fits(pattern, other))
        return rows_that_fit * sum(pattern)

    return max(plain or runs, key=numbers_that_fit)


def _pattern(row, numbers):
    """Which cells are numbers, without the empty ones at the end."""
    width = len(row.cells)
    while width and not row.cells[width - 1]:
        width -= 1
    return tuple(numbers[:width])


def _fits(kinds, numbers):
    """Whether a row has numbers where rows of data have them."""
    return len(numbers) >= len(kinds) and all(
        number for number, wanted in zip(numbers, kinds, strict=False) if wanted
    )


def _start(rows, numeric, fits):
    """First row of data.

    Rows with some numbers between a header and the first whole row are damaged data.
    """
    start = fits.index(True)
    above = start
    while above and any(numeric[above - 1]):
        above -= 1
    is_header = above and rows[above - 1].filled() >= max(2, rows[start].filled())
    return above if is_header else start


def _without_footer(rows, numeric, end):
    """End of the data: what follows begins with a blank line or a row without numbers, or is data
    that is damaged."""
    if end < len(rows) and (rows[end].after_blank or not any(numeric[end])):
        return end
    return len(rows)


def _header(above, numeric, first):
    """(names, line, first line of the header, what was assumed) of the rows above the data."""
    titles = [(row, numbers) for row, numbers in zip(above, numeric, strict=True)]
    if not titles or any(titles[-1][1]) or _is_title(titles[-1][0], first):
        return (), 0, first.line, []
    names = titles.pop()[0]
    assumed, units = [], None
    if _is_units(names) and titles and not any(titles[-1][1]):
        above_units = titles[-1][0]
        if not _is_title(above_units, first):
            units, names = names, above_units
            titles.pop()
            assumed.append(f"units from line {units.line}")
    cells, top = list(names.cells), names.line
    if titles and not any(titles[-1][1]) and _needs_second_row(cells):
        upper = titles[-1][0]
        if not _is_title(upper, first):
            cells = _joined(upper.cells, cells)
            top = upper.line
            assumed.append(f"header from lines {upper.line} and {names.line}")
    if units is not None:
        cells = _with_units(cells, units.cells)
    return tuple(cells), names.line, top, assumed


def _is_title(row, first):
    """Whether a row has one text where the data have several columns."""
    return row.filled() < 2 <= first.filled()


def _is_units(row):
    """Whether all cells are units, such as V or (uA), and one says more than 1."""
    units = [cell.strip("()[] ") for cell in row.cells]
    return any(map(is_unit, units)) and all(
        is_unit(unit) or unit.lower() in NO_UNIT for unit in units
    )


def _needs_second_row(names):
    """Whether names repeat or are missing, so that a row above may tell them apart."""
    while names and not names[-1]:
        names = names[:-1]
    return len(set(names)) < len(names) or "" in names


def _joined(upper, lower):
    """Names of two header rows; an empty cell above goes on with what stands left of it."""
    names, last = [], ""
    for index, name in enumerate(lower):
        last = (upper[index] if index < len(upper) else "") or last
        names.append(f"{last} {name}".strip())
    return names


def _with_units(names, units):
    """Names with the unit of the row below, where they have none of their own."""
    found = list(names)
    for index, unit in enumerate(units[: len(names)]):
        unit = unit.strip("()[] ")
        if is_unit(unit) and not split_header(names[index])[1]:
            found[index] = f"{names[index]} ({unit})"
    return found


def _comment_header(comments, first):
    """(names, line) of the comment right above the data, where it has a name for every column."""
    above = [row for row in comments if row.line < first.line]
    if not above:
        return (), 0
    row = above[-1]
    named = row.filled() == first.filled() and not any(row.numbers())
    return (row.cells, row.line) if named and first.filled() > 1 else ((), 0)


def _without_repeated_headers(rows, start, end, header_line):
    """(rows of data, number of their table): a row that repeats the header begins a new table."""
    header = next((row.cells for row in rows if row.line == header_line), None)
    data, blocks, block = [], [], 1
    for row in rows[start:end]:
        if header is not None and row.cells == header:
            block += 1
        else:
            data.append(row)
            blocks.append(block)
    return data, blocks


# --- rows of one width


def _aligned(path, found, separator, si):
    """The table with as many cells in every row as the header has."""
    header = list(found.header)
    longest = max(_width(row.cells) for row in found.rows)
    while header and not header[-1] and len(header) > longest:
        header.pop()
    width = len(header) or _width(found.rows[0].cells)
    if not header:  # the first row may lack blanks at its end
        width = max(width, Counter(_width(row.cells) for row in found.rows).most_common(1)[0][0])
    rows, padded = [], 0
    for row in found.rows:
        cells = row.cells[: max(width, _width(row.cells))]
        if len(cells) > width:
            hint = "; decimal commas? separate the cells by ; or tabs" if separator == "," else ""
            raise ConfigError(
                f"{path}, line {row.line}: {len(cells)} cells where the "
                f"{'header has' if header else 'lines before have'} {width}{hint}"
            )
        padded += len(cells) < width
        rows.append((*cells, *[""] * (width - len(cells))))
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
        si=si,
        assumed=tuple(assumed),
    )


def _width(cells):
    """Number of cells without the empty ones at the end."""
    return max((index + 1 for index, cell in enumerate(cells) if cell), default=0)
