"""One protocol of progress for every long step."""

from collections.abc import Callable
from typing import Protocol

Done = Callable[[int], object]  # called with the number of units done since the last call


class Progress(Protocol):
    """What a long step tells of itself: `progress(description, total)` before its work, and the
    function that it returns on the way.
    """

    def __call__(self, description: str, total: int, /) -> Done:
        """Begin `total` units of work, such as examples."""


def silent(description: str, total: int) -> Done:
    """Progress that shows nothing."""
    return _ignore


def _ignore(count: int) -> None:
    """Units done, of which nobody wants to know."""


def unsaid(text: str) -> None:
    """What `run_study` says on the way goes nowhere."""
