"""Studies of tiny decoders: from the study to the trace, its figures and the report, against brute
force."""

import json
import re

import h5py
import numpy as np
import pytest
import tomli_w
from full_trace import command, tables_of_page
from safetensors.numpy import load_file, save_file
from tiny import make_tiny_bert
from tiny_decoders import ids_of, make_tiny_decoder, slow_log_probabilities

from xbarsim.base.errors import (
    CheckpointError,
    ConfigError,
    IdleSettingWarning,
    OutOfRangeError,
    TaskError,
    TraceError,
)
from xbarsim.config.study import load_study
from xbarsim.models.architectures import load_network
from xbarsim.models.decoder_checkpoint import load_decoder
from xbarsim.report.files import to_json, write_files
from xbarsim.report.summary import summarise
from xbarsim.report.text import render
from xbarsim.studies import repeat, run
from xbarsim.studies.points import points_of
from xbarsim.studies.sweep_plan import count_tokens, plan_sweep
from xbarsim.studies.trace_reader import read_trace
from xbarsim.studies.work import work_of

TEXT = "the crossbar holds every weight and reads it where it lies, token by token. " * 6
PAIRS = [("the cat", "cat the"), ("a b c", "c a b!"), ("xyz", "zyx"), ("tile", "lite"), ("a", "b")]
QUESTIONS = [
    {"context": "the cat", "choices": ["runs", "is a crossbar", "sat"], "gold": 1},
    {"context": "one", "choices": ["two", "three!"], "gold": 0},
    {"sentence": "the _ is big", "option1": "cat", "option2": "dog", "answer": "2"},
    {"text": "it was a dog"},
    {"context": "two", "choices": ["one", "four"], "gold": 1},
]
IDEAL = {"wires": False, "converters": False, "programming": False, "read_noise": False}
CASES = [
    {"name": "ideal", "effects": IDEAL},
    {"name": "chip", "run": {"chips": 2}},
    {"name": "all", "products": {"output_matrix": "hardware"}},
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    directory = tmp_path_factory.mktemp("language")
    make_tiny_decoder(directory / "model", "llama")
    (directory / "text.txt").write_text(TEXT)
    rows = "".join(f"{good}\t{bad}\n" for good, bad in PAIRS)
    (directory / "pairs.tsv").write_text("good\tbad\n" + rows)
    lines = "".join(json.dumps(question) + "\n" for question in QUESTIONS)
    (directory / "questions.jsonl").write_text(lines)
    return directory


def study_of(place, file, **tables):
    """A study of the tiny decoder on a file of its place; `task` adds keys to its table."""
    task = {"name": str(place / file), "calibration_tokens": 60} | tables.pop("task", {})
    content = {
        "name": "tiny",
        "model": {"name": str(place / "model")},
        "task": task,
        "mapping": {"word_lines": 16, "bit_lines": 16},
        "case": [{"name": "ideal", "effects": IDEAL}],
    }
    (place / "study.toml").write_text(tomli_w.dumps(content | tables))
    return load_study(place / "study.toml")


def run_of(place, file, threads=1, **tables):
    return run.run_study(study_of(place, file, **tables), place / "runs", threads)


@pytest.fixture(scope="module")
def text_trace(place):
    """A trace of four windows of 24 tokens."""
    return run_of(place, "text.txt", task={"window": 24, "windows": 4}, case=CASES)


def losses_by_hand(place, starts, length):
    model = load_decoder(place / "model")
    ids = ids_of(TEXT)
    return [-slow_log_probabilities(model, ids[start : start + length]) for start in starts]


# ---------------------------------------------------------------- texts


def test_the_probabilities_of_a_trace_are_those_of_every_prefix(place, text_trace):
    trace = read_trace(text_trace)
    losses = losses_by_hand(place, range(0, 96, 24), 24)
    table = trace.predictions
    assert table.example.tolist() == [k for k in range(4) for _ in range(23)]
    assert table.position.tolist() == 4 * list(range(1, 24))
    assert table.token.tolist() == [t for k in range(4) for t in ids_of(TEXT)[24 * k :][1:24]]
    found = trace.reference["float32"]
    np.testing.assert_allclose(-found.log_probability, np.concatenate(losses), atol=1e-4)
    np.testing.assert_allclose(-found.output[:, 0], [part.sum() for part in losses], rtol=1e-5)
    ideal = trace.cases["ideal"].chips[0].log_probability
    np.testing.assert_allclose(ideal, found.log_probability, atol=2e-4)
    noisy = trace.cases["chip"].chips[0].log_probability
    assert 0.01 < np.abs(noisy - found.log_probability).mean() < 2


def test_figures_of_a_text_by_hand(place, text_trace):
    trace = read_trace(text_trace)
    summary = summarise(trace)
    losses = np.concatenate(losses_by_hand(place, range(0, 96, 24), 24))
    float32 = summary.references[0]
    assert summary.run.metric == "perplexity"
    np.testing.assert_allclose(float32.metric.value, np.exp(losses.mean()), rtol=1e-5)
    bits = losses.sum() / np.log(2) / (4 * 23)  # a token is a byte here
    np.testing.assert_allclose(float32.tokens.bits_per_byte, bits, rtol=1e-5)
    early = np.tile(np.arange(1, 24) < 16, 4)
    first, second = float32.tokens.by_position
    assert (first.first, first.last, first.predictions) == (1, 15, 60)
    assert (second.first, second.last, second.predictions) == (16, 31, 32)
    np.testing.assert_allclose(first.perplexity, np.exp(losses[early].mean()), rtol=1e-5)
    np.testing.assert_allclose(second.perplexity, np.exp(losses[~early].mean()), rtol=1e-5)
    case = summary.cases[1]
    chips = [np.exp(-chip.log_probability.mean()) for chip in trace.cases["chip"].chips]
    np.testing.assert_allclose(case.metric.value, np.mean(chips), rtol=1e-5)
    growth = np.mean(chips) / float32.metric.value - 1
    np.testing.assert_allclose(case.change.value, growth, rtol=1e-4)
    assert case.change.low < growth < case.change.high
    assert case.chips.low < case.metric.value < case.chips.high


def test_the_report_prints_a_perplexity_as_it_is(text_trace, tmp_path):
    summary = summarise(read_trace(text_trace))
    text = render(summary)
    float32 = summary.references[0]
    assert f"{float32.metric.value:.3f}" in text and "x 100" not in text
    assert "over float32 in %, paired" in text and "bits per byte" in text
    assert f"{100 * summary.cases[1].change.value:+.2f}" in text
    for role in ("query", "key", "value", "attention_output", "gate", "intermediate", "output"):
        assert f" {role}" in text
    assert re.search(rf"16 \.\. 31 +32 +{float32.tokens.by_position[1].perplexity:.3f}", text)
    content = to_json(summary)["references"][0]["tokens"]
    assert content["predictions"] == 92
    assert content["by_position"][0]["perplexity"] == float32.tokens.by_position[0].perplexity
    *_, positions = write_files([summary], tmp_path)
    rows = positions.read_text().splitlines()
    assert rows[0] == "trace,path,first,last,predictions,perplexity"
    assert len(rows) == 1 + 2 * 5


def test_an_output_matrix_on_hardware_is_a_layer_of_the_trace(text_trace):
    trace = read_trace(text_trace)
    digital = trace.cases["chip"].chips[0].layers
    layers = trace.cases["all"].chips[0].layers
    assert "logits" not in digital and list(layers)[-1] == "logits"
    logits = layers["logits"].rows
    assert (logits.tile_reads == 23 * layers["logits"].attributes.tiles).all()
    assert (10 < logits.local.snr_db).all() and np.isfinite(logits.accumulated.snr_db).all()


def test_windows_that_overlap_score_each_token_once(place):
    task = {"window": 24, "stride": 10, "windows": 3}
    trace = read_trace(run_of(place, "text.txt", task=task))
    losses = losses_by_hand(place, [0, 10, 20], 24)
    expected = np.concatenate([losses[0], losses[1][-10:], losses[2][-10:]])
    found = trace.reference["float32"].log_probability
    np.testing.assert_allclose(-found, expected, atol=1e-4)
    assert trace.examples.size.tolist() == [24 - 1, 10, 10]


def test_threads_change_no_bit(place, text_trace):
    other = run_of(place, "text.txt", 2, task={"window": 24, "windows": 4}, case=CASES)
    with h5py.File(text_trace) as one, h5py.File(other) as two:

        def same(name, item):
            if isinstance(item, h5py.Dataset):
                np.testing.assert_array_equal(item[:], two[name][:], name)

        one.visititems(same)


# ---------------------------------------------------------------- what calibrates


def test_what_calibrates_a_text_is_said_and_not_scored(place):
    def note(**task):
        trace = read_trace(run_of(place, "text.txt", task={"window": 24} | task))
        return trace.run.notes, len(trace.predictions)

    follow = "60 tokens of text.txt that follow the scored windows calibrate the converters and are"
    assert note(windows=4) == (f"{follow} not scored", 92)
    total = len(ids_of(TEXT))
    end, predictions = note()
    assert end.startswith("60 tokens of text.txt that end it calibrate")
    scored = total - 60
    assert predictions == scored - -(-scored // 24)
    other = note(windows=4, calibration=str(place / "pairs.tsv"))
    assert other == ("51 tokens of pairs.tsv calibrate the converters", 92)


def test_other_text_for_calibration_changes_the_chip_and_nothing_else(place, text_trace):
    task = {"window": 24, "windows": 4, "calibration": str(place / "pairs.tsv")}
    other = read_trace(run_of(place, "text.txt", task=task, case=CASES[1:2]))
    own = read_trace(text_trace)
    np.testing.assert_array_equal(
        other.reference["float32"].log_probability, own.reference["float32"].log_probability
    )
    chips = [trace.cases["chip"].chips[0].log_probability for trace in (own, other)]
    assert (chips[0] != chips[1]).any()


# ---------------------------------------------------------------- pairs and questions


def test_minimal_pairs_of_a_study(place):
    trace = read_trace(run_of(place, "pairs.tsv", task={"calibration": str(place / "text.txt")}))
    model = load_decoder(place / "model")

    def total(sentence):
        return slow_log_probabilities(model, [0, *ids_of(sentence)]).sum()

    right = [total(good) > total(bad) for good, bad in PAIRS]
    summary = summarise(trace)
    assert summary.references[0].metric.value == np.mean(right)
    assert summary.cases[0].change.value == 0
    assert trace.examples.index.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert trace.examples.label.tolist() == [1, 0] * 5
    assert "accuracy x 100" in render(summary)


def test_pairs_that_calibrate_are_not_scored(place):
    trace = read_trace(run_of(place, "pairs.tsv"))
    assert trace.run.notes.startswith("1 of the 5 pairs of pairs.tsv calibrate")
    assert trace.examples.index.tolist() == [1, 1, 2, 2, 3, 3, 4, 4]
    limited = read_trace(run_of(place, "pairs.tsv", task={"limit": 2}))
    assert limited.examples.index.tolist() == [1, 1, 3, 3]


def test_questions_of_a_study(place):
    task = {"calibration": str(place / "text.txt")}
    trace = read_trace(run_of(place, "questions.jsonl", task=task))
    model = load_decoder(place / "model")
    spoken = [
        (["the cat runs", "the cat is a crossbar", "the cat sat"], [5, 14, 4], 1),
        (["one two", "one three!"], [4, 7], 0),
        (["the cat is big", "the dog is big"], [7, 7], 1),
        None,
        (["two one", "two four"], [4, 5], 1),
    ]
    right = []
    normalised = []
    for question in spoken:
        if question is None:
            right.append(False)  # nothing that the tiny model says is a dog
            normalised.append(False)
            continue
        texts, counts, answer = question
        totals = [
            slow_log_probabilities(model, [0, *ids_of(text)])[-count:].sum()
            for text, count in zip(texts, counts, strict=True)
        ]
        right.append(np.argmax(totals) == answer)
        sizes = np.array(counts) - 1
        normalised.append(np.argmax(totals / sizes) == answer)
    float32 = summarise(trace).references[0]
    assert float32.metric.value == np.mean(right)
    assert float32.tokens.normalised.value == np.mean(normalised)
    task["metric"] = "accuracy_normalised"
    other = summarise(read_trace(run_of(place, "questions.jsonl", task=task)))
    assert other.references[0].metric.value == np.mean(normalised)


# ---------------------------------------------------------------- the trace


def test_the_page_states_every_data_set_of_a_decoder(text_trace):
    rows = {
        re.search("`(.+?)`", row["data set of a decoder"])[1]: row
        for table in tables_of_page()
        for row in table
        if "data set of a decoder" in row
    }
    seen = set()
    with h5py.File(text_trace) as file:
        for name, row in rows.items():
            path = name.replace("<path>", "int8").replace("<case>/<chip>", "chip/1")
            item = file[path]
            seen.add(path.rpartition("/")[2])
            assert (str(item.dtype), item.attrs["unit"]) == (row["type"], row["unit"])
            assert item.shape == ({"n": 4, "p": 92}[row["shape"]],)
        assert {"example", "position", "token"} == set(file["predictions"])
    assert {"size", "log_probability", "likeliest"} < seen


def test_a_run_of_a_decoder_is_repeated(place, text_trace):
    _, comparison = repeat.repeat(text_trace, place / "again", threads=2)
    assert comparison.same == ("all/0", "chip/0", "chip/1", "float32", "ideal/0", "int8")
    assert not comparison.different


def test_probabilities_that_are_none_are_refused(text_trace, tmp_path):
    (tmp_path / "spoilt.h5").write_bytes(text_trace.read_bytes())
    with h5py.File(tmp_path / "spoilt.h5", "a") as file:
        values = file["reference/int8/log_probability"]
        values[5] = np.nan
    with pytest.raises(TraceError, match="a log-probability of reference int8 is not finite"):
        summarise(read_trace(tmp_path / "spoilt.h5"))


# ---------------------------------------------------------------- what cannot be


def test_keys_of_other_tasks_are_said_to_have_no_effect(place):
    with pytest.warns(IdleSettingWarning):
        path = run_of(
            place,
            "text.txt",
            task={"windows": 2, "window": 24, "limit": 9, "probe_examples": 5},
            model={"name": str(place / "model"), "max_length": 9},
        )
    idle = read_trace(path).run.idle_settings.splitlines()
    assert [line.split(" ")[0] for line in idle] == [
        "model.max_length",
        "task.limit",
        "task.probe_examples",
    ]
    with pytest.warns(
        IdleSettingWarning, match=r"task.windows = 2 .* it needs a decoder and a text"
    ):
        run_of(place, "pairs.tsv", task={"windows": 2})


@pytest.mark.parametrize(
    ("file", "content", "task", "error", "message"),
    [
        ("a.txt", b"caf\xe9 au lait", {}, TaskError, "line 1: not UTF-8"),
        ("a.txt", b" \n", {}, TaskError, "the file is empty"),
        ("a.txt", b"x", {}, TaskError, "1 tokens; a perplexity needs two or more"),
        ("a.txt", b"abcdefg", {}, TaskError, "too short to calibrate .* task.calibration"),
        ("a.txt", b"abc" * 99, {"window": 65}, OutOfRangeError, "allowed are 2 to 64"),
        ("a.txt", b"abc" * 99, {"stride": 70}, OutOfRangeError, "stride is 70 tokens"),
        ("a.txt", b"abc" * 99, {"metric": "f1"}, ConfigError, "auto, perplexity"),
        ("a.tsv", b"good\tbad\na\tb\n", {}, TaskError, "too short to calibrate"),
        ("a.tsv", b"good\tbad\n" + b"a" * 70 + b"\tb\nc\td\n", {}, TaskError, "has 71 tokens"),
        ("a.csv", b"sentence,label\nx,1\ny,0\n", {}, TaskError, "which an encoder scores"),
        ("a.docx", b"x", {}, TaskError, "is no language task"),
    ],
)
def test_files_that_a_decoder_cannot_score(place, tmp_path, file, content, task, error, message):
    (tmp_path / file).write_bytes(content)
    with pytest.raises(error, match=message) as caught:
        run_of(place, "text.txt", task={"name": str(tmp_path / file)} | task)
    assert "\n" not in str(caught.value)


def test_an_encoder_refuses_a_text_in_one_line(place):
    make_tiny_bert(place / "bert", classes=2)
    model = {"name": str(place / "bert")}
    for file in ("text.txt", "pairs.tsv", "questions.jsonl"):
        with pytest.raises(TaskError, match="a decoder scores.*is an encoder"):
            run_of(place, file, model=model)


def test_the_command_line_runs_a_decoder(place, tmp_path):
    status, output = command(
        "run", "--model", place / "model", "--task", place / "text.txt", "--window", 24,
        "--windows", 2, "--out", tmp_path,
    )  # fmt: skip
    assert status == 0, output
    assert "perplexity" in output and "NO EFFECT: task.limit" in output


def test_checkpoints_that_are_wrong_are_one_line(place, tmp_path):
    text = {"name": str(place / "text.txt"), "window": 24, "windows": 1}
    damaged = make_tiny_decoder(tmp_path / "nan", "llama")
    tensors = load_file(damaged / "model.safetensors")
    tensors["model.layers.0.mlp.up_proj.weight"][3, 4] = np.nan
    save_file(tensors, damaged / "model.safetensors")
    with pytest.raises(CheckpointError, match="holds NaN or infinity"):
        run_of(place, "text.txt", task=text, model={"name": str(damaged)})
    smaller = make_tiny_decoder(tmp_path / "small", "llama", vocab_size=60)
    with pytest.raises(OutOfRangeError, match="the tokenizer belongs to another checkpoint"):
        run_of(place, "text.txt", task=text, model={"name": str(smaller)})


def test_batches_change_no_bit_of_a_chip(place, text_trace):
    task = {"window": 24, "windows": 4}
    alone = run_of(place, "text.txt", task=task, case=CASES[1:], run={"batch_examples": 1})
    one = read_trace(text_trace)
    two = read_trace(alone)
    for name in ("chip", "all"):
        for first, second in zip(one.cases[name].chips, two.cases[name].chips, strict=False):
            np.testing.assert_array_equal(first.log_probability, second.log_probability)


@pytest.mark.parametrize("file", ["text.txt", "pairs.tsv", "questions.jsonl"])
def test_a_sweep_of_a_decoder_is_planned_by_the_tokens_that_it_evaluates(place, file):
    study = study_of(place, file, sweep={"adc.bits": [6, 8]})
    plan = plan_sweep(points_of(study))
    assert len(plan.points) == 2 and plan.tiles > 0 and plan.seconds > 0
    network = load_network(study.model.name)
    expected = sum(map(len, work_of(study).examples.tokens))
    assert count_tokens(study, network) == expected > 0
