"""Distributions of write errors: a mean and a standard deviation that follow the target, and the
form of what remains.

A write misses its target by `mean(x) + scale(x) z`, x = target / largest target.  Gaussian, Student
t and a mixture of two normal distributions are all normal deviates of random precision tau: one
expectation-maximisation fits them, with the weights E[tau | z].  A uniform error is fitted by the
narrowest band that holds all writes.
"""

import dataclasses

import numpy as np
from scipy import optimize, stats
from scipy.special import gammaln

from xbarsim.base.units import MICROSIEMENS

FREEDOM = (0.8, 200.0)  # lowest and highest degrees of freedom
MOST_LEVELS = 64  # beyond that a mean or sigma of every level is no summary
LEAST_AT_LEVEL = 5
TIE = 2.0  # a coefficient of a law must better Akaike's criterion by more than that
BAND_TIE = 8.0  # the same for the centre of a band
ROUNDS = 200
SETTLED = 1e-4  # change of -2 log likelihood that ends them
SIGMA_FLOOR = 0.02  # of what is usual over all targets


@dataclasses.dataclass(frozen=True)
class Law:
    """How a mean or standard deviation follows the target: design @ coefficients.

    x : (n,) target / scale;  levels : the values of x, for a law of every level;  degree : of a
        polynomial
    """

    x: np.ndarray
    degree: int | None = None
    levels: np.ndarray | None = None

    @property
    def name(self):
        return "of every level" if self.degree is None else f"a polynomial of degree {self.degree}"

    @property
    def design(self):
        """(n, k)."""
        if self.degree is None:
            return (self.x[:, None] == self.levels).astype(float)
        return self.x[:, None] ** np.arange(self.degree + 1)

    @property
    def size(self):
        return len(self.levels) if self.degree is None else self.degree + 1

    def between(self, coefficients):
        """Values on a fine grid over the range of x; those of the levels, for a law of every
        level."""
        if self.degree is None:
            return coefficients
        grid = np.linspace(self.x.min(), self.x.max(), 101)
        return np.polynomial.polynomial.polyval(grid, coefficients)


def laws(x, highest=3):
    """Laws that these targets can tell apart, the fewest coefficients first."""
    levels, counts = np.unique(x, return_counts=True)
    found = [Law(x, degree) for degree in range(min(highest + 1, len(levels)))]
    if 1 < len(levels) <= MOST_LEVELS and counts.min() >= LEAST_AT_LEVEL:
        found.append(Law(x, levels=levels))
    return found


def normal_log_density(z):
    return -0.5 * z * z - 0.5 * np.log(2 * np.pi)


@dataclasses.dataclass(frozen=True)
class Normal:
    """Standard normal deviates."""

    shapes = 0
    variance = 1.0

    def precision(self, z):
        """(mean, variance) of the precision tau given z, (n,) each."""
        return np.ones(len(z)), np.zeros(len(z))

    def refit(self, z):
        return self

    def log_density(self, z):
        return normal_log_density(z)

    def cdf(self, z):
        return stats.norm.cdf(z)


@dataclasses.dataclass(frozen=True)
class Student:
    """Student t: tau has a gamma distribution."""

    freedom: float = 4.0
    shapes = 1

    @property
    def variance(self):
        """Infinite at 2 degrees of freedom and fewer."""
        return self.freedom / (self.freedom - 2) if self.freedom > 2 else np.inf

    def precision(self, z):
        mean = (self.freedom + 1) / (self.freedom + z**2)
        return mean, 2 * (self.freedom + 1) / (self.freedom + z**2) ** 2

    def refit(self, z):
        """The best degrees of freedom within a factor of 1.5, so that repeated calls reach the best
        of all."""
        low = max(self.freedom / 1.5, FREEDOM[0])
        high = min(self.freedom * 1.5, FREEDOM[1])
        found = optimize.minimize_scalar(
            lambda freedom: -Student(freedom).log_density(z).sum(),
            bounds=(low, high),
            method="bounded",
            options={"xatol": 2e-3 * self.freedom},
        )
        return Student(float(found.x))

    def log_density(self, z):
        freedom = self.freedom
        constant = gammaln((freedom + 1) / 2) - gammaln(freedom / 2) - 0.5 * np.log(freedom * np.pi)
        return constant - (freedom + 1) / 2 * np.log1p(z * z / freedom)

    def cdf(self, z):
        return stats.t.cdf(z, self.freedom)


@dataclasses.dataclass(frozen=True)
class Mixture:
    """Normal deviates, a share `fraction` of them `factor` times as wide."""

    fraction: float = 0.1
    factor: float = 3.0
    shapes = 2

    @property
    def variance(self):
        return 1 - self.fraction + self.fraction * self.factor**2

    def _wide(self, z):
        """Probability that a deviate is one of the wide ones."""
        odds = self.fraction / (1 - self.fraction) / self.factor
        return 1 / (1 + np.exp(-0.5 * z**2 * (1 - self.factor**-2)) / odds)

    def precision(self, z):
        wide = self._wide(z)
        difference = 1 - self.factor**-2
        return 1 - wide * difference, wide * (1 - wide) * difference**2

    def refit(self, z):
        wide = self._wide(z)
        factor = np.sqrt((wide * z**2).sum() / wide.sum())
        return Mixture(
            float(np.clip(wide.mean(), 1 / len(z), 0.5)), float(np.clip(factor, 1.2, 100.0))
        )

    def log_density(self, z):
        narrow = np.log1p(-self.fraction) + normal_log_density(z)
        wide = np.log(self.fraction / self.factor) + normal_log_density(z / self.factor)
        return np.logaddexp(narrow, wide)

    def cdf(self, z):
        return (1 - self.fraction) * stats.norm.cdf(z) + self.fraction * stats.norm.cdf(
            z / self.factor
        )


@dataclasses.dataclass(frozen=True)
class ErrorFit:
    """Errors (n,) S that follow `mean` and `spread`, standardised deviates of the form `form`.

    mean_coefficients, scale_coefficients : S, of the two laws;  minus_two : -2 log likelihood
    """

    error: np.ndarray
    mean: Law
    spread: Law
    form: object
    mean_coefficients: np.ndarray
    scale_coefficients: np.ndarray
    minus_two: float

    @property
    def location(self):
        """(n,) S."""
        return self.mean.design @ self.mean_coefficients

    @property
    def scale(self):
        """(n,) S, that the standardised deviates are multiplied with."""
        return self.spread.design @ self.scale_coefficients

    @property
    def deviates(self):
        return (self.error - self.location) / self.scale

    @property
    def aic(self):
        return float(self.minus_two + 2 * (self.mean.size + self.spread.size + self.form.shapes))

    @property
    def cost(self):
        """What is minimised over laws: Akaike's criterion, and `TIE` for every coefficient."""
        return self.aic + TIE * (self.mean.size + self.spread.size)

    @property
    def sensible(self):
        """Whether the scale is above 0 between the targets too."""
        return bool(self.spread.between(self.scale_coefficients).min() > 0)


def fit_form(error, x, form, degree=None, bias_degree=None):
    """ErrorFits of one form, the lowest cost first: the best law of the mean, and every law of the
    spread with it."""
    possible = laws(x)
    means = [law for law in possible if bias_degree is None or law.degree == bias_degree]
    spreads = [law for law in possible if degree is None or law.degree == degree]
    widest = (
        max(spreads, key=lambda law: law.size)
        if form.shapes == 0
        else spreads[min(1, len(spreads) - 1)]
    )
    mean = min(
        (maximise(error, mean, widest, form) for mean in means), key=lambda fit: fit.cost
    ).mean
    fits = [maximise(error, mean, spread, form) for spread in spreads]
    fits = [fit for fit in fits if fit.sensible] or fits[:1]
    return sorted(fits, key=lambda fit: fit.cost)


def maximise(error, mean, spread, form):
    """ErrorFit of the largest likelihood, by expectation-maximisation."""
    design = mean.design
    scale_design = spread.design
    location = np.full(len(error), np.median(error))
    overall = error.std()
    usual = stats.median_abs_deviation(error, scale="normal") or overall
    floor = SIGMA_FLOOR * min(usual, overall)
    scale = np.full(len(error), overall)
    coefficients = np.zeros(spread.size)
    last = np.inf
    for _ in range(ROUNDS):
        weight, _ = form.precision((error - location) / scale)
        mean_coefficients = weighted_least_squares(design, error, weight / scale**2)
        location = design @ mean_coefficients
        whitened = np.sqrt(weight) * (error - location)
        coefficients = _scale_of(spread, scale_design, whitened, coefficients, floor)
        scale = scale_design @ coefficients
        deviates = (error - location) / scale
        form = form.refit(deviates)
        minus_two = float(2 * np.log(scale).sum() - 2 * form.log_density(deviates).sum())
        if abs(last - minus_two) < SETTLED:
            break
        last = minus_two
    return ErrorFit(error, mean, spread, form, mean_coefficients, coefficients, minus_two)


def weighted_least_squares(design, y, weight):
    root = np.sqrt(weight / weight.max())
    return np.linalg.lstsq(design * root[:, None], y * root, rcond=None)[0]


def _scale_of(law, design, residual, start, floor):
    """Coefficients of the standard deviation of normal residuals, by the largest likelihood."""
    if law.degree is None:
        mean_square = design.T @ residual**2 / design.sum(axis=0)
        return np.maximum(np.sqrt(mean_square), floor)
    if law.degree == 0:
        return np.array([max(np.sqrt((residual**2).mean()), floor)])
    if (design @ start <= floor).any():
        start = np.zeros(law.size)
        start[0] = max(residual.std(), 2 * floor)
    return _scoring(design, residual, start, floor)


def _scoring(design, residual, beta, floor):
    """Fisher scoring of sigma = design @ beta; a step that would take a sigma below `floor` is
    halved."""
    for _ in range(50):
        sigma = design @ beta
        information = 2 * (design / sigma[:, None] ** 2).T @ design
        score = design.T @ (residual**2 / sigma**3 - 1 / sigma)
        step = np.linalg.lstsq(information, score, rcond=None)[0]
        while (design @ (beta + step) <= floor).any() and abs(step).max() > 1e-12 * abs(beta).max():
            step = step / 2
        if (design @ (beta + step) <= floor).any():
            break
        beta = beta + step
        if abs(step).max() < 1e-7 * abs(beta).max():
            break
    return beta


@dataclasses.dataclass(frozen=True)
class Band:
    """The narrowest band that holds all errors: `half_width` S either side of its centre.

    mean : law of the centre, None where it is the target itself;  coefficients : S
    """

    error: np.ndarray
    mean: Law | None
    coefficients: np.ndarray
    half_width: float

    @property
    def size(self):
        return 0 if self.mean is None else self.mean.size

    @property
    def location(self):
        if self.mean is None:
            return np.zeros(len(self.error))
        return self.mean.design @ self.coefficients

    @property
    def aic(self):
        return float(2 * len(self.error) * np.log(2 * self.half_width) + 2 * (self.size + 1))

    @property
    def cost(self):
        """As of an `ErrorFit`, with more for a coefficient: a band always narrows by about 1 / n
        with each."""
        return self.aic + TIE + BAND_TIE * self.size


def fit_band(error, x, bias_degree=None):
    """The Band of the lowest cost: about the target, about a constant, or about a line."""
    possible = [Law(x, degree) for degree in range(min(2, len(np.unique(x))))]
    bands = [Band(error, None, np.zeros(0), float(abs(error).max()))]
    bands += [_narrowest(error, law) for law in possible]
    if bias_degree is not None:
        bands = [
            band for band in bands if band.mean is not None and band.mean.degree == bias_degree
        ] or bands[-1:]
    return min(bands, key=lambda band: band.cost)


def _narrowest(error, law):
    """Chebyshev's fit: the least half width w with |error - design @ c| <= w, a linear
    programme."""
    if law.degree == 0:
        centre = (error.max() + error.min()) / 2
        return Band(error, law, np.array([centre]), float(np.ptp(error) / 2))
    unit = abs(error).max()
    design = law.design
    ones = np.ones((len(error), 1))
    below = np.hstack((design, -ones))
    above = np.hstack((-design, -ones))
    cost = np.append(np.zeros(law.size), 1.0)
    found = optimize.linprog(
        cost,
        np.vstack((below, above)),
        np.concatenate((error, -error)) / unit,
        bounds=[(None, None)] * law.size + [(0, None)],
        method="highs",
    )
    coefficients = found.x[:-1] * unit
    residual = error - design @ coefficients
    return Band(error, law, coefficients, float(abs(residual).max()))


def micro(values):
    """Siemens to a list of plain numbers in microsiemens."""
    return [float(value / MICROSIEMENS) for value in values]
