"""Language tasks: texts for perplexity, minimal pairs, questions with choices.

- **Text**: any UTF-8 file that ends in `.txt`, `.text` or `.md`.
- **Minimal pairs** (the form of BLiMP): a TSV, CSV or JSONL file with columns `good` and `bad`
  (also `sentence_good`, `sentence_bad`), and optionally `paradigm` (also `UID`), a group.
- **Choices**: JSONL in the forms that the public harness's tasks have, each line with a context and
  the number of the right choice:

  ====================================================  ==========================================
  `context` (or `query`, `ctx`), `choices`, `gold`       any; `answer` or `label` for `gold`
  `goal`, `sol1`, `sol2`, `label`                        PIQA
  `question`, `choices` {text, label}, `answerKey`       ARC
  `ctx`, `endings`, `label`                              HellaSwag
  `sentence` with a blank `_`, `option1`, `option2`,     WinoGrande; the sentence after the blank is
  `answer` "1" or "2"                                    scored, given each option before it
  `text` alone                                           LAMBADA: the last word of the text, whose
                                                         rival is whatever the model likes best
  ====================================================  ==========================================
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from xbarsim.base.arguments import path_of
from xbarsim.base.errors import TaskError
from xbarsim.base.given_files import parse_json, read_bytes
from xbarsim.tasks.lines import HALF_A_CHARACTER, is_whole_text

TEXT_SUFFIXES = (".txt", ".text", ".md")
GOOD = ("good", "sentence_good")
BAD = ("bad", "sentence_bad")
LONGEST_NUMBER = 20  # digits of the number of a choice
GROUP = ("paradigm", "uid")

Row = Mapping[str, Any]  # cells of a line by column: text of a table, anything of JSON


class LanguageKind(StrEnum):
    """What a language task asks of the tokens that a model predicts."""

    TEXT = "text"  # the perplexity of all of them
    MINIMAL_PAIRS = "minimal_pairs"  # the good sentence the likelier one
    CHOICES = "choices"  # the right continuation the likeliest one


@dataclass(frozen=True)
class Text:
    """A text for perplexity."""

    name: str
    text: str
    sha256: str


@dataclass(frozen=True)
class MinimalPairs:
    """Sentences (good, bad) and the group of each, "" where the file states none."""

    name: str
    pairs: tuple[tuple[str, str], ...]
    groups: tuple[str, ...]
    sha256: str


@dataclass(frozen=True)
class Question:
    """A context, what may follow it, and the index of the right one.

    contexts : one per choice (all alike but where the choice stands inside the sentence)
    greedy : the one continuation must be what the model likes best, token by token
    """

    contexts: tuple[str, ...]
    choices: tuple[str, ...]
    right: int
    greedy: bool = False


@dataclass(frozen=True)
class Questions:
    """Questions of one file."""

    name: str
    questions: tuple[Question, ...]
    sha256: str


LanguageTask = Text | MinimalPairs | Questions


def load_language_task(path: str | Path) -> LanguageTask:
    """Read a file as `Text`, `MinimalPairs` or `Questions`.

    Raises
    ------
    TaskError : not UTF-8, empty, or of none of these forms, with the line where it is one
    """
    path = path_of("text", path, TaskError)
    try:
        content = read_bytes(path, TaskError)
    except OSError as error:
        raise TaskError(f"{path}: not a readable file ({error.strerror})") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TaskError(f"{path}, line {line}: not UTF-8 text; save the file as UTF-8") from None
    if not text.strip():
        raise TaskError(f"{path}: the file is empty")
    sha256 = hashlib.sha256(content).hexdigest()
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".ndjson"):
        return _of_json(path, text, sha256)
    if suffix in (".tsv", ".csv"):
        return _pairs_of_table(path, text, sha256)
    if suffix in TEXT_SUFFIXES:
        return Text(path.name, text, sha256)
    raise TaskError(
        f"{path}: a file ending in {suffix or 'nothing'!r} is no language task; allowed are "
        f"{', '.join(TEXT_SUFFIXES)} (perplexity), .tsv, .csv and .jsonl"
    )


# ---------------------------------------------------------------- minimal pairs


def _pairs_of_table(path: Path, text: str, sha256: str) -> MinimalPairs:
    stream = io.StringIO(text, newline="")
    if path.suffix.lower() == ".tsv":
        reader = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        reader = csv.DictReader(stream, strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise TaskError(f"{path}, line {reader.line_num}: not a table ({error})") from None
    return _pairs(path, rows, sha256)


def _pairs(path: Path, rows: Sequence[tuple[int, Row]], sha256: str) -> MinimalPairs:
    if not rows:
        raise TaskError(f"{path}: no minimal pair stands below the header")
    names = {str(name).strip().lower(): name for name in rows[0][1] if name is not None}
    good = _column(names, GOOD)
    bad = _column(names, BAD)
    group = _column(names, GROUP)
    if good is None or bad is None:
        raise TaskError(
            f"{path}: columns {', '.join(names)} are no minimal pairs; name them good and bad"
        )
    pairs = []
    groups = []
    for number, row in rows:
        pair = (_text(path, number, row, good), _text(path, number, row, bad))
        pairs.append(pair)
        if group is None:
            groups.append("")
        else:
            groups.append(_text(path, number, row, group))
    return MinimalPairs(path.name, tuple(pairs), tuple(groups), sha256)


def _column(names: Mapping[str, str], candidates: Iterable[str]) -> str | None:
    for name in candidates:
        if name in names:
            return names[name]
    return None


def _text(path: Path, number: int, row: Row, key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        shown = json.dumps(value, ensure_ascii=False, default=str)
        raise TaskError(f"{path}, line {number}: {key} is {shown}; a text is needed")
    return value.strip()


# ---------------------------------------------------------------- choices


def _of_json(path: Path, text: str, sha256: str) -> MinimalPairs | Questions:
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except ValueError as error:
            raise TaskError(f"{path}, line {number}: not JSON ({error})") from None
        if not isinstance(row, dict):
            raise TaskError(f"{path}, line {number}: not a JSON object")
        if not is_whole_text(line):
            raise TaskError(f"{path}, line {number}: {HALF_A_CHARACTER}")
        rows.append((number, row))
    names = {name.lower() for name in rows[0][1]}
    if names & set(GOOD):
        return _pairs(path, rows, sha256)
    questions = tuple(_question(path, number, row) for number, row in rows)
    return Questions(path.name, questions, sha256)


def _question(path: Path, number: int, row: Row) -> Question:
    if "goal" in row:
        context = _text(path, number, row, "goal")
        choices = (_text(path, number, row, "sol1"), _text(path, number, row, "sol2"))
        return _checked(path, number, context, choices, row.get("label"))
    if "endings" in row:
        context = _text(path, number, row, "ctx")
        return _checked(path, number, context, row["endings"], row.get("label"))
    if "option1" in row:
        return _blank(path, number, row)
    if "question" in row and isinstance(row.get("choices"), dict):
        return _labelled_choices(path, number, row)
    for key in ("context", "query", "ctx", "question"):
        if key in row and "choices" in row:
            context = _text(path, number, row, key)
            right = row.get("gold", row.get("answer", row.get("label")))
            return _checked(path, number, context, row["choices"], right)
    if "text" in row:
        return _last_word(path, number, row)
    raise TaskError(
        f"{path}, line {number}: keys {', '.join(row)} are none of the forms of a question; for instance "
        'write {"context": ..., "choices": [...], "gold": 0}'
    )


def _checked(path: Path, number: int, context: str, choices: object, right: object) -> Question:
    """A question whose choices follow one context."""
    if not isinstance(choices, (list, tuple)) or len(choices) < 2 or not _are_texts(choices):
        raise TaskError(f"{path}, line {number}: the choices must be two or more texts")
    index = _index(path, number, right, len(choices))
    return Question((context,) * len(choices), tuple(choices), index)


def _are_texts(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) and value for value in values)


def _index(path: Path, number: int, right: object, count: int) -> int:
    if isinstance(right, str) and right.strip().isdecimal() and len(right) < LONGEST_NUMBER:
        right = int(right)
    if not isinstance(right, int) or isinstance(right, bool) or not 0 <= right < count:
        raise TaskError(
            f"{path}, line {number}: the right choice is {right!r}; allowed are 0 to {count - 1}"
        )
    return right


def _labelled_choices(path: Path, number: int, row: Row) -> Question:
    """ARC: choices {"text": [...], "label": ["A", ...]} and an `answerKey`."""
    texts = row["choices"].get("text")
    labels = row["choices"].get("label")
    key = row.get("answerKey")
    if not isinstance(labels, list) or key not in labels:
        raise TaskError(
            f"{path}, line {number}: answerKey {key!r} is not among the labels {labels!r}"
        )
    context = f"Question: {_text(path, number, row, 'question')}\nAnswer:"
    return _checked(path, number, context, texts, labels.index(key))


def _blank(path: Path, number: int, row: Row) -> Question:
    """WinoGrande: what follows the blank is scored, given the sentence up to each option."""
    sentence = _text(path, number, row, "sentence")
    if sentence.count("_") != 1:
        raise TaskError(f"{path}, line {number}: the sentence needs one blank '_'")
    before, after = sentence.split("_")
    options = (_text(path, number, row, "option1"), _text(path, number, row, "option2"))
    answer = row.get("answer")
    if not isinstance(answer, (int, str)) or answer not in ("1", "2", 1, 2):
        raise TaskError(f"{path}, line {number}: answer is {answer!r}; allowed are 1 and 2")
    contexts = tuple(before + option for option in options)
    return Question(contexts, (after.strip(),) * 2, int(answer) - 1)


def _last_word(path: Path, number: int, row: Row) -> Question:
    """LAMBADA: the last word of a text."""
    text = _text(path, number, row, "text")
    context, _, word = text.rpartition(" ")
    if not context:
        raise TaskError(f"{path}, line {number}: the text has one word; two are needed")
    return Question((context,), (word,), 0, greedy=True)
