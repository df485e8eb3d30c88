"""The steps of pulses, from reads between them: size, how it falls, its noise, and that of the
reads.

The law that is fitted is the law that `[write_verify]` of a device file runs, pulse by pulse
(`kernels.devices.pulses`).  A direction is an index of WAYS: 0 up, 1 down.
"""

import dataclasses
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize

from xbarsim.base.array_types import Floats, Integers
from xbarsim.base.errors import OutOfRangeError
from xbarsim.base.units import MICROSIEMENS
from xbarsim.calibrate.result import DeviceTable
from xbarsim.kernels.devices import pulses as kernel

WAYS = ("up", "down")
ALL_READ = -12.0  # log odds of the share of step noise at which there is none
ALL_STEP = 12.0  # log odds at which there is no noise of the reads
LEAST_TO_FALL = 12  # pulses in a direction whose steps are not taken as equal
FALL = 2  # index in theta of how the steps up fall; those down follow
NOISE = 4  # index of the log odds in theta; the law's parameters come before it
SLOPE = 1e-4  # half step of the derivatives by parameters of the law
FLOOR = 1e-7  # standard deviation of a read, of the range: reads have so many digits
STEEP = 300.0  # largest logarithm of a size, and largest fall, that is tried
MOST_ODDS = 40.0  # largest log odds that are tried
IMPOSSIBLE = 1e30  # -2 log likelihood of what cannot be followed
BENDS = (0.3, 3.0)  # ln of the first over the last step, with which searches begin
BEGUN = 4  # searches, each from the best of the one before
SETTLED = 0.01  # of -2 log likelihood, gained by a search that is the last


class StepLaw(StrEnum):
    """How steps fall with the conductance."""

    LOGARITHMIC = "logarithmic"  # exponentially, so the conductance follows ln of the pulses
    SATURATION = "exponential saturation"  # along a line to 0, where the conductance saturates


LOGARITHMIC = StepLaw.LOGARITHMIC
SATURATION = StepLaw.SATURATION
Laws: TypeAlias = tuple[StepLaw, StepLaw]  # up, down


def sign(way: int) -> int:
    """+1 up, -1 down."""
    return 1 - 2 * way


class Followed(NamedTuple):
    """Reads (n,) as a law expects them from those before.

    innovation : read less expected;  spread : its variance
    smooth, smooth_variance : the state in the light of all reads of its train
    Variances are in units of `Steps.variance`.
    """

    innovation: Floats
    spread: Floats
    smooth: Floats
    smooth_variance: Floats


@dataclasses.dataclass(frozen=True)
class Trains:
    """Reads of one or several trains of pulses, one after the other.

    reads : (n,) in any unit;  way : (n,) int8, direction of the pulse before each read (+1, -1), 0
        where a train starts
    """

    reads: Floats
    way: NDArray[np.int8]

    @classmethod
    def join(cls, trains: Iterable[tuple[ArrayLike, ArrayLike]]) -> "Trains":
        """Trains of (reads, sign of all pulses or of each) pairs."""
        reads = []
        ways = []
        for train, signs in trains:
            one = np.asarray(train, float)
            way = np.broadcast_to(np.asarray(signs, np.int8), len(one)).copy()
            way[0] = 0
            reads.append(one)
            ways.append(way)
        return cls(np.concatenate(reads), np.concatenate(ways))

    @property
    def directions(self) -> list[int]:
        """Indices of WAYS that occur."""
        return [way for way in range(len(WAYS)) if self.pulses(way)]

    def pulses(self, way: int) -> int:
        """Number of pulses in a direction."""
        return int((self.way == sign(way)).sum())


@dataclasses.dataclass(frozen=True)
class Steps:
    """A law of the steps in the reads' unit.

    laws : (up, down);  low, high : ends of the reads;  unit : mean size of a step
    theta : ln of `size` (up, down), fall of the steps over the range (up, down), log odds of the
        share of step noise;  free : indices of theta that are fitted
    variance : of the reads' noise and of the steps' together, see `kernels.devices.pulses`
    minus_two : -2 log likelihood;  restriction : of the likelihood (REML), None for the likelihood
        itself
    """

    trains: Trains
    laws: Laws
    low: float
    high: float
    unit: float
    theta: Floats
    free: Integers
    variance: float = 1.0
    minus_two: float = np.inf
    restriction: "Restriction | None" = None

    @property
    def model(self) -> str:
        """Name of the laws of the directions that occur."""
        laws = [self.laws[way] for way in self.trains.directions]
        if len(set(laws)) == 1:
            return str(laws[0])
        return f"{laws[0]} up, {laws[1]} down"

    @property
    def size(self) -> Floats:
        """(up, down) size of a step at the end that the direction leaves: `low` up, `high` down."""
        return np.exp(self.theta[:FALL])

    @property
    def rate(self) -> Floats:
        """(up, down), per unit: of the exponential, or of the line that falls to 0."""
        rate: Floats = self.theta[FALL:NOISE] / (self.high - self.low)
        return rate

    @property
    def step_share(self) -> float:
        """Share of the noise that is that of the steps."""
        return float(1 / (1 + np.exp(-self.theta[NOISE])))

    @property
    def law(self) -> Integers:
        """Indices of the free parameters of the law."""
        return self.free[self.free < NOISE]

    @property
    def values(self) -> Floats:
        """The free parameters."""
        return self.theta[self.free]

    @property
    def aic(self) -> float:
        return self.minus_two + 2 * (len(self.free) + 1)

    def can_fall(self, way: int) -> bool:
        """Whether it is fitted how the steps of a direction fall."""
        return FALL + way in self.free

    def step(self, way: int, x: float) -> float:
        """Mean size of a step in a direction at x."""
        passed = x - self.low if way == 0 else self.high - x
        if self.laws[way] == LOGARITHMIC:
            return float(self.size[way] * np.exp(-self.rate[way] * passed))
        return float(self.size[way] * np.maximum(1 - self.rate[way] * passed, 0.0))

    def saturation(self, way: int) -> float:
        """Where a step that falls along a line is 0."""
        reach = 1 / self.rate[way]
        if way == 0:
            return float(self.low + reach)
        return float(self.high - reach)

    def follow(self) -> Followed:
        """The reads under this law, see `kernels.devices.pulses`."""
        n = len(self.trains.reads)
        followed = Followed(np.empty(n), np.empty(n), np.empty(n), np.empty(n))
        logarithmic = np.array([law == LOGARITHMIC for law in self.laws])
        nonlinearity = np.where(logarithmic, self.theta[FALL:NOISE], 0.0)
        falling = np.where(logarithmic, 0.0, self.rate)
        kernel.follow(
            self.trains.reads,
            self.trains.way,
            self.low,
            self.high,
            self.size,
            nonlinearity,
            falling,
            self.step_share,
            self.unit,
            *followed,
        )
        return followed

    def at(self, values: Floats, variance: float | None = None) -> "Steps":
        """The same with other values of the free parameters, and the likelihood of the best
        variance, or of one."""
        theta = self.theta.copy()
        theta[self.free] = values
        moved = dataclasses.replace(self, theta=theta)
        if not moved._within_limits():
            return dataclasses.replace(moved, minus_two=IMPOSSIBLE)
        followed = moved.follow()
        farthest = abs(followed.innovation).max()
        if not np.isfinite(followed.innovation).all() or farthest > 1e6 * (self.high - self.low):
            return dataclasses.replace(moved, minus_two=IMPOSSIBLE)
        return moved._with_likelihood(followed, variance)

    def _within_limits(self) -> bool:
        """Whether the law is one that numbers can hold."""
        law_held = (abs(self.theta[:NOISE]) < STEEP).all()
        return bool(law_held and not abs(self.theta[NOISE]) > MOST_ODDS)

    def _with_likelihood(self, followed: Followed, variance: float | None) -> "Steps":
        counted = self.trains.way != 0
        spread = followed.spread[counted]
        square = (followed.innovation**2 / followed.spread)[counted]
        freedom = int(counted.sum())
        determinant = 0.0
        if self.restriction is not None:
            freedom = max(freedom - len(self.restriction.steps.law), 1)
            determinant = self.restriction.log_determinant(self.theta[NOISE])
        if variance is None:
            variance = square.sum() / freedom + (FLOOR * (self.high - self.low)) ** 2
        minus_two = (
            np.log(spread).sum()
            + freedom * np.log(2 * np.pi * variance)
            + square.sum() / variance
            + determinant
        )
        if not np.isfinite(minus_two):
            minus_two = IMPOSSIBLE
        return dataclasses.replace(self, variance=float(variance), minus_two=float(minus_two))

    def restricted(self) -> "Steps":
        """The same law with the noise of the largest restricted likelihood (Patterson and
        Thompson, 1971).

        The law stays: noise that is relative to a small step and the step trade with each other.
        """
        noise = self.free[self.free == NOISE]
        held = dataclasses.replace(self, free=noise, restriction=Restriction(self))
        found = search(held) if noise.size else held.at(held.values)
        return dataclasses.replace(found, free=self.free)

    def fixed(self, index: int, value: float) -> "Steps":
        """The same with one parameter held."""
        theta = self.theta.copy()
        theta[index] = value
        return dataclasses.replace(self, theta=theta, free=self.free[self.free != index])

    def freed(self, index: int, value: float) -> "Steps":
        """The same with one more parameter that is fitted, `value` to begin with."""
        theta = self.theta.copy()
        theta[index] = value
        return dataclasses.replace(self, theta=theta, free=np.append(self.free, index))


class Restriction:
    """What the law's parameters take from the estimates of the noise, about the law of some Steps.

    Without it the noise comes out too small: the law follows part of the scatter of the steps, the
    more so where reads hide all but their sum.
    """

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self._known: dict[float, float] = {}

    def information(self, log_odds: float) -> Floats:
        """(k, k) information of the reads on the free parameters of the law, of variance 1."""
        counted = self.steps.trains.way != 0
        theta = self.steps.theta.copy()
        theta[NOISE] = log_odds
        spread = self._follow(theta).spread[counted]
        slopes = []
        for index in self.steps.law:
            above = theta.copy()
            above[index] += SLOPE
            below = theta.copy()
            below[index] -= SLOPE
            rise = self._follow(above).innovation - self._follow(below).innovation
            slopes.append(rise[counted] / (2 * SLOPE))
        design = np.array(slopes)
        information: Floats = (design / spread) @ design.T
        return information

    def log_determinant(self, log_odds: float) -> float:
        """ln of the determinant of `information`, kept: searches ask for few shares of noise."""
        if log_odds not in self._known:
            self._known[log_odds] = float(np.linalg.slogdet(self.information(log_odds))[1])
        return self._known[log_odds]

    def _follow(self, theta: Floats) -> Followed:
        return dataclasses.replace(self.steps, theta=theta).follow()


def choices(trains: Trains, law: str | None = None) -> list[Laws]:
    """The laws (up, down) to fit: every combination, or one law for both directions.

    Raises
    ------
    OutOfRangeError : not one of StepLaw
    """
    if law is not None:
        if law not in list(StepLaw):
            raise OutOfRangeError(f"law is {law!r}; allowed: {', '.join(StepLaw)}")
        return [(StepLaw(law), StepLaw(law))]
    if len(trains.directions) < len(WAYS):
        return [(both, both) for both in StepLaw]
    return [(up, down) for up in StepLaw for down in StepLaw]


def fit_steps(trains: Trains, laws: Laws) -> Steps:
    """Steps of the largest likelihood under two laws, (up, down).

    Raises
    ------
    OutOfRangeError : reads that are all the same
    """
    starts = [_start(trains, laws, bend) for bend in BENDS]
    best = min((_least_squares(start) for start in starts), key=lambda steps: steps.minus_two)
    of_reads = search(best.fixed(NOISE, ALL_READ))
    of_both = search(best.freed(NOISE, 0.0))
    return min((of_reads, of_both), key=lambda steps: steps.minus_two - 1e-6 * len(steps.free))


def _start(trains: Trains, laws: Laws, bend: float) -> Steps:
    """Steps to begin with: the mean step of each direction, falling by `bend`."""
    low = float(trains.reads.min())
    high = float(trains.reads.max())
    if not high > low:
        raise OutOfRangeError(
            "all conductances are the same; these are not pulses that move a cell"
        )
    change = np.diff(trains.reads, prepend=trains.reads[0])
    by_way = [change[trains.way == sign(way)] for way in range(len(WAYS))]
    unit = float(abs(np.concatenate(by_way)).mean())
    theta = np.array([np.log(unit), np.log(unit), 0.0, 0.0, ALL_READ])
    free = []
    for way in trains.directions:
        mean = sign(way) * by_way[way].mean()
        theta[way] = np.log(max(mean, 0.01 * unit) * (1 + bend))
        free.append(way)
        if trains.pulses(way) >= LEAST_TO_FALL:
            theta[FALL + way] = bend if laws[way] == LOGARITHMIC else bend / (1 + bend)
            free.append(FALL + way)
    return Steps(trains, laws, low=low, high=high, unit=unit, theta=theta, free=np.array(free))


def _least_squares(steps: Steps) -> Steps:
    """The best law for noise of the reads alone."""

    def residual(values: Floats) -> Floats:
        theta = steps.theta.copy()
        theta[steps.free] = values
        followed = dataclasses.replace(steps, theta=theta).follow()
        deviation: Floats = followed.innovation / np.sqrt(followed.spread) / steps.unit
        return deviation

    is_fall = steps.free >= FALL
    reach = np.where(is_fall, 20.0, 12.0)
    centre = np.where(is_fall, 0.0, steps.theta[steps.free])
    found = optimize.least_squares(
        residual,
        steps.values,
        bounds=(centre - reach, centre + reach),
        x_scale="jac",
        xtol=1e-13,
        ftol=1e-13,
        gtol=1e-13,
        max_nfev=100,
    )
    return steps.at(found.x)


def search(steps: Steps) -> Steps:
    """The nearest largest likelihood; begun anew as long as that helps."""
    best = steps.at(steps.values)
    for _ in range(BEGUN):
        found = optimize.minimize(
            lambda values: steps.at(values).minus_two,
            best.values,
            method="BFGS",
            options={"gtol": 1e-3, "maxiter": 60},
        )
        moved = steps.at(found.x)
        gained = best.minus_two - moved.minus_two
        if gained > 0:
            best = moved
        if gained < SETTLED:
            break
    return best


def step_table(
    steps: Steps, way: int, minimum: float, maximum: float, constant: bool
) -> DeviceTable:
    """Keys of [write_verify] of one direction, for the window minimum to maximum (S).

    constant : the steps do not fall
    """
    name = WAYS[way]
    at_end = minimum if way == 0 else maximum
    table: DeviceTable = {f"step_{name}_us": float(steps.step(way, at_end) / MICROSIEMENS)}
    if constant:
        return table
    if steps.laws[way] == LOGARITHMIC:
        return table | {f"nonlinearity_{name}": float(steps.rate[way] * (maximum - minimum))}
    return table | {f"saturation_{name}_us": float(steps.saturation(way) / MICROSIEMENS)}
