"""The steps of pulses, from reads between them: size, how it falls, its noise, and that of the
reads.

The law that is fitted is the law that `[write_verify]` of a device file runs, pulse by pulse
(`kernels.devices.pulses`).
"""

import dataclasses

import numpy as np
from scipy import optimize, stats

from xbarsim.base.errors import OutOfRangeError
from xbarsim.calibrate.result import CONFIDENCE, Parameter
from xbarsim.calibrate.statistics import TAIL
from xbarsim.kernels.devices import pulses as kernel

WAYS = ("up", "down")
LOGARITHMIC, SATURATION = "logarithmic", "exponential saturation"
LAWS = (LOGARITHMIC, SATURATION)
ALL_READ, ALL_STEP = (
    -12.0,
    12.0,
)  # log odds of the share of step noise at which one kind of noise is none
LEAST_TO_FALL = 12  # pulses in a direction whose steps are not taken as equal
STEEPEST = 8.0  # ln of the first over the last step that reads between can tell
NOISE = 4  # index of the log odds in theta; the law's parameters come before it
SLOPE = 1e-4  # half step of the derivatives by parameters of the law
FLOOR = 1e-7  # standard deviation of a read, of the range: reads have so many digits


@dataclasses.dataclass(frozen=True)
class Trains:
    """Reads of one or several trains of pulses, one after the other.

    reads : (n,) in any unit;  way : (n,) int8, direction of the pulse before each read (+1, -1), 0
        where a train starts
    """

    reads: np.ndarray
    way: np.ndarray

    @classmethod
    def join(cls, trains):
        """Trains of (reads, direction of all pulses or of each) pairs."""
        reads, ways = [], []
        for train, way in trains:
            ways.append(np.broadcast_to(np.asarray(way, np.int8), len(train)).copy())
            ways[-1][0] = 0
            reads.append(np.asarray(train, float))
        return cls(np.concatenate(reads), np.concatenate(ways))

    @property
    def directions(self):
        """Indices of WAYS that occur."""
        return [way for way in range(len(WAYS)) if self.pulses(way)]

    def pulses(self, way):
        """Number of pulses in a direction (0 up, 1 down)."""
        return int((self.way == 1 - 2 * way).sum())


@dataclasses.dataclass(frozen=True)
class Steps:
    """A law of the steps in the reads' unit.

    low, high : ends of the reads, where `size` (up, down) is that of a pulse from its end
    rate : (up, down), per unit: of the exponential, or of the line that falls to 0;  laws : (up,
        down) of LAWS
    log_odds : of the share of step noise;  variance : of the reads' noise and of the steps'
        together, see `kernels.devices.pulses`
    unit : mean size of a step
    restriction : of the likelihood (REML), None for the likelihood itself
    """

    trains: Trains
    laws: tuple
    low: float
    high: float
    unit: float
    theta: np.ndarray
    free: np.ndarray
    variance: float = 1.0
    minus_two: float = np.inf
    restriction: "Restriction | None" = None

    @property
    def size(self):
        return np.exp(self.theta[:2])

    @property
    def rate(self):
        return self.theta[2:4] / (self.high - self.low)

    @property
    def step_share(self):
        return 1 / (1 + np.exp(-self.theta[4]))

    def step(self, way, x):
        """Mean size of a step in direction `way` (0 up, 1 down) at x."""
        passed = x - self.low if way == 0 else self.high - x
        if self.laws[way] == LOGARITHMIC:
            return self.size[way] * np.exp(-self.rate[way] * passed)
        return self.size[way] * np.maximum(1 - self.rate[way] * passed, 0.0)

    def saturation(self, way):
        """Where a step that falls along a line is 0."""
        return self.low + 1 / self.rate[way] if way == 0 else self.high - 1 / self.rate[way]

    def follow(self):
        """(innovation, its variance, smoothed reads, their variance), variances in units of
        `variance`."""
        results = [np.empty(len(self.trains.reads)) for _ in range(4)]
        logarithmic = np.array([law == LOGARITHMIC for law in self.laws])
        nonlinearity = np.where(logarithmic, self.theta[2:4], 0.0)
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
            *results,
        )
        return results

    def at(self, values, variance=None):
        """The same with other values of the free parameters, and the likelihood of the best
        variance, or of one."""
        theta = self.theta.copy()
        theta[self.free] = values
        if (
            not (abs(theta[:2]) < 300).all()
            or not (abs(theta[2:4]) < 300).all()
            or abs(theta[4]) > 40
        ):
            return dataclasses.replace(self, theta=theta, minus_two=1e30)
        moved = dataclasses.replace(self, theta=theta)
        innovation, spread, _, _ = moved.follow()
        counted = self.trains.way != 0
        if not np.isfinite(innovation).all() or abs(innovation).max() > 1e6 * (
            self.high - self.low
        ):
            return dataclasses.replace(self, theta=theta, minus_two=1e30)
        square = (innovation**2 / spread)[counted]
        freedom = counted.sum()
        determinant = 0.0
        if self.restriction is not None:
            freedom = max(freedom - len(self.restriction.steps.law), 1)
            determinant = self.restriction.log_determinant(theta[NOISE])
        if variance is None:
            variance = square.sum() / freedom + (FLOOR * (self.high - self.low)) ** 2
        minus_two = (
            np.log(spread[counted]).sum()
            + freedom * np.log(2 * np.pi * variance)
            + square.sum() / variance
            + determinant
        )
        if not np.isfinite(minus_two):
            minus_two = 1e30
        return dataclasses.replace(moved, variance=float(variance), minus_two=float(minus_two))

    @property
    def law(self):
        """Indices of the free parameters of the law."""
        return self.free[self.free < NOISE]

    def restricted(self):
        """The same law with the noise of the largest restricted likelihood (Patterson and
        Thompson, 1971).

        The law stays: noise that is relative to a small step and the step trade with each other.
        """
        noise = self.free[self.free == NOISE]
        held = dataclasses.replace(self, free=noise, restriction=Restriction(self))
        found = _search(held) if noise.size else held.at(held.values)
        return dataclasses.replace(found, free=self.free)

    @property
    def values(self):
        return self.theta[self.free]

    @property
    def aic(self):
        return self.minus_two + 2 * (len(self.free) + 1)

    def fixed(self, index, value):
        """The same with one parameter held."""
        theta = self.theta.copy()
        theta[index] = value
        return dataclasses.replace(self, theta=theta, free=self.free[self.free != index])


class Restriction:
    """What the law's parameters take from the estimates of the noise, about the law of some Steps.

    Without it the noise comes out too small: the law follows part of the scatter of the steps, the
    more so where reads hide all but their sum.
    """

    def __init__(self, steps):
        self.steps = steps
        self._known = {}

    def information(self, log_odds):
        """(k, k) information of the reads on the free parameters of the law, of variance 1."""
        counted = self.steps.trains.way != 0
        theta = self.steps.theta.copy()
        theta[NOISE] = log_odds
        spread = self._follow(theta)[1][counted]
        design = []
        for index in self.steps.law:
            above = theta.copy()
            above[index] += SLOPE
            below = theta.copy()
            below[index] -= SLOPE
            rise = self._follow(above)[0] - self._follow(below)[0]
            design.append(rise[counted] / (2 * SLOPE))
        design = np.array(design)
        return (design / spread) @ design.T

    def log_determinant(self, log_odds):
        """ln of the determinant of `information`, kept: searches ask for few shares of noise."""
        if log_odds not in self._known:
            self._known[log_odds] = float(np.linalg.slogdet(self.information(log_odds))[1])
        return self._known[log_odds]

    def _follow(self, theta):
        return dataclasses.replace(self.steps, theta=theta).follow()


def choices(trains, law=None):
    """[(law up, law down)] to fit: every combination, or one law for both directions.

    Raises
    ------
    OutOfRangeError : not one of LAWS
    """
    if law is not None:
        if law not in LAWS:
            raise OutOfRangeError(f"law is {law!r}; allowed: {', '.join(LAWS)}")
        return [(law, law)]
    if len(trains.directions) < len(WAYS):
        return [(law, law) for law in LAWS]
    return [(up, down) for up in LAWS for down in LAWS]


def fit_steps(trains, laws):
    """Steps of the largest likelihood under two laws, (up, down)."""
    low, high = float(trains.reads.min()), float(trains.reads.max())
    if not high > low:
        raise OutOfRangeError(
            "all conductances are the same; these are not pulses that move a cell"
        )
    change = np.diff(trains.reads, prepend=trains.reads[0])
    unit = float(abs(np.concatenate([change[trains.way == sign] for sign in (1, -1)])).mean())
    free = np.array([k for way in trains.directions for k in (way, 2 + way)])
    free = free[[k < 2 or trains.pulses(k - 2) >= LEAST_TO_FALL for k in free]]
    candidates = []
    for bend in (0.3, 3.0):
        theta = np.array([np.log(unit), np.log(unit), 0.0, 0.0, ALL_READ])
        for way in trains.directions:
            mean = (1 - 2 * way) * change[trains.way == 1 - 2 * way].mean()
            theta[way] = np.log(max(mean, 0.01 * unit) * (1 + bend))
            if 2 + way in free:
                theta[2 + way] = bend if laws[way] == LOGARITHMIC else bend / (1 + bend)
        start = Steps(trains, tuple(laws), low, high, unit, theta, free)
        candidates.append(_least_squares(start))
    best = min(candidates, key=lambda steps: steps.minus_two)
    searches = [_search(best.fixed(4, ALL_READ))]
    theta = best.theta.copy()
    theta[4] = 0.0
    searches.append(_search(dataclasses.replace(best, theta=theta, free=np.append(free, 4))))
    return min(searches, key=lambda steps: steps.minus_two - 1e-6 * len(steps.free))


def _least_squares(steps):
    """The best law for noise of the reads alone."""

    def residual(values):
        theta = steps.theta.copy()
        theta[steps.free] = values
        innovation, spread, _, _ = dataclasses.replace(steps, theta=theta).follow()
        return innovation / np.sqrt(spread) / steps.unit

    bounds = np.array([20.0 if k >= 2 else 12.0 for k in steps.free])
    centre = np.where(steps.free >= 2, 0.0, steps.theta[steps.free])
    found = optimize.least_squares(
        residual,
        steps.values,
        bounds=(centre - bounds, centre + bounds),
        x_scale="jac",
        xtol=1e-13,
        ftol=1e-13,
        gtol=1e-13,
        max_nfev=100,
    )
    return steps.at(found.x)


def _search(steps):
    """The nearest largest likelihood; begun anew as long as that helps."""
    best = steps.at(steps.values)
    for _ in range(4):
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
        if gained < 0.01:
            break
    return best


def worse_without(steps, index, value):
    """How much -2 log likelihood rises where a parameter is held at a value, and the best Steps
    there."""
    held = _search(steps.fixed(index, value))
    return held.minus_two - steps.minus_two, held


class Uncertainty:
    """Intervals of functions of fitted Steps, by the curvature of the restricted likelihood.

    steps : `Steps.restricted`
    """

    def __init__(self, steps):
        self.steps = steps
        self.point = np.append(steps.values, np.log(steps.variance))
        self.widths = np.full(len(self.point), 1e-3)
        for _ in range(2):  # about a third of a standard error
            along = np.maximum(abs(np.diag(self._hessian())), 1e-6)
            self.widths = np.clip(0.3 / np.sqrt(along), 1e-9, 0.1)
        curvature = self._hessian()
        scale = np.sqrt(np.maximum(abs(np.diag(curvature)), 1e-12))
        values, vectors = np.linalg.eigh(curvature / np.outer(scale, scale))
        inverse = 1 / np.maximum(values, 1e-6)
        self.covariance = (vectors * inverse) @ vectors.T / np.outer(scale, scale)
        counted = (steps.trains.way != 0).sum()
        self.freedom = max(counted - len(self.point), 1)

    def _at(self, point):
        return self.steps.at(point[:-1], np.exp(point[-1]))

    def _hessian(self):
        size = len(self.point)
        moves = np.diag(self.widths)
        result = np.empty((size, size))
        for i in range(size):
            for j in range(i, size):
                total = 0.0
                for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
                    corner = self.point + a * moves[i] + b * moves[j]
                    total += a * b * self._at(corner).minus_two
                result[i, j] = result[j, i] = total / (8 * self.widths[i] * self.widths[j])
        return result

    def _estimate(self, function):
        """(value, gradient by the free parameters) of function(steps)."""
        gradient = np.empty(len(self.point))
        for k, width in enumerate(self.widths):
            move = np.zeros(len(self.point))
            move[k] = width
            rise = function(self._at(self.point + move)) - function(self._at(self.point - move))
            gradient[k] = rise / (2 * width)
        return function(self._at(self.point)), gradient

    def _effective(self, gradient):
        """Degrees of freedom (Satterthwaite, 1946) behind the error of a function of the law.

        gradient : of the function by the law's free parameters
        """
        if not gradient.any():
            return self.freedom
        law = len(gradient)
        log_odds = self.steps.theta[NOISE]
        information = self.steps.restriction.information

        def log_variance(moved):
            return np.log(gradient @ np.linalg.solve(information(moved), gradient))

        slopes = np.ones(len(self.point) - law)  # the last by the logarithm of the variance
        if NOISE in self.steps.free:
            width = self.widths[law]
            rise = log_variance(log_odds + width) - log_variance(log_odds - width)
            slopes[0] = rise / (2 * width)
        error = slopes @ self.covariance[law:, law:] @ slopes
        return float(np.clip(2 / max(error, 1e-12), 1.0, self.freedom))

    def interval(self, function, variance=0.0):
        """(value, low, high) of function(steps), with a variance that it has beside the
        parameters'."""
        value, gradient = self._estimate(function)
        error = np.sqrt(max(gradient @ self.covariance @ gradient, 0.0) + variance)
        freedom = self._effective(gradient[: len(self.steps.law)])
        half = stats.t.ppf(1 - TAIL, freedom) * error
        return float(value), float(value - half), float(value + half)

    def deviation(self, function):
        """The same for a standard deviation: chi-squared with the degrees of freedom of its
        error."""
        logarithm, gradient = self._estimate(lambda steps: np.log(function(steps)))
        freedom = 0.5 / max(gradient @ self.covariance @ gradient, 1e-12)
        shares = np.maximum(stats.chi2.ppf([1 - TAIL, TAIL], freedom) / freedom, 1e-100)
        value = np.exp(logarithm)
        return float(value), float(value / np.sqrt(shares[0])), float(value / np.sqrt(shares[1]))

    def positive(self, function, variance=0.0):
        """The same for a quantity above 0, on a logarithmic scale; a variance of its logarithm."""
        logarithms = self.interval(lambda steps: np.log(function(steps)), variance)
        return tuple(float(end) for end in np.exp(np.clip(logarithms, -300, 300)))


def straight(steps):
    """(Steps, {way: reason}): directions whose steps do not fall beyond chance are held
    constant."""
    reasons = {}
    for way in steps.trains.directions:
        if 2 + way not in steps.free:
            reasons[way] = f"only {steps.trains.pulses(way)} pulses"
            continue
        rise, held = worse_without(steps, 2 + way, 0.0)
        if (
            rise < stats.chi2.ppf(CONFIDENCE, 1)
            or rise < 10
            and abs(steps.theta[2 + way]) > STEEPEST
        ):
            steps = held
            reasons[way] = (
                "a straight line is within the interval: the train does not reach its "
                "saturation; apply more "
                "pulses"
            )
    return steps, reasons


def noise_parameters(steps, unit):
    """([step_relative_sigma, read_sigma], Steps with that noise)."""
    threshold = stats.chi2.ppf(CONFIDENCE, 1)
    exact = steps.variance <= 4 * (FLOOR * (steps.high - steps.low)) ** 2
    without_step, all_read = worse_without(steps, 4, ALL_READ) if 4 in steps.free else (0.0, steps)
    without_read, all_step = worse_without(steps, 4, ALL_STEP)
    if exact:
        reason = "the reads follow the law to their last digit"
        unknown = [
            Parameter.unknown("step_relative_sigma", "1", reason),
            Parameter.unknown("read_sigma", unit, reason),
        ]
        return unknown, all_read.restricted()
    has_step = without_step >= threshold or without_read < without_step
    has_read = without_read >= threshold or without_step <= without_read
    chosen = steps
    if not has_step:
        chosen = all_read
    elif not has_read:
        chosen = all_step
    chosen = chosen.restricted()
    uncertainty = Uncertainty(chosen)
    parameters = []
    if has_step:
        values = uncertainty.deviation(lambda s: np.sqrt(s.variance * s.step_share) / s.unit)
        parameters.append(Parameter.known("step_relative_sigma", "1", *values))
    else:
        parameters.append(
            Parameter.unknown(
                "step_relative_sigma", "1", "the noise of the reads explains all scatter"
            )
        )
    if has_read:
        values = uncertainty.deviation(lambda s: np.sqrt(s.variance * (1 - s.step_share)))
        parameters.append(Parameter.known("read_sigma", unit, *values))
    else:
        parameters.append(
            Parameter.unknown("read_sigma", unit, "the noise of the steps explains all scatter")
        )
    return parameters, chosen
