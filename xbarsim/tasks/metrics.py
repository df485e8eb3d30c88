"""Metrics of a task with 95 % intervals that hold for few examples and for rare errors.

================================  ==================================================================
accuracy                          Wilson's score interval (J. Am. Stat. Assoc. 22 (1927) 209)
F1, Matthews                      quantiles of the posterior of the confusion table under a prior of
                                  one right and one wrong example (Bayesian bootstrap with a prior)
Spearman, Pearson                 delete-one jackknife of Fisher's z with Student's t
change of accuracy                Bonett and Price, J. Educ. Behav. Stat. 37 (2012) 479
change of F1, Matthews            as above, of the pairs of predictions
change of Spearman, Pearson       delete-one jackknife of the difference with Student's t
over chips                        Student's t of the chips' values, within the metric's bounds; of a
                                  perplexity of the logarithm of their mean
================================  ==================================================================

A bootstrap that draws the examples alone has no width where every prediction is right or where no
prediction changed, which is what few examples show most often.  `tests/tasks/test_metrics.py` counts how
often each interval holds the truth.  The macro average of F1 needs some ten examples of each class:
below that its value is biased, and no interval of it holds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from xbarsim.base.array_types import Booleans, Floats, Integers, Singles
from xbarsim.base.errors import OutOfRangeError, ShapeError
from xbarsim.tasks.task import Kind, Task

METRICS: dict[str, tuple[str, ...]] = {
    Kind.PAIRS: ("spearman", "pearson"),
    Kind.LABELS: ("accuracy", "f1", "matthews"),
    Kind.IMAGES: ("accuracy", "f1", "matthews"),
}
Predictions = Floats | Singles | Integers  # scores of pairs, or class indices
Interval = tuple[float, float]
# Least and largest value of a metric; an unbounded one is above 0.
BOUNDS: dict[str, Interval] = {
    "accuracy": (0.0, 1.0),
    "accuracy_normalised": (0.0, 1.0),
    "f1": (0.0, 1.0),
    "matthews": (-1.0, 1.0),
    "spearman": (-1.0, 1.0),
    "pearson": (-1.0, 1.0),
}
UNBOUNDED = ("perplexity",)
LARGEST_EXPONENT = 300.0  # so that an interval stays a number
NORMAL_975 = 1.959963984540054  # 97.5 % quantile of the standard normal distribution
DRAWS_AT_ONCE = 100  # rows of a resampled or shortened data set in memory


@dataclass(frozen=True)
class Metric:
    """A metric's value and its 95 % interval over n examples."""

    metric: str
    value: float
    low: float
    high: float
    n: int


def value_of(task: Task, predictions: ArrayLike, metric: str) -> float:
    """A metric without its interval, see `metrics` for its conventions."""
    return _value(task, _checked(task, predictions), metric)


def metrics(
    task: Task, predictions: ArrayLike, seed: int = 0, resamples: int = 1000
) -> list[Metric]:
    """Every metric of the task's kind with its interval, the first being the main one.

    Conventions where a metric is undefined: a correlation with a constant is 0, Matthews'
    correlation of one class alone is 0, the F1 of a class that neither occurs nor is predicted is
    left out of the macro mean.

    Parameters
    ----------
    predictions : (n,) scores of pairs, or class indices
    seed : same seed, same interval
    resamples : draws behind the intervals of F1 and Matthews

    Raises
    ------
    ShapeError : not one prediction per example.  OutOfRangeError : a prediction is not finite
    """
    checked = _checked(task, predictions)
    found = []
    for name in METRICS[task.kind]:
        value = _value(task, checked, name)
        low, high = _interval(task, checked, name, seed=seed, resamples=resamples)
        found.append(Metric(name, value, low, high, len(task)))
    return found


def change(
    task: Task,
    predictions: Iterable[ArrayLike],
    reference: ArrayLike,
    metric: str,
    seed: int = 0,
    resamples: int = 1000,
) -> Metric:
    """What a metric changes from `reference` to the mean over several chips, paired by example.

    What reference and chips have in common cancels.  An example that changes on every chip counts
    as one change, so the interval is that of the sampled examples.

    Parameters
    ----------
    predictions : (chips, n) scores of pairs, or class indices
    reference : (n,) likewise
    seed, resamples : as in `metrics`
    """
    of_reference = _checked(task, reference)
    of_chips: Predictions = np.array([_checked(task, one) for one in predictions])
    before = _value(task, of_reference, metric)
    value = np.mean([_value(task, one, metric) for one in of_chips]) - before
    if metric == "accuracy":
        low, high = accuracy_change(of_chips == task.targets, of_reference == task.targets)
    elif task.kind != Kind.PAIRS:
        low, high = _label_change(
            task, of_chips, of_reference, metric=metric, seed=seed, resamples=resamples
        )
    else:
        low, high = _correlation_change(task, of_chips, of_reference, metric)
    return Metric(metric, float(value), low, high, len(task))


def student_interval(values: Sequence[float]) -> Interval | tuple[None, None]:
    """95 % interval of the mean of normal values by Student's t; (None, None) of one value."""
    if len(values) < 2:
        return None, None
    half = student(len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return float(np.mean(values) - half), float(np.mean(values) + half)


def over_chips(values: Sequence[float], metric: str) -> Interval | tuple[None, None]:
    """95 % interval of the mean of a metric over chips; (None, None) of one chip.

    By Student's t, and not beyond what the metric can be.  Of a perplexity, which has no upper end, the
    interval is that of the logarithm of the mean, to first order: the half width of Student's t,
    relative to the mean, multiplies and divides it.
    """
    low, high = student_interval(values)
    if low is None or high is None:
        return None, None
    if metric in UNBOUNDED:
        mean = float(np.mean(values))
        factor = float(np.exp(min((high - low) / 2 / mean, LARGEST_EXPONENT)))
        return mean / factor, mean * factor
    least, most = BOUNDS[metric]
    return max(low, least), min(high, most)


# ---------------------------------------------------------------- values


def _checked(task: Task, predictions: ArrayLike) -> Predictions:
    """Predictions (n,) as an array."""
    found: Predictions = np.asarray(predictions)
    if found.shape != task.targets.shape:
        raise ShapeError(
            f"{found.shape} predictions for {len(task)} examples of task {task.name!r}"
        )
    broken = np.count_nonzero(~np.isfinite(found))
    if broken:
        raise OutOfRangeError(f"{broken} of {len(task)} predictions are not finite")
    return found


def _value(task: Task, predictions: Predictions, metric: str) -> float:
    if metric == "accuracy":
        return float(np.mean(predictions == task.targets))
    if task.kind != Kind.PAIRS:
        table = _confusion(task, predictions)
        return float(_of_confusion(metric, table, table.counts[None])[0])
    once = np.ones((1, len(task)))
    return float(_correlations(metric, once, task.targets, predictions)[0])


@dataclass(frozen=True)
class _Confusion:
    """Cells of a confusion table.

    truth, predicted : (cells,) classes
    counts : (cells,) float, how often, or the parameters of a distribution of that
    classes : how many there are
    """

    truth: Integers
    predicted: Integers
    counts: Floats
    classes: int


def _confusion(task: Task, predictions: Predictions) -> _Confusion:
    """The cells that occur."""
    classes = len(task.classes)
    cells, counts = np.unique(task.targets * classes + predictions, return_counts=True)
    truth, predicted = np.divmod(cells, classes)
    return _Confusion(truth, predicted, counts.astype(float), classes)


def _of_confusion(metric: str, table: _Confusion, weights: Floats) -> Floats:
    """F1 or Matthews (draws,) of confusion tables: weights (draws, cells) in the place of counts.

    Of two classes the second is the positive one of F1; of more it is the macro mean.
    """
    is_truth = np.eye(table.classes)[table.truth]
    is_predicted = np.eye(table.classes)[table.predicted]
    right = weights @ (is_truth * is_predicted)  # (draws, classes)
    true = weights @ is_truth
    made = weights @ is_predicted
    if metric == "f1":
        each = _ratio(2 * right, true + made)
        if table.classes == 2:
            return each[:, 1]
        return _ratio(each.sum(axis=1), np.count_nonzero(true + made, axis=1))
    # Gorodkin, Comput. Biol. Chem. 28 (2004) 367: R_K; for two classes Matthews' correlation
    total = weights.sum(axis=1)
    covariance = right.sum(axis=1) * total - (true * made).sum(axis=1)
    spread_true = total**2 - (true**2).sum(axis=1)
    spread_made = total**2 - (made**2).sum(axis=1)
    return _ratio(covariance, np.sqrt(np.maximum(spread_true * spread_made, 0.0)))


def _correlations(
    metric: str, counts: Floats, targets: Predictions, predictions: Predictions
) -> Floats:
    """Spearman's or Pearson's correlation (draws,) of examples repeated counts (draws, n) times."""
    if metric == "pearson":
        return _correlation(counts, targets, predictions)
    return _correlation(counts, _ranks(counts, targets), _ranks(counts, predictions))


def _ranks(counts: Floats, values: Predictions) -> Floats:
    """Mid-ranks (draws, n) of values (n,) repeated counts (draws, n) times."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    group = np.empty(len(values), int)
    group[order] = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(values)]))
    size = np.add.reduceat(counts[:, order], starts, axis=1)
    middle = np.cumsum(size, axis=1) - size + (size + 1) / 2
    return middle[:, group]


def _correlation(counts: Floats, x: Predictions, y: Predictions) -> Floats:
    """Correlation (draws,) of x and y, (n,) or (draws, n), weighted by counts; 0 of a constant."""
    x = _centred(counts, x)
    y = _centred(counts, y)
    xx = (counts * x * x).sum(axis=1)
    yy = (counts * y * y).sum(axis=1)
    xy = (counts * x * y).sum(axis=1)
    return _ratio(xy, np.sqrt(xx * yy))


def _centred(counts: Floats, values: Predictions) -> Floats:
    mean = (counts * values).sum(axis=1, keepdims=True) / counts.sum(axis=1, keepdims=True)
    difference = values - mean
    rounding = 1e-12 * np.abs(values).max()
    return np.where(np.abs(difference) > rounding, difference, 0.0)


def _ratio(a: Floats, b: Floats | Integers) -> Floats:
    """a / b, and 0 where b is 0."""
    ratio: Floats = np.divide(a, b, out=np.zeros_like(a, dtype=float), where=b > 0)
    return ratio


# ---------------------------------------------------------------- intervals


def _interval(
    task: Task, predictions: Predictions, metric: str, *, seed: int, resamples: int
) -> Interval:
    if metric == "accuracy":
        return wilson(int(np.count_nonzero(predictions == task.targets)), len(task))
    if task.kind != Kind.PAIRS:
        return _label_interval(task, predictions, metric, seed=seed, resamples=resamples)
    return _correlation_interval(task, predictions, metric)


def wilson(successes: int, n: int) -> Interval:
    """95 % score interval of a proportion of which `successes` of n were seen."""
    z = NORMAL_975
    share = successes / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = float(middle - half)
    high = float(middle + half)
    if successes == 0:
        low = 0.0
    if successes == n:
        high = 1.0
    return low, high


def _label_interval(
    task: Task, predictions: Predictions, metric: str, *, seed: int, resamples: int
) -> Interval:
    """Quantiles of the posterior of a metric of the confusion table."""
    seen = _confusion(task, predictions)
    prior = _class_shares(task)
    label = np.arange(seen.classes)
    table = _Confusion(
        truth=np.concatenate([seen.truth, label, label]),
        predicted=np.concatenate([seen.predicted, label, _another(label, seen.classes)]),
        counts=np.concatenate([seen.counts, prior, prior]),
        classes=seen.classes,
    )
    size = (resamples, len(table.counts))
    weights = np.random.default_rng(seed).gamma(table.counts, size=size)
    return _quantiles(_of_confusion(metric, table, weights))


def _class_shares(task: Task) -> Floats:
    """(classes,) shares of the classes, none of them 0; they sum to 1."""
    classes = len(task.classes)
    counts = np.bincount(task.targets, minlength=classes)
    shares: Floats = (counts + 1 / classes) / (len(task) + 1)
    return shares


def _another(label: Integers, classes: int) -> Integers:
    """A wrong class for every class."""
    return (label + 1) % classes


def _quantiles(draws: Floats) -> Interval:
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def _correlation_interval(task: Task, predictions: Predictions, metric: str) -> Interval:
    """Delete-one jackknife of Fisher's z; the whole range where fewer than four examples are left."""
    n = len(task)
    if n < 4:
        return -1.0, 1.0
    value = _value(task, predictions, metric)
    shortened = _leave_one_out(task, predictions, metric)
    if np.ptp(shortened) == 0 and abs(value) > 1 - 1e-12:
        return _perfect_correlation(value, n)
    limit = 1 - 1e-15
    z = np.arctanh(np.clip(value, -limit, limit))
    half = student(n - 1) * _jackknife_error(np.arctanh(np.clip(shortened, -limit, limit)))
    return float(np.tanh(z - half)), float(np.tanh(z + half))


def _perfect_correlation(value: float, n: int) -> Interval:
    """Fisher's interval of a correlation of 1 - 1 / n at its open end: n examples show no more."""
    inner = float(np.tanh(np.arctanh(1 - 1 / n) - NORMAL_975 / np.sqrt(n - 3)))
    if value > 0:
        return inner, 1.0
    return -1.0, -inner


def _leave_one_out(task: Task, predictions: Predictions, metric: str) -> Floats:
    """The metric (n,) without each of the examples."""
    n = len(task)
    parts = []
    for start in range(0, n, DRAWS_AT_ONCE):
        left_out = np.arange(start, min(start + DRAWS_AT_ONCE, n))
        counts = np.ones((len(left_out), n))
        counts[np.arange(len(left_out)), left_out] = 0
        parts.append(_correlations(metric, counts, task.targets, predictions))
    return np.concatenate(parts)


def _jackknife_error(values: Floats) -> float:
    """Standard error from leave-one-out values (n,)."""
    n = len(values)
    return float(np.sqrt((n - 1) / n * ((values - values.mean()) ** 2).sum()))


def student(degrees_of_freedom: int) -> float:
    """97.5 % quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees_of_freedom, 0.975))


# ---------------------------------------------------------------- intervals of changes


def accuracy_change(chips: Booleans, reference: Booleans) -> Interval:
    """Bonett and Price: the examples and two more, one newly right and one newly wrong.

    chips : (chips, n), whether each example is right;  reference : (n,)
    """
    difference: Floats = chips.mean(axis=0) - reference
    n = len(reference) + 2
    mean = difference.sum() / n
    variance = ((difference**2).sum() + 2) / n - mean**2
    half = NORMAL_975 * np.sqrt(variance / n)
    return float(max(mean - half, -1.0)), float(min(mean + half, 1.0))


def _label_change(
    task: Task,
    predictions: Predictions,
    reference: Predictions,
    *,
    metric: str,
    seed: int,
    resamples: int,
) -> Interval:
    """Quantiles of the posterior of a change, examples and the two of `accuracy_change`."""
    prior = _class_shares(task)
    classes = len(prior)
    label = np.arange(classes)
    wrong = _another(label, classes)
    truth = np.concatenate([task.targets, label, label])
    counts = np.concatenate([np.ones(len(task)), prior, prior])

    def table_of(predicted: Predictions, right: Integers, wrong: Integers) -> _Confusion:
        return _Confusion(truth, np.concatenate([predicted, right, wrong]), counts, classes)

    before = table_of(reference, label, wrong)
    after = [table_of(one, wrong, label) for one in predictions]
    rng = np.random.default_rng(seed)
    draws = []
    for start in range(0, resamples, DRAWS_AT_ONCE):
        count = min(DRAWS_AT_ONCE, resamples - start)
        weights = rng.gamma(counts, size=(count, len(counts)))
        chips = [_of_confusion(metric, one, weights) for one in after]
        draws.append(np.mean(chips, axis=0) - _of_confusion(metric, before, weights))
    return _quantiles(np.concatenate(draws))


def _correlation_change(
    task: Task, predictions: Predictions, reference: Predictions, metric: str
) -> Interval:
    """Delete-one jackknife of the difference; the whole range of fewer than four examples."""
    n = len(task)
    if n < 4:
        return -2.0, 2.0
    before = _value(task, reference, metric)
    value = float(np.mean([_value(task, one, metric) for one in predictions]) - before)
    shortened = [_leave_one_out(task, one, metric) for one in predictions]
    difference = np.mean(shortened, axis=0) - _leave_one_out(task, reference, metric)
    error = _jackknife_error(difference)
    moved = np.any(predictions != reference)
    if metric == "spearman" and moved:
        error = float(np.hypot(error, _exchange_of_neighbours(n)))
    half = student(n - 1) * error
    return max(value - half, -2.0), min(value + half, 2.0)


def _exchange_of_neighbours(n: int) -> float:
    """What Spearman's correlation changes where two neighbours in rank change places.

    Predictions that moved without such an exchange among n examples could show one at the next.
    """
    return 12 / (n * (n * n - 1))
