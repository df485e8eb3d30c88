"""When cells were written: Unix times become times since the write."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import stats

from xbarsim.base.array_types import Booleans, Floats, Integers
from xbarsim.base.errors import OutOfRangeError
from xbarsim.calibrate.result import CONFIDENCE, Parameter

UNIX = (9e8, 1e10)  # s since 1970: the years 1998 to 2286
MILLISECONDS = 9e11  # the same in ms, read as s
DELAYS = np.geomspace(1e-3, 1e3, 121)  # over the first step between readings
REFINED = 40  # halvings of an end of the interval
LEAST_READINGS = 5  # above 0 S, that may tell a delay


class Delay(NamedTuple):
    """Time (s) from the write to the first reading of a cell, and the ends of its interval.

    told : whether the readings tell it
    """

    value: float
    low: float
    high: float
    told: bool = True


@dataclasses.dataclass(frozen=True)
class SinceWrite:
    """Times since the write of each reading.

    time : (n,) s;  first : (n,) s since the first reading of the cell;  delay : from the write to
    that reading, None where times were given since the write
    """

    time: Floats
    first: Floats
    delay: Delay | None = None

    def parameters(self) -> list[Parameter]:
        """The fitted delay, where there is one."""
        if self.delay is None:
            return []
        if not self.delay.told:
            reason = "the readings follow no power law of the time since the write; give such times"
            return [Parameter.unknown("write_delay", "s", reason)]
        value, low, high, _ = self.delay
        return [Parameter.known("write_delay", "s", value, low, high)]

    def notes(self) -> list[str]:
        """What was taken as the write."""
        if self.delay is None:
            return []
        how = "as a power law tells" if self.delay.told else "the first step between readings"
        return [
            f"Unix times: each cell taken as written {self.delay.value:.3g} s before its first "
            f"reading, {how}; for another write give times since it"
        ]

    def error_of(self, quantity: Callable[[Floats], float], keep: Booleans) -> float:
        """Standard error of a function of the times from that of the delay.

        keep : (n,) which readings the function takes, of those at times above 0 s
        """
        if self.delay is None or not self.delay.told:
            return 0.0
        at_low = quantity(self.first[keep] + self.delay.low)
        at_high = quantity(self.first[keep] + self.delay.high)
        return float(abs(at_high - at_low) / 2 / stats.norm.ppf(0.5 + CONFIDENCE / 2))


def since_write(time: Floats, conductance: Floats, cell: Integers) -> SinceWrite:
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
    first = time - time[np.searchsorted(cell, np.arange(cell.max() + 1))][cell]
    if not UNIX[0] < time.min() <= time.max() < UNIX[1]:
        return SinceWrite(time, first)
    if not (first > 0).any():
        raise OutOfRangeError(
            "no reading after the first one of a cell; read each at several times"
        )
    later = first > 0
    steps = [first[(cell == k) & later].min() for k in np.unique(cell[later])]
    delay = _delay(PowerLaws.of(first, conductance, cell), float(np.median(steps)))
    return SinceWrite(first + delay.value, first, delay)


@dataclasses.dataclass(frozen=True)
class PowerLaws:
    """Readings above 0 S, for a power law of the time of each cell.

    first : (n,) s since the first reading of the cell;  owner : (n,) number of the cell
    log_g : (n,) ln of the conductance / S
    """

    first: Floats
    owner: Integers
    log_g: Floats

    @classmethod
    def of(cls, first: Floats, conductance: Floats, cell: Integers) -> "PowerLaws":
        usable = conductance > 0
        return cls(first[usable], cell[usable], np.log(conductance[usable]))

    @property
    def freedom(self) -> int:
        """Degrees of freedom that a line for each cell and one delay leave."""
        return max(len(self.log_g) - 2 * len(np.unique(self.owner)) - 1, 1)

    def rss(self, log_delay: float) -> float:
        """Residual sum of squares of lines in ln time, the first reading so long after the
        write."""
        dx = self._centred(np.log(self.first + np.exp(log_delay)))
        dy = self._centred(self.log_g)
        square = np.bincount(self.owner, dx * dx)
        product = np.bincount(self.owner, dx * dy)
        slope = np.divide(product, square, out=np.zeros(len(square)), where=square > 0)
        return float(((dy - slope[self.owner] * dx) ** 2).sum())

    def _centred(self, values: Floats) -> Floats:
        """(n,) values about the mean of their cell."""
        count = np.maximum(np.bincount(self.owner), 1)
        centred: Floats = values - (np.bincount(self.owner, values) / count)[self.owner]
        return centred


def _delay(laws: PowerLaws, step: float) -> Delay:
    """The delay at which power laws describe the readings best; `step` (s) where they do not tell
    it."""
    untold = Delay(step, step, step, told=False)
    if len(laws.log_g) < LEAST_READINGS:
        return untold
    grid = np.log(DELAYS * step)
    values = np.array([laws.rss(x) for x in grid])
    best = int(np.argmin(values))
    value = _lowest(laws.rss, grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)])
    freedom = laws.freedom
    threshold = laws.rss(value) * (1 + stats.f.ppf(CONFIDENCE, 1, freedom) / freedom)
    below = np.flatnonzero((values > threshold) & (grid < value))
    above = np.flatnonzero((values > threshold) & (grid > value))
    if not below.size or not above.size:
        return untold
    low = _crossing(laws.rss, value, outside=grid[below[-1]], threshold=threshold)
    high = _crossing(laws.rss, value, outside=grid[above[0]], threshold=threshold)
    return Delay(float(np.exp(value)), float(np.exp(low)), float(np.exp(high)))


def _lowest(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function with one minimum is lowest."""
    for _ in range(2 * REFINED):
        third = (high - low) / 3
        if function(low + third) < function(high - third):
            high -= third
        else:
            low += third
    return (low + high) / 2


def _crossing(
    function: Callable[[float], float], inside: float, outside: float, threshold: float
) -> float:
    """Where a function reaches a threshold between two points."""
    for _ in range(REFINED):
        middle = (inside + outside) / 2
        if function(middle) > threshold:
            outside = middle
        else:
            inside = middle
    return inside
