"""`xbarsim sweep` as a user sees it."""

import json

import pytest
import tomli_w
from tiny import make_tiny_place
from typer.testing import CliRunner

from xbarsim.base.errors import ConfigError
from xbarsim.cli import app as cli


def xbarsim(*arguments):
    """Result of a call: exit_code, stdout, output."""
    return CliRunner().invoke(cli.app, list(map(str, arguments)))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = make_tiny_place(tmp_path_factory.mktemp("place"))
    study = {
        "name": "bits",
        "model": {"name": str(place / "model")},
        "task": {"name": str(place / "task.tsv")},
        "mapping": {"word_lines": 16, "bit_lines": 16},
        "sweep": {"adc.bits": [2, 8]},
    }
    (place / "study.toml").write_text(tomli_w.dumps(study))
    return place


def test_a_sweep_from_plan_to_status(place):
    planned = xbarsim("sweep", place / "study.toml", "--dry-run")
    assert planned.exit_code == 0, planned.output
    # 2 layers of 4 matrices of 16 x 16, and 32 x 16 and 16 x 32, as twin tiles of 16 x 16
    assert planned.stdout.startswith(f"2 points, {2 * 2 * 2 * (4 + 2 + 2)} tiles\n")
    out = place / "sweep"
    done = xbarsim("sweep", place / "study.toml", "--out", out)
    assert done.exit_code == 0, done.output
    header, first, second, states, swing = done.stdout.splitlines()
    assert header.split()[:3] == ["point", "adc.bits", "case"]
    assert first.split()[:3] == ["1", "2", "chip"] and second.split()[:3] == ["2", "8", "chip"]
    assert states == "2 done, 0 running, 0 failed, 0 waiting" and swing.startswith("adc.bits: ")
    again = xbarsim("sweep", "--resume", out, "--json")
    assert again.exit_code == 0, again.output
    shown = xbarsim("sweep", "--status", out, "--json")
    assert json.loads(shown.stdout) == json.loads(again.stdout)
    assert [row["adc.bits"] for row in json.loads(shown.stdout)["rows"]] == [2, 8]


def test_a_point_that_fails_is_the_exit_status(place, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("xbarsim.cli.points.say", said.append)
    content = (place / "study.toml").read_text().replace("2,\n    8", "8")
    content += '"device.time_s" = [1e30]\n"device.name" = ["pcm"]\n'
    (tmp_path / "study.toml").write_text(content)
    done = xbarsim("sweep", tmp_path / "study.toml", "--out", tmp_path / "sweep")
    assert done.exit_code == 1
    assert "point 1 failed: " in done.stdout and said[0].startswith("point-00001 failed: ")


def test_axes_and_keys_come_from_the_shell_too(place, tmp_path):
    """An axis of the shell stands beside those of the study, a key in the place of its own."""
    words = ["--sweep", "mapping.word_lines=8,16", "--set", "task.limit=4"]
    planned = xbarsim("sweep", place / "study.toml", *words, "--dry-run")
    assert planned.stdout.startswith("4 points, "), planned.output
    out = tmp_path / "sweep"
    done = xbarsim("sweep", place / "study.toml", *words, "--set", "adc.bits=ideal", "--out", out)
    assert done.exit_code == 0, done.output
    content = json.loads((out / "sweep.json").read_text())
    points = [entry["values"] for entry in content["points"]]
    assert points[1] == {"adc.bits": 2, "mapping.word_lines": 16}
    assert content["study"]["task"]["limit"] == 4 and content["study"]["adc"]["bits"] == "ideal"
    wrong = xbarsim("sweep", place / "study.toml", "--set", "adc.bist=4", "--out", tmp_path / "x")
    assert "did you mean 'adc.bits'" in str(wrong.exception)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--status", "sweep", "--set", "adc.bits=4"), "the directory states the study"),
        ((), "give one of STUDY, --resume DIR and --status DIR"),
        (("study.toml", "--status", "sweep"), "give one of"),
        (("study.toml",), "name a new directory"),
    ],
)
def test_what_does_not_go_together_is_said(place, monkeypatch, arguments, words):
    monkeypatch.chdir(place)
    done = xbarsim("sweep", *arguments)
    assert done.exit_code == 2
    assert words in " ".join(done.output.replace("│", " ").split())


def test_a_directory_without_a_sweep_is_one_line(place, tmp_path):
    for option in ("--resume", "--status"):
        done = xbarsim("sweep", option, tmp_path)
        assert isinstance(done.exception, ConfigError) and "holds no sweep" in str(done.exception)
