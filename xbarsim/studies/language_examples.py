"""Language tasks as token sequences: windows of a text, sentences of pairs, continuations of
questions; what of them is scored, and what calibrates."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xbarsim.base.array_types import Integers
from xbarsim.base.errors import OutOfRangeError, TaskError
from xbarsim.models.network import DecoderConfig
from xbarsim.tasks.language_files import (
    LanguageKind,
    LanguageTask,
    MinimalPairs,
    Question,
    Questions,
    Text,
)
from xbarsim.tasks.language_metrics import Sequences

SEPARATOR = "<|endoftext|>"  # begins a sentence where the vocabulary has it
DEFAULT_WINDOW = 512  # tokens, or the model's context where that is shorter
LARGEST_CALIBRATION_SHARE = 5  # at most a fifth of a task calibrates instead of being scored


@dataclass(frozen=True)
class Scope:
    """What of a task is scored.

    window, stride : of a text, tokens of a window (None: `DEFAULT_WINDOW`), and from one to the
        next (None: a window)
    windows : of a text, from its start;  limit : pairs or questions, evenly spread; None: all
    """

    window: int | None = None
    stride: int | None = None
    windows: int | None = None
    limit: int | None = None


WHOLE = Scope()


@dataclass(frozen=True)
class Lm:
    """What of a decoder decides its sequences."""

    config: DecoderConfig
    tokenizer: Any

    def ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    @property
    def beginning(self) -> int | None:
        """The token before a sentence: <|endoftext|> where there is one, else the model's beginning
        token.
        """
        separator: int | None = self.tokenizer.token_to_id(SEPARATOR)
        return self.config.beginning if separator is None else separator

    def sentence(self, text: str) -> Integers:
        """Tokens of a sentence with what stands before it.

        Raises
        ------
        TaskError : too few, or more than the model takes
        """
        ids = self.ids(text)
        if self.beginning is not None:
            ids = [self.beginning, *ids]
        if not 2 <= len(ids) <= self.config.max_tokens:
            raise TaskError(
                f"{text[:40]!r} has {len(ids)} tokens; allowed are 2 to {self.config.max_tokens}, "
                "the model's context"
            )
        return np.array(ids)


@dataclass(frozen=True)
class LanguageExamples:
    """Token sequences of a task.

    tokens : list of (s,) token ids;  predicted : (n,) so many tokens at the end of each are scored
    """

    tokens: list[Integers]
    predicted: Integers
    sequences: Sequences

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def predicted_tokens(self) -> Integers:
        """(p,) token ids of all predictions."""
        parts = [
            ids[len(ids) - count :] for ids, count in zip(self.tokens, self.predicted, strict=True)
        ]
        return np.concatenate(parts)


@dataclass(frozen=True)
class Division:
    """A task divided into what is scored and the sequences that calibrate; note : says how."""

    scored: LanguageExamples
    calibration: list[Integers]
    note: str


def language_examples(lm: Lm, task: LanguageTask, scope: Scope = WHOLE) -> LanguageExamples:
    """All that is to be scored of a task.

    Raises
    ------
    TaskError, OutOfRangeError : a text of less than two tokens, a sentence longer than the model's
        context, a window that does not fit
    """
    if isinstance(task, Text):
        encoded = _encode(lm, task)
        return _of_text(encoded, _windows_of(lm.config, len(encoded.ids), scope))
    count = _count(task)
    return _of_numbers(lm, task, evenly(count, scope.limit))


def divided(lm: Lm, task: LanguageTask, scope: Scope, calibration_tokens: int) -> Division:
    """What is scored of a task, and sequences of the same task that calibrate and are not scored.

    Of a text those that follow the scored windows; where too little follows, its end, at most a
    fifth of it.  Of pairs and questions evenly spread ones, at most a fifth.

    Raises
    ------
    TaskError : nothing can be spared; and what `language_examples` raises
    """
    if isinstance(task, Text):
        return _divided_text(lm, task, scope, calibration_tokens)
    total = _count(task)
    mean = _mean_tokens(lm, task)
    held = min(math.ceil(calibration_tokens / mean), total // LARGEST_CALIBRATION_SHARE)
    held = max(held, 1)
    if total < 2:
        raise _nothing_spared(task.name)
    held_out = evenly(total, held)
    rest = sorted(set(range(total)) - set(held_out))
    scored = [rest[place] for place in evenly(len(rest), scope.limit)]
    calibrating = _of_numbers(lm, task, held_out)
    note = (
        f"{held} of the {total} {_noun(task)} of {task.name} calibrate the converters and are not "
        "scored"
    )
    return Division(_of_numbers(lm, task, scored), calibrating.tokens, note)


def calibration_sequences(lm: Lm, task: LanguageTask, tokens: int) -> list[Integers]:
    """Sequences of a task up to so many tokens, from its start, in windows of `DEFAULT_WINDOW`."""
    whole = language_examples(lm, task).tokens
    return _first_tokens(whole, tokens)


def _first_tokens(sequences: Sequence[Integers], tokens: int) -> list[Integers]:
    """Sequences from the first on, the last one cut, that hold so many tokens together."""
    found: list[Integers] = []
    left = tokens
    for sequence in sequences:
        part = sequence[:left]
        found.append(part)
        left -= len(part)
        if left < 1:
            break
    return found


def _nothing_spared(name: str) -> TaskError:
    return TaskError(
        f"{name} is too short to calibrate converters and be scored; name another file with "
        "task.calibration (--calibration)"
    )


def evenly(total: int, limit: int | None) -> list[int]:
    """Indices of at most `limit` of `total`, evenly spread."""
    if limit is None or limit >= total:
        return list(range(total))
    return [k * total // limit for k in range(limit)]


# ---------------------------------------------------------------- texts


@dataclass(frozen=True)
class _Encoded:
    """A text in tokens.  ids : (t,);  offsets : [(start, stop)], their places in the text"""

    text: str
    ids: Integers
    offsets: Sequence[tuple[int, int]]

    def size(self, start: int, stop: int) -> int:
        """UTF-8 bytes of the text that tokens start to stop stand for."""
        part = self.text[self.offsets[start][0] : self.offsets[stop - 1][1]]
        return len(part.encode())


@dataclass(frozen=True)
class Window:
    """Tokens start to stop of a text, of which the last `new` ones no window before it predicts."""

    start: int
    stop: int
    new: int


def _encode(lm: Lm, task: Text) -> _Encoded:
    encoding = lm.tokenizer.encode(task.text, add_special_tokens=False)
    if len(encoding.ids) < 2:
        raise TaskError(f"{task.name}: {len(encoding.ids)} tokens; a perplexity needs two or more")
    return _Encoded(task.text, np.array(encoding.ids), encoding.offsets)


def _windows_of(config: DecoderConfig, tokens: int, scope: Scope) -> list[Window]:
    """The windows of a text of so many tokens."""
    longest = config.max_tokens
    window = min(DEFAULT_WINDOW, longest) if scope.window is None else scope.window
    stride = window if scope.stride is None else scope.stride
    if not 2 <= window <= longest:
        raise OutOfRangeError(
            f"window is {window} tokens; allowed are 2 to {longest}, the model's context"
        )
    if not 1 <= stride <= window:
        raise OutOfRangeError(f"stride is {stride} tokens; allowed are 1 to the window, {window}")
    return windows_of(tokens, window, stride, scope.windows)


def windows_of(tokens: int, window: int, stride: int, windows: int | None) -> list[Window]:
    """Windows from the start of a text.

    With `stride` = `window` they stand beside each other, each on its own: its first token is
    given.
    """
    found: list[Window] = []
    seen = 0
    for start in range(0, tokens - 1, stride):
        stop = min(start + window, tokens)
        new = stop - max(seen, start + 1)
        if new > 0:
            found.append(Window(start, stop, new))
        seen = stop
        if stop == tokens or len(found) == windows:
            break
    return found


def _of_text(encoded: _Encoded, windows: Sequence[Window]) -> LanguageExamples:
    tokens = [encoded.ids[one.start : one.stop] for one in windows]
    sizes = [encoded.size(one.stop - one.new, one.stop) for one in windows]
    return _examples(
        LanguageKind.TEXT,
        tokens,
        predicted=[one.new for one in windows],
        label=[0] * len(windows),
        index=list(range(len(windows))),
        size=sizes,
    )


def _divided_text(lm: Lm, task: Text, scope: Scope, calibration_tokens: int) -> Division:
    encoded = _encode(lm, task)
    total = len(encoded.ids)
    windows = _windows_of(lm.config, total, scope)
    spared = min(calibration_tokens, total // LARGEST_CALIBRATION_SHARE)
    if spared < 2:
        raise _nothing_spared(task.name)
    if total - windows[-1].stop >= spared:
        start = windows[-1].stop
        where = "follow the scored windows"
    else:
        start = total - spared
        where = "end it"
        windows = _windows_of(lm.config, start, scope)
    length = min(DEFAULT_WINDOW, lm.config.max_tokens)
    following = encoded.ids[start : start + calibration_tokens]
    pieces = windows_of(len(following), length, length, None)
    calibration = [following[one.start : one.stop] for one in pieces]
    note = (
        f"{len(following):,} tokens of {task.name} that {where} calibrate the converters and are "
        "not scored"
    )
    return Division(_of_text(encoded, windows), calibration, note)


# ---------------------------------------------------------------- pairs and questions


def _count(task: MinimalPairs | Questions) -> int:
    return len(task.pairs) if isinstance(task, MinimalPairs) else len(task.questions)


def _noun(task: MinimalPairs | Questions) -> str:
    return "pairs" if isinstance(task, MinimalPairs) else "questions"


def _of_numbers(lm: Lm, task: MinimalPairs | Questions, numbers: Sequence[int]) -> LanguageExamples:
    """The pairs or questions of these numbers."""
    if isinstance(task, MinimalPairs):
        return _of_pairs(lm, task, numbers)
    return _of_questions(lm, task, numbers)


def _mean_tokens(lm: Lm, task: MinimalPairs | Questions) -> float:
    """Tokens of a pair or question, of some of them."""
    some = evenly(_count(task), 50)
    tokens = _of_numbers(lm, task, some).tokens
    return sum(map(len, tokens)) / len(some)


def _of_pairs(lm: Lm, task: MinimalPairs, numbers: Sequence[int]) -> LanguageExamples:
    sentences = [sentence for number in numbers for sentence in task.pairs[number]]
    tokens = [lm.sentence(sentence) for sentence in sentences]
    return _examples(
        LanguageKind.MINIMAL_PAIRS,
        tokens,
        predicted=[len(ids) - 1 for ids in tokens],
        label=[1, 0] * len(numbers),
        index=[number for number in numbers for _ in range(2)],
        size=[len(sentence.encode()) for sentence in sentences],
    )


def _of_questions(lm: Lm, task: Questions, numbers: Sequence[int]) -> LanguageExamples:
    tokens: list[Integers] = []
    predicted: list[int] = []
    label: list[int] = []
    index: list[int] = []
    size: list[int] = []
    for number in numbers:
        question = task.questions[number]
        for place, choice in enumerate(question.choices):
            ids, count = _continued(lm, question, place)
            tokens.append(ids)
            predicted.append(count)
            label.append(int(place == question.right))
            index.append(number)
            size.append(len(choice.encode()))
    return _examples(
        LanguageKind.CHOICES, tokens, predicted=predicted, label=label, index=index, size=size
    )


def _continued(lm: Lm, question: Question, place: int) -> tuple[Integers, int]:
    """Tokens of a context with a choice, and how many of them are the choice's."""
    context = question.contexts[place].rstrip()
    choice = question.choices[place].lstrip()
    sequence = lm.sentence(f"{context} {choice}")
    before = len(lm.ids(context)) + (lm.beginning is not None)
    return sequence, max(len(sequence) - before, 1)


def _examples(
    kind: LanguageKind,
    tokens: list[Integers],
    *,
    predicted: Sequence[int],
    label: Sequence[int],
    index: Sequence[int],
    size: Sequence[int],
) -> LanguageExamples:
    counts = np.array(predicted)
    example = np.repeat(np.arange(len(tokens)), counts)
    positions = [
        np.arange(len(ids) - count, len(ids)) for ids, count in zip(tokens, predicted, strict=True)
    ]
    sequences = Sequences(
        kind=kind,
        label=np.array(label),
        index=np.array(index),
        size=np.array(size),
        example=example,
        position=np.concatenate(positions),
    )
    return LanguageExamples(tokens, counts, sequences)
