"""Metrics and their intervals: values by hand and by SciPy, coverage by simulated experiments."""

import math

import numpy as np
import pytest
from scipy import stats

from xbarsim.base.errors import OutOfRangeError, ShapeError
from xbarsim.tasks import metrics
from xbarsim.tasks.task import Task


def task_of(targets, kind="labels", classes=("0", "1")):
    return Task("t", kind, ("x",) * len(targets), np.asarray(targets), classes, None, "")


def labelled(rng, n, accuracy, classes):
    """Classes that are equally likely, and predictions of which a share `accuracy` is right."""
    truth = rng.integers(0, classes, n)
    wrong = (truth + rng.integers(1, classes, n)) % classes
    return truth, np.where(rng.random(n) < accuracy, truth, wrong)


def scored(rng, n, form):
    """Scores of pairs and a prediction of them, of three forms."""
    score = rng.standard_normal(n)
    prediction = 0.8 * score + 0.6 * rng.standard_normal(n)
    if form == "rounded":
        return np.clip(np.round(2.5 + 1.2 * score), 0, 5), stats.norm.cdf(prediction)
    if form == "skewed":
        return np.exp(score), np.exp(prediction)
    return score, prediction


# ---------------------------------------------------------------- values


def test_correlations_are_those_of_scipy():
    rng = np.random.default_rng(0)
    score = rng.standard_normal(60).round(1)
    target = rng.integers(0, 6, 60).astype(float)
    spearman, pearson = metrics.metrics(task_of(target, "pairs"), score)
    expected = stats.spearmanr(score, target).statistic
    np.testing.assert_allclose(spearman.value, expected, rtol=1e-12)
    np.testing.assert_allclose(pearson.value, stats.pearsonr(score, target).statistic, rtol=1e-12)


def test_label_metrics_by_hand():
    """True positives 3, false positives 1, false negatives 1, true negatives 3."""
    truth = np.array([1, 1, 1, 0, 0, 0, 0, 1])
    predicted = np.array([1, 1, 0, 0, 0, 1, 0, 1])
    accuracy, f1, matthews = metrics.metrics(task_of(truth), predicted)
    assert (accuracy.value, accuracy.n) == (6 / 8, 8)
    assert f1.value == pytest.approx(2 * 3 / (2 * 3 + 1 + 1))
    assert matthews.value == pytest.approx((3 * 3 - 1 * 1) / 4 / 4)
    for found in (accuracy, f1, matthews):
        assert metrics.value_of(task_of(truth), predicted, found.metric) == found.value


def test_macro_f1_and_matthews_of_three_classes_by_hand():
    """Confusion table 2 1 0 / 0 2 0 / 1 0 2, row the true class."""
    truth = np.repeat([0, 1, 2], [3, 2, 3])
    predicted = np.array([0, 0, 1, 1, 1, 0, 2, 2])
    _, f1, matthews = metrics.metrics(task_of(truth, classes=("a", "b", "c")), predicted)
    assert f1.value == pytest.approx((4 / 6 + 4 / 5 + 4 / 5) / 3)
    covariance = 6 * 8 - (3 * 3 + 2 * 3 + 3 * 2)
    spread = (64 - 22) * (64 - 22)
    assert matthews.value == pytest.approx(covariance / math.sqrt(spread))


def test_a_class_that_is_neither_there_nor_predicted_is_left_out_of_the_mean():
    found = metrics.value_of(task_of([0, 1], classes=("a", "b", "c")), np.array([0, 1]), "f1")
    assert found == 1


def test_predictions_must_be_finite_and_complete():
    with pytest.raises(OutOfRangeError, match="1 of 3 predictions"):
        metrics.metrics(task_of([1.0, 2.0, 3.0], "pairs"), [1.0, np.nan, 2.0])
    with pytest.raises(ShapeError, match=r"\(2,\) predictions for 3 examples"):
        metrics.metrics(task_of([1.0, 2.0, 3.0], "pairs"), [1.0, 2.0])


# ---------------------------------------------------------------- intervals against other code


@pytest.mark.parametrize(("right", "n"), [(0, 12), (7, 12), (12, 12), (285, 300)])
def test_the_interval_of_accuracy_is_wilsons(right, n):
    predicted = np.repeat([1, 0], [right, n - right])
    truth = np.ones(n, int)
    accuracy = metrics.metrics(task_of(truth), predicted)[0]
    expected = stats.binomtest(right, n).proportion_ci(0.95, method="wilson")
    np.testing.assert_allclose([accuracy.low, accuracy.high], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("metric", ["spearman", "pearson"])
def test_the_interval_of_a_correlation_is_the_jackknife_of_fishers_z(metric):
    rng = np.random.default_rng(4)
    target, score = scored(rng, 23, "rounded")
    measure = {"spearman": stats.spearmanr, "pearson": stats.pearsonr}[metric]
    shorter = [np.delete(np.arange(23), k) for k in range(23)]
    z = np.arctanh([measure(target[kept], score[kept]).statistic for kept in shorter])
    error = np.sqrt(22 * np.var(z))
    centre = np.arctanh(measure(target, score).statistic)
    expected = np.tanh(centre + np.array([-1, 1]) * stats.t.ppf(0.975, 22) * error)
    results = {found.metric: found for found in metrics.metrics(task_of(target, "pairs"), score)}
    found = results[metric]
    np.testing.assert_allclose([found.low, found.high], expected, rtol=1e-9)


def test_a_change_of_accuracy_is_bonett_and_prices():
    """40 examples: 3 newly wrong, 1 newly right.  With one more of each: 4 and 2 of 42."""
    truth = np.zeros(40, int)
    reference = np.repeat([1, 0], [10, 30])
    predicted = reference.copy()
    predicted[0] = 0
    predicted[20:23] = 1
    found = metrics.change(task_of(truth), [predicted], reference, "accuracy")
    assert found.value == pytest.approx(-2 / 40)
    centre = (2 - 4) / 42
    error = math.sqrt(((2 + 4) / 42 - centre**2) / 42)
    expected = [centre - 1.959964 * error, centre + 1.959964 * error]
    np.testing.assert_allclose([found.low, found.high], expected, rtol=1e-6)


def test_nothing_seen_is_not_nothing():
    """12 of 12 right, twelve pairs in perfect order, twelve predictions that did not change."""
    truth = np.arange(12) % 2
    for found in metrics.metrics(task_of(truth), truth):
        assert found.value == 1 and 0.3 < found.low < 0.95 and found.high > 0.99
    order = np.arange(12.0)
    for found in metrics.metrics(task_of(order, "pairs"), 2 * order):
        assert found.value == 1 and 0.5 < found.low < 0.95 and found.high == 1
    reversed_order = metrics.metrics(task_of(order, "pairs"), -order)[0]
    assert (reversed_order.value, reversed_order.low) == (-1, -1) and reversed_order.high < -0.5
    for metric in ("accuracy", "f1", "matthews"):
        same = metrics.change(task_of(truth), [truth], truth, metric)
        assert same.value == 0 and same.low < -0.05 and same.high > 0.05


def test_two_or_three_pairs_say_nothing_about_a_correlation():
    found = metrics.metrics(task_of([1.0, 2.0, 4.0], "pairs"), [1.0, 2.0, 3.0])[0]
    assert (found.low, found.high) == (-1, 1)


def test_an_interval_depends_on_the_seed_alone():
    rng = np.random.default_rng(5)
    truth, predicted = labelled(rng, 50, 0.8, 3)
    task = task_of(truth, classes=("a", "b", "c"))
    assert metrics.metrics(task, predicted, seed=1) == metrics.metrics(task, predicted, seed=1)
    assert metrics.metrics(task, predicted, seed=1) != metrics.metrics(task, predicted, seed=2)


def test_a_change_is_paired_and_averages_chips():
    """A reference right on half of the examples; two chips lose the same 10 of 200, or 10 each."""
    truth = np.zeros(200, int)
    reference = np.repeat([0, 1], 100)
    first = reference.copy()
    first[:10] = 1
    second = reference.copy()
    second[10:20] = 1
    one = metrics.change(task_of(truth), [first], reference, "accuracy")
    same = metrics.change(task_of(truth), [first, first], reference, "accuracy")
    other = metrics.change(task_of(truth), [first, second], reference, "accuracy")
    assert one == same
    assert one.value == other.value == pytest.approx(-0.05, abs=1e-12)
    assert other.high - other.low < 0.9 * (one.high - one.low)
    unpaired = metrics.metrics(task_of(truth), first)[0]
    assert one.high - one.low < 0.6 * (unpaired.high - unpaired.low)


def test_a_change_of_a_correlation_is_the_jackknife_of_the_difference():
    rng = np.random.default_rng(6)
    target, before = scored(rng, 40, "normal")
    after = before + 0.2 * rng.standard_normal(40)
    found = metrics.change(task_of(target, "pairs"), [after], before, "pearson")

    def difference(kept):
        old = stats.pearsonr(target[kept], before[kept]).statistic
        return stats.pearsonr(target[kept], after[kept]).statistic - old

    everything = np.arange(40)
    shorter = [difference(np.delete(everything, k)) for k in range(40)]
    half = stats.t.ppf(0.975, 39) * np.sqrt(39 * np.var(shorter))
    np.testing.assert_allclose(found.value, difference(everything), rtol=1e-9)
    np.testing.assert_allclose((found.high - found.low) / 2, half, rtol=1e-9)


def test_the_interval_over_chips_is_students():
    values = [0.7, 0.74, 0.71, 0.77]
    expected = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    np.testing.assert_allclose(metrics.over_chips(values, "accuracy"), expected, rtol=1e-12)
    assert metrics.over_chips([0.7], "accuracy") == (None, None)


def test_the_interval_over_chips_stays_within_the_metric():
    low, high = metrics.over_chips([0.99, 0.9], "accuracy")
    assert 0 < low < 0.9 and high == 1
    assert metrics.over_chips([-0.9, 0.9], "pearson") == (-1, 1)
    values = [4502.0, 11000.0, 20000.0]
    half = stats.t.ppf(0.975, 2) * stats.sem(values)
    mean = np.mean(values)
    expected = mean * np.exp([-half / mean, half / mean])
    np.testing.assert_allclose(metrics.over_chips(values, "perplexity"), expected, rtol=1e-12)
    low, high = metrics.over_chips([1e3, 1e9], "perplexity")
    assert 0 < low and np.isfinite(high)


def test_the_interval_of_a_perplexity_over_chips_holds_as_often_as_it_says():
    rng = np.random.default_rng(8)
    spread = 0.4
    held = 0
    for _ in range(2000):
        low, high = metrics.over_chips(20 * np.exp(spread * rng.standard_normal(5)), "perplexity")
        held += low <= 20 * np.exp(spread**2 / 2) <= high
    assert 0.92 < held / 2000 < 0.97


# ---------------------------------------------------------------- coverage


def coverage(experiment, truth, repetitions):
    """Share of the experiments whose interval holds the truth."""
    hits = 0
    for _ in range(repetitions):
        found = experiment()
        hits += found.low <= truth <= found.high
    return hits / repetitions


def label_coverage(metric, classes, accuracy, n, repetitions):
    rng = np.random.default_rng(7)
    names = tuple(map(str, range(classes)))
    truth, predicted = labelled(rng, 400_000, accuracy, classes)
    value = metrics.value_of(task_of(truth, classes=names), predicted, metric)

    def experiment():
        task = task_of((drawn := labelled(rng, n, accuracy, classes))[0], classes=names)
        results = metrics.metrics(task, drawn[1], resamples=300)
        return {found.metric: found for found in results}[metric]

    return coverage(experiment, value, repetitions)


def correlation_coverage(metric, form, n, repetitions):
    rng = np.random.default_rng(8)
    target, score = scored(rng, 400_000, form)
    value = metrics.value_of(task_of(target, "pairs"), score, metric)

    def experiment():
        drawn_target, drawn_score = scored(rng, n, form)
        results = metrics.metrics(task_of(drawn_target, "pairs"), drawn_score)
        return {found.metric: found for found in results}[metric]

    return coverage(experiment, value, repetitions)


def changed_labels(rng, n, newly_wrong):
    """Truth, a reference that is right on 95 % and predictions that lose a share of the examples."""
    truth, reference = labelled(rng, n, 0.95, 2)
    lost = (reference == truth) & (rng.random(n) < newly_wrong / 0.95)
    return truth, reference, np.where(lost, 1 - truth, reference)


def change_coverage(metric, n, repetitions):
    """Also the smallest width of the intervals."""
    rng = np.random.default_rng(9)
    truth, reference, predicted = changed_labels(rng, 400_000, 0.02)
    task = task_of(truth)
    value = metrics.value_of(task, predicted, metric) - metrics.value_of(task, reference, metric)
    widths = []

    def experiment():
        truth, reference, predicted = changed_labels(rng, n, 0.02)
        found = metrics.change(task_of(truth), [predicted], reference, metric, resamples=300)
        widths.append(found.high - found.low)
        return found

    return coverage(experiment, value, repetitions), min(widths)


@pytest.mark.parametrize(
    ("metric", "classes", "accuracy", "n"),
    [("accuracy", 2, 0.95, 20), ("f1", 2, 0.95, 20), ("matthews", 3, 0.8, 60)],
)
def test_intervals_of_label_metrics_hold(metric, classes, accuracy, n):
    assert 0.87 <= label_coverage(metric, classes, accuracy, n, 100) <= 1


@pytest.mark.parametrize(
    ("metric", "form", "n"), [("spearman", "rounded", 20), ("pearson", "skewed", 60)]
)
def test_intervals_of_correlations_hold(metric, form, n):
    assert 0.87 <= correlation_coverage(metric, form, n, 60) <= 1


def test_intervals_of_changes_hold():
    found, narrowest = change_coverage("accuracy", 60, 100)
    assert found >= 0.9 and narrowest > 0.05


@pytest.mark.long
@pytest.mark.parametrize("metric", ["accuracy", "f1", "matthews"])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("accuracy", [0.6, 0.8, 0.95, 0.98])
@pytest.mark.parametrize("n", [20, 60, 300])
def test_intervals_of_label_metrics_hold_everywhere(metric, classes, accuracy, n):
    assert 0.88 <= label_coverage(metric, classes, accuracy, n, 400) <= 1


@pytest.mark.long
@pytest.mark.parametrize("metric", ["spearman", "pearson"])
@pytest.mark.parametrize("form", ["normal", "rounded", "skewed"])
@pytest.mark.parametrize("n", [20, 60, 300])
def test_intervals_of_correlations_hold_everywhere(metric, form, n):
    assert 0.88 <= correlation_coverage(metric, form, n, 400) <= 1


@pytest.mark.long
@pytest.mark.parametrize("metric", ["accuracy", "f1", "matthews"])
@pytest.mark.parametrize("n", [20, 60, 300])
def test_intervals_of_changes_hold_everywhere(metric, n):
    found, narrowest = change_coverage(metric, n, 400)
    assert found >= 0.92 and narrowest > 0
