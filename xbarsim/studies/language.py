"""Scores of decoders: perplexity of a text, minimal pairs, questions with choices."""

from dataclasses import dataclass

import numpy as np

from xbarsim.base import fetch, sources
from xbarsim.base.errors import OutOfRangeError, TaskError
from xbarsim.base.progress import silent
from xbarsim.models.architectures import load_generator
from xbarsim.models.batches import for_every_batch
from xbarsim.models.operations import Hook, float32
from xbarsim.tasks.files import load_task
from xbarsim.tasks.language_files import MinimalPairs, Text, load_language_task
from xbarsim.tasks.metrics import Metric, wilson

SEPARATOR = "<|endoftext|>"  # begins a sentence where the vocabulary has it
LOGIT_ROWS = 128  # rows of logits in memory at once
BLOCK = 64  # predictions of a block, the unit of the interval of a perplexity
TOKENS_PER_BATCH = 1024


@dataclass(frozen=True)
class LanguageScore:
    """What `evaluate_language` found.

    metrics : the main one first
    groups : {group: (right, pairs)} of minimal pairs
    bits_per_byte : of a text, else None
    predictions : tokens that were predicted
    """

    metrics: tuple[Metric, ...]
    predictions: int
    groups: dict
    bits_per_byte: float | None = None
    notes: tuple[str, ...] = ()

    def remark(self):
        """What a line on the result says beside model, task and reference."""
        text = f"; {self.predictions:,} predictions"
        if self.bits_per_byte is not None:
            text += f"; {self.bits_per_byte:.4f} bits per byte"
        return text

    def as_dict(self):
        """The main metric's fields, and everything else, for JSON."""
        everything = [vars(metric) for metric in self.metrics]
        return everything[0] | {
            "metrics": everything,
            "predictions": self.predictions,
            "bits_per_byte": self.bits_per_byte,
            "groups": {name: list(counts) for name, counts in self.groups.items()},
        }


@dataclass(frozen=True)
class Forward:
    """How a model is run: what its steps are, see `operations`, and on how many threads."""

    hook: Hook = float32
    threads: int | None = None


def evaluate_language(
    model,
    tokenizer,
    task,
    *,
    window=512,
    stride=None,
    windows=None,
    limit=None,
    forward=Forward(),
    progress=silent,
):
    """Score a decoder.

    Parameters
    ----------
    model : network.Decoder
    tokenizer : tokenizers.Tokenizer
    task : Text, MinimalPairs or Questions
    window, stride, windows : of a text: tokens of a window, from one to the next (its length if
        None), how many from the start (all if None)
    limit : how many pairs or questions, evenly spread; all if None
    forward : Forward

    Returns
    -------
    LanguageScore

    Raises
    ------
    TaskError, OutOfRangeError : a text of less than two tokens, a sentence longer than the model's
        context, a window that does not fit
    """
    if isinstance(task, Text):
        return _perplexity(
            model,
            tokenizer,
            task,
            window=window,
            stride=stride,
            windows=windows,
            forward=forward,
            progress=progress,
        )
    if isinstance(task, MinimalPairs):
        return _minimal_pairs(
            model, tokenizer, task, limit=limit, forward=forward, progress=progress
        )
    return _questions(model, tokenizer, task, limit=limit, forward=forward, progress=progress)


# ---------------------------------------------------------------- log-probabilities


def log_probabilities(
    model, sequences, forward=Forward(), progress=silent, description="sequences"
):
    """Natural logarithms of the probabilities of the tokens after the first of every sequence.

    Parameters
    ----------
    model : network.Decoder
    sequences : list of (s,) int arrays, two tokens or more
    forward : Forward

    Returns
    -------
    list of ((s - 1,) float64 log-probabilities, (s - 1,) bool whether each token was the likeliest)
    """
    results = [None] * len(sequences)

    def run(group, token_ids, mask):
        states = model.forward(token_ids, mask, forward.hook)
        for number, k in enumerate(group):
            results[k] = _of_sequence(model, states[number], sequences[k], forward.hook, number)

    for_every_batch(
        run,
        sequences,
        tokens_per_batch=TOKENS_PER_BATCH,
        threads=forward.threads,
        progress=progress,
        description=description,
    )
    return results


def _of_sequence(model, states, ids, hook, number):
    """One sequence: states (s, h) -> (log-probabilities, whether likeliest) of its tokens after the
    first.
    """
    values = []
    likeliest = []
    for start in range(0, len(ids) - 1, LOGIT_ROWS):
        at = np.arange(start, min(start + LOGIT_ROWS, len(ids) - 1))
        rows = np.column_stack([np.full(len(at), number), at])
        scores = model.logits(states[at], rows, hook)
        scores = scores - scores.max(axis=1, keepdims=True)
        total = np.exp(scores).sum(axis=1, dtype=np.float64)
        chosen = scores[np.arange(len(at)), ids[at + 1]]
        values.append(chosen.astype(np.float64) - np.log(total))
        likeliest.append(chosen == 0)
    return np.concatenate(values), np.concatenate(likeliest)


# ---------------------------------------------------------------- perplexity


def _perplexity(model, tokenizer, task, *, window, stride, windows, forward, progress):
    stride = window if stride is None else stride
    _check_window(model, window, stride)
    ids, offsets = _tokens_of_text(tokenizer, task)
    pieces = _windows(len(ids), window, stride, windows)
    sequences = [ids[start:stop] for start, stop, _ in pieces]
    found = log_probabilities(model, sequences, forward, progress, "windows")
    scored = [values[-new:] for (values, _), (_, _, new) in zip(found, pieces, strict=True)]
    losses = -np.concatenate(scored)
    spans = [offsets[stop - new : stop] for _, stop, new in pieces]
    length = sum(_bytes_of(task.text, span) for span in spans)
    low, high = _loss_interval(scored)
    value = float(np.exp(losses.mean()))
    metric = Metric("perplexity", value, float(np.exp(low)), float(np.exp(high)), len(losses))
    bits = float(losses.sum() / np.log(2) / length)
    return LanguageScore((metric,), len(losses), {}, bits)


def _check_window(model, window, stride):
    if not 2 <= window <= model.config.max_tokens:
        raise OutOfRangeError(
            f"window is {window} tokens; allowed are 2 to {model.config.max_tokens}, the model's context"
        )
    if not 1 <= stride <= window:
        raise OutOfRangeError(f"stride is {stride} tokens; allowed are 1 to the window, {window}")


def _tokens_of_text(tokenizer, task):
    """Token ids (n,) and their places in the text [(start, stop)]."""
    encoding = tokenizer.encode(task.text, add_special_tokens=False)
    if len(encoding.ids) < 2:
        raise TaskError(f"{task.name}: {len(encoding.ids)} tokens; a perplexity needs two or more")
    return np.array(encoding.ids), encoding.offsets


def _windows(tokens, window, stride, windows):
    """[(start, stop, predictions that no window before it made)].

    Windows of `stride` = `window` stand beside each other, each on its own: its first token is
    given.
    """
    pieces = []
    seen = 0
    for start in range(0, tokens - 1, stride):
        stop = min(start + window, tokens)
        new = stop - max(seen, start + 1)
        if new > 0:
            pieces.append((start, stop, new))
        seen = stop
        if stop == tokens or len(pieces) == windows:
            break
    return pieces


def _bytes_of(text, span):
    """UTF-8 bytes of the text that tokens [(start, stop)] stand for."""
    return len(text[span[0][0] : span[-1][1]].encode()) if span else 0


def _loss_interval(scored):
    """95 % interval of the mean loss by Student's t over blocks of neighbouring predictions."""
    from scipy.special import stdtrit

    blocks = []
    for values in scored:
        count = max(len(values) // BLOCK, 1)
        blocks += [-part for part in np.array_split(values, count)]
    sizes = np.array([len(block) for block in blocks])
    mean = np.concatenate(blocks).mean()
    if len(blocks) < 2:
        return 0.0, np.inf
    deviations = np.array([block.sum() for block in blocks]) - sizes * mean
    n = len(blocks)
    error = np.sqrt(n / (n - 1) * (deviations**2).sum()) / sizes.sum()
    half = stdtrit(n - 1, 0.975) * error
    return max(mean - half, 0.0), mean + half


# ---------------------------------------------------------------- minimal pairs, choices


def _minimal_pairs(model, tokenizer, task, *, limit, forward, progress):
    chosen = _evenly(len(task.pairs), limit)
    start = _beginning(model, tokenizer)
    sentences = [sentence for k in chosen for sentence in task.pairs[k]]
    sequences = [_sequence(model, tokenizer, start, sentence) for sentence in sentences]
    found = log_probabilities(model, sequences, forward, progress, "sentences")
    totals = np.array([values.sum() for values, _ in found]).reshape(-1, 2)
    right = totals[:, 0] > totals[:, 1]
    groups = {}
    for k, is_right in zip(chosen, right, strict=True):
        if task.groups[k]:
            before, pairs = groups.get(task.groups[k], (0, 0))
            groups[task.groups[k]] = (before + int(is_right), pairs + 1)
    predictions = sum(len(values) for values, _ in found)
    return LanguageScore((_accuracy("accuracy", right),), predictions, groups)


def _questions(model, tokenizer, task, *, limit, forward, progress):
    chosen = [task.questions[k] for k in _evenly(len(task.questions), limit)]
    start = _beginning(model, tokenizer)
    sequences = []
    lengths = []
    for question in chosen:
        for context, choice in zip(question.contexts, question.choices, strict=True):
            sequence, length = _continued(model, tokenizer, start, context, choice)
            sequences.append(sequence)
            lengths.append(length)
    found = log_probabilities(model, sequences, forward, progress, "continuations")
    right = []
    normalised = []
    place = 0
    for question in chosen:
        count = len(question.choices)
        part = range(place, place + count)
        place += count
        totals = np.array([found[k][0][-lengths[k] :].sum() for k in part])
        if question.greedy:
            right.append(bool(found[part[0]][1][-lengths[part[0]] :].all()))
            normalised.append(right[-1])
            continue
        size = np.array([len(choice.encode()) for choice in question.choices])
        right.append(int(totals.argmax()) == question.right)
        normalised.append(int((totals / size).argmax()) == question.right)
    metrics = (_accuracy("accuracy", right), _accuracy("accuracy_normalised", normalised))
    return LanguageScore(metrics, sum(lengths), {})


def _evenly(total, limit):
    """Indices of at most `limit` of `total`, evenly spread."""
    if limit is None or limit >= total:
        return list(range(total))
    return [k * total // limit for k in range(limit)]


def _beginning(model, tokenizer):
    """The token before a sentence: <|endoftext|> where there is one, else the model's beginning
    token.
    """
    separator = tokenizer.token_to_id(SEPARATOR)
    return model.config.beginning if separator is None else separator


def _sequence(model, tokenizer, start, sentence):
    ids = tokenizer.encode(sentence, add_special_tokens=False).ids
    sequence = np.array(ids if start is None else [start, *ids])
    if not 2 <= len(sequence) <= model.config.max_tokens:
        raise TaskError(
            f"{sentence[:40]!r} has {len(sequence)} tokens; allowed are 2 to {model.config.max_tokens}, "
            "the model's context"
        )
    return sequence


def _continued(model, tokenizer, start, context, choice):
    """(tokens of a context and a choice, how many of them are the choice's)."""
    alone = len(tokenizer.encode(context.rstrip(), add_special_tokens=False).ids)
    sequence = _sequence(model, tokenizer, start, f"{context.rstrip()} {choice.lstrip()}")
    before = alone + (start is not None)
    return sequence, max(len(sequence) - before, 1)


def _accuracy(name, right):
    count = int(np.count_nonzero(right))
    low, high = wilson(count, len(right))
    return Metric(name, count / len(right), low, high, len(right))


# ---------------------------------------------------------------- files


def load_text_or_questions(path_or_name, progress=silent):
    """A language task of a file, or the sentences of a task that `xbarsim fetch --list` knows as a
    text.

    Returns
    -------
    Text, MinimalPairs or Questions
    """
    name = str(path_or_name)
    if sources.find(name, "task") is not None:
        task = load_task(name, progress)
        return Text(name, "\n".join(task.texts()), task.sha256)
    return load_language_task(fetch.locate(path_or_name, "task", progress=progress))


def evaluate_files(
    model, task, *, window=None, stride=None, windows=None, limit=None, progress=silent
):
    """`evaluate_language` of a path or name of a model and of a task.

    Raises
    ------
    TaskError : options of texts with pairs or questions, or the other way round; and what the
        readers raise
    """
    found = load_text_or_questions(task, progress)
    is_text = isinstance(found, Text)
    if not is_text and (window, stride, windows) != (None, None, None):
        raise TaskError(f"{task} is no text: windows and strides need one")
    if is_text and limit is not None:
        raise TaskError(
            f"{task} is a text: a limit of examples needs pairs or questions; use windows"
        )
    network = load_generator(fetch.locate(model, "model", progress=progress))
    if window is None:
        window = min(512, network.model.config.max_tokens)
    return evaluate_language(
        network.model,
        network.tokenizer,
        found,
        window=window,
        stride=stride,
        windows=windows,
        limit=limit,
        progress=progress,
    )
