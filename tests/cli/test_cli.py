"""The command line as a user sees it: results, files, and one clear line for every mistake."""

import json
import subprocess
import sys

import h5py
import numpy as np
import pytest
from tiny import make_tiny_bert
from typer.testing import CliRunner

from xbarsim import Crossbar, __version__, load_device
from xbarsim.base.errors import XbarsimError
from xbarsim.circuit import cells
from xbarsim.cli import app as cli


def xbarsim(*arguments):
    """Result of a call: exit_code, stdout, output."""
    return CliRunner().invoke(cli.app, list(map(str, arguments)))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    directory = tmp_path_factory.mktemp("cli")
    make_tiny_bert(directory / "model", pooling="mean")
    rows = [
        "the film was good\tthe movie was great\t4.5",
        "a bad plot\tthe dog runs\t0.5",
        "a man eats\ta woman eats\t3",
    ]
    (directory / "pairs.tsv").write_text("\n".join(rows * 4) + "\n")
    (directory / "study.toml").write_text("[mapping]\nword_lines = 16\nbit_lines = 16\n")
    return directory


def test_run_report_and_json(place):
    done = xbarsim(
        "run",
        place / "study.toml",
        "--model",
        place / "model",
        "--task",
        place / "pairs.tsv",
        "--limit",
        8,
        "--seed",
        3,
        "--out",
        place / "runs",
        "--threads",
        1,
        "--json",
    )
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)[0]
    assert summary["metric"] == "spearman" and summary["seed"] == 3 and summary["examples"] == 8
    assert [path["name"] for path in summary["references"]] == ["float32", "int8"]
    again = xbarsim("report", summary["path"], "--out", place / "report")
    assert (
        "INT8 digital" in again.stdout
        and "local SNR in dB" in again.stdout
        and "energy" in again.stdout
    )
    assert {file.name for file in (place / "report").iterdir()} >= {
        "report.json",
        "paths.csv",
        "layers.csv",
    }


def test_evaluate_prints_the_documented_object(place):
    done = xbarsim(
        "evaluate", place / "model", place / "pairs.tsv", "--reference", "int8", "--json"
    )
    content = json.loads(done.stdout)
    assert {"metric", "value", "low", "high", "n"} <= content.keys()
    assert content["n"] == 10  # two of the twelve pairs calibrate int8
    assert "2 of its examples calibrate" in content["notes"][0]
    shown = xbarsim("evaluate", place / "model", place / "pairs.tsv").stdout
    assert "spearman" in shown and shown.splitlines()[-1].split()[-1] == "12"


def test_lists(place):
    listing = xbarsim("fetch", "--list").stdout
    assert "all-MiniLM-L6-v2" in listing and "Apache-2.0" in listing and "MB" in listing
    assert "default" in xbarsim("study").stdout
    assert 'name = "default"' in xbarsim("study", "default").stdout


def test_the_keys_of_a_study_are_shown():
    whole = xbarsim("study", "--schema").stdout
    assert "adc.bits  whole number from 1 to 16" in whole and "[functions.softmax]" in whole
    one = xbarsim("study", "adc", "--schema").stdout
    assert one.startswith("[adc]  ") and "dac" not in one
    assert json.loads(xbarsim("study", "--schema", "--json").stdout)["$defs"]["Adc"]
    full = xbarsim("study", "default", "--full").stdout
    assert "#temperature_k =" in full and 'name = "rram-wan2022"' in full
    for words in (("--full", "--json"), ("adc", "--schema", "--json")):
        wrong = xbarsim("study", *words)
        assert wrong.exit_code == 2 and "Schema of a" in wrong.output


def test_keys_and_values_from_the_shell_are_those_of_the_run(place, tmp_path):
    words = ["--model", place / "model", "--task", place / "pairs.tsv", "--limit", 4]
    words += ["--set", "adc.bits=6", "--sweep", "dac.bits=4,8", "--out", tmp_path, "--threads", 1]
    done = xbarsim("run", place / "study.toml", *words, "--json")
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)[0]
    assert [case["name"] for case in summary["cases"]] == ["dac.bits = 4", "dac.bits = 8"]
    with h5py.File(tmp_path / "study.h5") as file:
        assert "[adc]\nbits = 6" in file.attrs["study"]
        assert "[dac]\nbits = 4" in file["cases/dac.bits = 4"].attrs["study"]
    wrong = xbarsim("run", place / "study.toml", "--set", "adc")
    assert "'adc' is not of the form KEY=VALUE" in str(wrong.exception)
    wrong = xbarsim("run", "--from", tmp_path / "study.h5", "--set", "adc.bits=4")
    assert wrong.exit_code == 2 and "the trace states the study" in wrong.output


def test_solve_reads_and_writes_all_formats(tmp_path):
    g, v = 1 / np.arange(10.0, 201.0, 10.0).reshape(5, 4), np.arange(5.0)
    np.save(tmp_path / "g.npy", g)
    np.savetxt(tmp_path / "v.csv", v)
    with h5py.File(tmp_path / "g.h5", "w") as file:
        file["a/g"], file["b"] = g, v
    expected = [0.060570196651101, 0.059327610716748, 0.056348738829253, 0.053352354575102]
    for source in ("g.npy", "g.h5:a/g"):
        done = xbarsim("solve", tmp_path / source, "--input", tmp_path / "v.csv", "--bit-line", 2)
        np.testing.assert_allclose(
            [float(cell) for cell in done.stdout.split(",")], expected, rtol=1e-12
        )
    done = xbarsim(
        "solve",
        tmp_path / "g.npy",
        "--input",
        tmp_path / "v.csv",
        "--bit-line",
        2,
        "--out",
        tmp_path / "o.h5",
        "--spice",
        tmp_path / "o.cir",
        "--picture",
        tmp_path / "o.png",
    )
    assert done.exit_code == 0, done.output
    with h5py.File(tmp_path / "o.h5") as file:
        np.testing.assert_allclose(file["output_current"][:], expected, rtol=1e-12)
        assert file["power"].attrs["unit"] == "W"
    assert (tmp_path / "o.cir").read_text().startswith("* crossbar") and (
        tmp_path / "o.png"
    ).stat().st_size > 5000
    done = xbarsim(
        "solve",
        tmp_path / "g.npy",
        "--bit-line",
        2,
        "--out",
        tmp_path / "t.npy",
        "--picture",
        tmp_path / "t.png",
    )
    np.testing.assert_allclose(np.load(tmp_path / "t.npy") @ v, expected, rtol=1e-12)


def test_solve_reaches_every_arrangement(tmp_path):
    rng = np.random.default_rng(0)
    g, v, word = (
        rng.uniform(1e-5, 1e-3, (5, 4)),
        rng.uniform(-0.5, 0.5, 4),
        rng.uniform(1, 30, (5, 5)),
    )
    (
        np.save(tmp_path / "g.npy", g),
        np.save(tmp_path / "v.npy", v),
        np.save(tmp_path / "w.npy", word),
    )
    np.savetxt(tmp_path / "iv.csv", [[-2, -3], [0, 0], [2, 4]], delimiter=",")
    call = [
        "solve",
        tmp_path / "g.npy",
        "--input",
        tmp_path / "v.npy",
        "--word-line",
        tmp_path / "w.npy",
        "--bit-line",
        2,
        "--source",
        3,
        "--sense",
        4,
        "--drive",
        "both",
        "--sensed",
        "top",
        "--transposed",
        "--floating-word-lines",
        "1",
        "--bias",
        0.1,
    ]
    options = dict(
        word_line_resistance=word,
        bit_line_resistance=2.0,
        source_resistance=3.0,
        sense_resistance=4.0,
        drive="both",
        sense="top",
        transposed=True,
        floating_word_lines=[1],
    )
    done = xbarsim(
        *call,
        "--out",
        tmp_path / "o.h5",
        "--sensitivity",
        "--noise",
        1e-6,
        "--settle",
        "1e-15,2e-15",
        "--within",
        0.5,
        "--lsb",
        1e-6,
        "--picture",
        tmp_path / "o.png",
        "--map",
        "voltage",
    )
    assert done.exit_code == 0, done.output
    xb = Crossbar(g, **options)
    settling = xb.settle(v, 1e-15, 2e-15, within=0.5, lsb=1e-6)
    with h5py.File(tmp_path / "o.h5") as file:
        for name, expected in (
            ("output_current", xb.solve(v, 0.1).output_current),
            ("sensitivity", xb.sensitivity(v, None, 0.1)),
            ("output_noise", xb.output_noise(v, 1e-6, 0.1)),
            ("settling_time", settling.settling_time),
            ("elmore_delay", settling.elmore_delay),
        ):
            np.testing.assert_array_equal(file[name][:], expected)
    for cell, twin in (
        ("sinh:0.3", cells.Sinh(0.3)),
        ("polynomial:2,0.1,1.5", cells.Polynomial((0.1, 1.5), 2.0)),
        (f"table:{tmp_path / 'iv.csv'}", cells.Table((-2, 0, 2), (-3, 0, 4))),
    ):
        done = xbarsim(*call, "--cell", cell, "--access", "transistor:2000,0.8,0.05")
        expected = (
            Crossbar(g, **options, cell=twin, access=cells.Transistor(2000, 0.8, 0.05))
            .solve(v, 0.1)
            .output_current
        )
        np.testing.assert_array_equal([float(value) for value in done.stdout.split(",")], expected)
    for wrong in (
        ["--cell", "diode:1"],
        ["--cell", "sinh"],
        ["--settle", "1"],
        ["--noise", "1e-6"],
        ["--map", "x"],
        ["--floating-bit-lines", "a"],
        ["--word-line", "none.npy"],
    ):
        done = xbarsim(*call, *wrong)
        assert done.exit_code != 0 and isinstance(done.exception, (SystemExit, XbarsimError)), (
            wrong,
            done.output,
        )


def test_devices(tmp_path, monkeypatch):
    listing = xbarsim("devices").stdout
    assert "rram-wan2022" in listing and "programming, drift, read_noise" in listing
    assert xbarsim("devices", "list").stdout == listing
    monkeypatch.chdir(tmp_path)
    picture = tmp_path / "drawn.svg"
    done = xbarsim("devices", "show", "rram-binary", "--picture", picture)
    assert done.exit_code == 0 and "telegraph" in picture.read_text()
    late = xbarsim("devices", "show", "pcm", "--time", 100)
    assert late.exit_code == 2 and "it needs --picture" in late.output


def test_one_bad_device_file_leaves_the_others_listed(tmp_path, monkeypatch):
    from xbarsim.devices import presets

    class Folder(presets.Presets):
        def _folder(self):
            return tmp_path

    (tmp_path / "good.toml").write_text(presets.device_text("ideal"))
    (tmp_path / "bad.toml").write_text("description = 1\n")
    monkeypatch.setattr(presets, "DEVICES", Folder("device", "devices"))
    said = []
    monkeypatch.setattr("xbarsim.cli.devices.say", said.append)
    done = xbarsim("devices")
    assert done.exit_code == 2 and "good" in done.stdout
    (sentence,) = said
    assert sentence.startswith(f"not listed: {tmp_path / 'bad.toml'}: ")
    assert "description = 1" in sentence


def test_what_a_device_prints_is_a_device_file(tmp_path, monkeypatch):
    """`xbarsim devices show NAME > mine.toml` without the extra `plot`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = xbarsim("devices", "show", "pcm")
    assert done.exit_code == 0 and not list(tmp_path.iterdir())
    (tmp_path / "mine.toml").write_text(done.stdout)
    assert load_device("mine.toml").file == load_device("pcm").file


def test_a_module_is_run_like_the_command():
    command = [sys.executable, "-m", "xbarsim", "--version"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.split() == ["xbarsim", __version__]


@pytest.mark.parametrize("words", [(), ("report",), ("chip", "compare")])
def test_h_is_help(words):
    assert xbarsim(*words, "-h").stdout == xbarsim(*words, "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("solve", "none.npy"), "none.npy: no such file"),
        (("solve", "BADCSV"), "line 2: not numbers"),
        (("solve", "pairs.tsv"), "allowed: .npy"),
        (("devices", "show", "unobtainium"), "unobtainium"),
        (("run", "LATE"), "device.time_s"),
        (("run", "nowhere.toml"), "nowhere.toml"),
        (("run", "BAD"), "mapping.word_line"),
        (("run", "NEGATIVE"), "wires.word_line_resistance_ohm"),
        (("run", "--device", "unobtainium"), "no device 'unobtainium'"),
        (("run", "--model", "gpt5"), "gpt5"),
        (("run", "--task", "nothing.tsv"), "nothing.tsv"),
        (
            ("run", "--model", "MODEL", "--task", "pairs.tsv", "--out", "pairs.tsv"),
            "choose another --out directory",
        ),
        (("evaluate", "MODEL", "pairs.json"), "one object on each line"),
        (("report", "nowhere.h5"), "no trace at nowhere.h5"),
        (("fetch", "unknown-name"), "unknown-name"),
        (("evaluate", "MODEL", "pairs.tsv", "--reference", "int4"), "int4"),
        (("study", "unknown"), "unknown"),
    ],
)
def test_mistakes_get_one_clear_line(place, arguments, message):
    (place / "bad.toml").write_text("[mapping]\nword_line = 16\n")
    (place / "bad.csv").write_text("1,2\n3,x\n")
    (place / "negative.toml").write_text("[wires]\nword_line_resistance_ohm = -1.0\n")
    (place / "pairs.json").write_text('{\n"sentence1": []\n}\n')
    (place / "late.toml").write_text("[device]\ntime_s = 1e9\n")
    names = {
        "LATE": place / "late.toml",
        "BAD": place / "bad.toml",
        "NEGATIVE": place / "negative.toml",
        "MODEL": place / "model",
        "BADCSV": place / "bad.csv",
        "pairs.tsv": place / "pairs.tsv",
    }
    command = [
        sys.executable,
        "-m",
        "xbarsim.cli.app",
        *(str(names.get(word, word)) for word in arguments),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=place)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert message in done.stderr and len(done.stderr.strip().splitlines()) <= 2, done.stderr
