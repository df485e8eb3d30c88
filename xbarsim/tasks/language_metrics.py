"""Metrics of language tasks, of the log-probabilities of the tokens that were predicted, with 95 %
intervals.

==============================  ====================================================================
perplexity                      Student's t of the mean loss over blocks of neighbouring predictions
growth of a perplexity          the same of the differences of the losses, paired token by token
accuracy, of pairs and choices  Wilson's score interval
change of an accuracy           Bonett and Price, as `tasks.metrics`
==============================  ====================================================================

Losses of neighbouring tokens are alike, so that blocks and not tokens count as independent.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xbarsim.base.array_types import Booleans, Floats, Integers, Singles
from xbarsim.tasks.language_files import LanguageKind
from xbarsim.tasks.metrics import Interval, Metric, accuracy_change, student, wilson

PERPLEXITY = "perplexity"
ACCURACY = "accuracy"
NORMALISED = "accuracy_normalised"
LANGUAGE_METRICS: dict[str, tuple[str, ...]] = {
    LanguageKind.TEXT: (PERPLEXITY,),
    LanguageKind.MINIMAL_PAIRS: (ACCURACY,),
    LanguageKind.CHOICES: (ACCURACY, NORMALISED),
}
BLOCK = 64  # predictions of a block, the unit of the interval of a perplexity
FIRST_BIN = 16  # positions below it are one bin; then every bin is as long as all before it


@dataclass(frozen=True)
class Sequences:
    """The n token sequences of a language task, and the p tokens of them that are predicted.

    label : (n,) 1 of a good sentence and of a right choice, else 0
    index : (n,) window, pair or question that a sequence belongs to
    size : (n,) UTF-8 bytes of the text, sentence or choice that is predicted
    example : (p,) sequence of each prediction, ascending
    position : (p,) tokens that stand before the predicted one
    """

    kind: LanguageKind
    label: Integers
    index: Integers
    size: Integers
    example: Integers
    position: Integers

    def __len__(self) -> int:
        return len(self.label)

    def finished(self, done: Booleans) -> Booleans:
        """The sequences (n,) that are done and whose whole pair or question is."""
        open_ones = self.index[~done]
        return done & ~np.isin(self.index, open_ones)

    def of(self, chosen: Booleans) -> "Sequences":
        """The sequences that are chosen (n,), with their predictions."""
        kept = chosen[self.example]
        renumbered = np.cumsum(chosen) - 1
        return Sequences(
            kind=self.kind,
            label=self.label[chosen],
            index=self.index[chosen],
            size=self.size[chosen],
            example=renumbered[self.example[kept]],
            position=self.position[kept],
        )


@dataclass(frozen=True)
class Predicted:
    """What a model makes of the p predicted tokens.

    log_probability : (p,) natural logarithms
    likeliest : (p,) whether no other token is likelier
    """

    log_probability: Floats | Singles
    likeliest: Booleans


@dataclass(frozen=True)
class PositionBin:
    """The perplexity of the predictions with `first` to `last` tokens before them."""

    first: int
    last: int
    predictions: int
    perplexity: float


def language_metrics(sequences: Sequences, predicted: Predicted) -> list[Metric]:
    """Every metric of the task's kind with its interval, the main one first."""
    if sequences.kind is LanguageKind.TEXT:
        return [_perplexity(sequences, predicted)]
    return [
        _accuracy(name, right_ones(sequences, predicted, name))
        for name in LANGUAGE_METRICS[sequences.kind]
    ]


def language_change(
    sequences: Sequences, chips: Sequence[Predicted], reference: Predicted, metric: str
) -> Metric:
    """What a metric changes from `reference` to the mean over several chips, paired by token or by
    question: of an accuracy the difference, of a perplexity the growth, mean / reference - 1.
    """
    if metric == PERPLEXITY:
        return _growth(sequences, chips, reference)
    before = right_ones(sequences, reference, metric)
    after = np.array([right_ones(sequences, chip, metric) for chip in chips])
    low, high = accuracy_change(after, before)
    value = after.mean() - before.mean()
    return Metric(metric, float(value), low, high, len(before))


def bits_per_byte(sequences: Sequences, predicted: Predicted) -> float:
    """Information of the predicted tokens over the bytes of the text that they stand for."""
    total = _losses(predicted).sum()
    return float(total / np.log(2) / sequences.size.sum())


def right_ones(sequences: Sequences, predicted: Predicted, metric: str = ACCURACY) -> Booleans:
    """Whether each pair or question is answered right, in the order of their first sequences.

    The right sequence must have a higher log-probability than every other one of its pair or
    question, with "accuracy_normalised" per byte; a sequence without another is right where every
    predicted token is the likeliest.
    """
    count = len(sequences)
    values = np.zeros(count)
    np.add.at(values, sequences.example, predicted.log_probability)
    if metric == NORMALISED:
        values = values / sequences.size
    missed = sequences.example[~predicted.likeliest]
    misses = np.bincount(missed, minlength=count)
    right = []
    for index in dict.fromkeys(sequences.index.tolist()):
        members = np.flatnonzero(sequences.index == index)
        if len(members) == 1:
            right.append(misses[members[0]] == 0)
            continue
        answer = sequences.label[members] == 1
        right.append(values[members[answer]].max() > values[members[~answer]].max())
    return np.array(right, bool)


def by_position(sequences: Sequences, predicted: Predicted) -> tuple[PositionBin, ...]:
    """The perplexity by the number of tokens before a prediction, in bins 1 to 15, 16 to 31, 32 to
    63 and so on.
    """
    losses = _losses(predicted)
    bins = []
    first = 1
    end = FIRST_BIN
    while first <= sequences.position.max(initial=0):
        inside = (sequences.position >= first) & (sequences.position < end)
        if inside.any():
            perplexity = float(np.exp(losses[inside].mean()))
            bins.append(PositionBin(first, end - 1, int(inside.sum()), perplexity))
        first, end = end, 2 * end
    return tuple(bins)


def _accuracy(name: str, right: Booleans) -> Metric:
    count = int(np.count_nonzero(right))
    low, high = wilson(count, len(right))
    return Metric(name, count / len(right), low, high, len(right))


# ---------------------------------------------------------------- perplexity


def _losses(predicted: Predicted) -> Floats:
    losses: Floats = -predicted.log_probability.astype(np.float64)
    return losses


def _perplexity(sequences: Sequences, predicted: Predicted) -> Metric:
    losses = _losses(predicted)
    low, high = loss_interval(losses, sequences.example)
    value = float(np.exp(losses.mean()))
    return Metric(PERPLEXITY, value, float(np.exp(max(low, 0.0))), float(np.exp(high)), len(losses))


def _growth(sequences: Sequences, chips: Sequence[Predicted], reference: Predicted) -> Metric:
    """Mean perplexity of chips over that of the reference, minus 1.

    The logarithm of the mean is linearised: a chip weighs as much as its perplexity.
    """
    before = _losses(reference)
    after = np.array([_losses(chip) for chip in chips])
    perplexities = np.exp(after.mean(axis=1))
    growth = perplexities.mean() / np.exp(before.mean())
    differences = perplexities / perplexities.sum() @ after - before
    low, high = loss_interval(differences, sequences.example)
    shift = np.log(growth) - differences.mean()
    return Metric(
        PERPLEXITY,
        float(growth - 1),
        float(np.exp(low + shift) - 1),
        float(np.exp(high + shift) - 1),
        len(before),
    )


def blocks_of(values: Floats, example: Integers) -> list[Floats]:
    """Values (p,) cut into blocks of about `BLOCK` neighbours in a sequence."""
    starts = np.flatnonzero(np.r_[True, example[1:] != example[:-1]])
    blocks: list[Floats] = []
    for part in np.split(values, starts[1:]):
        count = max(len(part) // BLOCK, 1)
        blocks += np.array_split(part, count)
    return blocks


def loss_interval(values: Floats, example: Integers) -> Interval:
    """95 % interval of the mean of values (p,) by Student's t over blocks of `BLOCK` neighbours in
    a sequence; without bounds where there are less than two blocks.
    """
    blocks = blocks_of(values, example)
    if len(blocks) < 2:
        return -np.inf, np.inf
    mean = values.mean()
    sizes = np.array([len(block) for block in blocks])
    deviations = np.array([block.sum() for block in blocks]) - sizes * mean
    n = len(blocks)
    error = np.sqrt(n / (n - 1) * (deviations**2).sum()) / sizes.sum()
    half = student(n - 1) * error
    return float(mean - half), float(mean + half)
