"""The metric of every path of a trace, what it changes from float32, and of decoders what their
predicted tokens say besides."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from xbarsim.base.array_types import AnyArray, Booleans, Floats, Integers
from xbarsim.studies.resampling import Outcome, Resampler
from xbarsim.studies.trace import Chip, Outputs, Trace
from xbarsim.studies.trace_layout import PredictionTable
from xbarsim.tasks import metrics
from xbarsim.tasks.language_files import LanguageKind
from xbarsim.tasks.language_metrics import (
    ACCURACY,
    NORMALISED,
    PERPLEXITY,
    PositionBin,
    Predicted,
    Sequences,
    bits_per_byte,
    blocks_of,
    by_position,
    language_change,
    language_metrics,
    right_ones,
)
from xbarsim.tasks.metrics import Metric
from xbarsim.tasks.task import Kind, Task


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval, in natural units."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, metric: Metric) -> "Estimate":
        return cls(metric.value, metric.low, metric.high)

    @classmethod
    def mean(cls, estimates: Sequence["Estimate"]) -> "Estimate":
        """Means of the values and of the bounds."""
        parts = [(one.value, one.low, one.high) for one in estimates]
        return cls(*np.mean(parts, axis=0).tolist())


@dataclass(frozen=True)
class TokenFigures:
    """What the predicted tokens of a decoder say besides the metric.

    bits_per_byte : of a text, else None;  normalised : accuracy per byte of a choice, of questions
    by_position : perplexity by the number of tokens before a prediction
    """

    predictions: int
    by_position: tuple[PositionBin, ...]
    bits_per_byte: float | None = None
    normalised: Estimate | None = None


class Scorer(Protocol):
    """What makes figures of the outputs of paths."""

    def says_something(self, path: Outputs) -> bool:
        """Whether enough of a path is done for a figure."""

    def metric(self, path: Outputs) -> Estimate:
        """Of the examples of a path that are done."""

    def change(self, chips: Sequence[Chip]) -> Estimate | None:
        """What the metric changes from float32 to a case, on the examples of its chips; None where
        float32 does not have them all.
        """

    def tokens(self, paths: Sequence[Outputs]) -> TokenFigures | None:
        """What the predicted tokens say, over several chips means; None of an encoder."""

    def predictions(self, done: Booleans) -> Integers | None:
        """Predicted tokens of every example that is done; None of an encoder."""

    def units(self, path: Outputs) -> int:
        """Examples, questions or blocks of predicted tokens of a path, that are drawn again."""

    def outcome(self, path: Outputs, resampler: Resampler) -> Outcome:
        """The metric of a path, of a perplexity its logarithm, here and on examples drawn again."""


def scorer_of(trace: Trace) -> Scorer:
    """What scores a trace."""
    if trace.predictions is not None:
        return TokenScorer(trace, trace.predictions)
    return SentenceScorer(trace)


# ---------------------------------------------------------------- sentences


@dataclass(frozen=True)
class SentenceScorer:
    """Labelled sentences and scored pairs."""

    trace: Trace

    def says_something(self, path: Outputs) -> bool:
        return bool(path.done.sum() > 1)

    def metric(self, path: Outputs) -> Estimate:
        run = self.trace.run
        scored = self._scored(path.done)
        found = metrics.metrics(scored, self._predicted(path, path.done), run.seed)
        return _named(found, run.metric)

    def change(self, chips: Sequence[Chip]) -> Estimate | None:
        done = chips[0].done
        float32 = self.trace.reference.get("float32")
        if float32 is None or not float32.done[done].all():
            return None
        found = metrics.change(
            self._scored(done),
            [self._predicted(chip, done) for chip in chips],
            self._predicted(float32, done),
            self.trace.run.metric,
            self.trace.run.seed,
        )
        return Estimate.of(found)

    def tokens(self, paths: Sequence[Outputs]) -> None:
        return None

    def predictions(self, done: Booleans) -> None:
        return None

    def units(self, path: Outputs) -> int:
        return int(path.done.sum())

    def outcome(self, path: Outputs, resampler: Resampler) -> Outcome:
        task = self._scored(path.done)
        predicted = self._predicted(path, path.done)
        metric = self.trace.run.metric
        if metric != ACCURACY:
            return resampler.of_labels(task, predicted, metric)
        right = (predicted == task.targets).astype(np.float64)
        value = metrics.value_of(task, predicted, metric)
        return resampler.of_means(value, right, np.ones(len(right)))

    def _scored(self, done: Booleans) -> Task:
        """The task of the examples `done` (n,)."""
        run = self.trace.run
        target = self.trace.examples.label[done]
        return Task(
            name=run.task,
            kind=Kind(run.task_kind),
            sentences=("",) * len(target),  # a trace holds none
            targets=target,
            classes=tuple(str(k) for k in range(run.classes)),
            test=None,
            sha256=run.task_sha256,
        )

    def _predicted(self, path: Outputs, done: Booleans) -> AnyArray:
        output = path.output[done]
        predicted: AnyArray = output.argmax(axis=1)
        if self.trace.run.task_kind == "pairs":
            predicted = output[:, 0]
        return predicted


# ---------------------------------------------------------------- predicted tokens


@dataclass(frozen=True)
class TokenScorer:
    """Texts, minimal pairs and questions."""

    trace: Trace
    table: PredictionTable

    @property
    def sequences(self) -> Sequences:
        examples = self.trace.examples
        if examples.size is None or examples.index is None:
            raise ValueError("a trace with predictions states size and index of its examples")
        return Sequences(
            kind=LanguageKind(self.trace.run.task_kind),
            label=examples.label,
            index=examples.index,
            size=examples.size,
            example=self.table.example,
            position=self.table.position,
        )

    def says_something(self, path: Outputs) -> bool:
        return bool(self.sequences.finished(path.done).any())

    def metric(self, path: Outputs) -> Estimate:
        chosen = self.sequences.finished(path.done)
        found = language_metrics(self.sequences.of(chosen), self._predicted(path, chosen))
        return _named(found, self.trace.run.metric)

    def change(self, chips: Sequence[Chip]) -> Estimate | None:
        chosen = self.sequences.finished(chips[0].done)
        float32 = self.trace.reference.get("float32")
        if float32 is None or not float32.done[chosen].all():
            return None
        found = language_change(
            self.sequences.of(chosen),
            [self._predicted(chip, chosen) for chip in chips],
            self._predicted(float32, chosen),
            self.trace.run.metric,
        )
        return Estimate.of(found)

    def tokens(self, paths: Sequence[Outputs]) -> TokenFigures | None:
        chosen = self.sequences.finished(paths[0].done)
        sequences = self.sequences.of(chosen)
        predicted = [self._predicted(path, chosen) for path in paths]
        bits = None
        normalised = None
        if sequences.kind is LanguageKind.TEXT:
            bits = float(np.mean([bits_per_byte(sequences, one) for one in predicted]))
        if sequences.kind is LanguageKind.CHOICES:
            of_chips = [_named(language_metrics(sequences, one), NORMALISED) for one in predicted]
            normalised = Estimate.mean(of_chips)
        return TokenFigures(
            predictions=len(sequences.example),
            by_position=_mean_bins([by_position(sequences, one) for one in predicted]),
            bits_per_byte=bits,
            normalised=normalised,
        )

    def predictions(self, done: Booleans) -> Integers:
        counts: Integers = np.bincount(self.table.example, minlength=len(done))[done]
        return counts

    def units(self, path: Outputs) -> int:
        return len(self._parts(path)[1])

    def outcome(self, path: Outputs, resampler: Resampler) -> Outcome:
        return resampler.of_means(*self._parts(path))

    def _parts(self, path: Outputs) -> tuple[float, Floats, Floats]:
        """The mean, and of every unit the sum and how many it is of: losses of a block of tokens, or
        whether a question is answered right.
        """
        chosen = self.sequences.finished(path.done)
        sequences = self.sequences.of(chosen)
        predicted = self._predicted(path, chosen)
        if self.trace.run.metric == PERPLEXITY:
            losses = -predicted.log_probability.astype(np.float64)
            blocks = blocks_of(losses, sequences.example)
            sums = np.array([block.sum() for block in blocks])
            sizes = np.array([float(len(block)) for block in blocks])
            return float(losses.mean()), sums, sizes
        right = right_ones(sequences, predicted, self.trace.run.metric).astype(np.float64)
        return float(right.mean()), right, np.ones(len(right))

    def _predicted(self, path: Outputs, chosen: Booleans) -> Predicted:
        """The predictions of the sequences that are chosen (n,)."""
        if path.log_probability is None or path.likeliest is None:
            raise ValueError("a trace with predictions states probabilities of every path")
        kept = chosen[self.table.example]
        return Predicted(path.log_probability[kept], path.likeliest[kept])


def _named(found: Sequence[Metric], name: str) -> Estimate:
    (metric,) = (one for one in found if one.metric == name)
    return Estimate.of(metric)


def _mean_bins(of_chips: Sequence[tuple[PositionBin, ...]]) -> tuple[PositionBin, ...]:
    """Bins with the mean perplexity over chips."""
    means = []
    for bins in zip(*of_chips, strict=True):
        first = bins[0]
        perplexity = float(np.mean([one.perplexity for one in bins]))
        means.append(PositionBin(first.first, first.last, first.predictions, perplexity))
    return tuple(means)
