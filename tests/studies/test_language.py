"""Perplexity, minimal pairs, choices and generation against brute force on tiny decoders."""

import json

import numpy as np
import pytest
from tiny_decoders import TOKENIZER, ids_of, make_tiny_decoder, slow_log_probabilities

from xbarsim.base.errors import OutOfRangeError, TaskError
from xbarsim.models.decoder_checkpoint import load_decoder
from xbarsim.models.operations import float32
from xbarsim.studies import generation, language
from xbarsim.studies.examples import Examples
from xbarsim.studies.language_examples import Scope, windows_of
from xbarsim.studies.readers import DecoderReader
from xbarsim.tasks.language_files import MinimalPairs, Question, Questions, Text, load_language_task
from xbarsim.tasks.language_metrics import loss_interval

TEXT = "the crossbar holds every weight and reads it where it lies, token by token."


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_decoder(make_tiny_decoder(tmp_path_factory.mktemp("decoder"), "llama"))


# ---------------------------------------------------------------- log-probabilities, perplexity


def test_log_probabilities_are_those_of_every_prefix(model):
    sequences = [np.array(ids_of(text)) for text in (TEXT[:40], TEXT[5:9], "ab")]
    reader = DecoderReader(model, np.array([39, 2, 1]))
    examples = Examples(sequences, tokens_per_batch=64)
    expected = [
        slow_log_probabilities(model, ids)[-count:]
        for ids, count in zip(sequences, (39, 2, 1), strict=True)
    ]
    for rows in (1, 7, None):
        read = [reader.read(examples, batch, float32, rows) for batch in examples.batches(3)]
        found = np.concatenate([reading.tokens.log_probability for reading in read])
        np.testing.assert_allclose(found, np.concatenate(expected), rtol=0, atol=1e-4)
        sums = np.concatenate([reading.output for reading in read])[:, 0]
        np.testing.assert_allclose(sums, [values.sum() for values in expected], rtol=1e-4)


@pytest.mark.parametrize(
    ("tokens", "window", "stride", "windows", "expected"),
    [
        (10, 4, 4, None, [(0, 4, 3), (4, 8, 3), (8, 10, 1)]),
        (9, 4, 4, None, [(0, 4, 3), (4, 8, 3)]),
        (10, 4, 2, None, [(0, 4, 3), (2, 6, 2), (4, 8, 2), (6, 10, 2)]),
        (10, 4, 4, 2, [(0, 4, 3), (4, 8, 3)]),
        (5, 9, 9, None, [(0, 5, 4)]),
    ],
)
def test_windows(tokens, window, stride, windows, expected):
    found = windows_of(tokens, window, stride, windows)
    assert [(one.start, one.stop, one.new) for one in found] == expected


@pytest.mark.parametrize("stride", [16, 5])
def test_perplexity_and_bits_per_byte(model, stride):
    """One character is one token is one byte here."""
    score = language.evaluate_language(
        model, TOKENIZER, Text("t", TEXT, ""), Scope(window=16, stride=stride)
    )
    ids = ids_of(TEXT)
    losses = []
    seen = 0
    for start in range(0, len(ids) - 1, stride):
        stop = min(start + 16, len(ids))
        values = -slow_log_probabilities(model, ids[start:stop])
        losses.extend(values[max(seen - start - 1, 0) :])
        seen = stop
        if stop == len(ids):
            break
    found = score.metrics[0]
    assert (found.metric, found.n) == ("perplexity", len(losses))
    np.testing.assert_allclose(found.value, np.exp(np.mean(losses)), rtol=1e-4)
    np.testing.assert_allclose(score.bits_per_byte, np.mean(losses) / np.log(2), rtol=1e-4)
    assert found.low < found.value < found.high


@pytest.mark.parametrize("correlated", [False, True])
def test_the_interval_of_a_perplexity_holds(correlated):
    """Losses with and without a memory of some ten tokens; 40 windows of 256."""
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(200):
        steps = rng.standard_normal(40 * 256 + 200)
        if correlated:
            smooth = np.convolve(steps, 0.9 ** np.arange(60), "valid")[: 40 * 256]
        else:
            smooth = steps[: 40 * 256]
        low, high = loss_interval(3 + 0.4 * smooth, np.repeat(np.arange(40), 256))
        hits += low <= 3 <= high
    assert 0.9 <= hits / 200 <= 0.99


def test_texts_and_windows_that_cannot_be_scored(model):
    with pytest.raises(TaskError, match="1 tokens; a perplexity needs two"):
        language.evaluate_language(model, TOKENIZER, Text("t", "a", ""), Scope(window=16))
    with pytest.raises(OutOfRangeError, match="window is 65 tokens; allowed are 2 to 64"):
        language.evaluate_language(model, TOKENIZER, Text("t", TEXT, ""), Scope(window=65))
    with pytest.raises(OutOfRangeError, match="stride is 9 tokens"):
        language.evaluate_language(model, TOKENIZER, Text("t", TEXT, ""), Scope(window=8, stride=9))


# ---------------------------------------------------------------- pairs and choices


def test_minimal_pairs(model):
    pairs = (("the cat", "cat the"), ("a b c", "c a b!"), ("xyz", "zyx"), ("tile", "lite"))
    task = MinimalPairs("p", pairs, ("one", "one", "two", "two"), "")
    score = language.evaluate_language(model, TOKENIZER, task)

    def total(sentence):
        return slow_log_probabilities(model, [0, *ids_of(sentence)]).sum()

    right = [total(good) > total(bad) for good, bad in pairs]
    assert score.metrics[0].value == np.mean(right) and score.metrics[0].n == 4
    assert score.groups == {"one": (sum(right[:2]), 2), "two": (sum(right[2:]), 2)}
    assert score.predictions == sum(len(a) + len(b) for a, b in pairs)


def test_questions(model):
    questions = (
        Question(("the cat",) * 3, ("runs", "is a crossbar", "sat"), 1),
        Question(("one",) * 2, ("two", "three!"), 0),
        Question(("a man saw", "a dog saw"), ("it", "it"), 1),
    )
    score = language.evaluate_language(model, TOKENIZER, Questions("q", questions, ""))
    right = []
    normalised = []
    for question in questions:
        totals = []
        for context, choice in zip(question.contexts, question.choices, strict=True):
            ids = [0, *ids_of(f"{context} {choice}")]
            totals.append(slow_log_probabilities(model, ids)[-len(choice) - 1 :].sum())
        sizes = [len(choice) for choice in question.choices]
        right.append(np.argmax(totals) == question.right)
        normalised.append(np.argmax(np.divide(totals, sizes)) == question.right)
    values = {found.metric: found.value for found in score.metrics}
    assert values == {"accuracy": np.mean(right), "accuracy_normalised": np.mean(normalised)}


FORMS = {
    "plain": ({"context": "c", "choices": ["x", "y"], "gold": 1}, ("c", "c"), ("x", "y"), 1),
    "piqa": ({"goal": "g", "sol1": "x", "sol2": "y", "label": 0}, ("g", "g"), ("x", "y"), 0),
    "arc": (
        {"question": "q?", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": "B"},
        ("Question: q?\nAnswer:",) * 2,
        ("x", "y"),
        1,
    ),
    "hellaswag": ({"ctx": "c", "endings": ["x", "y"], "label": "1"}, ("c", "c"), ("x", "y"), 1),
    "winogrande": (
        {"sentence": "the _ is big", "option1": "cat", "option2": "dog", "answer": "2"},
        ("the cat", "the dog"),
        ("is big", "is big"),
        1,
    ),
    "lambada": ({"text": "it was a dog"}, ("it was a",), ("dog",), 0),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_questions(tmp_path, form):
    row, contexts, choices, right = FORMS[form]
    (tmp_path / "q.jsonl").write_text(json.dumps(row) + "\n")
    question = load_language_task(tmp_path / "q.jsonl").questions[0]
    assert (question.contexts, question.choices, question.right) == (contexts, choices, right)
    assert question.greedy == (form == "lambada")


def test_pairs_are_read_from_tables_and_json(tmp_path):
    (tmp_path / "p.tsv").write_text('paradigm\tgood\tbad\nx\tA "b.\tB "a.\n')
    (tmp_path / "p.jsonl").write_text('{"sentence_good": "A", "sentence_bad": "B", "UID": "x"}\n')
    assert load_language_task(tmp_path / "p.tsv").pairs == (('A "b.', 'B "a.'),)
    found = load_language_task(tmp_path / "p.jsonl")
    assert (found.pairs, found.groups) == ((("A", "B"),), ("x",))


WRONG = {
    "latin": ("t.txt", b"a\xe4b", "line 1: not UTF-8"),
    "empty": ("t.txt", b" \n", "the file is empty"),
    "suffix": ("t.docx", b"x", "no language task"),
    "columns": ("t.tsv", b"a\tb\nx\ty\n", "no minimal pairs; name them good and bad"),
    "no row": ("t.tsv", b"good\tbad\n", "no minimal pair stands below"),
    "cell": ("t.tsv", b"good\tbad\nx\t\n", "line 2: bad is"),
    "json": ("t.jsonl", b"{", "line 1: not JSON"),
    "null": ("t.jsonl", b'{"good": null, "bad": "x"}', "line 1: good is null"),
    "gold": ("t.jsonl", b'{"context": "c", "choices": ["x", "y"], "gold": 2}', "choice is 2"),
    "one": ("t.jsonl", b'{"context": "c", "choices": ["x"], "gold": 0}', "two or more texts"),
    "form": ("t.jsonl", b'{"premise": "c"}', "none of the forms"),
}


@pytest.mark.parametrize("case", WRONG)
def test_files_that_are_no_language_task(tmp_path, case):
    name, content, message = WRONG[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TaskError, match=message):
        load_language_task(tmp_path / name)


# ---------------------------------------------------------------- generation


def test_greedy_generation_takes_the_likeliest_token_each_time(model):
    text = generation.generate(model, TOKENIZER, "the ", tokens=9)
    weight, _ = model.matrix("logits")
    ids = ids_of("the ")
    for _ in range(9):
        state = model.forward(np.array([ids]), np.ones((1, len(ids))))[0, -1]
        token = int((weight @ state).argmax())
        if token in model.config.ends:
            break
        ids.append(token)
    assert text == TOKENIZER.decode(ids[4:])


def test_drawn_tokens_have_the_models_probabilities():
    scores = np.log(np.array([0.5, 0.3, 0.2]))
    rng = np.random.default_rng(0)
    drawn = [generation.next_token(scores, 1.0, rng) for _ in range(4000)]
    np.testing.assert_allclose(np.bincount(drawn) / 4000, [0.5, 0.3, 0.2], atol=0.03)
    cold = [generation.next_token(scores, 0.5, rng) for _ in range(4000)]
    expected = np.array([0.25, 0.09, 0.04]) / 0.38
    np.testing.assert_allclose(np.bincount(cold) / 4000, expected, atol=0.03)


def test_prompts_that_cannot_be_continued(model):
    with pytest.raises(TaskError, match="no tokens"):
        generation.generate(model, TOKENIZER, "")
    with pytest.raises(TaskError, match="the model's context is 64"):
        generation.generate(model, TOKENIZER, "a" * 60, tokens=9)
