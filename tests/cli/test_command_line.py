"""The command line as a whole: its help, its options, its exit codes, what a pipe and a terminal
see, and what shells complete."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from xbarsim import __main__ as start
from xbarsim.base.errors import ConfigError
from xbarsim.cli import app as cli
from xbarsim.cli import commands, console
from xbarsim.cli.exit_codes import ExitCode

DOCS = Path(__file__).parents[2] / "docs"
LINES = 40  # of a small screen
COLUMNS = 80

# which command has --json, and what else of --out, --picture and --threads
OPTIONS = {
    "run": {"--json", "--out", "--threads"},
    "sweep": {"--json", "--out", "--threads"},
    "budget": {"--json", "--out", "--picture", "--threads"},
    "generate": {"--json"},
    "evaluate": {"--json"},
    "train": {"--json", "--out"},
    "report": {"--json", "--out", "--picture"},
    "export": {"--threads"},  # its result is index.json
    "study": {"--json"},
    "fetch": {"--json"},
    "calibrate": {"--json", "--out", "--picture"},
    "devices list": {"--json"},
    "devices show": {"--picture"},  # prints a file
    "solve": {"--json", "--out", "--picture"},
    "memory": {"--json", "--picture"},
    "chip list": {"--json"},
    "chip show": {"--json"},
    "chip compare": {"--json", "--out", "--picture"},
    "chip claims": {"--json", "--out", "--picture"},
    "doctor": {"--json"},
    "completion": set(),  # prints a script
    "scheduler": set(),  # runs another program
}


def xbarsim(*arguments):
    """Result of a call: exit_code, stdout, output."""
    return CliRunner().invoke(cli.app, list(map(str, arguments)), terminal_width=COLUMNS)


def process(*arguments, code="from xbarsim.__main__ import main", **options):
    """A process of its own that runs code and then the command line."""
    program = f"import sys\nsys.argv = ['xbarsim', *sys.argv[1:]]\n{code}\nmain()"
    words = [sys.executable, "-P", "-c", program, *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(words, **(pipes | options))


def whole_tree():
    """{"chip show": command} of every command that does something."""
    found = {}
    for name, command in typer.main.get_command(cli.app).commands.items():
        inner = getattr(command, "commands", None)
        if inner is None:
            found[name] = command
        for further, one in (inner or {}).items():
            found[f"{name} {further}"] = one
    return found


def examples(name):
    """Command lines below "Examples:" in the help of a command."""
    said = xbarsim(*name.split(), "--help").stdout
    block = said.split("Examples:\n")[1].split("\n\n")[0]
    return [line.strip() for line in block.splitlines()]


# ---------------------------------------------------------------- help


def test_the_help_fits_a_screen_and_groups_by_task():
    said = xbarsim("--help").stdout
    lines = said.splitlines()
    assert len(lines) <= LINES and max(map(len, lines)) <= COLUMNS
    assert "..." not in said.split("Options:")[1]  # no sentence is cut
    shown = re.findall(r"^  ([a-z]+)  ", said, re.M)
    assert set(shown) == {name.split()[0] for name in OPTIONS}
    titles = re.findall(r"^(\S.*):$", said, re.M)
    assert titles[0] == "Options" and len(titles) == 6


@pytest.mark.parametrize("name", ["", "chip", "devices", *OPTIONS])
def test_short_and_long_help_are_the_same_and_fit_the_width(name):
    said = xbarsim(*name.split(), "-h")
    assert said.exit_code == 0 and said.stdout == xbarsim(*name.split(), "--help").stdout
    assert max(map(len, said.stdout.splitlines())) <= COLUMNS
    assert "[/" not in said.stdout and "\x1b" not in said.stdout


def test_brackets_of_the_help_are_shown():
    """Markup would swallow [sweep]."""
    assert "study's table [sweep]" in " ".join(xbarsim("sweep", "--help").stdout.split())


def test_the_table_of_options_is_that_of_the_commands():
    found = {}
    for name, command in whole_tree().items():
        options = {option for one in command.params for option in getattr(one, "opts", ())}
        assert {"--quiet", "-q", "--debug"} <= options, name
        found[name] = options & {"--json", "--out", "--picture", "--threads"}
    assert found == OPTIONS


@pytest.mark.parametrize("name", OPTIONS)
def test_examples_are_read(name, monkeypatch):
    """Every example is a command line that the command takes; it is not run."""
    shown = examples(name)
    assert any(f"xbarsim {name}" in line for line in shown)
    tree = typer.main.get_command(cli.app)
    for line in shown:
        command = line.partition(" > ")[0].partition("  #")[0]
        substituted = re.fullmatch(r'eval "\$\((.*)\)"', command)
        words = shlex.split(substituted[1] if substituted else command)
        if words[0] != "xbarsim":
            assert words[:2] == ["dask", "worker"]
            continue
        context = tree.make_context("xbarsim", words[1:])
        _, inner, rest = tree.resolve_command(context, words[1:])
        while hasattr(inner, "commands"):
            _, inner, rest = inner.resolve_command(context, rest)
        inner.make_context(inner.name, rest)  # raises for a word that it does not take


def test_the_circuit_of_solve_names_its_options():
    said = xbarsim("solve", "--help").stdout
    drawing, listed = said.split("Examples:")
    shown = set(re.findall(r"--[a-z][a-z-]*[a-z]", drawing))
    assert shown > {"--input", "--source", "--word-line", "--bit-line", "--sense", "--bias"}
    assert shown <= set(re.findall(r"^  (--[a-z-]+)", listed, re.M))
    titles = re.findall(r"^(\S.*):$", listed, re.M)
    assert titles[1:6] == [
        "Cells, at every crossing",
        "Wires, from one crossing to the next",
        "Ends of the lines",
        "What is solved for",
        "Files and pictures",
    ]


# ---------------------------------------------------------------- json


@pytest.mark.parametrize(
    "words, key",
    [
        (("devices", "list", "--json"), "minimum_us"),
        (("chip", "list", "--json"), "assumed_values"),
        (("fetch", "--list", "--json"), "download_bytes"),
        (("chip", "show", "isaac", "--assumed", "--json"), "assumed"),
        (("chip", "show", "isaac", "--peak", "--json"), "peak"),
        (("memory", "--rate", "1e-4", "--json"), "rows"),
    ],
)
def test_json_has_what_the_table_has(words, key):
    done = xbarsim(*words)
    assert done.exit_code == 0, done.output
    content = json.loads(done.stdout)
    assert key in (content[0] if isinstance(content, list) else content)


def test_json_of_a_crossbar_has_its_currents_and_their_unit(tmp_path):
    np.save(tmp_path / "g.npy", np.array([[1e-4, 2e-4]]))
    np.save(tmp_path / "v.npy", np.array([0.5]))
    words = ["solve", tmp_path / "g.npy", "--input", tmp_path / "v.npy", "--json"]
    content = json.loads(xbarsim(*words, "--word-line", 0, "--bit-line", 0).stdout)
    np.testing.assert_allclose(content["output_current"], [5e-5, 1e-4], rtol=1e-12)
    assert content["units"]["output_current"] == "A" and "cell_current" not in content


@pytest.mark.parametrize(
    "words",
    [
        ("chip", "show", "isaac", "--json"),
        ("fetch", "--json"),
        ("study", "default", "--json"),
    ],
)
def test_json_is_never_ignored(words):
    assert xbarsim(*words).exit_code == ExitCode.WRONG


# ---------------------------------------------------------------- exit codes


def test_the_page_lists_every_exit_code():
    if not DOCS.is_dir():
        pytest.skip("docs/ is not in this copy of the tests")
    page = (DOCS / "command-line.md").read_text()
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.M)}
    assert listed == set(ExitCode)


@pytest.mark.parametrize(
    "error, code, said",
    [
        (ConfigError("adc.bits is 99"), ExitCode.WRONG, "xbarsim: error: adc.bits is 99\n"),
        (FileNotFoundError(2, "No such file", "x"), ExitCode.WRONG, "No such file: 'x'\n"),
        (KeyError("k"), ExitCode.FAULT, "a fault of xbarsim: KeyError: 'k'; please report it"),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED, "xbarsim: interrupted\n"),
    ],
)
def test_every_error_is_a_line_and_a_code(error, code, said, monkeypatch, capsys):
    def fail():
        raise error

    monkeypatch.setattr(console.talk, "debug", False)
    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as left:
        start.main()
    shown = capsys.readouterr().err
    assert left.value.code == code and said in shown and "Traceback" not in shown
    monkeypatch.setattr(console.talk, "debug", True)
    with pytest.raises(SystemExit) as left:
        start.main()
    assert left.value.code == code
    wanted = code is not ExitCode.INTERRUPTED
    assert ("Traceback" in capsys.readouterr().err) == wanted


@pytest.mark.parametrize("words", [("chip",), ("chip", "nothing"), ("nothing",), ("solve",)])
def test_wrong_words_are_wrong_usage(words):
    assert xbarsim(*words).exit_code == ExitCode.WRONG


def test_debug_and_quiet_are_taken_before_and_after_the_command():
    for words in (("--debug", "study"), ("study", "--debug"), ("-q", "study"), ("study", "-q")):
        assert xbarsim(*words).exit_code == 0
    assert console.talk == console.Talk(quiet=True, debug=False)
    xbarsim("study")
    assert console.talk == console.Talk()


def test_quiet_leaves_results_alone(tmp_path):
    np.save(tmp_path / "g.npy", np.full((3, 2), 1e-4))
    words = ["solve", tmp_path / "g.npy", "--picture", tmp_path / "a.png"]
    loud = xbarsim(*words)
    quiet = xbarsim(*words, "--quiet")
    assert "written: " in loud.output and quiet.output == loud.stdout
    xbarsim("study")


def test_an_interrupt_is_130_in_every_command():
    """Each is wrapped; an interrupt within the function that it calls ends it so."""

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(typer.Exit) as left:
        commands.shared(stop)()
    assert left.value.exit_code == ExitCode.INTERRUPTED


@pytest.mark.skipif(not hasattr(signal, "SIGINT"), reason="no such signal here")
def test_ctrl_c_in_a_process_is_130_without_traceback():
    code = (
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from xbarsim.__main__ import main"
    )
    working = process("chip", "claims", "--samples", 100_000, code=code)
    assert working.stdout.readline().startswith("storage")
    working.send_signal(signal.SIGINT)
    _, said = working.communicate(timeout=30)
    assert working.returncode == ExitCode.INTERRUPTED
    assert said == "xbarsim: interrupted\n"


# ---------------------------------------------------------------- pipes and terminals


def test_a_pipe_gets_lines_as_they_come():
    """The storage table of `chip claims` is there long before the draws are."""
    working = process("chip", "claims", "--samples", 100_000)
    started = time.monotonic()
    assert working.stdout.readline().startswith("storage")
    assert working.poll() is None  # it goes on
    working.kill()
    working.communicate()
    assert time.monotonic() - started < 30


def test_a_reader_that_goes_away_is_no_error():
    """`xbarsim ... | head -1`: the exit code of a broken pipe, and not a word."""
    working = process("study", "default", "--full")
    working.stdout.close()
    said = working.stderr.read()
    working.stderr.close()
    assert working.wait(30) == ExitCode.PIPE and said == ""


def test_a_broken_pipe_that_is_not_the_output_stays_an_error():
    def break_another() -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        commands.shared(break_another)()


def test_symbols_that_the_terminal_lacks_are_no_error():
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    working = process("devices", "list", env=environment)
    said, wrong = working.communicate(timeout=60)
    assert working.returncode == 0, wrong
    assert r"window (\xb5S)" in said


PROGRESS = (
    "import time\n"
    "from xbarsim.cli.console import progress\n"
    "done = progress('tokens', 20)\n"
    "for _ in range(20):\n"
    "    time.sleep(0.1)\n"
    "    done(1)\n"
    "def main(): pass"
)


def test_progress_is_silent_where_there_is_no_terminal():
    said, wrong = process(code=PROGRESS).communicate(timeout=60)
    assert (said, wrong) == ("", "")


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no pseudo-terminals here")
def test_progress_on_a_terminal_says_the_time_left():
    termios = pytest.importorskip("termios")
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    working = process(code=PROGRESS, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:  # the end of a pseudo-terminal
        pass
    working.communicate()
    os.close(ours)
    assert re.search(rb"tokens: +\d+%.*\d+/20 \[\d\d:\d\d<\d\d:\d\d", shown), shown


def test_python_m_is_the_command():
    words = [sys.executable, "-P", "-m", "xbarsim", "--version"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert said == xbarsim("--version").stdout


# ---------------------------------------------------------------- completion


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """{shell: file with the script for it}."""
    place = tmp_path_factory.mktemp("completion")
    (place / "mine.toml").write_text("")
    found = {}
    for shell in ("bash", "zsh", "fish"):
        done = xbarsim("completion", shell)
        assert done.exit_code == 0, done.output
        found[shell] = place / f"xbarsim.{shell}"
        found[shell].write_text(done.stdout)
    return found


COMPLETED = [
    ("xbarsim ca", {"calibrate"}),
    ("xbarsim chip ", {"list", "show", "compare", "claims"}),
    ("xbarsim chip compare --seq", {"--sequence"}),
    ("xbarsim run --dev", {"--device"}),
    ("xbarsim run --device rram-w", {"rram-wan2022"}),
    ("xbarsim devices show pc", {"pcm", "pcm-afm"}),
    ("xbarsim completion f", {"fish"}),
    ("xbarsim calibrate iv mi", {"mine.toml"}),
    ("xbarsim -q run --out mi", {"mine.toml"}),
]


@pytest.mark.parametrize("line, wanted", COMPLETED)
def test_bash_completes(scripts, line, wanted):
    words = line.split(" ")
    quoted = " ".join(map(shlex.quote, words))
    script = (
        f"source {scripts['bash']}; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; "
        'complete -p xbarsim >/dev/null && _xbarsim; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        capture_output=True,
        text=True,
        cwd=scripts["bash"].parent,
    )
    assert done.stderr == "" and set(done.stdout.split()) == wanted


@pytest.mark.parametrize("line, wanted", COMPLETED)
def test_fish_completes(scripts, line, wanted):
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source {scripts['fish']}; complete -C {shlex.quote(line)}"],
        capture_output=True,
        text=True,
        cwd=scripts["fish"].parent,
    )
    assert done.stderr == ""
    assert {row.split("\t")[0] for row in done.stdout.splitlines()} == wanted


def test_zsh_reads_its_script(scripts):
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed")
    script = (
        f"autoload -Uz compinit; compinit -D -u; source {scripts['zsh']}; print $_comps[xbarsim]"
    )
    done = subprocess.run(["zsh", "-f", "-c", script], capture_output=True, text=True)
    assert done.stderr == "" and done.stdout == "_xbarsim\n"


@pytest.mark.parametrize("line, wanted", COMPLETED[:7])
def test_zsh_offers_these_words(scripts, line, wanted):
    """What the script hands to zsh's own functions."""
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed")
    words = line.split(" ")
    script = (
        '_describe() { local list="$@[-1]"; print -l -- "${(P@)list}"; }; _files() { }; '
        f"compdef() {{ }}; source {scripts['zsh']}; "
        f"words=({' '.join(map(shlex.quote, words))}); CURRENT={len(words)}; _xbarsim"
    )
    done = subprocess.run(["zsh", "-f", "-c", script], capture_output=True, text=True)
    offered = {row.partition(":")[0] for row in done.stdout.splitlines()}
    if not words[-1].startswith("-"):
        offered = {word for word in offered if not word.startswith("-")}
    assert done.stderr == "" and {one for one in offered if one.startswith(words[-1])} == wanted
