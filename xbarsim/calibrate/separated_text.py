"""Measurement files as rows of cells: bytes to text, text to cells, and the sheets of workbooks."""

import codecs
import csv
import dataclasses
import io
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from xbarsim.base.errors import ConfigError
from xbarsim.base.given_files import exists, most_unpacked, read_bytes, unpacked
from xbarsim.calibrate.quantities import is_number

if TYPE_CHECKING:
    from openpyxl.worksheet._read_only import ReadOnlyWorksheet

SEPARATORS = {"\t": "tabs", ";": "semicolons", ",": "commas", " ": "blanks"}
SAMPLE = 1000  # lines at either end that tell what separates the cells
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_WORKBOOK = b"PK\x03\x04"  # first bytes of files
_OLD_WORKBOOK = b"\xd0\xcf\x11\xe0"
_GZIP = b"\x1f\x8b"


@dataclasses.dataclass(frozen=True)
class Row:
    """Cells of one line, and its number counted from 1; `comment` is a line behind a #."""

    line: int
    cells: tuple[str, ...]
    comment: bool = False
    after_blank: bool = False

    def numbers(self) -> list[bool]:
        """Which cells hold numbers."""
        return [is_number(cell) for cell in self.cells]

    def filled(self) -> int:
        """How many cells are not empty."""
        return sum(bool(cell) for cell in self.cells)


@dataclasses.dataclass(frozen=True)
class Rows:
    """Rows of a file that are not blank, and what was assumed to read them.

    separator : a key of SEPARATORS, "" where a row has one cell, None for a workbook
    """

    rows: tuple[Row, ...]
    separator: str | None
    assumed: tuple[str, ...]


class _Place(NamedTuple):
    """A file, and the sheet that is asked for if it is a workbook."""

    path: Path
    sheet: str | None


class _Text(NamedTuple):
    """Text of a file, and the name of its encoding."""

    text: str
    encoding: str


@dataclasses.dataclass(frozen=True)
class _Line:
    """A line that is not blank, counted from 1; of a comment what stands behind the #."""

    number: int
    text: str
    comment: bool
    after_blank: bool


def read_rows(path: str, skip: int = 0) -> Rows:
    """Rows of a file of text (plain or gzipped, in UTF-8, UTF-16 or Latin-1) or of a workbook.

    A sheet of a workbook is named behind a colon: "measured.xlsx:Sheet2".

    Raises
    ------
    ConfigError : no file, binary, empty; a workbook whose sheet must be named
    """
    place = _place(str(path))
    raw = _read_bytes(place.path)
    if raw.startswith(_OLD_WORKBOOK):
        raise ConfigError(f"{place.path}: an old Excel file (.xls); save it as .xlsx or CSV")
    if raw.startswith(_WORKBOOK):
        return _workbook_rows(place, raw, skip)
    return _text_rows(place.path, raw, skip)


def _place(name: str) -> _Place:
    """File and sheet of "measured.xlsx:Sheet2"."""
    match = re.fullmatch(r"(.*\.xls[xm]):(.+)", name, re.I)
    if match and not exists(name):
        return _Place(Path(match[1]), match[2])
    return _Place(Path(name), None)


def _read_bytes(path: Path) -> bytes:
    """Bytes of a file, unpacked."""
    try:
        raw = read_bytes(path, ConfigError)
        if raw.startswith(_GZIP):
            return unpacked(raw)
        return raw
    except (OSError, EOFError, ValueError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path}: cannot be read: {reason}") from None


# --- text


def _text_rows(path: Path, raw: bytes, skip: int) -> Rows:
    text, encoding = _decoded(path, raw)
    lines = _lines(text, skip)
    data = [line.text for line in lines if not line.comment]
    if not data:
        but = " but for comments" if lines else ""
        beyond = f" beyond the {skip} lines of --skip" if skip else ""
        raise ConfigError(f"{path}, line 1: the file is empty{but}{beyond}")
    separator = _separator(data)
    rows = []
    for line in lines:
        cells = _cells(line.text, separator)
        rows.append(Row(line.number, cells, line.comment, line.after_blank))
    assumed = []
    if encoding != "UTF-8":
        assumed.append(encoding)
    if separator not in ("", ","):
        assumed.append(f"separated by {SEPARATORS[separator]}")
    return Rows(tuple(rows), separator, tuple(assumed))


def _lines(text: str, skip: int) -> list[_Line]:
    """Lines behind the first `skip` that are not blank."""
    found = []
    after_blank = False
    for number, line in enumerate(text.splitlines(), 1):
        if number <= skip:
            continue
        bare = line.strip()
        if bare.startswith("#"):
            found.append(_Line(number, bare.lstrip("#"), True, after_blank))
        elif bare:
            found.append(_Line(number, line, False, after_blank))
        after_blank = not bare
    return found


def _decoded(path: Path, raw: bytes) -> _Text:
    utf16 = _utf16(raw)
    if utf16:
        try:
            return _Text(raw.decode(utf16).removeprefix("\ufeff"), "UTF-16")
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path}: damaged UTF-16 ({error.reason}); export it again") from None
    if b"\0" in raw:
        _refuse_binary(path, raw[: raw.index(b"\0")].count(b"\n") + 1)
    try:
        return _Text(raw.decode("utf-8-sig"), "UTF-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")  # many instruments write µ so
    control = _CONTROL.search(text)
    if control:
        _refuse_binary(path, text[: control.start()].count("\n") + 1)
    return _Text(text, "Latin-1")


def _utf16(raw: bytes) -> str | None:
    """Name of the codec where the bytes are UTF-16, by its mark or by zeros in every other byte."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    head = raw[:400]
    even = head[0::2]
    odd = head[1::2]
    pairs = len(head) // 2
    if pairs < 4:
        return None
    if odd.count(0) > 0.8 * pairs and even.count(0) == 0:
        return "utf-16-le"
    if even.count(0) > 0.8 * pairs and odd.count(0) == 0:
        return "utf-16-be"
    return None


def _refuse_binary(path: Path, line: int) -> NoReturn:
    raise ConfigError(
        f"{path}, line {line}: binary data; export the measurement as CSV, TSV or .xlsx"
    )


def _separator(lines: Sequence[str]) -> str:
    """What splits most lines with numbers into the same number of cells; the first of a tie."""
    sample = list(lines)
    if len(lines) > 2 * SAMPLE:
        sample = [*lines[:SAMPLE], *lines[-SAMPLE:]]
    best = ""
    most = 0
    for separator in SEPARATORS:
        count = _lines_of_one_width(sample, separator)
        if count > most:
            best = separator
            most = count
    if best:
        return best
    return next((separator for separator in "\t;," if separator in sample[0]), "")


def _lines_of_one_width(lines: Sequence[str], separator: str) -> int:
    """How many lines with numbers a separator splits into the same number of cells, two or more."""
    widths: Counter[int] = Counter()
    for line in lines:
        cells = _cells(line, separator)
        while cells and not cells[-1]:
            cells = cells[:-1]
        if len(cells) > 1 and any(is_number(cell) for cell in cells):
            widths[len(cells)] += 1
    return max(widths.values(), default=0)


def _cells(line: str, separator: str) -> tuple[str, ...]:
    if not separator:
        return (line.strip().strip('"'),)
    if separator == " ":
        return _words(line)
    if '"' in line:
        cells = next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    else:
        cells = line.split(separator)
    return tuple(cell.strip() for cell in cells)


def _words(line: str) -> tuple[str, ...]:
    """Cells between blanks; "V (V)" is one."""
    joined: list[str] = []
    for word in line.split():
        if joined and re.fullmatch(r"[(\[].*[)\]]", word):
            joined[-1] += " " + word
        else:
            joined.append(word)
    return tuple(joined)


# --- workbooks


def _workbook_rows(place: _Place, raw: bytes, skip: int) -> Rows:
    sheets = _sheets(place.path, raw, skip)
    name = _chosen_sheet(place, sheets)
    if not sheets[name]:
        raise ConfigError(f"{place.path}: sheet {name!r} is empty")
    assumed = (f"sheet {name!r}",) if len(sheets) > 1 else ()
    return Rows(sheets[name], None, assumed)


def _sheets(path: Path, raw: bytes, skip: int) -> dict[str, tuple[Row, ...]]:
    """Rows of every sheet of a workbook."""
    try:
        import openpyxl
    except ImportError:
        raise ConfigError(
            f"{path}: a workbook needs openpyxl: pip install 'xbarsim[excel]', or save the sheet "
            "as CSV"
        ) from None
    _check_unpacked(path, raw)
    try:
        book = openpyxl.load_workbook(io.BytesIO(raw), read_only=True, data_only=True)
        return {page.title: _sheet_rows(page, skip) for page in book.worksheets}
    except Exception as error:  # openpyxl raises whatever its parsers do
        raise ConfigError(
            f"{path}: no readable workbook ({error}); save it again as .xlsx"
        ) from None


def _check_unpacked(path: Path, raw: bytes) -> None:
    """Refuse a workbook that unpacks to more than its size lets expect."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            total = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, ValueError, OSError, EOFError) as error:
        raise ConfigError(
            f"{path}: no readable workbook ({error}); save it again as .xlsx"
        ) from None
    most = most_unpacked(len(raw))
    if total > most:
        raise ConfigError(
            f"{path}: unpacks to {total:,} bytes; allowed: at most {most:,} of a workbook of its size"
        )


def _sheet_rows(page: "ReadOnlyWorksheet", skip: int) -> tuple[Row, ...]:
    rows = []
    after_blank = False
    for line, values in enumerate(page.iter_rows(values_only=True), 1):
        cells = tuple("" if value is None else str(value).strip() for value in values)
        if line > skip and any(cells):
            rows.append(Row(line, cells, after_blank=after_blank))
        after_blank = not any(cells)
    return tuple(rows)


def _chosen_sheet(place: _Place, sheets: Mapping[str, tuple[Row, ...]]) -> str:
    """The sheet that is asked for, else the one with numbers."""
    names = ", ".join(map(repr, sheets))
    if place.sheet is not None:
        if place.sheet not in sheets:
            raise ConfigError(f"{place.path}: no sheet {place.sheet!r}; sheets are {names}")
        return place.sheet
    measured = [name for name, rows in sheets.items() if _has_numbers(rows)]
    if len(measured) > 1:
        raise ConfigError(
            f"{place.path}: {len(measured)} sheets hold numbers; name one of {names} behind a "
            f"colon, as in {place.path.name}:{measured[0]}"
        )
    if measured:
        return measured[0]
    return next(iter(sheets))


def _has_numbers(rows: Sequence[Row]) -> bool:
    return any(any(row.numbers()) for row in rows)
