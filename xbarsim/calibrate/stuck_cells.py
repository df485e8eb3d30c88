"""Cells of a map that are stuck, and the whole lines among them.

A cell is stuck where it is farther from the healthy cells of its target than these reach.  A word
or bit line is stuck where most of its cells are, and that many are not chance at the rate of the
other lines.
"""

import dataclasses
import enum
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from xbarsim.base.array_types import Booleans, Floats
from xbarsim.calibrate.healthy_cells import Healthy, Map

SIGNIFICANT = 1e-3  # of the tests for lines, over all lines of a map
STUCK_LINE = 0.5  # share of stuck cells above which a line counts as stuck


class Way(enum.Enum):
    """At which end of the window a cell is stuck."""

    ON = "on"
    OFF = "off"


class Lines(enum.Enum):
    """Word lines, the rows of a map, or bit lines, its columns."""

    WORD = "word line"
    BIT = "bit line"

    @property
    def along(self) -> int:
        """Axis of a map over which the cells of one line are counted."""
        return 1 if self is Lines.WORD else 0


@dataclasses.dataclass(frozen=True)
class Faults:
    """Cells stuck one way.

    seen : (m, n);  value : S, where one sits (of those seen, or the end of the targets)
    shown : (m, n), cells in which a fault at `value` is seen
    word_lines, bit_lines : (m,), (n,), those that are stuck
    """

    way: Way
    seen: Booleans
    value: float
    shown: Booleans
    word_lines: Booleans
    bit_lines: Booleans

    @property
    def on_lines(self) -> Booleans:
        """(m, n): cells on a stuck line."""
        return self.word_lines[:, None] | self.bit_lines

    def stuck(self, lines: Lines) -> Booleans:
        """Which lines of a kind are stuck."""
        return self.word_lines if lines is Lines.WORD else self.bit_lines

    def without_lines(self) -> "Faults":
        """The same cells, were no line stuck."""
        return dataclasses.replace(
            self,
            word_lines=np.zeros_like(self.word_lines),
            bit_lines=np.zeros_like(self.bit_lines),
        )


def find_faults(way: Way, cells: Map, healthy: Healthy) -> Faults:
    """The cells of a map that are stuck one way: above the middle of the targets, or below."""
    middles = healthy.middle[healthy.known]
    centre = (middles.min() + middles.max()) / 2
    if way is Way.ON:
        side = cells.conductance > centre
    else:
        side = cells.conductance < centre
    seen = healthy.shows(cells.conductance) & side
    value = _stuck_value(way, seen, cells, healthy)
    shown = seen | healthy.shows(value)
    lines = _stuck_lines(seen, shown)
    return Faults(
        way=way,
        seen=seen,
        value=value,
        shown=shown,
        word_lines=lines[Lines.WORD],
        bit_lines=lines[Lines.BIT],
    )


def _stuck_value(way: Way, seen: Booleans, cells: Map, healthy: Healthy) -> float:
    """Conductance (S) of a fault: the median of those seen, weighed; else the end of the targets.

    With one target there is no end: 0 S is off, and above every healthy cell is on.
    """
    if seen.any():
        values = np.sort(cells.conductance[seen])
        weights = np.cumsum(1 / healthy.exposure(values, cells.measured))
        return float(values[np.searchsorted(weights, weights[-1] / 2)])
    middles = healthy.middle[healthy.known]
    if way is Way.ON:
        end = middles.max()
        beyond = np.inf
    else:
        end = middles.min()
        beyond = 0.0
    if healthy.shows(end).any():
        return float(end)
    return beyond


# --- lines


class _Suspect(NamedTuple):
    """A line, and the probability that so many of its cells are stuck by chance."""

    probability: float
    lines: Lines
    number: int


def _stuck_lines(seen: Booleans, shown: Booleans) -> dict[Lines, Booleans]:
    """Which lines are stuck: the worst first, until the next may be chance."""
    word_lines, bit_lines = seen.shape
    found = {Lines.WORD: np.zeros(word_lines, bool), Lines.BIT: np.zeros(bit_lines, bool)}
    while True:
        rest = shown & ~(found[Lines.WORD][:, None] | found[Lines.BIT])
        suspects = [_worst_line(seen & rest, rest, lines) for lines in Lines]
        worst = min(suspects, key=lambda suspect: suspect.probability)
        if worst.probability * (word_lines + bit_lines) >= SIGNIFICANT:
            return found
        found[worst.lines][worst.number] = True


def _worst_line(stuck: Booleans, cells: Booleans, lines: Lines) -> _Suspect:
    """The line that is least likely chance.

    stuck, cells : (m, n), of the cells that count those that are stuck
    """
    total = cells.sum(axis=lines.along)
    count = stuck.sum(axis=lines.along)
    others = np.maximum(cells.sum() - total, 1)
    rate = np.clip((stuck.sum() - count + 0.5) / (others + 1), 0, 1)
    suspect = (total > 1) & (count > STUCK_LINE * total)
    probability = np.where(suspect, stats.binom.sf(count - 1, total, rate), 1.0)
    number = int(np.argmin(probability))
    return _Suspect(float(probability[number]), lines, number)


# --- likelihoods


def likelihood_with_lines(found: Faults) -> float:
    """Logarithm of the likelihood of cells on and off the stuck lines, and of the lines."""
    on_lines = found.on_lines
    of_cells = _likelihood_of_cells(found, on_lines) + _likelihood_of_cells(found, ~on_lines)
    return of_cells + (
        _likelihood_of_lines(found.word_lines) + _likelihood_of_lines(found.bit_lines)
    )


def likelihood_of_one_rate(found: Faults) -> float:
    """Logarithm of the likelihood of cells, were no line stuck."""
    return _likelihood(int(found.seen.sum()), int(found.shown.sum()))


def _likelihood_of_cells(found: Faults, where: Booleans) -> float:
    return _likelihood(int((found.seen & where).sum()), int((found.shown & where).sum()))


def _likelihood_of_lines(stuck: Booleans) -> float:
    return _likelihood(int(stuck.sum()), stuck.size)


def _likelihood(count: int, total: int) -> float:
    """Largest logarithm of the likelihood of a rate."""
    share = np.array([count, total - count])
    share = share[share > 0]
    return float((share * np.log(share / total)).sum())


# --- clusters


def dispersion(faults: Sequence[Faults]) -> dict[Lines, float]:
    """p that faults outside stuck lines fall evenly on the lines of a kind (chi-squared)."""
    rows = np.logical_or.reduce([found.word_lines for found in faults])
    columns = np.logical_or.reduce([found.bit_lines for found in faults])
    result = {}
    for lines in Lines:
        count: Floats = np.zeros(1)
        expected: Floats = np.zeros(1)
        variance: Floats = np.zeros(1)
        for found in faults:
            seen = found.seen[~rows][:, ~columns].sum(axis=lines.along)
            shown = found.shown[~rows][:, ~columns].sum(axis=lines.along)
            rate = seen.sum() / max(shown.sum(), 1)
            count = count + seen
            expected = expected + rate * shown
            variance = variance + rate * (1 - rate) * shown
        able = variance > 0
        if able.sum() > 1:
            squares = (count - expected)[able] ** 2 / variance[able]
            result[lines] = float(stats.chi2.sf(squares.sum(), able.sum() - 1))
    return result
