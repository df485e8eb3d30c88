"""Task files, heads and metrics."""
import numpy as np
import pytest
from scipy import stats
from tiny import make_tiny_bert

from xbarsim import tasks
from xbarsim.checkpoint import load_bert, load_tokenizer
from xbarsim.errors import OutOfRangeError, TaskError

PAIRS = {
    "a.tsv": "a man eats\ta dog runs\t1.5\nthe cat plays\tthe cat plays\t5\n",
    "b.csv": 'score,sentence1,sentence2\n1.5,"a man eats","a dog runs"\n5,the cat plays,the cat plays\n',
    "c.jsonl": '{"sentence1": "a man eats", "sentence2": "a dog runs", "score": 1.5}\n'
               '{"sentence1": "the cat plays", "sentence2": "the cat plays", "score": 5}\n',
    "d.tsv": "sentence_a\tsentence_b\tsimilarity\nid is ignored\tb\t1\n",
}


@pytest.mark.parametrize("name", ["a.tsv", "b.csv", "c.jsonl"])
def test_pair_files_of_all_formats_say_the_same(tmp_path, name):
    (tmp_path / name).write_text(PAIRS[name])
    task = tasks.load_task(tmp_path / name)
    assert task.kind == "pairs" and task.targets.tolist() == [1.5, 5.0]
    assert task.sentences == (("a man eats", "a dog runs"), ("the cat plays", "the cat plays"))


def test_labels_and_splits(tmp_path):
    (tmp_path / "l.tsv").write_text("sentence\tlabel\tsplit\ngood\tpos\ttrain\nbad\tneg\ttest\nfine\tpos\ttest\n")
    task = tasks.load_task(tmp_path / "l.tsv")
    assert task.classes == ("neg", "pos") and task.targets.tolist() == [1, 0, 1]
    assert task.held_out().sentences == ("bad", "fine") and task.training().sentences == ("good",)


@pytest.mark.parametrize(("name", "content", "message"), [
    ("x.tsv", "a\tb\tc\td\te\n", "line 1|column"),
    ("x.tsv", "a\tb\t1\na\tb\thigh\n", "line 2"),
    ("x.tsv", "a\tb\t1\na\tb\tnan\n", "line 2"),
    ("x.jsonl", '{"sentence": "a", "label": 1}\n{"sentence"\n', "line 2"),
    ("x.csv", "", "no examples|empty"),
])
def test_bad_files_name_the_line(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(TaskError, match=message):
        tasks.load_task(tmp_path / name)


def test_a_binary_file_is_no_task(tmp_path):
    (tmp_path / "x.tsv").write_bytes(bytes(range(128, 256)))
    with pytest.raises(TaskError, match="UTF-8"):
        tasks.load_task(tmp_path / "x.tsv")


def task_of(targets, kind="labels", classes=("0", "1")):
    return tasks.Task("t", kind, ("x",) * len(targets), np.asarray(targets), classes, None, "")


def test_metrics_are_those_of_scipy():
    rng = np.random.default_rng(0)
    score, target = rng.standard_normal(60).round(1), rng.integers(0, 6, 60).astype(float)
    spearman, pearson = tasks.metrics(task_of(target, "pairs"), score)
    np.testing.assert_allclose(spearman.value, stats.spearmanr(score, target).statistic, rtol=1e-12)
    np.testing.assert_allclose(pearson.value, stats.pearsonr(score, target).statistic, rtol=1e-12)


def test_label_metrics_by_hand():
    truth, predicted = np.array([1, 1, 1, 0, 0, 0, 0, 1]), np.array([1, 1, 0, 0, 0, 1, 0, 1])
    accuracy, f1, matthews = tasks.metrics(task_of(truth), predicted)
    assert (accuracy.value, accuracy.n) == (6 / 8, 8)
    assert f1.value == pytest.approx(2 * 3 / (2 * 3 + 1 + 1))
    assert matthews.value == pytest.approx((3 * 3 - 1 * 1) / 4 / 4)


def test_the_interval_covers_as_often_as_it_says():
    """Accuracy 0.8 of 200 examples: the 95 % interval contains 0.8 in 90 to 99 % of 200 experiments."""
    rng, hits = np.random.default_rng(1), 0
    for _ in range(200):
        truth = rng.integers(0, 2, 200)
        predicted = np.where(rng.random(200) < 0.8, truth, 1 - truth)
        accuracy = tasks.metrics(task_of(truth), predicted, resamples=300)[0]
        hits += accuracy.low <= 0.8 <= accuracy.high
    assert 180 <= hits <= 198


def test_a_change_is_paired():
    """A reference that is right on half of the examples; two chips lose the same 10 of 200, or 10 each: 5 % less, and the
    draws of the lost ones alone are what the interval is of."""
    truth, reference = np.zeros(200, int), np.repeat([0, 1], 100)
    first, second = reference.copy(), reference.copy()
    first[:10], second[10:20] = 1, 1
    for chips, lost, each in (([first], 10, 1.0), ([first, first], 10, 1.0), ([first, second], 20, 0.5)):
        found = tasks.change(task_of(truth), chips, reference, "accuracy", resamples=4000)
        assert found.value == pytest.approx(-0.05, abs=1e-12)
        expected = -stats.binom.ppf([0.975, 0.025], 200, lost / 200) * each / 200
        np.testing.assert_allclose([found.low, found.high], expected, atol=0.006)
    same = tasks.change(task_of(truth), [reference], reference, "matthews")
    assert (same.value, same.low, same.high) == (0, 0, 0)
    rng = np.random.default_rng(0)
    target, score = rng.random(50), rng.random(50)
    one, other = (tasks.metrics(task_of(target, "pairs"), found)[0] for found in (target, score))
    assert tasks.change(task_of(target, "pairs"), [score], target, "spearman").value == other.value - one.value


def test_predictions_must_be_finite():
    with pytest.raises(OutOfRangeError, match="1 of 3 predictions"):
        tasks.metrics(task_of([1.0, 2.0, 3.0], "pairs"), [1.0, np.nan, 2.0])


def test_the_probe_is_the_minimum_of_its_objective():
    """Gradient of the penalised log-likelihood at the fitted weights, by central differences."""
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((80, 5)), rng.integers(0, 3, 80)
    weight, bias = tasks.fit_logistic(x, y, 3)

    def objective(w, b):
        logits = x @ w.T + b
        likelihood = (np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(80), y]).sum()
        return tasks.PROBE_C * likelihood + (w ** 2).sum() / 2

    best = objective(weight.astype(float), bias.astype(float))
    for _ in range(20):
        step_w, step_b = 1e-2 * rng.standard_normal(weight.shape), 1e-2 * rng.standard_normal(bias.shape)
        assert objective(weight + step_w, bias + step_b) > best


def test_heads(tmp_path):
    directory = make_tiny_bert(tmp_path / "m", classes=2)
    model, tokenizer = load_bert(directory), load_tokenizer(directory)
    head, _ = tasks.choose_head(model, tokenizer, task_of([1.0, 2.0], "pairs"))
    features = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 2.0], [0.0, -3.0]])
    np.testing.assert_allclose(head.predict(features), [np.sqrt(0.5), -1.0])
    head, _ = tasks.choose_head(model, tokenizer, task_of([0, 1]))
    assert head.kind == "classifier"
    with pytest.raises(TaskError, match="head 'cosine' does not fit"):
        tasks.choose_head(model, tokenizer, task_of([0, 1]), "cosine")
