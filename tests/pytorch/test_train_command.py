"""`xbarsim train` of an encoder or a decoder, as its user calls it: options together, what it prints,
what is refused in one line."""

import json

import pytest
from tiny import make_tiny_place, tiny_study
from tiny_decoders import make_tiny_decoder
from torch_wanted import want_pytorch
from typer.testing import CliRunner

want_pytorch()

from xbarsim.base.errors import (  # noqa: E402
    CheckpointError,
    ConfigError,
    FetchError,
    TaskError,
    XbarsimError,
)
from xbarsim.cli import app as cli  # noqa: E402
from xbarsim.cli import train as train_module  # noqa: E402
from xbarsim.torch.training import loop  # noqa: E402

FAST = {"steps": 4, "batch_examples": 2, "wires_every": 2, "save_every": 2, "learning_rate": 1e-3}
PLAIN = {"steps": 4, "batch_examples": 2, "hardware_aware": False, "save_every": 2}


def train(*arguments, code=0):
    result = CliRunner().invoke(cli.app, ["train", *map(str, arguments)])
    if result.exit_code != code and result.exception is not None:
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def refusal(kind, *arguments):
    """The one line of an error."""
    result = CliRunner().invoke(cli.app, ["train", *map(str, arguments)])
    assert isinstance(result.exception, kind), (result.output, result.exception)
    message = str(result.exception)
    assert message and "\n" not in message
    return message


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    found = make_tiny_place(tmp_path_factory.mktemp("place"))
    rows = (found / "task.tsv").read_text().splitlines()
    shifted = [row.replace("\ttest", "\ttrain") for row in rows[5:19]]
    (found / "long.tsv").write_text("\n".join([*rows[:5], *shifted, *rows[19:]]) + "\n")
    return found


@pytest.fixture
def study(place):
    """The path of a study that trains on chips."""
    tiny_study(place, task={"name": str(place / "long.tsv")}, training=FAST)
    return place / "study.toml"


@pytest.fixture
def said(monkeypatch):
    """Sentences beside the result, which are written past Python's buffers."""
    found = []
    monkeypatch.setattr(train_module, "say", found.append)
    return found


def test_what_it_prints(study, tmp_path):
    out = tmp_path / "out"
    result = train(study, "--out", out)
    record = json.loads((out / "training.json").read_text())
    last = sum(record["loss"]) / 4
    assert result.stdout == (
        f"{out / 'model'}: 4 steps, loss {last:.4f} at last\nrun it: xbarsim run {out / 'study.toml'}\n"
    )
    assert json.loads((out / "model" / "training.json").read_text()) == record


def test_json_quiet_and_held_out_examples(study, tmp_path):
    result = train(
        study, "--out", tmp_path / "out", "--json", "--quiet", "--set", "training.held_out=5"
    )
    assert result.stderr == ""  # nothing of transformers either
    found = json.loads(result.stdout)
    record = json.loads((tmp_path / "out" / "training.json").read_text())
    assert found["steps"] == 4 and found["model"] == str(tmp_path / "out" / "model")
    assert found["held_out"] == record["held_out"]
    assert record["held_out"]["examples"] == 5 and record["examples"] == 13
    for score in (record["held_out"]["before"], record["held_out"]["after"]):
        assert score["loss"] > 0 and (5 * score["accuracy"]) == pytest.approx(
            round(5 * score["accuracy"])
        )


def test_resume_takes_the_same_settings_only(study, tmp_path, said):
    out = tmp_path / "out"
    same = ("--set", "training.steps=6", "--set", "training.held_out=3")
    train(study, "--out", out, *same)
    before = (out / "training.json").read_text()
    train(study, "--out", out, *same, "--resume")
    assert said == ["going on after step 6 of 6"]
    assert (out / "training.json").read_text() == before
    message = refusal(ConfigError, study, "--out", out, "--resume", "--set", "training.steps=7")
    assert "state.pt is of another study, model or task; give another --out" in message
    assert "is not empty; give another --out, or --resume" in refusal(
        ConfigError, study, "--out", out
    )
    train(study, "--out", tmp_path / "new", "--resume", "--set", "training.steps=2")
    assert said[1:] == [f"no state in {tmp_path / 'new'}: training starts anew"]


def test_held_out_scores_of_a_run_that_goes_on(study, tmp_path, monkeypatch, said):
    """The score before the first step is kept; all is as without the interruption."""
    held = ("--set", "training.held_out=3")
    train(study, "--out", tmp_path / "whole", *held)

    def stopping(self, state_file):
        if self.step == 3:
            raise KeyboardInterrupt
        take_step(self, state_file)

    take_step = loop._Run.take_step
    monkeypatch.setattr(loop._Run, "take_step", stopping)
    stopped = train(study, "--out", tmp_path / "cut", *held, code=130)
    assert f"--resume goes on from the state in {tmp_path / 'cut'}" in stopped.stderr
    part = json.loads((tmp_path / "cut" / "training.json").read_text())
    assert part["steps"] == 2 and part["held_out"]["after"] is None
    monkeypatch.setattr(loop._Run, "take_step", take_step)
    train(study, "--out", tmp_path / "cut", *held, "--resume")
    whole, cut = ((tmp_path / name / "training.json").read_text() for name in ("whole", "cut"))
    assert whole == cut


def test_a_file_in_the_place_of_the_directory(study, tmp_path):
    (tmp_path / "out").touch()
    assert "out is a file; give --out a directory" in refusal(
        ConfigError, study, "--out", tmp_path / "out"
    )


def test_a_study_by_name(tmp_path, monkeypatch):
    """An embedded one: its own model and task, which are not read here."""
    seen = []

    def material_of(study, progress):
        seen.append(study)
        raise TaskError("stopped here")

    monkeypatch.setattr(loop, "material_of", material_of)
    settings = ("--set", "training.steps=7", "--set", "training.hardware_aware=false")
    with pytest.warns(UserWarning, match="needs training.hardware_aware = true"):
        refusal(TaskError, "hardware-aware", "--out", tmp_path / "out", *settings)
    assert seen[0].training.steps == 7 and seen[0].model.name == "all-MiniLM-L6-v2"
    assert "no study 'hardwareaware'" in refusal(ConfigError, "hardwareaware")


def test_settings_without_effect_are_named(place, tmp_path):
    idle = {"wires_every": 2, "lora_alpha": 3.0, "window": 9}
    tiny_study(place, task={"name": str(place / "long.tsv")}, training=PLAIN | idle)
    with pytest.warns(UserWarning) as warned:
        train(place / "study.toml", "--out", tmp_path / "out")
    said = [str(one.message) for one in warned if "[training]" not in str(one.message)]
    assert sorted(text.split(" has no effect: it needs ")[1] for text in said) == [
        "training.hardware_aware = true",
        "training.lora_rank",
        "training.text, of a decoder",
    ]


# ---------------------------------------------------------------- refused


def test_options_that_are_another_kind(study):
    assert "is for a config.json" in train(study, "--epochs", 3, code=2).output
    assert "is for a config.json" in train(study, "mnist", code=2).output


def test_shapes_that_do_not_tile(place, tmp_path):
    mapping = {"word_lines": 16, "bit_lines": 4, "placement": "neighbour", "encoding": "slices"}
    tiny_study(place, task={"name": str(place / "long.tsv")}, mapping=mapping, training=FAST)
    message = refusal(ConfigError, place / "study.toml", "--out", tmp_path / "out")
    assert "cells per weight do not fit on mapping.bit_lines = 4" in message


def test_a_task_without_a_training_part(place, tmp_path):
    rows = (place / "task.tsv").read_text().replace("\ttrain", "\ttest")
    (tmp_path / "tests.tsv").write_text(rows)
    tiny_study(place, task={"name": str(tmp_path / "tests.tsv")}, training=FAST)
    message = refusal(TaskError, place / "study.toml", "--out", tmp_path / "out")
    assert "training" in message


def test_more_held_out_than_there_are(study, tmp_path):
    out = ("--out", tmp_path / "out")
    message = refusal(ConfigError, study, *out, "--set", "training.held_out=18")
    assert "training.held_out = 18 of 18 training examples; allowed: fewer" in message
    message = refusal(TaskError, study, *out, "--set", "training.held_out=17")
    assert "has 1 training examples to train on, fewer than" in message


@pytest.fixture(scope="module")
def decoder_place(tmp_path_factory):
    found = tmp_path_factory.mktemp("decoder")
    make_tiny_decoder(found / "model", "llama")
    (found / "text.txt").write_text("the dog sees a cat in the story . " * 20)
    (found / "short.txt").write_text("the dog sees a cat .")
    return found


@pytest.mark.parametrize(
    "training, kind, words",
    [
        ({}, ConfigError, "training.text is absent; state the text"),
        ({"text": "short.txt"}, TaskError, "windows of 16 tokens to train on, fewer than"),
        ({"text": "nowhere.txt"}, XbarsimError, "nowhere.txt"),
    ],
)
def test_texts_of_a_decoder(decoder_place, tmp_path, training, kind, words):
    if "text" in training:
        training = {"text": str(decoder_place / training["text"])}
    tiny_study(
        decoder_place,
        task={"name": str(decoder_place / "text.txt"), "window": 24, "calibration_tokens": 60},
        training=FAST | {"window": 16} | training,
    )
    assert words in refusal(kind, decoder_place / "study.toml", "--out", tmp_path / "out")


def test_models_that_are_not_trained(place, tmp_path):
    out = ("--out", tmp_path / "out")
    tiny_study(place, model={"name": "nowhere"}, training=FAST)
    refusal((CheckpointError, FetchError), place / "study.toml", *out)
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "wav2vec2"}')
    tiny_study(place, model={"name": str(other)}, training=FAST)
    assert "wav2vec2" in refusal(CheckpointError, place / "study.toml", *out)


def test_peft_is_named_where_it_is_missing(study, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "peft", None)
    message = refusal(
        ConfigError, study, "--out", tmp_path / "out", "--set", "training.lora_rank=2"
    )
    assert message == "training.lora_rank needs peft: pip install peft"
