"""Many studies from one: every point of a `[sweep]` is run in a process beside this one and becomes a
trace.

What is finished lies in the directory and is not done again: a sweep that was stopped in any way goes
on with the points that lack a whole trace.
"""

import contextlib
import queue
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from xbarsim.base.arguments import instance, path_of
from xbarsim.base.errors import TraceError, XbarsimError
from xbarsim.base.files import replacing
from xbarsim.base.locks import locked
from xbarsim.base.progress import Progress, silent, unsaid
from xbarsim.base.workers import cores
from xbarsim.config.study import Study
from xbarsim.studies.cluster import Cluster
from xbarsim.studies.points import Point
from xbarsim.studies.sweep_directory import (
    SweepDirectory,
    check_inputs,
    open_or_create,
)
from xbarsim.studies.sweep_worker import Worker, WorkerLost
from xbarsim.studies.trace_layout import text_sha256
from xbarsim.studies.trace_reader import read_trace

ATTEMPTS = 2  # of a point whose process was killed


def sweep_study(
    study: Study,
    directory: str | Path,
    workers: int = 1,
    threads: int | None = None,
    progress: Progress = silent,
    say: Callable[[str], object] = unsaid,
    scheduler: str = "",
) -> Path:
    """Run a study at every point of its `[sweep]`; a directory that holds the same sweep is gone on
    with.

    Parameters
    ----------
    study : with a table `[sweep]`
    directory : where the traces are written
    workers, threads, progress, say, scheduler : as of `run_sweep`

    Returns
    -------
    Path of the directory, for `open_study`

    Raises
    ------
    ConfigError : no `[sweep]`, a wrong axis, another sweep in the directory, inputs that changed
    OutputError : the directory cannot be written
    """
    instance("study", study, Study, "what load_study returns")
    directory = path_of("directory", directory)
    opened = open_or_create(study, directory)
    run_sweep(opened, workers, threads, progress, say, scheduler)
    return opened.path


@dataclass(frozen=True)
class Outcome:
    """What a sweep came to.  failed : {number of a point: why}"""

    directory: SweepDirectory
    done: int
    failed: dict[int, str]


def run_sweep(
    directory: SweepDirectory,
    workers: int = 1,
    threads: int | None = None,
    progress: Progress = silent,
    say: Callable[[str], object] = unsaid,
    scheduler: str = "",
) -> Outcome:
    """Run every point that has no whole trace yet; the results do not depend on `workers`.

    Parameters
    ----------
    directory : of `create` or `open_directory`
    workers : processes that run points at the same time
    threads : of each process; the cores divided by the workers if None
    progress, say : as of `run_study`; progress counts points
    scheduler : address of a Dask cluster whose workers compute the pieces of the points, such as
        "tcp://127.0.0.1:8786"; "" for none: the processes compute them

    Raises
    ------
    ConfigError : no scheduler answers; another process works on the directory, or its inputs changed
    KeyboardInterrupt : with a note on what is done; `run_sweep` again goes on
    """
    threads = threads or max(1, cores() // workers)
    if scheduler:
        Cluster(scheduler).close()
    with locked(directory.path) as lock:
        check_inputs(directory)
        waiting = [point for point in directory.points if not _is_whole(directory, point, say)]
        done = progress(f"{directory.study.name}: points", len(directory.points))
        done(len(directory.points) - len(waiting))
        failed = _Crew(directory, threads, lock, done, say, scheduler).run(waiting, workers)
    whole = sum(directory.trace(point).exists() for point in directory.points)
    return Outcome(directory, whole, failed)


def _is_whole(directory: SweepDirectory, point: Point, say: Callable[[str], object]) -> bool:
    """Whether the trace of a point is there and whole; a damaged one is removed."""
    path = directory.trace(point)
    directory.failure(point).unlink(missing_ok=True)
    if not path.exists():
        return False
    shutil.rmtree(path.with_suffix(".parts"), ignore_errors=True)  # killed while it removed them
    wrong = _what_is_wrong(path, text_sha256(point.study.to_toml()))
    if wrong is None:
        return True
    say(f"{path} {wrong}: the point is run again")
    path.unlink()
    return False


def _what_is_wrong(path: Path, study_sha256: str) -> str | None:
    try:
        trace = read_trace(path)
    except TraceError as error:
        return f"cannot be read ({error})"
    if trace.damage:
        return f"is damaged ({trace.damage[0]})"
    if not trace.run.complete:
        return "is not complete"
    if text_sha256(trace.run.study) != study_sha256:
        return "is of another study"
    return None


class _Crew:
    """Processes that run the points of a directory, each under a thread that hands it points."""

    def __init__(
        self,
        directory: SweepDirectory,
        threads: int,
        lock: int,
        done: Callable[[int], object],
        say: Callable[[str], object],
        scheduler: str,
    ) -> None:
        self.directory = directory
        self.scheduler = scheduler
        self.threads = threads
        self.lock = lock
        self.done = done
        self.say = say
        self.waiting: queue.SimpleQueue[Point] = queue.SimpleQueue()
        self.failed: dict[int, str] = {}
        self.stopping = threading.Event()
        self.errors: list[BaseException] = []

    def run(self, points: list[Point], workers: int) -> dict[int, str]:
        """Run the points; returns {number: why} of those that failed."""
        for point in points:
            self.waiting.put(point)
        crew = [
            threading.Thread(target=self._serve, daemon=True)
            for _ in range(min(workers, len(points)))
        ]
        for member in crew:
            member.start()
        try:
            for member in crew:
                while member.is_alive():
                    member.join(timeout=0.2)
        except KeyboardInterrupt as interrupt:
            self.stopping.set()
            for member in crew:
                member.join()
            whole = sum(self.directory.trace(point).exists() for point in self.directory.points)
            interrupt.add_note(
                f"{whole} of {len(self.directory.points)} points are done; go on with "
                f"xbarsim {self.directory.kind} --resume {self.directory.path}"
            )
            raise
        if self.errors:
            raise self.errors[0]
        return dict(sorted(self.failed.items()))

    def _serve(self) -> None:
        worker = Worker(self.directory.path, self.threads, self.lock, self.scheduler)
        try:
            while not self.stopping.is_set():
                try:
                    point = self.waiting.get_nowait()
                except queue.Empty:
                    return
                worker = self._run_point(worker, point)
        except BaseException as error:  # raised again where the sweep was asked for
            self.errors.append(error)
            self.stopping.set()
        finally:
            worker.stop()

    def _run_point(self, worker: Worker, point: Point) -> Worker:
        """Run one point; returns the worker for the next, a new one where this was lost."""
        reason = ""
        for _ in range(ATTEMPTS):
            try:
                reason = worker.run(point, self.directory.trace(point), self.stopping)
                break
            except WorkerLost as lost:
                if self.stopping.is_set():
                    return worker
                reason = str(lost)
                self.say(f"{point.name}: {lost}; another process goes on with it")
                worker = Worker(self.directory.path, self.threads, self.lock, self.scheduler)
        if self.stopping.is_set():
            return worker
        if reason:
            self.failed[point.number] = reason
            with (
                contextlib.suppress(XbarsimError),
                replacing(self.directory.failure(point)) as file,
            ):
                file.write(reason + "\n")
            self.say(f"{point.name} failed: {reason}")
        self.done(1)
        return worker
