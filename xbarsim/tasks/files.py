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

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xbarsim.base import fetch, sources
from xbarsim.base.array_types import Booleans
from xbarsim.base.errors import TaskError
from xbarsim.base.given_files import read_bytes
from xbarsim.base.progress import Progress, silent
from xbarsim.tasks.lines import Column, Line, decoded, first_repeated, lines_of
from xbarsim.tasks.task import Example, Kind, Task

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
        content = read_bytes(path, TaskError)
    except OSError as error:
        raise TaskError(f"{path}: not a readable file ({error.strerror})") from error
    rows = lines_of(path, decoded(path, content))
    sha256 = hashlib.sha256(content).hexdigest()
    source = sources.find(str(path_or_name), "task")
    if source is not None and source.layout == RATED:
        return _rated(_Origin(path, str(path_or_name), sha256), rows)
    return _labelled(path, rows, sha256)


@dataclass(frozen=True)
class _Origin:
    """The file of a task.  name : what the task is called"""

    path: Path
    name: str
    sha256: str


# ---------------------------------------------------------------- columns


@dataclass(frozen=True)
class _Columns:
    """Where a line holds what: an index, or a key of a JSON object; None what it does not hold."""

    kind: Kind
    target: Column
    sentences: tuple[Column, ...]  # one, or two of pairs
    split: Column | None = None
    count: int | None = None  # cells of a line of a table


def _columns(path: Path, lines: list[Line]) -> tuple[_Columns, list[Line]]:
    """(columns, lines without the header)."""
    header = lines[0]
    names = _column_names(path, header)
    first = _find(names, FIRST)
    second = _find(names, SECOND)
    sentence = _find(names, SENTENCE)
    split = _find(names, SPLIT)
    count = header.length
    body = lines
    if not header.is_keyed:
        body = lines[1:]
    if first is not None and second is not None:
        target = _needed(path, header, names, SCORE)
        return _Columns(Kind.PAIRS, target, (first, second), split, count), body
    if sentence is not None:
        target = _needed(path, header, names, LABEL)
        return _Columns(Kind.LABELS, target, (sentence,), split, count), body
    if header.is_keyed or first is not None or second is not None:
        raise TaskError(
            f"{path}, line {header.number}: columns {', '.join(map(str, header.cells))} hold no "
            "sentence; they must be named sentence1, sentence2, score or sentence, label"
        )
    if count == 3:
        return _Columns(Kind.PAIRS, target=2, sentences=(0, 1), count=count), lines
    if count == 2:
        return _Columns(Kind.LABELS, target=1, sentences=(0,), count=count), lines
    raise TaskError(
        f"{path}, line {header.number}: {count} columns and no header; without one a task has three "
        "columns (sentence, sentence, score) or two (sentence, label); else name them in line 1"
    )


def _column_names(path: Path, header: Line) -> dict[str, Column]:
    """{name in lower case: column} of a first line."""
    columns: list[tuple[str, Column]] = []
    for place, name in enumerate(header.cells):
        column = name if header.is_keyed else place
        columns.append((str(name).strip().lower(), column))
    used = {*FIRST, *SECOND, *SENTENCE, *SCORE, *LABEL, *SPLIT}
    repeated = first_repeated(name for name, _ in columns if name in used)
    if repeated is not None:
        raise TaskError(
            f"{path}, line {header.number}: the column {repeated!r} stands twice; keep one of them"
        )
    return dict(columns)


def _find(names: Mapping[str, Column], candidates: Iterable[str]) -> Column | None:
    for name in candidates:
        if name in names:
            return names[name]
    return None


def _needed(
    path: Path, header: Line, names: Mapping[str, Column], candidates: Sequence[str]
) -> Column:
    found = _find(names, candidates)
    if found is None:
        raise TaskError(
            f"{path}, line {header.number}: there is no column {candidates[0]!r} among "
            f"{', '.join(map(str, header.cells))}"
        )
    return found


def _check_length(path: Path, line: Line, columns: _Columns) -> None:
    """A line with more cells than columns holds a separator in its text."""
    if isinstance(line.cells, dict):
        return
    surplus = [cell for cell in line.cells[columns.count :] if cell.strip()]
    if surplus:
        raise TaskError(
            f"{path}, line {line.number}: {len(line.cells)} cells for {columns.count} columns; put "
            "quotes around a sentence that holds a comma, or write TSV or JSONL"
        )


def _cell(path: Path, line: Line, column: Column) -> Any:
    """What a line holds in a column, JSON values as they are and text without blanks around it."""
    try:
        value = line.cells[column]  # type: ignore[index]  # a key of JSON, an index of a table
    except IndexError:
        raise TaskError(
            f"{path}, line {line.number}: {len(line.cells)} columns, column {int(column) + 1} is "
            "missing"
        ) from None
    except KeyError:
        raise TaskError(
            f"{path}, line {line.number}: there is no {column!r} in this line"
        ) from None
    if isinstance(value, str):
        return value.strip()
    return value


# ---------------------------------------------------------------- examples


def _labelled(path: Path, lines: list[Line], sha256: str) -> Task:
    """A Task from lines with the columns that the module describes."""
    columns, lines = _columns(path, lines)
    texts = []
    scores = []
    labels = []
    splits = []
    for line in lines:
        _check_length(path, line, columns)
        texts.append([_sentence(path, line, column) for column in columns.sentences])
        if columns.kind == Kind.PAIRS:
            scores.append(_number(path, line, columns.target))
        else:
            labels.append(_label(path, line, columns.target))
        if columns.split is not None:
            splits.append(_split(path, line, columns.split))
    test = None
    if splits:
        test = np.array([split == "test" for split in splits])
    origin = _Origin(path, path.name, sha256)
    if columns.kind == Kind.PAIRS:
        return _scored_pairs(origin, [(first, second) for first, second in texts], scores, test)
    if columns.split is None:
        _check_header(path, lines, labels)
    return _labelled_sentences(origin, [sentence for (sentence,) in texts], labels, test)


def _rated(origin: _Origin, lines: list[Line]) -> Task:
    """A Task from lines (id, mean human rating, sentence): the label is the sign of the rating, 0
    being negative."""
    sentences = []
    labels = []
    for line in lines:
        sentences.append(_sentence(origin.path, line, 2))
        rating = _number(origin.path, line, 1)
        labels.append("positive" if rating > 0 else "negative")
    return _labelled_sentences(origin, sentences, labels, test=None).split()


def _sentence(path: Path, line: Line, column: Column) -> str:
    value = _cell(path, line, column)
    if not isinstance(value, str):
        raise TaskError(
            f"{path}, line {line.number}: {column!r} is {_shown(value)}; a sentence is text"
        )
    if not value:
        raise TaskError(f"{path}, line {line.number}: the sentence is empty")
    return value


def _number(path: Path, line: Line, column: Column) -> float:
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


def _label(path: Path, line: Line, column: Column) -> str:
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


def _split(path: Path, line: Line, column: Column) -> str:
    value: str = _cell(path, line, column)
    if value not in SPLITS:
        raise TaskError(
            f"{path}, line {line.number}: split is {_shown(value)}; allowed are train and test"
        )
    return value


def _shown(value: object) -> str:
    """A JSON value as JSON shows it."""
    return json.dumps(value, ensure_ascii=False, default=str)


def _as_number(text: str) -> float | None:
    """The number that a text says, or None."""
    try:
        return float(text)
    except ValueError:
        return None


def _check_header(path: Path, lines: list[Line], labels: list[str]) -> None:
    """Refuse a first line whose label stands nowhere else, beside numbers everywhere else."""
    if not labels:
        return
    others = labels[1:]
    first_is_text = _as_number(labels[0]) is None
    if len(others) > 1 and first_is_text and all(_as_number(label) is not None for label in others):
        raise TaskError(
            f"{path}, line {lines[0].number}: the label {labels[0]!r} stands among numbers; if this "
            "line is a header, name its columns sentence and label"
        )


# ---------------------------------------------------------------- the task


def _scored_pairs(
    origin: _Origin, pairs: Sequence[Example], scores: Sequence[float], test: Booleans | None
) -> Task:
    _check_count(origin, pairs)
    if len(set(scores)) < 2:
        raise TaskError(
            f"{origin.path}: every pair has the score {scores[0]:g}; a correlation needs different "
            "scores"
        )
    return Task(
        name=origin.name,
        kind=Kind.PAIRS,
        sentences=tuple(pairs),
        targets=np.array(scores, float),
        classes=(),
        test=test,
        sha256=origin.sha256,
    )


def _labelled_sentences(
    origin: _Origin, sentences: Sequence[str], labels: Sequence[str], test: Booleans | None
) -> Task:
    _check_count(origin, sentences)
    classes = _sorted_classes(origin.path, set(labels))
    index = {label: place for place, label in enumerate(classes)}
    return Task(
        name=origin.name,
        kind=Kind.LABELS,
        sentences=tuple(sentences),
        targets=np.array([index[label] for label in labels]),
        classes=classes,
        test=test,
        sha256=origin.sha256,
    )


def _check_count(origin: _Origin, examples: Sequence[Example]) -> None:
    if len(examples) < 2:
        raise TaskError(f"{origin.path}: {len(examples)} examples; at least two are needed")


def _sorted_classes(path: Path, labels: set[str]) -> tuple[str, ...]:
    if len(labels) < 2:
        raise TaskError(
            f"{path}: every sentence has the label {next(iter(labels))!r}; at least two classes are "
            "needed"
        )
    values = {label: _as_number(label) for label in labels}
    _check_written_one_way(path, values)
    numbers = {label: value for label, value in values.items() if value is not None}
    if len(numbers) < len(labels):
        return tuple(sorted(labels))
    if any(value != int(value) for value in numbers.values()):
        raise TaskError(
            f"{path}: labels such as {max(labels, key=len)!r} are no classes; scores of single "
            "sentences are not supported: use integers or names, or pairs with a score"
        )
    return tuple(sorted(labels, key=numbers.__getitem__))


def _check_written_one_way(path: Path, values: Mapping[str, float | None]) -> None:
    """Refuse labels such as 1, 1.0 and 01: one number, three classes."""
    written: dict[float, str] = {}
    for label, value in sorted(values.items()):
        if value is None:
            continue
        if value in written:
            raise TaskError(
                f"{path}: the labels {written[value]!r} and {label!r} are the same number; write it "
                "one way"
            )
        written[value] = label
