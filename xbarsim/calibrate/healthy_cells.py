"""A map of cells, and where the healthy ones of every target lie."""

import dataclasses

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

from xbarsim.base.array_types import Booleans, Floats, Integers
from xbarsim.base.errors import OutOfRangeError, ShapeError

LEAST_CELLS = 64  # of a map, and of a group of targets that has a spread of its own
REACH = 6.0  # robust standard deviations of the healthy cells, more where their tails are heavy
FALSE_ALARMS = 0.1  # healthy cells beyond their reach that are expected in a map with heavy tails
NORMAL_OVER_MEDIAN = 1.4826  # standard deviation over median absolute deviation
LIGHTEST_TAILS = 2.0  # shapes of the exponential power distribution: normal
HEAVIEST_TAILS = 0.5


@dataclasses.dataclass(frozen=True)
class Map:
    """Measured cells: (m, n) S achieved and aimed at, and which of them were measured."""

    conductance: Floats
    target: Floats
    measured: Booleans


@dataclasses.dataclass(frozen=True)
class Healthy:
    """Where the healthy cells of every target lie: (m, n) S, and in which cells that is known.

    reach : how many sigma from their middle healthy cells may lie
    """

    middle: Floats
    sigma: Floats
    known: Booleans
    reach: float

    @property
    def low(self) -> Floats:
        """(m, n) S, below which a cell is not healthy."""
        return self.middle - self.reach * self.sigma

    @property
    def high(self) -> Floats:
        """(m, n) S, above which a cell is not healthy."""
        return self.middle + self.reach * self.sigma

    def shows(self, conductance: Floats | float) -> Booleans:
        """(m, n): cells in which a fault at this conductance (S) is seen."""
        seen: Booleans = self.known & ((conductance < self.low) | (conductance > self.high))
        return seen

    def exposure(self, conductances: ArrayLike, cells: Booleans) -> Integers:
        """For each conductance (S), in how many of `cells` (m, n) a fault there is seen."""
        counted = cells & self.known
        lows = np.sort(self.low[counted])
        highs = np.sort(self.high[counted])
        above = np.searchsorted(highs, conductances, side="left")
        return above + lows.size - np.searchsorted(lows, conductances, side="right")


def checked_map(conductance: ArrayLike, target: ArrayLike | None) -> Map:
    """Map of (m, n) conductances and targets (S; None: one for all), NaN where not measured.

    Raises
    ------
    ShapeError, OutOfRangeError : not matrices of one shape, infinite, fewer than LEAST_CELLS
    """
    achieved = np.asarray(conductance, float)
    aim = np.zeros(achieved.shape) if target is None else np.asarray(target, float)
    if achieved.ndim != 2 or achieved.shape != aim.shape:
        raise ShapeError(
            f"conductance {achieved.shape} and target {aim.shape}; allowed: matrices of one shape"
        )
    _refuse_infinite("conductance", achieved)
    _refuse_infinite("target", aim)
    measured = ~(np.isnan(achieved) | np.isnan(aim))
    if measured.sum() < LEAST_CELLS:
        rows, columns = achieved.shape
        raise OutOfRangeError(
            f"a map of {rows} x {columns} cells with {measured.sum()} measured; rates need "
            f"{LEAST_CELLS} cells or more"
        )
    return Map(achieved, aim, measured)


def _refuse_infinite(name: str, conductance: Floats) -> None:
    infinite = np.isinf(conductance)
    if infinite.any():
        row, column = np.argwhere(infinite)[0]
        raise OutOfRangeError(
            f"{name} is {conductance[row, column]} S at word line {row}, bit line {column}; "
            "allowed: numbers, and NaN for a cell that was not measured"
        )


def healthy_cells(cells: Map) -> Healthy:
    """Healthy of a map: median and robust spread of the error of every group of targets."""
    error = (cells.conductance - cells.target)[cells.measured]
    target = cells.target[cells.measured]
    middle_of_measured = np.empty(target.size)
    sigma_of_measured = np.empty(target.size)
    for members in _groups(target):
        centre = np.median(error[members])
        deviation = abs(error[members] - centre)
        middle_of_measured[members] = target[members] + centre
        sigma_of_measured[members] = NORMAL_OVER_MEDIAN * np.median(deviation)
    middle = np.full(cells.target.shape, np.nan)
    sigma = np.full(cells.target.shape, np.nan)
    middle[cells.measured] = middle_of_measured
    sigma[cells.measured] = sigma_of_measured
    known = sigma > 0
    deviation = abs(cells.conductance - middle)[known] / sigma[known]
    return Healthy(middle, sigma, known, _reach(deviation[deviation < REACH], int(known.sum())))


def _reach(deviation: Floats, cells: int) -> float:
    """Robust standard deviations that healthy cells reach: REACH, or more where tails are heavy.

    The shape of the tails is that of the exponential power distribution (2: normal, 1: Laplace)
    with the same ratio of the 95 % and 50 % quantiles.

    deviation : (k,) of healthy cells in robust standard deviations, whose median is 1 / 1.4826 by
        definition;  cells : of the map that have a spread
    """
    if deviation.size < LEAST_CELLS:
        return REACH
    median, outer = np.quantile(deviation, [0.5, 0.95])

    def excess(shape: float) -> float:
        return _tail_quantile(shape, 0.95) / _tail_quantile(shape, 0.5) - float(outer / median)

    if excess(LIGHTEST_TAILS) >= 0:
        return REACH
    shape = HEAVIEST_TAILS
    if excess(HEAVIEST_TAILS) > 0:
        shape = optimize.brentq(excess, HEAVIEST_TAILS, LIGHTEST_TAILS)
    farthest = _tail_quantile(shape, 1 - FALSE_ALARMS / cells)
    return max(REACH, float(median * farthest / _tail_quantile(shape, 0.5)))


def _tail_quantile(shape: float, level: float) -> float:
    """Quantile of the magnitude of the exponential power distribution of a shape."""
    return float(special.gammaincinv(1 / shape, level) ** (1 / shape))


def _groups(target: Floats) -> list[Integers]:
    """Index arrays of cells: of one target, and of the next above until there are LEAST_CELLS."""
    order = np.argsort(target, kind="stable")
    _, counts = np.unique(target, return_counts=True)
    groups = []
    start = 0
    end = 0
    for count in counts:
        end += count
        left = target.size - end
        enough_left = left >= LEAST_CELLS or left == 0
        if end - start >= LEAST_CELLS and enough_left:
            groups.append(order[start:end])
            start = end
    return groups
