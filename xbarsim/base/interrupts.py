"""Ctrl-C and termination during a run: obeyed where nothing is half done, and never swallowed."""

import signal
import threading

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

    def __init__(self, say):
        """say : function (text), called when an interrupt is noticed"""
        self.say = say
        self.noticed = False
        self.keeping = False
        self.handlers = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self.handlers[number] = signal.signal(number, self._notice)
        return self

    def __exit__(self, kind, error, traceback):
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        if kind is None:
            self.check()

    def keep(self):
        """From now on an interrupt waits for a check."""
        self.keeping = True

    def _notice(self, number, frame):
        at_once = self.noticed or not self.keeping
        self.noticed = True
        if at_once:
            raise KeyboardInterrupt
        self.say("interrupted: the run ends after the batch under way; once more ends it at once")

    def check(self, note=None):
        """Raise KeyboardInterrupt, with a note, where an interrupt was noticed."""
        if self.noticed:
            interrupt = KeyboardInterrupt()
            if note is not None:
                interrupt.add_note(note)
            raise interrupt

    def watch(self, progress):
        """The same progress that checks after every step, when the step's results are kept."""

        def start(description, total):
            done = progress(description, total)

            def step(count):
                done(count)
                self.check()

            return step

        return start
