"""Measurement files as rows of cells: bytes to text, text to cells, and the sheets of workbooks."""

import codecs
import csv
import dataclasses
import gzip
import io
import re
import zlib
from collections import Counter
from pathlib import Path

from xbarsim.base.errors import ConfigError
from xbarsim.calibrate.quantities import is_number

SEPARATORS = {"\t": "tabs", ";": "semicolons", ",": "commas", " ": "blanks"}
SAMPLE = 1000  # lines at either end that tell what separates the cells
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_WORKBOOK, _OLD_WORKBOOK, _GZIP = b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"\x1f\x8b"


@dataclasses.dataclass(frozen=True)
class Row:
    """Cells of one line, and its number counted from 1; `comment` is a line behind a #."""

    line: int
    cells: tuple[str, ...]
    comment: bool = False
    after_blank: bool = False

    def numbers(self):
        """Which cells hold numbers."""
        return [is_number(cell) for cell in self.cells]

    def filled(self):
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


def read_rows(path, skip=0):
    """Rows of a file of text (plain or gzipped, in UTF-8, UTF-16 or Latin-1) or of a workbook.

    A sheet of a workbook is named behind a colon: "measured.xlsx:Sheet2".

    Raises
    ------
    ConfigError : no file, binary, empty; a workbook whose sheet must be named
    """
    path, sheet = _sheet_of(str(path))
    try:
        raw = path.read_bytes()
        if raw.startswith(_GZIP):
            raw = gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path}: cannot be read: {reason}") from None
    if raw.startswith(_OLD_WORKBOOK):
        raise ConfigError(f"{path}: an old Excel file (.xls); save it as .xlsx or CSV")
    if raw.startswith(_WORKBOOK):
        return _workbook_rows(path, raw, sheet, skip)
    text, encoding = _decoded(path, raw)
    lines = _numbered(text, skip)
    if not any(not comment for *_, comment, _ in lines):
        but = " but for comments" if lines else ""
        beyond = f" beyond the {skip} lines of --skip" if skip else ""
        raise ConfigError(f"{path}, line 1: the file is empty{but}{beyond}")
    separator = _separator([line for _, line, comment, _ in lines if not comment])
    rows = tuple(
        Row(number, _cells(line, separator), comment, after_blank)
        for number, line, comment, after_blank in lines
    )
    assumed = [] if encoding == "UTF-8" else [encoding]
    if separator not in ("", ","):
        assumed.append(f"separated by {SEPARATORS[separator]}")
    return Rows(rows, separator, tuple(assumed))


def _sheet_of(name):
    """(path, name of the sheet or None) of "measured.xlsx:Sheet2"."""
    match = re.fullmatch(r"(.*\.xls[xm]):(.+)", name, re.I)
    if match and not Path(name).exists():
        return Path(match[1]), match[2]
    return Path(name), None


def _numbered(text, skip):
    """(number, line, is a comment, a blank line stands before it) of lines that are not blank."""
    found, blank = [], False
    for number, line in enumerate(text.splitlines(), 1):
        if number <= skip:
            continue
        bare = line.strip()
        if not bare:
            blank = True
            continue
        comment = bare.startswith("#")
        found.append((number, bare.lstrip("#") if comment else line, comment, blank))
        blank = False
    return found


def _decoded(path, raw):
    """(text, name of the encoding)."""
    utf16 = _utf16(raw)
    if utf16:
        try:
            return raw.decode(utf16).removeprefix("\ufeff"), "UTF-16"
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path}: damaged UTF-16 ({error.reason}); export it again") from None
    if b"\0" in raw:
        _refuse_binary(path, raw[: raw.index(b"\0")].count(b"\n") + 1)
    try:
        return raw.decode("utf-8-sig"), "UTF-8"
    except UnicodeDecodeError:
        text = raw.decode("latin-1")  # many instruments write µ so
    control = _CONTROL.search(text)
    if control:
        _refuse_binary(path, text[: control.start()].count("\n") + 1)
    return text, "Latin-1"


def _utf16(raw):
    """Name of the codec where the bytes are UTF-16, by its mark or by zeros in every other byte."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    head = raw[:400]
    pairs = len(head) // 2
    if pairs < 4:
        return None
    for codec, zeros, others in (
        ("utf-16-le", head[1::2], head[0::2]),
        ("utf-16-be", head[0::2], head[1::2]),
    ):
        if zeros.count(0) > 0.8 * pairs and others.count(0) == 0:
            return codec
    return None


def _refuse_binary(path, line):
    raise ConfigError(
        f"{path}, line {line}: binary data; export the measurement as CSV, TSV or .xlsx"
    )


def _separator(lines):
    """What splits most lines with numbers into the same number of cells; the first of a tie."""
    sample = lines if len(lines) <= 2 * SAMPLE else lines[:SAMPLE] + lines[-SAMPLE:]
    best, most = "", 0
    for separator in SEPARATORS:
        widths = Counter()
        for line in sample:
            cells = _cells(line, separator)
            while cells and not cells[-1]:
                cells = cells[:-1]
            if len(cells) > 1 and any(map(is_number, cells)):
                widths[len(cells)] += 1
        count = max(widths.values(), default=0)
        if count > most:
            best, most = separator, count
    return best or next((s for s in "\t;," if s in sample[0]), "")


def _cells(line, separator):
    if not separator:
        return (line.strip().strip('"'),)
    if separator == " ":
        words = line.split()
        joined = []
        for word in words:  # "V (V)" is one cell
            if joined and re.fullmatch(r"[(\[].*[)\]]", word):
                joined[-1] += " " + word
            else:
                joined.append(word)
        return tuple(joined)
    if '"' in line:
        cells = next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    else:
        cells = line.split(separator)
    return tuple(cell.strip() for cell in cells)


# --- workbooks


def _workbook_rows(path, raw, sheet, skip):
    try:
        import openpyxl
    except ImportError:
        raise ConfigError(
            f"{path}: a workbook needs openpyxl: pip install 'xbarsim[excel]', or save the sheet "
            "as CSV"
        ) from None
    try:
        book = openpyxl.load_workbook(io.BytesIO(raw), read_only=True, data_only=True)
        sheets = {page.title: _sheet_rows(page, skip) for page in book.worksheets}
    except Exception as error:  # openpyxl raises whatever its parsers do
        raise ConfigError(
            f"{path}: no readable workbook ({error}); save it again as .xlsx"
        ) from None
    name = _chosen_sheet(path, sheets, sheet)
    if not sheets[name]:
        raise ConfigError(f"{path}: sheet {name!r} is empty")
    assumed = (f"sheet {name!r}",) if len(sheets) > 1 else ()
    return Rows(sheets[name], None, assumed)


def _sheet_rows(page, skip):
    rows, blank = [], False
    for line, values in enumerate(page.iter_rows(values_only=True), 1):
        cells = tuple("" if value is None else str(value).strip() for value in values)
        if line > skip and any(cells):
            rows.append(Row(line, cells, after_blank=blank))
        blank = not any(cells)
    return tuple(rows)


def _chosen_sheet(path, sheets, wanted):
    names = ", ".join(map(repr, sheets))
    if wanted is not None:
        if wanted not in sheets:
            raise ConfigError(f"{path}: no sheet {wanted!r}; sheets are {names}")
        return wanted
    measured = [name for name, rows in sheets.items() if any(any(row.numbers()) for row in rows)]
    if len(measured) > 1:
        raise ConfigError(
            f"{path}: {len(measured)} sheets hold numbers; name one of {names} behind a colon, as "
            f"in {path.name}:{measured[0]}"
        )
    return measured[0] if measured else next(iter(sheets))
