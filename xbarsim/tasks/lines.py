"""Lines of a task file, in UTF-8 CSV, TSV or JSONL, before they mean anything."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from xbarsim.base.errors import TaskError

if TYPE_CHECKING:
    from _csv import Reader  # what `csv.reader` returns; it has no public name


@dataclass(frozen=True)
class Line:
    """A line that is not blank: its number in the file, and its cells, a list or a JSON object."""

    number: int
    cells: list[str] | dict[str, Any]

    @property
    def is_keyed(self) -> bool:
        """Whether its cells have names of their own, as those of JSON."""
        return isinstance(self.cells, dict)

    @property
    def length(self) -> int | None:
        """Cells of a line of a table; None of a JSON object."""
        if self.is_keyed:
            return None
        return len(self.cells)


Column = int | str  # of a table, its index; of JSON objects, its key


def decoded(path: Path, content: bytes) -> str:
    """The text of a file.

    Raises
    ------
    TaskError : not UTF-8, binary or empty
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TaskError(
            f"{path}, line {line}: not UTF-8 text; save the file as UTF-8 CSV, TSV or JSONL"
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise TaskError(
            f"{path}, line {line}: a binary file; a task is a UTF-8 CSV, TSV or JSONL file"
        )
    if not text.strip():
        raise TaskError(f"{path}: the file is empty; a task holds at least two labelled examples")
    return text


def lines_of(path: Path, text: str) -> list[Line]:
    """The lines that are not blank."""
    first = text.lstrip().split("\n", 1)[0]
    suffix = path.suffix.lower()
    named = suffix in (".csv", ".tsv", ".txt")
    if suffix in (".jsonl", ".ndjson") or (not named and first.startswith("{")):
        return list(_json_lines(path, text))
    if suffix in (".tsv", ".txt") or (suffix != ".csv" and "\t" in first):
        return _tab_lines(path, text)
    return _comma_lines(path, text)


def _tab_lines(path: Path, text: str) -> list[Line]:
    stream = io.StringIO(text, newline="")
    return _table_lines(path, csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE), "TSV")


def _comma_lines(path: Path, text: str) -> list[Line]:
    stream = io.StringIO(text, newline="")
    return _table_lines(path, csv.reader(stream, strict=True), "CSV")


def _table_lines(path: Path, reader: "Reader", form: str) -> list[Line]:
    lines = []
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                lines.append(Line(reader.line_num, row))
    except csv.Error as error:
        raise TaskError(f"{path}, line {reader.line_num}: not {form} ({error})") from None
    return lines


def _json_lines(path: Path, text: str) -> Iterator[Line]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=_unique_keys, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise TaskError(
                f"{path}, line {number}: not JSON ({error}); a task in JSON holds one object on each "
                "line"
            ) from None
        if not isinstance(row, dict):
            raise TaskError(f"{path}, line {number}: not a JSON object with named columns")
        if not is_whole_text(line):
            raise TaskError(f"{path}, line {number}: {HALF_A_CHARACTER}")
        yield Line(number, row)


HALF_A_CHARACTER = (
    "half a character (one of a pair of surrogates, such as \\ud83d); write both halves, or the "
    "character itself"
)


def is_whole_text(line: str) -> bool:
    """Whether the texts of a line of JSON can be written as UTF-8."""
    if "\\u" not in line:
        return True
    try:
        json.dumps(json.loads(line), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    repeated = first_repeated(name for name, _ in pairs)
    if repeated is not None:
        raise ValueError(f"the key {repeated!r} stands twice")
    return dict(pairs)


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")


def first_repeated(names: Iterable[str]) -> str | None:
    """The first name that stands more than once; None where none does."""
    for name, count in Counter(names).items():
        if count > 1:
            return name
    return None
