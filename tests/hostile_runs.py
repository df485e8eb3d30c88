"""Runs that are interrupted, killed or out of space, one after the other, each against an
undisturbed one.

`python hostile_runs.py KIND COUNT DIRECTORY` runs COUNT of KIND "interrupt", "kill", "disk" (a
small file system) or "quota" (a largest file size) and prints one JSON list of what went wrong:
empty if nothing did. Whatever is left is then gone on with, and must end in the undisturbed trace, bit by
bit. Every run is a forked process that tells over a pipe what it has finished; the
traces are read by h5py alone as well as by `read_trace`.
"""

import contextlib
import json
import os
import random
import resource
import select
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tiny import make_tiny_place, tiny_study
from traces import assert_same_trace

from xbarsim.base.errors import XbarsimError
from xbarsim.studies import run
from xbarsim.studies.trace_reader import read_trace

CASES, EXAMPLES = 4, 26
ENDED, INTERRUPTED, REFUSED, LATE = 0, 130, 2, 131  # exit statuses of a run here


@dataclass(frozen=True)
class Outcome:
    """status : of the process, negative for a signal;  reported : {path: examples};  said : its
    last words"""

    status: int
    reported: dict
    said: str
    seconds: float


def make_study(place):
    """A study of CASES cases on a tiny model; every batch takes some milliseconds."""
    make_tiny_place(place)
    return tiny_study(place, case=[{"name": f"case{k}", "seed": k} for k in range(CASES)])


def path_of(title):
    """Path in the trace that a title of the progress speaks of, None for the other steps."""
    if title.endswith("reference"):
        return f"reference/{title.split()[0]}"
    return f"cases/{title.split(':')[0]}/0" if title.endswith("examples evaluated") else None


def start(study, out, limit=None, resume=False):
    """(process id, pipe) of a run; the pipe carries "path examples" lines and, in the end,
    "end"."""
    reading, writing = os.pipe()
    process = os.fork()
    if process:
        os.close(writing)
        return process, reading
    os.close(reading)
    status = 1
    try:
        status = _run(study, out, limit, writing, resume)
    finally:
        os._exit(status)


def _run(study, out, limit, pipe, resume):
    def tell(line):
        os.write(pipe, f"{line}\n".encode())

    def progress(title, total):
        return lambda count: tell(f"{path_of(title)} {count}") if path_of(title) else None

    if limit is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        run.run_study(study, out, threads=2, progress=progress, resume=resume)
    except KeyboardInterrupt as error:
        tell("said " + " ".join(getattr(error, "__notes__", ())))
        return INTERRUPTED
    except XbarsimError as error:
        tell("said " + " ".join([str(error), *getattr(error, "__notes__", ())]))
        return REFUSED
    tell("end")
    try:
        time.sleep(20)  # an interrupt that was sent before and swallowed would be missed here
    except KeyboardInterrupt:
        return LATE
    return ENDED


def follow(process, pipe, send=None, after=0.0):
    """Outcome of a run; the signal `send` is sent `after` so many seconds."""
    begun = time.monotonic()
    text = b""
    sent = False
    while True:
        wait = max(0.0, begun + after - time.monotonic()) if send and not sent else 60.0
        ready, _, _ = select.select([pipe], [], [], wait)
        if not ready and send and not sent:
            os.kill(process, send)
            sent = True
            continue
        piece = os.read(pipe, 65536) if ready else b""
        text += piece
        if not piece or text.endswith(b"end\n") and not (send and not sent):
            break
    if text.endswith(b"end\n") and not (sent and send == signal.SIGINT):
        os.kill(process, signal.SIGKILL)  # it has ended, and only waits
    seconds = time.monotonic() - begun
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    os.close(pipe)
    return _outcome(status, text.decode(), seconds)


def _outcome(status, text, seconds):
    reported = {}
    said = ""
    for line in text.splitlines():
        name, _, rest = line.partition(" ")
        if name == "said":
            said = rest
        elif rest:
            reported[name] = reported.get(name, 0) + int(rest)
    return Outcome(status, reported, said, seconds)


# ---------------------------------------------------------------- what must hold afterwards


def losses(out, reference, outcome, every_batch):
    """Lines of what a run lost: of the paths that it had reported as finished, or of every
    batch."""
    traces = sorted(out.glob("*.h5")) or [
        path for path in out.glob("*.parts") if any(path.glob("0*.h5"))
    ]
    wanted = {
        path: done for path, done in outcome.reported.items() if every_batch or done == EXAMPLES
    }
    if not traces:
        return [f"no trace, but {wanted} were finished"] if wanted else []
    try:
        trace = read_trace(traces[0])
    except XbarsimError as error:
        return [f"unreadable: {error}"]
    found = {f"reference/{name}": path for name, path in trace.reference.items()}
    found |= {f"cases/{name}/0": case.chips[0] for name, case in trace.cases.items() if case.chips}
    wrong = [f"damaged: {line}" for line in trace.damage]
    for path, done in wanted.items():
        if path not in found or found[path].done.sum() < done:
            wrong.append(f"{path}: {done} examples were finished and are not there")
    for path, outputs in found.items():
        if not np.array_equal(outputs.output[outputs.done], reference[path].output[outputs.done]):
            wrong.append(f"{path}: other bits")
    return wrong


def resumed(study, out, whole):
    """Lines of what is wrong with the trace of a run that goes on with what another one left.

    whole : trace of an undisturbed run
    """
    outcome = follow(*start(study, out, resume=True))
    if outcome.status not in (ENDED, -signal.SIGKILL):
        return [f"gone on with, it ended with {outcome}"]
    found = list(out.iterdir())
    if [path.suffix for path in found] != [".h5"]:
        return [f"gone on with, it left {sorted(path.name for path in found)}"]
    try:
        assert_same_trace(found[0], whole)
    except AssertionError as error:
        return [f"gone on with, it has other bits: {error}"]
    return []


def undisturbed(study, place):
    """({path: Outputs}, seconds, the trace) of a run that nobody disturbs."""
    outcome = follow(*start(study, place / "undisturbed"))
    if outcome.status not in (ENDED, -signal.SIGKILL):
        raise RuntimeError(f"the undisturbed run ended with {outcome}")
    path = next((place / "undisturbed").glob("*.h5"))
    trace = read_trace(path)
    reference = {f"reference/{name}": found for name, found in trace.reference.items()}
    reference |= {f"cases/{name}/0": case.chips[0] for name, case in trace.cases.items()}
    return reference, outcome.seconds, path


def signalled(kind, study, out, reference, seconds, choice):
    """Lines of what went wrong in one run that gets a signal at a moment drawn by `choice`."""
    send = signal.SIGINT if kind == "interrupt" else signal.SIGKILL
    outcome = follow(*start(study, out), send, choice.uniform(0.0, 1.05 * seconds))
    wrong = losses(out, reference, outcome, every_batch=kind == "interrupt")
    if kind == "interrupt" and outcome.status not in (INTERRUPTED, LATE):
        wrong.append(f"the interrupt ended in status {outcome.status}")
    if (
        outcome.status == INTERRUPTED
        and any(outcome.reported.values())
        and "the trace" not in outcome.said
    ):
        wrong.append("the interrupted run does not say where its trace is")
    return wrong


def out_of_space(kind, study, out, reference, size, share):
    """Lines of what went wrong in one run that has `share` of the space of the whole trace."""
    limit = int(share * size)
    outcome = None
    with small_disk(out, limit) if kind == "disk" else contextlib.nullcontext():
        outcome = follow(*start(study, out, limit if kind == "quota" else None))
        wrong = losses(out, reference, outcome, every_batch=False)
    if outcome.status not in (REFUSED, -signal.SIGKILL):
        wrong.append(f"a run out of space ended in status {outcome.status}")
    if (
        outcome.status == REFUSED
        and "cannot be" not in outcome.said
        and "cannot create" not in outcome.said
    ):
        wrong.append(f"a run out of space said {outcome.said!r}")
    return wrong


@contextlib.contextmanager
def small_disk(place, size):
    """A file system of `size` bytes at `place`."""
    place.mkdir(parents=True)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={max(size, 4096)}", "tmpfs", place], check=True
    )
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def main(kind, count, place):
    """Print the JSON list of everything that went wrong."""
    study = make_study(place)
    reference, seconds, whole = undisturbed(study, place)
    size = whole.stat().st_size
    choice = random.Random(13)
    wrong = []
    for number in range(count):
        out = place / f"run-{number}"
        if kind in ("interrupt", "kill"):
            found = signalled(kind, study, out, reference, seconds, choice)
        else:
            found = out_of_space(kind, study, out, reference, size, 2.2 * (number + 0.5) / count)
        if kind != "disk":  # whose file system is gone
            found += resumed(study, out, whole)
        wrong += [f"run {number}: {line}" for line in found]
        shutil.rmtree(out, ignore_errors=True)
    print(json.dumps(wrong))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
