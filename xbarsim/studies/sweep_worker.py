"""A process that runs points of a sweep: what the sweep sees of it (`Worker`), and what it does.

The two talk in lines of JSON: a point's number in, `{"point": number, "failed": reason}` out.  The process reads
the points from the directory itself, so that nothing but a number travels.
"""

import contextlib
import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
import warnings
from functools import partial
from pathlib import Path
from typing import IO

from xbarsim.base.errors import IdleSettingWarning, XbarsimError
from xbarsim.studies.cluster import Cluster
from xbarsim.studies.points import Point
from xbarsim.studies.run import Resume, run_study
from xbarsim.studies.sweep_directory import open_directory

GRACE_S = 30.0  # for the batch under way after an interrupt


class WorkerLost(Exception):
    """The process ended before it answered."""


class Worker:
    """A process that runs points one after the other; it is started with its first point.

    lock : descriptor that the process inherits, so that the directory is held as long as it lives
    scheduler : address of a Dask cluster whose workers compute the pieces of its points, "" for none
    """

    def __init__(self, directory: Path, threads: int, lock: int, scheduler: str = "") -> None:
        self.lock = lock
        self.command = [
            sys.executable,
            "-P",  # not the folder that the command was given in, which may be a checkout
            "-m",
            "xbarsim.studies.sweep_worker",
            str(directory),
            str(threads),
            scheduler,
        ]
        self.process: subprocess.Popen[str] | None = None

    def run(self, point: Point, trace: Path, stopping: threading.Event) -> str:
        """Run a point; "" when its trace is there, else why it could not be run.

        Raises
        ------
        WorkerLost : the process was killed, or `stopping` was set meanwhile
        """
        if self.process is None:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                pass_fds=(self.lock,),
            )
        assert self.process.stdin is not None and self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{point.number}\n")
            self.process.stdin.flush()
        answer = self._answer(self.process.stdout, stopping)
        if not answer:
            raise WorkerLost(self._how_it_ended())
        failed = json.loads(answer)["failed"]
        if not failed and not trace.exists():
            return f"its trace {trace} was not written"
        return str(failed)

    def _answer(self, stream: IO[str], stopping: threading.Event) -> str:
        """The next line of the process; "" when it ended."""
        while not select.select([stream], [], [], 0.1)[0]:
            if stopping.is_set():
                self.stop()
                return ""
        return stream.readline()

    def _how_it_ended(self) -> str:
        assert self.process is not None
        status = self.process.wait()
        self.process = None
        if status < 0:
            return f"its process was killed by signal {signal.Signals(-status).name}"
        return f"its process ended with exit status {status}"

    def stop(self) -> None:
        """End the process: as an interrupt asks it to, and if it does not obey, at once."""
        if self.process is None:
            return
        with contextlib.suppress(BrokenPipeError):
            if self.process.stdin is not None:
                self.process.stdin.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def serve(directory: str, threads: int, scheduler: str) -> None:
    """Run the points whose numbers come in on standard input; its end is an interrupt."""
    opened = open_directory(directory)
    if opened.kind == "budget":  # what is idle where effects are left out is no news
        warnings.simplefilter("ignore", IdleSettingWarning)
    pieces_of = None
    if scheduler:
        pieces_of = Cluster(scheduler).pieces_of
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer
    numbers: queue.SimpleQueue[int] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(numbers,), daemon=True).start()
    while True:
        point = opened.points[numbers.get() - 1]
        failed = ""
        try:
            run_study(
                point.study,
                opened.path,
                threads,
                say=partial(_say, point.name),
                resume=Resume.OR_REPLACE,
                pieces_of=pieces_of,
            )
        except (XbarsimError, OSError) as error:
            failed = str(error)
        answers.write(json.dumps({"point": point.number, "failed": failed}) + "\n")
        answers.flush()


def _say(name: str, text: str) -> None:
    """A line on standard error, past Python's buffers: signal handlers may say it."""
    os.write(sys.stderr.fileno(), f"xbarsim: {name}: {text}\n".encode())


def _listen(numbers: queue.SimpleQueue[int]) -> None:
    """Take numbers from standard input; when the sweep is gone, so is this process."""
    for line in sys.stdin:
        numbers.put(int(line))
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    try:
        serve(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    except KeyboardInterrupt:
        sys.exit(130)
