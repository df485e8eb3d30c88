"""Decoders without any hardware: perplexity of a text, minimal pairs, questions with choices."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xbarsim.base import fetch
from xbarsim.base.errors import TaskError
from xbarsim.base.progress import Progress, silent
from xbarsim.base.workers import worker_threads
from xbarsim.models.architectures import load_generator
from xbarsim.models.network import Decoder
from xbarsim.models.operations import Hook, float32
from xbarsim.studies.examples import Examples
from xbarsim.studies.language_examples import WHOLE, LanguageExamples, Lm, Scope, language_examples
from xbarsim.studies.prepare_language import load_text_or_questions
from xbarsim.studies.readers import DecoderReader, TokenScores
from xbarsim.studies.references import digital_readings
from xbarsim.tasks.language_files import LanguageTask, MinimalPairs, Text
from xbarsim.tasks.language_metrics import (
    Predicted,
    Sequences,
    bits_per_byte,
    language_metrics,
    right_ones,
)
from xbarsim.tasks.metrics import Metric

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
    groups: dict[str, tuple[int, int]]
    bits_per_byte: float | None = None
    notes: tuple[str, ...] = ()

    def remark(self) -> str:
        """What a line on the result says beside model, task and reference."""
        text = f"; {self.predictions:,} predictions"
        if self.bits_per_byte is not None:
            text += f"; {self.bits_per_byte:.4f} bits per byte"
        return text

    def as_dict(self) -> dict[str, Any]:
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
    model: Decoder,
    tokenizer: Any,
    task: LanguageTask,
    scope: Scope = WHOLE,
    *,
    forward: Forward = Forward(),
    progress: Progress = silent,
) -> LanguageScore:
    """Score a decoder.

    Parameters
    ----------
    tokenizer : tokenizers.Tokenizer
    scope : what of the task is scored

    Raises
    ------
    TaskError, OutOfRangeError : a text of less than two tokens, a sentence longer than the model's
        context, a window that does not fit
    """
    examples = language_examples(Lm(model.config, tokenizer), task, scope)
    predicted = predict(model, examples, forward, progress)
    sequences = examples.sequences
    groups: dict[str, tuple[int, int]] = {}
    if isinstance(task, MinimalPairs):
        groups = _groups(task, sequences, predicted)
    return LanguageScore(
        metrics=tuple(language_metrics(sequences, predicted)),
        predictions=len(sequences.example),
        groups=groups,
        bits_per_byte=bits_per_byte(sequences, predicted) if isinstance(task, Text) else None,
    )


def predict(
    model: Decoder,
    examples: LanguageExamples,
    forward: Forward = Forward(),
    progress: Progress = silent,
) -> Predicted:
    """What a model makes of the predicted tokens of sequences; those of similar length travel
    together.
    """
    lengths = [len(tokens) for tokens in examples.tokens]
    order = np.argsort(lengths, kind="stable")
    counts = examples.predicted[order]
    reader = DecoderReader(model, counts)
    sequences = [examples.tokens[place] for place in order]
    batches = Examples(sequences, tokens_per_batch=TOKENS_PER_BATCH)
    parts: list[TokenScores] = []
    with worker_threads(forward.threads) as pool:
        for _, reading in digital_readings(
            reader,
            batches,
            len(batches),
            pool,
            hook=forward.hook,
            progress=progress,
            description="sequences",
        ):
            if reading.tokens is not None:
                parts.append(reading.tokens)
    ends = np.cumsum(examples.predicted)
    starts = ends - examples.predicted
    places = [np.arange(starts[place], ends[place]) for place in order]
    back = np.argsort(np.concatenate(places))
    log_probability = np.concatenate([part.log_probability for part in parts])
    likeliest = np.concatenate([part.likeliest for part in parts])
    return Predicted(log_probability[back], likeliest[back])


def _groups(
    task: MinimalPairs, sequences: Sequences, predicted: Predicted
) -> dict[str, tuple[int, int]]:
    """{group: (right, pairs)} of pairs that state one."""
    found: dict[str, tuple[int, int]] = {}
    numbers = dict.fromkeys(sequences.index.tolist())
    for number, is_right in zip(numbers, right_ones(sequences, predicted), strict=True):
        group = task.groups[number]
        if group:
            right, pairs = found.get(group, (0, 0))
            found[group] = (right + int(is_right), pairs + 1)
    return found


def evaluate_files(
    model: str | Path,
    task: str | Path,
    scope: Scope = WHOLE,
    *,
    progress: Progress = silent,
) -> LanguageScore:
    """`evaluate_language` of a path or name of a model and of a task.

    Raises
    ------
    TaskError : options of texts with pairs or questions, or the other way round; and what the
        readers raise
    """
    found = load_text_or_questions(task, progress)
    is_text = isinstance(found, Text)
    if not is_text and (scope.window, scope.stride, scope.windows) != (None, None, None):
        raise TaskError(f"{task} is no text: windows and strides need one")
    if is_text and scope.limit is not None:
        raise TaskError(
            f"{task} is a text: a limit of examples needs pairs or questions; use windows"
        )
    network = load_generator(fetch.locate(model, "model", progress=progress))
    return evaluate_language(network.model, network.tokenizer, found, scope, progress=progress)
