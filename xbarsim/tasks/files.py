"""Task files: UTF-8 files of sentence pairs with a score, or of sentences with a label.

- `.csv` (comma, quoted as usual), `.tsv` or `.txt` (tab, quotes are text), `.jsonl` or `.ndjson`
  (an object per line).  Another suffix: JSONL if the first line starts with `{`, TSV if it holds a
  tab, else CSV.
- Columns by name, in any order, others ignored: `sentence1` and `sentence2` (also `sentence_1`,
  `sentence_a`, `text1`) with `score` (also `similarity`, `similarity_score`, `label`), or
  `sentence` (also `text`) with `label` (also `class`, `intent`).  An optional column `split` holds
  `train` or `test`.
- Without a header: three columns are sentence, sentence, score; two are sentence, label.

Sentences are text: a number, a list or `null` in JSON is refused.  Labels are text or whole
numbers, each written one way.  Class labels are sorted, numbers by value; of two classes the second
is the positive one of F1.
"""

import csv
import hashlib
import io
import json
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xbarsim.base import fetch, sources
from xbarsim.base.errors import TaskError
from xbarsim.base.progress import Progress, silent
from xbarsim.tasks.task import Task

FIRST = ("sentence1", "sentence_1", "sentence_a", "text1")
SECOND = ("sentence2", "sentence_2", "sentence_b", "text2")
SENTENCE = ("sentence", "text")
SCORE = ("score", "similarity", "similarity_score", "label")
LABEL = ("label", "class", "intent")
SPLIT = ("split",)
SPLITS = ("train", "test")
RATED = "id, rating, sentence"  # layout of a known task


def load_task(path_or_name: str | Path, progress: Progress = silent) -> Task:
    """Read a task file, or fetch and read a task that `xbarsim fetch --list` knows.

    Returns
    -------
    Task

    Raises
    ------
    TaskError : with the line number, for a file that is not a task.  FetchError : for a name that
    cannot be fetched.
    """
    path = fetch.locate(path_or_name, "task", progress=progress)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TaskError(f"{path}: not a readable file ({error.strerror})") from error
    rows = _rows(path, _decoded(path, content))
    sha256 = hashlib.sha256(content).hexdigest()
    source = sources.find(str(path_or_name), "task")
    if source is not None and source.layout == RATED:
        return _rated(path, rows, name=str(path_or_name), sha256=sha256)
    return _labelled(path, rows, sha256)


# ---------------------------------------------------------------- lines and cells


@dataclass(frozen=True)
class _Line:
    """A line that is not blank: its number in the file, and its cells, a list or a JSON object."""

    number: int
    cells: list | dict

    @property
    def is_keyed(self):
        return isinstance(self.cells, dict)


def _decoded(path, content):
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


def _rows(path, text):
    """The lines that are not blank."""
    first = text.lstrip().split("\n", 1)[0]
    suffix = path.suffix.lower()
    named = suffix in (".csv", ".tsv", ".txt")
    if suffix in (".jsonl", ".ndjson") or (not named and first.startswith("{")):
        return list(_json_lines(path, text))
    if suffix in (".tsv", ".txt") or (suffix != ".csv" and "\t" in first):
        return _tab_lines(path, text)
    return _comma_lines(path, text)


def _tab_lines(path, text):
    return _table_lines(path, text, kind="TSV", delimiter="\t", quoting=csv.QUOTE_NONE)


def _comma_lines(path, text):
    return _table_lines(path, text, kind="CSV", strict=True)


def _table_lines(path, text, *, kind, **dialect):
    reader = csv.reader(io.StringIO(text, newline=""), **dialect)
    lines = []
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                lines.append(_Line(reader.line_num, row))
    except csv.Error as error:
        raise TaskError(f"{path}, line {reader.line_num}: not {kind} ({error})") from None
    return lines


def _json_lines(path, text):
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=_unique_keys, parse_constant=_no_constant)
        except ValueError as error:
            raise TaskError(
                f"{path}, line {number}: not JSON ({error}); a task in JSON holds one object on each "
                "line"
            ) from None
        if not isinstance(row, dict):
            raise TaskError(f"{path}, line {number}: not a JSON object with named columns")
        yield _Line(number, row)


def _unique_keys(pairs):
    repeated = _first_repeated(name for name, _ in pairs)
    if repeated is not None:
        raise ValueError(f"the key {repeated!r} stands twice")
    return dict(pairs)


def _no_constant(text):
    raise ValueError(f"{text} is no JSON number")


def _first_repeated(names):
    for name, count in Counter(names).items():
        if count > 1:
            return name
    return None


# ---------------------------------------------------------------- columns


@dataclass(frozen=True)
class _Columns:
    """Where a line holds what: an index, or a key of a JSON object; None what it does not hold."""

    kind: str
    target: int | str
    first: int | str | None = None
    second: int | str | None = None
    sentence: int | str | None = None
    split: int | str | None = None
    count: int | None = None  # cells of a line of a table


def _columns(path, lines):
    """(columns, lines without the header)."""
    header = lines[0]
    names = _column_names(path, header)
    first = _find(names, FIRST)
    second = _find(names, SECOND)
    sentence = _find(names, SENTENCE)
    split = _find(names, SPLIT)
    count = None if header.is_keyed else len(header.cells)
    body = lines if header.is_keyed else lines[1:]
    if first is not None and second is not None:
        target = _needed(path, header, names, SCORE)
        return _Columns("pairs", target, first, second, split=split, count=count), body
    if sentence is not None:
        target = _needed(path, header, names, LABEL)
        return _Columns("labels", target, sentence=sentence, split=split, count=count), body
    if header.is_keyed or first is not None or second is not None:
        raise TaskError(
            f"{path}, line {header.number}: columns {', '.join(map(str, header.cells))} hold no "
            "sentence; they must be named sentence1, sentence2, score or sentence, label"
        )
    if count == 3:
        return _Columns("pairs", target=2, first=0, second=1, count=count), lines
    if count == 2:
        return _Columns("labels", target=1, sentence=0, count=count), lines
    raise TaskError(
        f"{path}, line {header.number}: {count} columns and no header; without one a task has three "
        "columns (sentence, sentence, score) or two (sentence, label); else name them in line 1"
    )


def _column_names(path, header):
    """{name in lower case: column} of a first line."""
    if header.is_keyed:
        columns = [(str(name).strip().lower(), name) for name in header.cells]
    else:
        columns = [(str(name).strip().lower(), k) for k, name in enumerate(header.cells)]
    used = {*FIRST, *SECOND, *SENTENCE, *SCORE, *LABEL, *SPLIT}
    repeated = _first_repeated(name for name, _ in columns if name in used)
    if repeated is not None:
        raise TaskError(
            f"{path}, line {header.number}: the column {repeated!r} stands twice; keep one of them"
        )
    return dict(columns)


def _find(names, candidates):
    for name in candidates:
        if name in names:
            return names[name]
    return None


def _needed(path, header, names, candidates):
    found = _find(names, candidates)
    if found is None:
        raise TaskError(
            f"{path}, line {header.number}: there is no column {candidates[0]!r} among "
            f"{', '.join(map(str, header.cells))}"
        )
    return found


def _check_length(path, line, columns):
    """A line with more cells than columns holds a separator in its text."""
    if line.is_keyed:
        return
    surplus = [cell for cell in line.cells[columns.count :] if cell.strip()]
    if surplus:
        raise TaskError(
            f"{path}, line {line.number}: {len(line.cells)} cells for {columns.count} columns; put "
            "quotes around a sentence that holds a comma, or write TSV or JSONL"
        )


def _cell(path, line, column):
    """What a line holds in a column, JSON values as they are and text without blanks around it."""
    try:
        value = line.cells[column]
    except IndexError:
        raise TaskError(
            f"{path}, line {line.number}: {len(line.cells)} columns, column {column + 1} is missing"
        ) from None
    except KeyError:
        raise TaskError(
            f"{path}, line {line.number}: there is no {column!r} in this line"
        ) from None
    return value.strip() if isinstance(value, str) else value


# ---------------------------------------------------------------- examples


def _labelled(path, lines, sha256):
    """A Task from lines with the columns that the module describes."""
    columns, lines = _columns(path, lines)
    sentences = []
    targets = []
    splits = []
    for line in lines:
        _check_length(path, line, columns)
        if columns.kind == "pairs":
            first = _sentence(path, line, columns.first)
            second = _sentence(path, line, columns.second)
            sentences.append((first, second))
            targets.append(_number(path, line, columns.target))
        else:
            sentences.append(_sentence(path, line, columns.sentence))
            targets.append(_label(path, line, columns.target))
        if columns.split is not None:
            splits.append(_split(path, line, columns.split))
    if columns.kind == "labels" and columns.split is None:
        _check_header(path, lines, targets)
    test = np.array([split == "test" for split in splits]) if splits else None
    return _task(path, columns.kind, sentences, targets, name=path.name, test=test, sha256=sha256)


def _rated(path, lines, *, name, sha256):
    """A Task from lines (id, mean human rating, sentence): the label is the sign of the rating, 0
    being negative."""
    sentences = []
    targets = []
    for line in lines:
        sentences.append(_sentence(path, line, 2))
        rating = _number(path, line, 1)
        targets.append("positive" if rating > 0 else "negative")
    task = _task(path, "labels", sentences, targets, name=name, test=None, sha256=sha256)
    return task.split()


def _sentence(path, line, column):
    value = _cell(path, line, column)
    if not isinstance(value, str):
        raise TaskError(
            f"{path}, line {line.number}: {column!r} is {_shown(value)}; a sentence is text"
        )
    if not value:
        raise TaskError(f"{path}, line {line.number}: the sentence is empty")
    return value


def _number(path, line, column):
    """A score."""
    value = _cell(path, line, column)
    number = math.nan
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        try:
            number = float(value)
        except ValueError:
            number = math.nan
    if not math.isfinite(number):
        raise TaskError(
            f"{path}, line {line.number}: the score {_shown(value)} is not a finite number (if this "
            "line is a header, name its columns sentence1, sentence2, score)"
        )
    return number


def _label(path, line, column):
    """A class as text."""
    value = _cell(path, line, column)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise TaskError(
            f"{path}, line {line.number}: the label is {_shown(value)}; a label is text or a whole "
            "number"
        )
    if not value:
        raise TaskError(f"{path}, line {line.number}: the label is empty")
    number = _as_number(value)
    if number is not None and not math.isfinite(number):
        raise TaskError(
            f"{path}, line {line.number}: the label is {value!r}, a missing value; label the "
            "sentence, or leave the line out"
        )
    return value


def _split(path, line, column):
    value = _cell(path, line, column)
    if value not in SPLITS:
        raise TaskError(
            f"{path}, line {line.number}: split is {_shown(value)}; allowed are train and test"
        )
    return value


def _shown(value):
    """A JSON value as JSON shows it."""
    return json.dumps(value, ensure_ascii=False, default=str)


def _as_number(text):
    """The number that a text says, or None."""
    try:
        return float(text)
    except ValueError:
        return None


def _check_header(path, lines, labels):
    """Refuse a first line whose label stands nowhere else, beside numbers everywhere else."""
    others = labels[1:]
    first_is_text = _as_number(labels[0]) is None
    if len(others) > 1 and first_is_text and all(_as_number(label) is not None for label in others):
        raise TaskError(
            f"{path}, line {lines[0].number}: the label {labels[0]!r} stands among numbers; if this "
            "line is a header, name its columns sentence and label"
        )


# ---------------------------------------------------------------- the task


def _task(path, kind, sentences, targets, *, name, test, sha256):
    if len(sentences) < 2:
        raise TaskError(f"{path}: {len(sentences)} examples; at least two are needed")
    if kind == "pairs":
        if len(set(targets)) < 2:
            raise TaskError(
                f"{path}: every pair has the score {targets[0]:g}; a correlation needs different "
                "scores"
            )
        classes = ()
        values = np.array(targets, float)
    else:
        classes = _sorted_classes(path, set(targets))
        index = {label: k for k, label in enumerate(classes)}
        values = np.array([index[label] for label in targets])
    return Task(name, kind, tuple(sentences), values, classes, test, sha256)


def _sorted_classes(path, labels):
    if len(labels) < 2:
        raise TaskError(
            f"{path}: every sentence has the label {next(iter(labels))!r}; at least two classes are "
            "needed"
        )
    values = {label: _as_number(label) for label in labels}
    _check_written_one_way(path, values)
    if None in values.values():
        return tuple(sorted(labels))
    if any(value != int(value) for value in values.values()):
        raise TaskError(
            f"{path}: labels such as {max(labels, key=len)!r} are no classes; scores of single "
            "sentences are not supported: use integers or names, or pairs with a score"
        )
    return tuple(sorted(labels, key=values.get))


def _check_written_one_way(path, values):
    """Refuse labels such as 1, 1.0 and 01: one number, three classes."""
    written = {}
    for label, value in sorted(values.items()):
        if value is None:
            continue
        if value in written:
            raise TaskError(
                f"{path}: the labels {written[value]!r} and {label!r} are the same number; write it "
                "one way"
            )
        written[value] = label
