"""Output files are whole or what they were before, and never an input."""

import os
import subprocess
import sys

import pytest
from tiny import make_tiny_place, tiny_study
from typer.testing import CliRunner

from xbarsim.base.errors import ConfigError, OutputError
from xbarsim.base.files import refuse_overwriting, replacing
from xbarsim.cli.app import app
from xbarsim.report.plots import runs
from xbarsim.report.summary import summarise
from xbarsim.studies import run
from xbarsim.studies.trace_reader import read_trace


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A trace of two cases in runs/tiny.h5."""
    place = make_tiny_place(tmp_path_factory.mktemp("place"))
    cases = [{"name": "a", "adc": {"bits": 6}}, {"name": "b"}]
    run.run_study(tiny_study(place, case=cases), place / "runs", threads=1)
    return place


def test_a_file_is_new_or_what_it_was(tmp_path):
    path = tmp_path / "new" / "x.txt"
    with replacing(path) as file:
        file.write("µ first")
        assert not path.exists()
    with pytest.raises(ZeroDivisionError), replacing(path) as file:
        file.write("half of the sec")
        raise ZeroDivisionError
    assert path.read_text(encoding="utf-8") == "µ first"
    with replacing(path, "wb") as file:
        file.write(b"second")
    assert path.read_bytes() == b"second" and os.listdir(path.parent) == ["x.txt"]


def test_a_link_and_a_device_stay_what_they_are(tmp_path):
    (tmp_path / "there").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "there")
    with replacing(tmp_path / "link") as file:
        file.write("new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "there").read_text() == "new"
    with replacing("/dev/null") as file:
        file.write("gone")
    assert not os.path.isfile("/dev/null")


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file/x cannot be written \(.*\); free space"):
        with replacing(tmp_path / "file" / "x") as file:
            file.write("")


def test_no_space_leaves_the_old_file(tmp_path):
    """EFBIG stands for ENOSPC: a largest file size instead of a full disk."""
    code = (
        "import resource, signal, sys\n"
        "from xbarsim.base.files import replacing\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "with replacing(sys.argv[1]) as file:\n"
        "    file.write('x' * 5000)\n"
    )
    (tmp_path / "x").write_text("old")
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, tmp_path / "x"], capture_output=True, text=True
    )
    assert "OutputError" in done.stderr and "File too large" in done.stderr
    assert (tmp_path / "x").read_text() == "old" and os.listdir(tmp_path) == ["x"]


def test_an_output_that_is_an_input_is_refused(tmp_path):
    (tmp_path / "in").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for out in ("in", "link", "../" + tmp_path.name + "/in"):
        with pytest.raises(ConfigError, match="--out .* is an input of this command"):
            refuse_overwriting([("--out", tmp_path / out)], ["default", None, tmp_path / "in"])
    os.link(tmp_path / "in", tmp_path / "hard")
    with pytest.raises(ConfigError, match="--out .* is an input of this command"):
        refuse_overwriting([("--out", tmp_path / "hard")], [tmp_path / "in"])
    refuse_overwriting([("--out", tmp_path / "other"), ("--picture", None)], [tmp_path / "in"])


def test_one_file_for_two_outputs_is_refused(tmp_path):
    both = [("--out", tmp_path / "x"), ("--picture", tmp_path / "y" / ".." / "x")]
    with pytest.raises(ConfigError, match="--picture .* is the file of --out"):
        refuse_overwriting(both, [])


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (("report", "TRACE", "--against", "adc.bits"), "--out"),
        (("report", "TRACE", "--against", "adc.bits"), "--picture"),
        (("report", "TRACE"), "--picture"),
        (("memory", "STUDY"), "--picture"),
    ],
)
def test_commands_refuse_to_overwrite_their_input(place, command, option):
    trace = place / "runs" / "tiny.h5"
    before = trace.read_bytes()
    given = {"TRACE": str(trace), "STUDY": str(place / "study.toml")}
    words = [given.get(word, word) for word in command]
    result = CliRunner().invoke(app, [*words, option, words[1]])
    assert isinstance(result.exception, ConfigError) and "is an input" in str(result.exception)
    assert trace.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("TRACE",), "allowed: one, whose cases vary the key"),
        (("--json",), "--json has no effect beside it"),
        (("--chip", "multibit"), "--chip has no effect beside it"),
        (("--batch", "1"), "--batch has no effect beside it"),
        (("--out", "DIRECTORY"), "with --against it names one file that ends in .csv"),
    ],
)
def test_a_curve_refuses_options_of_tables(place, tmp_path, words, message):
    trace = str(place / "runs" / "tiny.h5")
    given = {"TRACE": trace, "DIRECTORY": "."}
    words = [given.get(word, word) for word in words]
    done = CliRunner().invoke(app, ["report", trace, "--against", "adc.bits", *words])
    said = " ".join(done.output.replace("│", " ").split())
    assert done.exit_code == 2 and message in said


def test_a_report_beside_a_trace_of_the_same_name_is_refused(place, tmp_path):
    trace = tmp_path / "report.json"
    trace.write_bytes((place / "runs" / "tiny.h5").read_bytes())
    result = CliRunner().invoke(app, ["report", str(trace), "--out", str(tmp_path)])
    assert isinstance(result.exception, ConfigError)
    assert read_trace(trace).run.complete


def test_a_picture_without_a_suffix_says_what_it_wrote(place, tmp_path):
    summary = summarise(read_trace(place / "runs" / "tiny.h5"))
    written = runs.layer_snr(summary, tmp_path / "picture")
    assert written == tmp_path / "picture.png" and written.read_bytes()[:4] == b"\x89PNG"
    assert runs.layer_snr(summary, tmp_path / "p.pdf").read_bytes()[:4] == b"%PDF"
    with pytest.raises(ConfigError, match="choose a suffix such as .png"):
        runs.layer_snr(summary, tmp_path / "p.xyz")
    assert sorted(os.listdir(tmp_path)) == ["p.pdf", "picture.png"]
