"""Distributions of write errors: a mean and a standard deviation that follow the target, and the
form of what remains.

A write misses its target by `mean(x) + scale(x) z`, x = target / largest target.  Gaussian, Student
t and a mixture of two normal distributions are all normal deviates of random precision tau: one
expectation-maximisation fits them, with the weights E[tau | z].  A uniform error is fitted by the
narrowest band that holds all writes.
"""

import dataclasses
from collections.abc import Iterable
from typing import Generic, NamedTuple, Protocol, Self, TypeVar

import numpy as np
from scipy import optimize, stats
from scipy.special import gammaln

from xbarsim.base.array_types import Floats
from xbarsim.base.units import MICROSIEMENS

FREEDOM = (0.8, 200.0)  # lowest and highest degrees of freedom
HIGHEST_DEGREE = 3  # of a law that is a polynomial
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

    x: Floats
    degree: int | None = None
    levels: Floats = dataclasses.field(default_factory=lambda: np.zeros(0))

    @property
    def name(self) -> str:
        if self.degree is None:
            return "of every level"
        return f"a polynomial of degree {self.degree}"

    @property
    def design(self) -> Floats:
        """(n, k)."""
        if self.degree is None:
            at_level: Floats = (self.x[:, None] == self.levels).astype(float)
            return at_level
        powers: Floats = self.x[:, None] ** np.arange(self.degree + 1)
        return powers

    @property
    def size(self) -> int:
        """Number of coefficients."""
        if self.degree is None:
            return len(self.levels)
        return self.degree + 1

    def between(self, coefficients: Floats) -> Floats:
        """Values on a fine grid over the range of x; those of the levels, for a law of every
        level."""
        if self.degree is None:
            return coefficients
        grid = np.linspace(self.x.min(), self.x.max(), 101)
        return np.asarray(np.polynomial.polynomial.polyval(grid, coefficients), float)


def laws(x: Floats) -> list[Law]:
    """Laws that these targets can tell apart, the fewest coefficients first."""
    levels, counts = np.unique(x, return_counts=True)
    found = [Law(x, degree) for degree in range(min(HIGHEST_DEGREE + 1, len(levels)))]
    if 1 < len(levels) <= MOST_LEVELS and counts.min() >= LEAST_AT_LEVEL:
        found.append(Law(x, levels=levels))
    return found


def normal_log_density(z: Floats) -> Floats:
    density: Floats = -0.5 * z * z - 0.5 * np.log(2 * np.pi)
    return density


class Precision(NamedTuple):
    """Mean and variance of the precision tau of deviates, (n,) each."""

    mean: Floats
    variance: Floats


class Form(Protocol):
    """Distribution of standardised deviates z (n,): normal ones of random precision tau."""

    @property
    def shapes(self) -> int:
        """Number of parameters."""

    @property
    def variance(self) -> float: ...

    def precision(self, z: Floats) -> Precision:
        """Of tau, given z."""

    def refit(self, z: Floats) -> Self:
        """Better parameters for z."""

    def log_density(self, z: Floats) -> Floats: ...

    def cdf(self, z: Floats) -> Floats: ...


FormT = TypeVar("FormT", bound=Form)


@dataclasses.dataclass(frozen=True)
class Normal:
    """Standard normal deviates."""

    shapes = 0
    variance = 1.0

    def precision(self, z: Floats) -> Precision:
        return Precision(np.ones(len(z)), np.zeros(len(z)))

    def refit(self, z: Floats) -> Self:
        return self

    def log_density(self, z: Floats) -> Floats:
        return normal_log_density(z)

    def cdf(self, z: Floats) -> Floats:
        share: Floats = stats.norm.cdf(z)
        return share


@dataclasses.dataclass(frozen=True)
class Student:
    """Student t: tau has a gamma distribution."""

    freedom: float = 4.0
    shapes = 1

    @property
    def variance(self) -> float:
        """Infinite at 2 degrees of freedom and fewer."""
        if self.freedom <= 2:
            return np.inf
        return self.freedom / (self.freedom - 2)

    def precision(self, z: Floats) -> Precision:
        mean = (self.freedom + 1) / (self.freedom + z**2)
        variance = 2 * (self.freedom + 1) / (self.freedom + z**2) ** 2
        return Precision(mean, variance)

    def refit(self, z: Floats) -> "Student":
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

    def log_density(self, z: Floats) -> Floats:
        freedom = self.freedom
        gammas = gammaln((freedom + 1) / 2) - gammaln(freedom / 2)
        constant = gammas - 0.5 * np.log(freedom * np.pi)
        density: Floats = constant - (freedom + 1) / 2 * np.log1p(z * z / freedom)
        return density

    def cdf(self, z: Floats) -> Floats:
        share: Floats = stats.t.cdf(z, self.freedom)
        return share


@dataclasses.dataclass(frozen=True)
class Mixture:
    """Normal deviates, a share `fraction` of them `factor` times as wide."""

    fraction: float = 0.1
    factor: float = 3.0
    shapes = 2

    @property
    def variance(self) -> float:
        return 1 - self.fraction + self.fraction * self.factor**2

    def _wide(self, z: Floats) -> Floats:
        """Probability that a deviate is one of the wide ones."""
        odds = self.fraction / (1 - self.fraction) / self.factor
        narrow_over_wide = np.exp(-0.5 * z**2 * (1 - self.factor**-2)) / odds
        probability: Floats = 1 / (1 + narrow_over_wide)
        return probability

    def precision(self, z: Floats) -> Precision:
        wide = self._wide(z)
        difference = 1 - self.factor**-2
        return Precision(1 - wide * difference, wide * (1 - wide) * difference**2)

    def refit(self, z: Floats) -> "Mixture":
        wide = self._wide(z)
        fraction = np.clip(wide.mean(), 1 / len(z), 0.5)
        factor = np.clip(np.sqrt((wide * z**2).sum() / wide.sum()), 1.2, 100.0)
        return Mixture(float(fraction), float(factor))

    def log_density(self, z: Floats) -> Floats:
        narrow = np.log1p(-self.fraction) + normal_log_density(z)
        wide = np.log(self.fraction / self.factor) + normal_log_density(z / self.factor)
        density: Floats = np.logaddexp(narrow, wide)
        return density

    def cdf(self, z: Floats) -> Floats:
        narrow = (1 - self.fraction) * stats.norm.cdf(z)
        wide = self.fraction * stats.norm.cdf(z / self.factor)
        share: Floats = narrow + wide
        return share


@dataclasses.dataclass(frozen=True)
class ErrorFit(Generic[FormT]):
    """Errors (n,) S that follow `mean` and `spread`, standardised deviates of the form `form`.

    mean_coefficients, scale_coefficients : S, of the two laws;  minus_two : -2 log likelihood
    """

    error: Floats
    mean: Law
    spread: Law
    form: FormT
    mean_coefficients: Floats
    scale_coefficients: Floats
    minus_two: float

    @property
    def location(self) -> Floats:
        """(n,) S."""
        return self.mean.design @ self.mean_coefficients

    @property
    def scale(self) -> Floats:
        """(n,) S, that the standardised deviates are multiplied with."""
        return self.spread.design @ self.scale_coefficients

    @property
    def deviates(self) -> Floats:
        """(n,) standardised."""
        return (self.error - self.location) / self.scale

    @property
    def aic(self) -> float:
        free = self.mean.size + self.spread.size + self.form.shapes
        return float(self.minus_two + 2 * free)

    @property
    def cost(self) -> float:
        """What is minimised over laws: Akaike's criterion, and `TIE` for every coefficient."""
        return self.aic + TIE * (self.mean.size + self.spread.size)

    @property
    def sensible(self) -> bool:
        """Whether the scale is above 0 between the targets too."""
        return bool(self.spread.between(self.scale_coefficients).min() > 0)


def fit_form(
    error: Floats,
    x: Floats,
    form: FormT,
    degree: int | None = None,
    bias_degree: int | None = None,
) -> list[ErrorFit[FormT]]:
    """ErrorFits of one form, the lowest cost first: the best law of the mean, and every law of the
    spread with it.

    error : (n,) S;  x : (n,) target / largest target;  degree, bias_degree : of the only polynomial
        allowed for spread and mean, all laws if None
    """
    means = _of_degree(laws(x), bias_degree)
    spreads = _of_degree(laws(x), degree)
    rough = _rough_spread(spreads, form)
    best_mean = _cheapest(maximise(error, mean, rough, form) for mean in means).mean
    fits = [maximise(error, best_mean, spread, form) for spread in spreads]
    sensible = [fit for fit in fits if fit.sensible]
    return sorted(sensible or fits[:1], key=lambda fit: fit.cost)


def _of_degree(possible: list[Law], degree: int | None) -> list[Law]:
    if degree is None:
        return possible
    return [law for law in possible if law.degree == degree]


def _rough_spread(spreads: list[Law], form: Form) -> Law:
    """Law of the spread while laws of the mean are compared: the widest, or about a line where the
    form has shapes of its own."""
    if form.shapes == 0:
        return max(spreads, key=lambda law: law.size)
    return spreads[min(1, len(spreads) - 1)]


def _cheapest(fits: Iterable[ErrorFit[FormT]]) -> ErrorFit[FormT]:
    return min(fits, key=lambda fit: fit.cost)


def maximise(error: Floats, mean: Law, spread: Law, form: FormT) -> ErrorFit[FormT]:
    """ErrorFit of the largest likelihood, by expectation-maximisation; `form` : to begin with."""
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
        weight = form.precision((error - location) / scale).mean
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
    return ErrorFit(
        error=error,
        mean=mean,
        spread=spread,
        form=form,
        mean_coefficients=mean_coefficients,
        scale_coefficients=coefficients,
        minus_two=minus_two,
    )


def weighted_least_squares(design: Floats, y: Floats, weight: Floats) -> Floats:
    """(k,) coefficients of y (n,) on the columns of design (n, k)."""
    root = np.sqrt(weight / weight.max())
    coefficients: Floats = np.linalg.lstsq(design * root[:, None], y * root, rcond=None)[0]
    return coefficients


def _scale_of(law: Law, design: Floats, residual: Floats, start: Floats, floor: float) -> Floats:
    """Coefficients of the standard deviation of normal residuals, by the largest likelihood.

    start : coefficients to begin with;  floor : S, least standard deviation
    """
    if law.degree is None:
        mean_square = design.T @ residual**2 / design.sum(axis=0)
        at_levels: Floats = np.maximum(np.sqrt(mean_square), floor)
        return at_levels
    if law.degree == 0:
        return np.array([max(np.sqrt((residual**2).mean()), floor)])
    if (design @ start <= floor).any():
        start = np.zeros(law.size)
        start[0] = max(residual.std(), 2 * floor)
    return _scoring(design, residual, start, floor)


def _scoring(design: Floats, residual: Floats, beta: Floats, floor: float) -> Floats:
    """Fisher scoring of sigma = design @ beta; a step that would take a sigma below `floor` is
    halved."""
    for _ in range(50):
        sigma = design @ beta
        information = 2 * (design / sigma[:, None] ** 2).T @ design
        score = design.T @ (residual**2 / sigma**3 - 1 / sigma)
        step = np.linalg.lstsq(information, score, rcond=None)[0]
        least = 1e-12 * abs(beta).max()
        while (design @ (beta + step) <= floor).any() and abs(step).max() > least:
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

    error: Floats
    mean: Law | None
    coefficients: Floats
    half_width: float

    @property
    def size(self) -> int:
        """Number of coefficients."""
        return len(self.coefficients)

    @property
    def location(self) -> Floats:
        """(n,) S."""
        if self.mean is None:
            return np.zeros(len(self.error))
        return self.mean.design @ self.coefficients

    @property
    def aic(self) -> float:
        return float(2 * len(self.error) * np.log(2 * self.half_width) + 2 * (self.size + 1))

    @property
    def cost(self) -> float:
        """As of an `ErrorFit`, with more for a coefficient: a band always narrows by about 1 / n
        with each."""
        return self.aic + TIE + BAND_TIE * self.size


def fit_band(error: Floats, x: Floats, bias_degree: int | None = None) -> Band:
    """The Band of the lowest cost: about the target, about a constant, or about a line.

    bias_degree : of the centre, the nearest there is;  all three if None
    """
    about_target = Band(error, None, np.zeros(0), float(abs(error).max()))
    about_laws = [_narrowest(error, Law(x, degree)) for degree in range(min(2, len(np.unique(x))))]
    if bias_degree is not None:
        return about_laws[min(bias_degree, len(about_laws) - 1)]
    return min((about_target, *about_laws), key=lambda band: band.cost)


def _narrowest(error: Floats, law: Law) -> Band:
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
        A_ub=np.vstack((below, above)),
        b_ub=np.concatenate((error, -error)) / unit,
        bounds=[(None, None)] * law.size + [(0, None)],
        method="highs",
    )
    coefficients = found.x[:-1] * unit
    residual = error - design @ coefficients
    return Band(error, law, coefficients, float(abs(residual).max()))


def micro(values: Iterable[float]) -> list[float]:
    """Siemens to a list of plain numbers in microsiemens."""
    return [float(value / MICROSIEMENS) for value in values]
