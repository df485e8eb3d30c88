"""An interrupt ends a run between two batches, is never swallowed, and says what is kept."""

import os
import shlex
import signal
import subprocess
import sys
import threading
import time

import pytest
from tiny import make_tiny_place, tiny_study

from xbarsim.base.interrupts import Interrupts
from xbarsim.base.progress import silent
from xbarsim.studies import run, trace_writer
from xbarsim.studies.trace_reader import read_trace


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return make_tiny_place(tmp_path_factory.mktemp("place"))


def interrupted(place, out, progress):
    """(KeyboardInterrupt of a run, lines that it said)."""
    said = []
    with pytest.raises(KeyboardInterrupt) as caught:
        run.run_study(tiny_study(place), out, threads=2, progress=progress, say=said.append)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return caught.value, said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_every_batch_before_it_is_kept(place, tmp_path, number):
    seen = []

    def progress(title, total):
        def done(count):
            seen.append(count)
            if title.endswith("examples evaluated") and len(seen) > 12:
                os.kill(os.getpid(), number)

        if title.endswith("evaluated"):
            seen.clear()
            seen.extend([0] * 10)
        return done

    error, said = interrupted(place, tmp_path, progress)
    assert said == [
        "interrupted: the run ends after the batch under way; once more ends it at once"
    ]
    trace = read_trace(tmp_path / "tiny.h5")
    assert trace.cases["chip"].chips[0].done.sum() == sum(seen) == 12 and not trace.run.complete
    assert error.__notes__ == [
        f"the trace {tmp_path / 'tiny.parts'} holds all 26 examples of float32, int8, 12 of chip/0"
    ]


def test_one_after_the_last_batch_leaves_a_complete_trace(place, tmp_path, monkeypatch):
    def join(parts, path, real=trace_writer.join_parts):
        os.kill(os.getpid(), signal.SIGINT)
        real(parts, path)

    monkeypatch.setattr(trace_writer, "join_parts", join)
    error, _ = interrupted(place, tmp_path, silent)
    assert read_trace(tmp_path / "tiny.h5").run.complete
    assert error.__notes__ == [
        f"the trace {tmp_path / 'tiny.h5'} holds all 26 examples of float32, int8, chip/0"
    ]


def test_a_second_one_ends_at_once_and_leaves_the_parts(place, tmp_path, monkeypatch):
    def join(parts, path):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)

    monkeypatch.setattr(trace_writer, "join_parts", join)
    interrupted(place, tmp_path, silent)
    trace = read_trace(tmp_path / "tiny.h5")
    assert trace.path == tmp_path / "tiny.parts" and trace.cases["chip"].chips[0].done.all()


def test_one_that_was_swallowed_is_raised_at_the_next_check():
    with pytest.raises(KeyboardInterrupt), Interrupts(lambda text: None) as interrupts:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        except KeyboardInterrupt:
            pass  # what a callback of a library does
        interrupts.watch(silent)("title", 1)(1)
        pytest.fail("the interrupt was swallowed")


def test_outside_the_main_thread_nothing_is_changed():
    before, seen = signal.getsignal(signal.SIGINT), []

    def work():
        with Interrupts(seen.append):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_the_command_says_where_the_trace_is(place, tmp_path):
    tiny_study(place)
    code = (
        "import os, signal, sys\n"
        "from xbarsim.studies import pieces\n"
        "real = pieces.run_batch\n"
        "def interrupt(*arguments):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    return real(*arguments)\n"
        "pieces.run_batch = interrupt\n"
        "from xbarsim.cli.app import main\n"
        "sys.argv = ['xbarsim', *sys.argv[1:]]\n"
        "main()\n"
    )
    words = ["run", place / "study.toml", "--out", tmp_path, "--threads", "1"]
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *words], capture_output=True, text=True
    )
    assert done.returncode == 130 and "Traceback" not in done.stderr, done.stderr
    assert "xbarsim: interrupted" in done.stderr
    held = f"the trace {tmp_path / 'tiny.parts'} holds all 26 examples of float32, int8"
    assert held in done.stderr
    again = shlex.join(["xbarsim", *map(str, words), "--resume"])
    assert f"go on with {again}" in done.stderr
