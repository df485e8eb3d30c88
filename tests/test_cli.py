"""The command line as a user sees it: results, files, and one clear line for every mistake."""
import json
import subprocess
import sys

import pytest
from tiny import make_tiny_bert
from typer.testing import CliRunner

from xbarsim import cli


def xbarsim(*arguments, monkeypatch=None):
    """(status, output, error) of a call."""
    result = CliRunner().invoke(cli.app, list(map(str, arguments)))
    return result


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    directory = tmp_path_factory.mktemp("cli")
    make_tiny_bert(directory / "model", pooling="mean")
    rows = ["the film was good\tthe movie was great\t4.5", "a bad plot\tthe dog runs\t0.5", "a man eats\ta woman eats\t3"]
    (directory / "pairs.tsv").write_text("\n".join(rows * 4) + "\n")
    (directory / "study.toml").write_text("[mapping]\nword_lines = 16\nbit_lines = 16\n")
    return directory


def test_run_report_and_json(place):
    done = xbarsim("run", place / "study.toml", "--model", place / "model", "--task", place / "pairs.tsv", "--limit", 8,
                   "--seed", 3, "--out", place / "runs", "--threads", 1, "--json")
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)[0]
    assert summary["metric"] == "spearman" and summary["seed"] == 3 and summary["examples"] == 8
    assert [path["name"] for path in summary["references"]] == ["float32", "int8"]
    again = xbarsim("report", summary["path"], "--out", place / "report")
    assert "INT8 digital" in again.stdout and "local SNR in dB" in again.stdout and "energy" in again.stdout
    assert {file.name for file in (place / "report").iterdir()} >= {"report.json", "paths.csv", "layers.csv"}


def test_evaluate_prints_the_documented_object(place):
    done = xbarsim("evaluate", place / "model", place / "pairs.tsv", "--reference", "int8", "--json")
    content = json.loads(done.stdout)
    assert {"metric", "value", "low", "high", "n"} <= content.keys() and content["n"] == 12
    assert "spearman" in xbarsim("evaluate", place / "model", place / "pairs.tsv").stdout


def test_lists(place):
    listing = xbarsim("fetch", "--list").stdout
    assert "all-MiniLM-L6-v2" in listing and "Apache-2.0" in listing and "MB" in listing
    assert "default" in xbarsim("study").stdout
    assert 'name = "default"' in xbarsim("study", "default").stdout


@pytest.mark.parametrize(("arguments", "message"), [
    (("run", "nowhere.toml"), "nowhere.toml"),
    (("run", "BAD"), "mapping.word_line"),
    (("run", "NEGATIVE"), "wires.word_line_resistance_ohm"),
    (("run", "--model", "gpt5"), "gpt5"),
    (("run", "--task", "nothing.tsv"), "nothing.tsv"),
    (("report", "nowhere.h5"), "no trace at nowhere.h5"),
    (("fetch", "unknown-name"), "unknown-name"),
    (("evaluate", "MODEL", "pairs.tsv", "--reference", "int4"), "int4"),
    (("study", "unknown"), "unknown"),
])
def test_mistakes_get_one_clear_line(place, arguments, message):
    (place / "bad.toml").write_text("[mapping]\nword_line = 16\n")
    (place / "negative.toml").write_text("[wires]\nword_line_resistance_ohm = -1.0\n")
    names = {"BAD": place / "bad.toml", "NEGATIVE": place / "negative.toml", "MODEL": place / "model",
             "pairs.tsv": place / "pairs.tsv"}
    command = [sys.executable, "-m", "xbarsim.cli", *(str(names.get(word, word)) for word in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=place)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert message in done.stderr and len(done.stderr.strip().splitlines()) <= 2, done.stderr
