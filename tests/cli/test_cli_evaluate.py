"""The commands on models without hardware, with a tiny decoder and a tiny encoder."""

import json

import numpy as np
import pytest
from tiny import WORDS, make_tiny_place
from tiny_decoders import character_tokenizer, make_tiny_decoder
from typer.testing import CliRunner

from xbarsim.cli.app import app
from xbarsim.models.decoder_checkpoint import load_decoder
from xbarsim.studies import generation, language
from xbarsim.studies.language_examples import Scope
from xbarsim.tasks.language_files import Text

TEXT = "every weight lies in the crossbar and every token reads it. " * 3


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = make_tiny_place(tmp_path_factory.mktemp("evaluate"))
    make_tiny_decoder(place / "decoder", "gpt2")
    (place / "text.txt").write_text(TEXT)
    (place / "pairs.tsv").write_text("good\tbad\nthe cat\tcat the\na b\tb a\n")
    return place


def invoke(*words):
    return CliRunner().invoke(app, list(map(str, words)))


def unwrapped(output):
    """What stands in the frame that an error of the command line is drawn with."""
    return " ".join(output.replace("│", " ").split())


def test_a_text_is_scored_by_windows(place):
    done = invoke(
        "evaluate", place / "decoder", place / "text.txt", "--window", 16, "--windows", 3, "--json"
    )
    assert done.exit_code == 0, done.output
    content = json.loads(done.stdout)
    model = load_decoder(place / "decoder")
    expected = language.evaluate_language(
        model, character_tokenizer(), Text("t", TEXT, ""), Scope(window=16, windows=3)
    )
    assert (content["metric"], content["n"]) == ("perplexity", 45)
    assert content["value"] == pytest.approx(expected.metrics[0].value, rel=1e-12)
    assert content["bits_per_byte"] == pytest.approx(expected.bits_per_byte, rel=1e-12)
    shown = invoke(
        "evaluate", place / "decoder", place / "text.txt", "--window", 16, "--windows", 3
    )
    assert f"{content['value']:.3f}" in shown.stdout and "45 predictions" in shown.stdout


def test_minimal_pairs_are_scored_as_accuracy(place):
    done = invoke("evaluate", place / "decoder", place / "pairs.tsv", "--json")
    content = json.loads(done.stdout)
    assert (content["metric"], content["n"]) == ("accuracy", 2)
    assert content["value"] in (0.0, 0.5, 1.0)


def test_an_encoder_is_scored_as_before(place):
    done = invoke("evaluate", place / "model", place / "task.tsv", "--json")
    assert json.loads(done.stdout)["metric"] == "accuracy"


def test_a_run_says_the_same_of_float32(place):
    """Value and interval, to the digit that is printed and to the bit: the same seed draws both."""
    rng = np.random.default_rng(0)
    rows = [f"{' '.join(rng.choice(WORDS[:30], 5))}\t{k % 2}\ttest" for k in range(40)]
    for name, lines in (("scored", rows), ("other", rows[:9])):
        (place / f"{name}.tsv").write_text("sentence\tlabel\tsplit\n" + "\n".join(lines) + "\n")
    files = ["--calibration", place / "other.tsv"]
    keys = {
        "task.metric": "f1",
        "task.limit": 40,
        "mapping.word_lines": 16,
        "mapping.bit_lines": 16,
    }
    settings = [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]
    chosen = ["--model", place / "model", "--task", place / "scored.tsv", "--out", place / "runs"]
    run = invoke("run", *chosen, *files, *settings, "--sweep", "adc.bits=8")
    assert run.exit_code == 0, run.output
    (trace,) = (place / "runs").glob("*.h5")
    stated = json.loads(invoke("report", trace, "--json").stdout)[0]["references"][0]
    command = ["evaluate", place / "model", place / "scored.tsv", *files]
    metrics = json.loads(invoke(*command, "--json").stdout)["metrics"]
    (found,) = [one for one in metrics if one["metric"] == "f1"]
    assert [found[key] for key in ("value", "low", "high")] == [
        stated[key] for key in ("value", "low", "high")
    ]
    (printed,) = [line for line in run.stdout.splitlines() if line.startswith("float32 ")]
    shown = invoke(*command).stdout.splitlines()
    (row,) = [line for line in shown if line.startswith("f1 x 100")]
    assert row.split()[3:] == printed.split()[1:]
    other = json.loads(invoke(*command, "--seed", 1, "--json").stdout)["metrics"]
    assert [one["low"] for one in other if one["metric"] == "f1"] != [found["low"]]
    refused = invoke("evaluate", place / "decoder", place / "text.txt", "--seed", 1)
    assert refused.exit_code and "seed needs an encoder" in str(refused.exception)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("decoder", "text.txt", "--reference", "int8"), "float32 is the only one"),
        (("decoder", "text.txt", "--calibration", "x"), "calibration needs an encoder"),
        (("decoder", "pairs.tsv", "--window", "8"), "windows and strides need one"),
        (("decoder", "text.txt", "--limit", "8"), "is a text"),
        (("model", "task.tsv", "--window", "8"), "window needs a decoder"),
    ],
)
def test_options_of_the_other_kind_are_refused(place, words, message):
    arguments = [str(place / word) if (place / word).exists() else word for word in words]
    done = CliRunner().invoke(app, ["evaluate", *arguments])
    assert done.exit_code != 0
    assert message in unwrapped(done.output) + str(done.exception)


def test_generate_prints_the_prompt_and_what_follows(place):
    done = invoke("generate", place / "decoder", "the cell ", "--tokens", 12)
    model = load_decoder(place / "decoder")
    text = generation.generate(model, character_tokenizer(), "the cell ", tokens=12)
    assert done.exit_code == 0 and done.stdout.rstrip("\n") == ("the cell " + text).rstrip("\n")
    refused = invoke("generate", place / "model", "the")
    assert refused.exit_code != 0 and "does not predict" in unwrapped(refused.output)
