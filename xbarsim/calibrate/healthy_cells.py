"""A map of cells, and where the healthy ones of every target lie."""

import dataclasses

import numpy as np
from scipy import optimize, special

from xbarsim.base.errors import OutOfRangeError, ShapeError

LEAST_CELLS = 64  # of a map, and of a group of targets that has a spread of its own
REACH = 6.0  # robust standard deviations of the healthy cells, more where their tails are heavy
FALSE_ALARMS = 0.1  # healthy cells beyond their reach that are expected in a map with heavy tails


@dataclasses.dataclass(frozen=True)
class Map:
    """Measured cells: (m, n) S achieved and aimed at, and which of them were measured."""

    conductance: np.ndarray
    target: np.ndarray
    measured: np.ndarray


@dataclasses.dataclass(frozen=True)
class Healthy:
    """Where the healthy cells of every target lie: (m, n) S, and in which cells that is known.

    reach : how many sigma from their middle healthy cells may lie
    """

    middle: np.ndarray
    sigma: np.ndarray
    known: np.ndarray
    reach: float

    @property
    def low(self):
        return self.middle - self.reach * self.sigma

    @property
    def high(self):
        return self.middle + self.reach * self.sigma

    def shows(self, conductance):
        """(m, n) bool: cells in which a fault at this conductance (S) is seen."""
        return self.known & ((conductance < self.low) | (conductance > self.high))

    def exposure(self, conductances, cells):
        """For each conductance (S), in how many of `cells` (m, n) bool a fault there is seen."""
        counted = cells & self.known
        lows, highs = np.sort(self.low[counted]), np.sort(self.high[counted])
        above = np.searchsorted(highs, conductances, side="left")
        return above + lows.size - np.searchsorted(lows, conductances, side="right")


def checked_map(conductance, target):
    """Map of (m, n) conductances and targets (S; None: one for all), NaN where not measured.

    Raises
    ------
    ShapeError, OutOfRangeError : not matrices of one shape, infinite, fewer than LEAST_CELLS
    """
    g = np.asarray(conductance, float)
    aim = np.zeros(g.shape) if target is None else np.asarray(target, float)
    if g.ndim != 2 or g.shape != aim.shape:
        raise ShapeError(
            f"conductance {g.shape} and target {aim.shape}; allowed: matrices of one shape"
        )
    for name, array in (("conductance", g), ("target", aim)):
        if np.isinf(array).any():
            row, column = np.argwhere(np.isinf(array))[0]
            raise OutOfRangeError(
                f"{name} is {array[row, column]} S at word line {row}, bit line {column}; allowed: "
                "numbers, and NaN for a cell that was not measured"
            )
    measured = ~(np.isnan(g) | np.isnan(aim))
    if measured.sum() < LEAST_CELLS:
        raise OutOfRangeError(
            f"a map of {g.shape[0]} x {g.shape[1]} cells with {measured.sum()} measured; rates "
            "need "
            f"{LEAST_CELLS} cells or more"
        )
    return Map(g, aim, measured)


def healthy_cells(cells):
    """Healthy of a map: median and robust spread of the error of every group of targets."""
    error = (cells.conductance - cells.target)[cells.measured]
    target = cells.target[cells.measured]
    middle, sigma = np.full(cells.target.shape, np.nan), np.full(cells.target.shape, np.nan)
    middle_of_measured, sigma_of_measured = np.empty(target.size), np.empty(target.size)
    for members in _groups(target):
        centre = np.median(error[members])
        middle_of_measured[members] = target[members] + centre
        sigma_of_measured[members] = 1.4826 * np.median(abs(error[members] - centre))
    middle[cells.measured] = middle_of_measured
    sigma[cells.measured] = sigma_of_measured
    known = sigma > 0
    deviation = abs(cells.conductance - middle)[known] / sigma[known]
    return Healthy(middle, sigma, known, _reach(deviation[deviation < REACH], known.sum()))


def _reach(deviation, cells):
    """Robust standard deviations that healthy cells reach: REACH, or more where tails are heavy.

    The shape of the tails is that of the exponential power distribution (2: normal, 1: Laplace)
    with the same ratio of the 95 % and 50 % quantiles.

    deviation : (k,) of healthy cells in robust standard deviations, whose median is 1 / 1.4826 by
        definition
    """

    def quantile(shape, level):
        return special.gammaincinv(1 / shape, level) ** (1 / shape)

    if deviation.size < LEAST_CELLS:
        return REACH
    median, outer = np.quantile(deviation, [0.5, 0.95])
    lightest, heaviest = 2.0, 0.5

    def excess(shape):
        return quantile(shape, 0.95) / quantile(shape, 0.5) - outer / median

    if excess(lightest) >= 0:
        return REACH
    shape = optimize.brentq(excess, heaviest, lightest) if excess(heaviest) > 0 else heaviest
    return max(
        REACH, float(median * quantile(shape, 1 - FALSE_ALARMS / cells) / quantile(shape, 0.5))
    )


def _groups(target):
    """Index arrays of cells: of one target, and of the next above until there are LEAST_CELLS."""
    order = np.argsort(target, kind="stable")
    _, counts = np.unique(target, return_counts=True)
    groups, start, end = [], 0, 0
    for count in counts:
        end += count
        enough_left = target.size - end >= LEAST_CELLS or end == target.size
        if end - start >= LEAST_CELLS and enough_left:
            groups.append(order[start:end])
            start = end
    return groups
