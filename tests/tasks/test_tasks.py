"""Task files, heads and metrics."""

import json

import numpy as np
import pytest
from tiny import make_tiny_bert

from xbarsim.base.errors import TaskError
from xbarsim.models.bert_checkpoint import load_bert
from xbarsim.models.checkpoint import load_tokenizer
from xbarsim.studies import evaluation
from xbarsim.studies.heads import HeadWanted, choose_head
from xbarsim.tasks.files import load_task
from xbarsim.tasks.heads import PROBE_C, fit_logistic
from xbarsim.tasks.task import Task, notes_on


def task_of(targets, kind="labels", classes=("0", "1")):
    return Task("t", kind, ("x",) * len(targets), np.asarray(targets), classes, None, "")


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
    task = load_task(tmp_path / name)
    assert task.kind == "pairs" and task.targets.tolist() == [1.5, 5.0]
    assert task.sentences == (("a man eats", "a dog runs"), ("the cat plays", "the cat plays"))


def test_labels_and_splits(tmp_path):
    (tmp_path / "l.tsv").write_text(
        "sentence\tlabel\tsplit\ngood\tpos\ttrain\nbad\tneg\ttest\nfine\tpos\ttest\n"
    )
    task = load_task(tmp_path / "l.tsv")
    assert task.classes == ("neg", "pos") and task.targets.tolist() == [1, 0, 1]
    assert task.held_out().sentences == ("bad", "fine") and task.training().sentences == ("good",)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.tsv", "a\tb\tc\td\te\n", "line 1|column"),
        ("x.tsv", "a\tb\t1\na\tb\thigh\n", "line 2"),
        ("x.tsv", "a\tb\t1\na\tb\tnan\n", "line 2"),
        ("x.jsonl", '{"sentence": "a", "label": 1}\n{"sentence"\n', "line 2"),
        ("x.csv", "", "no examples|empty"),
    ],
)
def test_bad_files_name_the_line(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(TaskError, match=message):
        load_task(tmp_path / name)


def test_a_binary_file_is_no_task(tmp_path):
    (tmp_path / "x.tsv").write_bytes(bytes(range(128, 256)))
    with pytest.raises(TaskError, match="UTF-8"):
        load_task(tmp_path / "x.tsv")


def test_the_probe_is_the_minimum_of_its_objective():
    """Gradient of the penalised log-likelihood at the fitted weights, by central differences."""
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((80, 5)), rng.integers(0, 3, 80)
    weight, bias = fit_logistic(x, y, 3)

    def objective(w, b):
        logits = x @ w.T + b
        likelihood = (np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(80), y]).sum()
        return PROBE_C * likelihood + (w**2).sum() / 2

    best = objective(weight.astype(float), bias.astype(float))
    for _ in range(20):
        step_w, step_b = (
            1e-2 * rng.standard_normal(weight.shape),
            1e-2 * rng.standard_normal(bias.shape),
        )
        assert objective(weight + step_w, bias + step_b) > best


def test_heads(tmp_path):
    directory = make_tiny_bert(tmp_path / "m", classes=2)
    model, tokenizer = load_bert(directory), load_tokenizer(directory)
    head, _ = choose_head(model, tokenizer, task_of([1.0, 2.0], "pairs"))
    features = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 2.0], [0.0, -3.0]])
    np.testing.assert_allclose(head.predict(features), [np.sqrt(0.5), -1.0])
    head, _ = choose_head(model, tokenizer, task_of([0, 1]))
    assert head.kind == "classifier"
    with pytest.raises(TaskError, match="head 'cosine' does not fit"):
        choose_head(model, tokenizer, task_of([0, 1]), HeadWanted("cosine"))


# ---------------------------------------------------------------- what is no sentence, label, file


def json_lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


GOOD = {"sentence": "good", "label": "a"}
WRONG_FILES = {
    "null": ("x.jsonl", json_lines(GOOD, {"sentence": None, "label": "b"}), "line 2.*null"),
    "list": ("x.jsonl", json_lines(GOOD, {"sentence": ["b"], "label": "b"}), "line 2.*text"),
    "number": ("x.jsonl", json_lines(GOOD, {"sentence": 7, "label": "b"}), "line 2.*text"),
    "null label": ("x.jsonl", json_lines(GOOD, {"sentence": "b", "label": None}), "line 2.*null"),
    "true label": ("x.jsonl", json_lines(GOOD, {"sentence": "b", "label": True}), "line 2.*true"),
    "nan label": ("x.tsv", "sentence\tlabel\nx\t1\ny\tnan\n", "line 3.*missing value"),
    "inf label": ("x.tsv", "sentence\tlabel\nx\t1\ny\t-inf\n", "line 3.*missing value"),
    "NaN": ("x.jsonl", '{"sentence": "x", "label": NaN}\n' * 2, "line 1.*NaN"),
    "true score": (
        "x.jsonl",
        json_lines({"sentence1": "x", "sentence2": "y", "score": True}) * 2,
        "line 1.*finite",
    ),
    "one number twice": ("x.tsv", "sentence\tlabel\nx\t1\ny\t1.0\nz\t0\n", "same number"),
    "one number padded": ("x.tsv", "sentence\tlabel\nx\t1\ny\t01\nz\t0\n", "same number"),
    "column twice": ("x.tsv", "sentence\tlabel\tlabel\nx\t1\t0\ny\t0\t1\n", "'label' stands twice"),
    "key twice": ("x.jsonl", '{"sentence": "x", "label": 1, "label": 0}\n' * 2, "stands twice"),
    "comma": ("x.csv", "sentence,label\ngood, really,1\nbad,0\n", "line 2.*3 cells for 2 columns"),
    "unnamed header": ("x.tsv", "review\tsentiment\ngood\t1\nbad\t0\nfine\t1\n", "header"),
}


@pytest.mark.parametrize("case", WRONG_FILES)
def test_what_is_no_task_is_refused(tmp_path, case):
    name, content, message = WRONG_FILES[case]
    (tmp_path / name).write_text(content)
    with pytest.raises(TaskError, match=message):
        load_task(tmp_path / name)


def test_trailing_tabs_and_other_columns_are_no_fault(tmp_path):
    (tmp_path / "x.tsv").write_text("note\tsentence\tlabel\tnote\n1\tx\t1\t\t\n2\ty\t0\n")
    assert load_task(tmp_path / "x.tsv").sentences == ("x", "y")


def test_whole_numbers_and_words_are_labels(tmp_path):
    (tmp_path / "x.jsonl").write_text(json_lines(*({"text": "t", "label": k} for k in (10, 9, 2))))
    assert load_task(tmp_path / "x.jsonl").classes == ("2", "9", "10")
    (tmp_path / "y.tsv").write_text("sentence\tlabel\nx\tnone\ny\t1\n")
    assert load_task(tmp_path / "y.tsv").classes == ("1", "none")


# ---------------------------------------------------------------- held out means held out


def numbered(count, kind="labels", test=None):
    """A task whose sentences say where they stand."""
    sentences = tuple(f"sentence {k}" for k in range(count))
    if kind == "pairs":
        sentences = tuple((text, f"other {k}") for k, text in enumerate(sentences))
    targets = np.arange(count) % 2
    return Task("t.tsv", kind, sentences, targets, ("0", "1"), test, "")


@pytest.mark.parametrize("kind", ["pairs", "labels"])
@pytest.mark.parametrize("count", [2, 9, 1000])
def test_no_scored_example_calibrates(kind, count):
    task = numbered(count, kind)
    scored, calibration = task.scored_and_calibration(64)
    assert not set(scored.sentences) & set(calibration.sentences)
    assert len(scored) + len(calibration) == count
    assert len(calibration) == min(64, max(count // 5, 1))
    notes = notes_on(task, scored, calibration)
    assert len(notes) == 1 and f"{len(calibration)} of its examples calibrate" in notes[0]


def test_a_task_of_its_own_for_calibration_needs_no_note():
    other = Task("o.tsv", "labels", ("x", "y"), np.arange(2), ("0", "1"), None, "another file")
    assert notes_on(numbered(20), numbered(20), other) == ()


def test_a_training_part_calibrates_and_all_of_the_test_part_is_scored():
    task = numbered(100, test=np.arange(100) < 30)
    scored, calibration = task.scored_and_calibration(7)
    assert scored.sentences == task.sentences[:30]
    assert calibration.sentences == tuple(task.sentences[k] for k in (30, 40, 50, 60, 70, 80, 90))
    assert notes_on(task, scored, calibration) == ()


def test_without_a_split_every_fifth_is_scored_and_the_notes_say_so():
    task = numbered(20).split()
    scored, calibration = task.scored_and_calibration(64)
    assert scored.sentences == tuple(f"sentence {k}" for k in (0, 5, 10, 15))
    assert len(calibration) == 16 and not set(scored.sentences) & set(calibration.sentences)
    notes = notes_on(task, scored, calibration)
    assert len(notes) == 1 and "states no split" in notes[0] and "every fifth" in notes[0]


def test_repeated_sentences_are_noticed():
    sentences = ("a", "b", "c", "a", "d", "b")
    test = np.array([True, True, True, False, False, False])
    task = Task("t", "labels", sentences, np.arange(6) % 2, ("0", "1"), test, "")
    notes = notes_on(task, task.held_out())
    assert len(notes) == 1 and notes[0].startswith("2 of 3 scored examples")


def test_the_int8_reference_calibrates_on_what_it_does_not_score(tmp_path):
    """All scored in float32; of 40 pairs 8 calibrate int8, none where another task does."""
    rng = np.random.default_rng(0)
    lines = [f"a man {'eats' if k % 3 else 'sees'}\ta dog\t{rng.random():.3f}" for k in range(40)]
    (tmp_path / "pairs.tsv").write_text("\n".join(lines))
    (tmp_path / "more.tsv").write_text("\n".join(lines[:9]))
    directory = make_tiny_bert(tmp_path / "m")

    def examples(reference, calibration=None):
        found = evaluation.evaluate_files(
            directory, tmp_path / "pairs.tsv", reference, calibration_task=calibration
        )
        return found.metrics[0].n

    assert examples("float32") == 40
    assert examples("int8") == 32
    assert examples("int8", tmp_path / "more.tsv") == 40
