"""Ctrl-C and termination during a run: obeyed where nothing is half done, and never swallowed."""

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

from xbarsim.base.progress import Done, Progress

Handler = Callable[[int, FrameType | None], Any] | int | None  # what `signal.signal` takes

# what a terminal, a batch system and a closed window send; the last is not known everywhere
SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


class Interrupts:
    """An interrupt raises KeyboardInterrupt: at once, or after `keep` at the next `check`.

    A second one always raises at once.  One that a library swallowed is raised again by the next
    check. Use as a context manager.  Signals reach the main thread alone; elsewhere nothing is
    changed, nor are signals that the process ignores (`nohup`).
    """

    def __init__(self, say: Callable[[str], object]) -> None:
        """say : function (text), called when an interrupt is noticed"""
        self.say = say
        self.noticed = False
        self.keeping = False
        self.handlers: dict[int, Handler] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self.handlers[number] = signal.signal(number, self._notice)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        if kind is None:
            self.check()

    def keep(self) -> None:
        """From now on an interrupt waits for a check."""
        self.keeping = True

    def _notice(self, number: int, frame: FrameType | None) -> None:
        at_once = self.noticed or not self.keeping
        self.noticed = True
        if at_once:
            raise KeyboardInterrupt
        self.say("interrupted: the run ends after the batch under way; once more ends it at once")

    def check(self, note: str | None = None) -> None:
        """Raise KeyboardInterrupt, with a note, where an interrupt was noticed."""
        if self.noticed:
            interrupt = KeyboardInterrupt()
            if note is not None:
                interrupt.add_note(note)
            raise interrupt

    def watch(self, progress: Progress) -> Progress:
        """The same progress that checks after every step, when the step's results are kept."""

        def start(description: str, total: int) -> Done:
            done = progress(description, total)

            def step(count: int) -> None:
                done(count)
                self.check()

            return step

        return start
