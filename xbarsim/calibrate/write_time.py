"""When cells were written: Unix times become times since the write."""

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy import stats

from xbarsim.base.errors import OutOfRangeError
from xbarsim.calibrate.result import CONFIDENCE, Parameter

UNIX = (9e8, 1e10)  # s since 1970: the years 1998 to 2286
MILLISECONDS = 9e11  # the same in ms, read as s
DELAYS = np.geomspace(1e-3, 1e3, 121)  # over the first step between readings
REFINED = 40  # halvings of an end of the interval


@dataclasses.dataclass(frozen=True)
class SinceWrite:
    """Times since the write of each reading.

    time : (n,) s;  first : (n,) s since the first reading of the cell, None where times were given
    since the write;  delay, low, high : s from the write to that reading and its interval;  told :
    whether the readings tell the delay
    """

    time: np.ndarray
    first: np.ndarray | None = None
    delay: float = 0.0
    low: float = 0.0
    high: float = 0.0
    told: bool = True

    def parameters(self):
        """The fitted delay, as a sequence of its parameter."""
        if self.first is None:
            return []
        if not self.told:
            reason = "the readings follow no power law of the time since the write; give such times"
            return [Parameter.unknown("write_delay", "s", reason)]
        return [Parameter.known("write_delay", "s", self.delay, self.low, self.high)]

    def notes(self):
        if self.first is None:
            return []
        how = "as a power law tells" if self.told else "the first step between readings"
        return [
            f"Unix times: each cell taken as written {self.delay:.3g} s before its first reading, "
            f"{how}; for another write give times since it"
        ]

    def error_of(self, quantity: Callable, keep):
        """Standard error of a function of the times from that of the delay.

        keep : (n,) which readings the function takes, of those at times above 0 s
        """
        if self.first is None or not self.told:
            return 0.0
        ends = [quantity(self.first[keep] + delay) for delay in (self.low, self.high)]
        return abs(ends[1] - ends[0]) / 2 / stats.norm.ppf(0.5 + CONFIDENCE / 2)


def since_write(time, conductance, cell):
    """SinceWrite of readings sorted by cell and time.

    Times that can only be seconds since 1970 count from the first reading of each cell, and the
    time from the write to that reading is the one (of all cells) at which power laws describe the
    readings best.

    time, conductance : (n,) s and S;  cell : (n,) numbers

    Raises
    ------
    OutOfRangeError : Unix time in milliseconds that was read as seconds
    """
    if time.min() >= MILLISECONDS:
        raise OutOfRangeError(
            f"time is {time.min():g} s or more, as Unix time in ms: say so in the header, 'time "
            "(ms)', or as --column time=NAME:ms"
        )
    if not UNIX[0] < time.min() <= time.max() < UNIX[1]:
        return SinceWrite(time)
    first = time - time[np.searchsorted(cell, np.arange(cell.max() + 1))][cell]
    if not (first > 0).any():
        raise OutOfRangeError(
            "no reading after the first one of a cell; read each at several times"
        )
    step = np.median([first[(cell == k) & (first > 0)].min() for k in np.unique(cell[first > 0])])
    delay, low, high, told = _delay(first, conductance, cell, step)
    return SinceWrite(first + delay, first, delay, low, high, told)


def _delay(first, conductance, cell, step):
    """(delay, low, high, whether the readings tell it)."""
    usable = conductance > 0
    if usable.sum() < 5:
        return step, step, step, False
    log_g, owner = np.log(conductance[usable]), cell[usable]
    first = first[usable]
    count = np.maximum(np.bincount(owner), 1)

    def centred(values):
        return values - (np.bincount(owner, values) / count)[owner]

    dy = centred(log_g)

    def rss(log_delay):
        dx = centred(np.log(first + np.exp(log_delay)))
        square = np.bincount(owner, dx * dx)
        product = np.bincount(owner, dx * dy)
        slope = np.divide(product, square, out=np.zeros(len(square)), where=square > 0)
        return float(((dy - slope[owner] * dx) ** 2).sum())

    grid = np.log(DELAYS * step)
    values = np.array([rss(x) for x in grid])
    best = int(np.argmin(values))
    value = _lowest(rss, grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)])
    freedom = max(len(dy) - 2 * len(np.unique(owner)) - 1, 1)
    threshold = rss(value) * (1 + stats.f.ppf(CONFIDENCE, 1, freedom) / freedom)
    below = np.flatnonzero((values > threshold) & (grid < value))
    above = np.flatnonzero((values > threshold) & (grid > value))
    if not below.size or not above.size:
        return step, step, step, False
    low = _crossing(rss, value, grid[below[-1]], threshold)
    high = _crossing(rss, value, grid[above[0]], threshold)
    return float(np.exp(value)), float(np.exp(low)), float(np.exp(high)), True


def _lowest(function, low, high):
    """Where a function with one minimum is lowest."""
    for _ in range(2 * REFINED):
        third = (high - low) / 3
        if function(low + third) < function(high - third):
            high -= third
        else:
            low += third
    return (low + high) / 2


def _crossing(function, inside, outside, threshold):
    """Where a function reaches a threshold between two points."""
    for _ in range(REFINED):
        middle = (inside + outside) / 2
        if function(middle) > threshold:
            outside = middle
        else:
            inside = middle
    return inside
