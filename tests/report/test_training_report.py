"""What a report says of training, against training.json read with the standard library alone."""

import csv
import io
import json
import math

import pytest
from page_reader import PageReader
from tiny import make_tiny_place, tiny_study
from typer.testing import CliRunner

from xbarsim.cli import app as cli
from xbarsim.config.training import Training
from xbarsim.studies.run import run_study
from xbarsim.studies.training_record import HeldOutScore, HeldOutScores, TrainingRecord

LOSSES = tuple(2.0 / (1 + 0.11 * step) + 0.01 * (step % 3) for step in range(45))


def record_of(**changes):
    settings = {"steps": 45, "batch_examples": 8, "wires_every": 5, "save_every": 5}
    stated = {
        "model": "a-model",
        "source": "a-task",
        "is_text": False,
        "examples": 1234,
        "steps": 45,
        "seed": 77,
        "device": "rram-wan2022",
        "trained_parameters": 45678,
        "settings": Training(**settings | changes.pop("settings", {})),
        "study": 'name = "before"\n',
        "held_out": HeldOutScores(
            examples=40,
            before=HeldOutScore(loss=1.2345, accuracy=0.525),
            after=HeldOutScore(loss=0.4321, accuracy=0.8125),
        ),
        "loss": LOSSES,
    }
    return TrainingRecord(**stated | changes)


def written(place, record):
    place.mkdir(exist_ok=True)
    (place / "training.json").write_text(record.text())
    return json.loads((place / "training.json").read_text())


def report(*arguments, code=0):
    result = CliRunner().invoke(cli.app, ["report", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def row(text, name):
    """What a line of a fact says behind its name."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return line.removeprefix(name).strip()


def check_figures(text, raw):
    """Every figure of the lines of a training of sentences on chips."""
    settings = raw["settings"]
    losses = raw["loss"]
    first = sum(losses[:20]) / 20
    last = sum(losses[-20:]) / 20
    held_out = raw["held_out"]
    before = held_out["before"]
    after = held_out["after"]
    assert row(text, "model") == raw["model"]
    assert row(text, "trained on") == f"{raw['examples']:,} sentences of {raw['source']}"
    assert row(text, "steps") == (
        f"{raw['steps']} of {settings['steps']}, {settings['batch_examples']} sentences each, "
        f"learning rate {settings['learning_rate']:g}"
    )
    assert row(text, "chips") == (
        f"{len(losses)} of device {raw['device']}, another one in every step, seed {raw['seed']}; "
        f"wires solved and ranges fitted every {settings['wires_every']} steps"
    )
    assert row(text, "parameters") == f"{raw['trained_parameters']:,}"
    assert row(text, "loss") == f"{first:.4f} in the first 20 steps, {last:.4f} in the last"
    assert row(text, "held out") == (
        f"{held_out['examples']} sentences: accuracy {100 * before['accuracy']:.2f}, loss "
        f"{before['loss']:.4f} before, accuracy {100 * after['accuracy']:.2f}, loss "
        f"{after['loss']:.4f} after; on a chip that no step was taken on"
    )


def check_json(found, raw):
    losses = raw["loss"]
    assert found["loss"] == losses
    assert found["first_loss"] == pytest.approx(sum(losses[:20]) / 20, rel=1e-12)
    assert found["last_loss"] == pytest.approx(sum(losses[-20:]) / 20, rel=1e-12)
    assert found["chips"] == len(losses) and found["complete"]
    assert {key: found[key] for key in raw} == raw


def check_page(page, raw):
    plot = page.plots["training-loss"]
    steps, means = plot["data"]
    assert steps["y"] == raw["loss"] and steps["x"] == list(range(1, len(raw["loss"]) + 1))
    assert means["y"][-1] == pytest.approx(sum(raw["loss"][-20:]) / 20, rel=1e-12)
    assert means["y"][4] == pytest.approx(sum(raw["loss"][:5]) / 5, rel=1e-12)
    rows = list(csv.reader(io.StringIO(plot["csv"])))
    assert [float(loss) for _, loss in rows[1:]] == raw["loss"]


def test_a_directory_of_train(tmp_path):
    raw = written(tmp_path / "trained", record_of())
    text = report(tmp_path / "trained").stdout
    check_figures(text, raw)
    assert text.endswith(f"run it: xbarsim run {tmp_path / 'trained' / 'study.toml'}\n")
    page = tmp_path / "page.html"
    found = json.loads(report(tmp_path / "trained", "--json", "--html", page).stdout)
    check_json(found, raw)
    reader = PageReader(page)
    check_page(reader, raw)
    assert reader.cards["steps"] == ("45", "of 45")
    assert reader.cards["loss at last"][0] == f"{sum(raw['loss'][-20:]) / 20:.4f}"
    assert "accuracy 81.25" in reader.verdict[0] and reader.verdict[0].startswith("Held out: 40")


@pytest.fixture(scope="module")
def trained_trace(tmp_path_factory):
    """A trace of a model that `xbarsim train` made, and its training.json."""
    place = make_tiny_place(tmp_path_factory.mktemp("trained"))
    raw = written(place / "model", record_of())
    return run_study(tiny_study(place), place / "runs", threads=1), raw


def test_a_trace_of_a_trained_model(trained_trace, tmp_path):
    trace, raw = trained_trace
    text = report(trace).stdout
    check_figures(text.partition("\ntraining\n")[2], raw)
    page = tmp_path / "page.html"
    (found,) = json.loads(report(trace, "--json", "--html", page).stdout)
    check_json(found["training"], raw)
    check_page(PageReader(page), raw)


def test_other_traces_say_nothing_of_training(tmp_path):
    place = make_tiny_place(tmp_path)
    (place / "model" / "training.json").write_text('{"epochs": 3}')  # of another program
    trace = run_study(tiny_study(place), place / "runs", threads=1)
    (found,) = json.loads(report(trace, "--json").stdout)
    assert "training" not in found
    assert "training" not in report(trace).stdout.splitlines()


def test_of_a_text(tmp_path):
    changes = {
        "is_text": True,
        "settings": {"window": 32, "lora_rank": 4, "lora_alpha": 8.0, "redraw": False},
        "held_out": HeldOutScores(examples=5, before=HeldOutScore(loss=3.25)),
    }
    raw = written(tmp_path / "trained", record_of(**changes))
    text = report(tmp_path / "trained").stdout
    assert row(text, "trained on") == "1,234 windows of 32 tokens of a-task"
    assert row(text, "parameters") == "45,678, LoRA of rank 4, alpha 8"
    assert row(text, "chips").startswith(
        "1 of device rram-wan2022, the same in every step, seed 77"
    )
    perplexity = math.exp(raw["held_out"]["before"]["loss"])
    assert f"5 windows of 32 tokens: perplexity {perplexity:.3f} before;" in row(text, "held out")


def test_plain_training_has_no_chips(tmp_path):
    changes = {"settings": {"hardware_aware": False, "clip_deviations": 2.5}, "held_out": None}
    written(tmp_path / "trained", record_of(**changes))
    text = report(tmp_path / "trained").stdout
    assert row(text, "chips") == "none: plain training in float32"
    assert row(text, "parameters").endswith("held within 2.5 standard deviations")
    assert json.loads(report(tmp_path / "trained", "--json").stdout)["chips"] == 0


def test_training_that_is_under_way(tmp_path):
    written(tmp_path / "trained", record_of(steps=10, loss=LOSSES[:10], held_out=None))
    text = report(tmp_path / "trained").stdout
    assert text.startswith(
        "INCOMPLETE: Training was interrupted, or is under way: 10 of 45 steps are done."
    )
    assert f"go on: xbarsim train STUDY --out {tmp_path / 'trained'} --resume" in text
    assert row(text, "loss").startswith(f"{sum(LOSSES[:10]) / 10:.4f} in the first 10 steps")


def test_what_a_training_does_not_have(tmp_path):
    written(tmp_path / "trained", record_of())
    refused = report(tmp_path / "trained", "--picture", tmp_path / "a.png", code=2)
    assert "--picture" in refused.output and "directory of" in refused.output
    report(tmp_path / "trained", tmp_path / "trained", code=2)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "training.json").write_text('{"epochs": 3}')
    message = str(report(tmp_path / "other", code=1).exception)
    assert "training.json is no record of `xbarsim train` (model: Field required)" in message
    assert "\n" not in message


def test_a_network_of_images(tmp_path):
    score = {"metric": "accuracy", "value": 0.8125, "low": 0.75, "high": 0.875, "n": 1600}
    wear = {
        "pulses": 123456,
        "heating_pulses": 12,
        "pulses_per_cell": 3.25,
        "most_of_a_cell": 40,
        "not_responding": 7,
        "cells": 9000,
        "energy": 2.5e-6,
    }
    raw = {
        "model": "trained/model",
        "study": "trained/study.toml",
        "method": "in-situ",
        "images": 5000,
        "loss": [1.5, 0.75, 0.625],
        "accuracy": score,
        "accuracy_unaware": score | {"value": 0.5},
        "wear": wear,
        "something": 1,
    }
    (tmp_path / "training.json").write_text(json.dumps(raw))
    text = report(tmp_path).stdout
    assert row(text, "trained on") == "5,000 images, 3 epochs"
    assert row(text, "loss") == "1.5000 in the first epoch, 0.6250 in the last"
    assert row(text, "accuracy") == "81.25 (75.00 to 87.50) of 1,600 others"
    assert row(text, "unaware") == "50.00 (75.00 to 87.50) of 1,600 others"
    assert row(text, "wear") == (
        "123,456 pulses, 12 that heat; 3.2 of a cell on average, 40 at most; 7 of 9,000 cells do not "
        "respond; 2.5 µJ"
    )
    found = json.loads(report(tmp_path, "--json", "--html", tmp_path / "page.html").stdout)
    assert found["loss"] == raw["loss"] and found["wear"] == wear and found["accuracy"] == score
    page = PageReader(tmp_path / "page.html")
    (losses,) = page.plots["training-loss"]["data"]
    assert losses["y"] == raw["loss"] and losses["x"] == [1, 2, 3]
    assert page.cards["accuracy"] == ("81.25", "95 %: 75.00 to 87.50")
