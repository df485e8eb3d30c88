"""Values and intervals of the cells and resistances of an array, from the curvature of the
posterior about its mode.
"""

import dataclasses
import math
from functools import cached_property

import numpy as np

from xbarsim.base.array_types import Booleans, Floats
from xbarsim.base.units import engineering
from xbarsim.calibrate import conditional
from xbarsim.calibrate.array_posterior import (
    Linearisation,
    Mode,
    Posterior,
    Resistance,
    inverse,
)
from xbarsim.calibrate.result import Parameter
from xbarsim.calibrate.statistics import Z

WIDEST = math.log(3)  # a conductance is within a factor of 3 either way, or has no value
WIDE = 30.0  # prior of a quantity in its unit, over its value and where its search began
MOVES = 0.1  # share of the largest part of a flat direction


@dataclasses.dataclass(frozen=True)
class Estimates:
    """Cells and then fitted resistances: (p,) each.

    Resistances are in ohm, and conductances without nominal values in S: where one is as small as
    nothing, its logarithm hides how it trades with the others.  Conductances with nominal values
    are in logarithms.

    cells : how many come first;  fitted : names of the resistances
    mode : S and ohm, of the posterior
    least_squares : of quantities in S and ohm, below 0 where noise has it so
    deviation, prior : standard deviations after and before the data;  covariance : (p, p)
    information : (resistances, resistances) of the data, were all cells known
    """

    cells: int
    fitted: list[Resistance]
    mode: Floats
    least_squares: Floats
    prior: Floats
    covariance: Floats
    information: Floats

    @cached_property
    def deviation(self) -> Floats:
        """Standard deviations after the data, (p,)."""
        return np.sqrt(np.diag(self.covariance))

    @property
    def conductance(self) -> Floats:
        """(cells,) S."""
        return self.mode[: self.cells]

    @property
    def determined(self) -> float:
        """How many parameters the data determine."""
        return float((1 - np.diag(self.covariance) / self.prior**2).sum())


@dataclasses.dataclass(frozen=True)
class CellIntervals:
    """(cells,) S, 90 % intervals of conductances, and whether the data determine them."""

    low: Floats
    high: Floats
    identified: Booleans


def estimates(posterior: Posterior, mode: Mode) -> Estimates:
    """Estimates about the mode of a posterior."""
    cells = posterior.cells
    linear = posterior.linearise(mode.theta)
    values = np.exp(mode.theta)
    start = np.exp(posterior.centre)
    in_units = np.r_[
        np.full(cells, not posterior.has_nominal), np.full(len(posterior.fitted), True)
    ]
    unit = np.where(in_units, values, 1.0)
    information = linear.matrix
    information /= unit[:, None]
    information /= unit
    wide = WIDE * np.r_[np.full(cells, values[:cells].mean()), (start + values)[cells:]]
    prior = np.where(in_units, wide, posterior.deviation(mode.spread))
    covariance = inverse(information + np.diag(prior**-2))
    slope = _slope(posterior, mode, linear, in_units)
    return Estimates(
        cells=cells,
        fitted=posterior.fitted,
        mode=values,
        least_squares=values + covariance @ (slope / unit),
        prior=prior,
        covariance=covariance,
        information=information[cells:, cells:],
    )


def _slope(posterior: Posterior, mode: Mode, linear: Linearisation, in_units: Booleans) -> Floats:
    """Slope of the logarithm of the posterior by logarithms, without the prior of those `in_units`.

    The prior of a logarithm holds a quantity above zero, away from where least squares has it.
    """
    residuals = posterior.residuals(posterior.crossbar(mode.theta))
    of_prior = (mode.theta - posterior.centre) / posterior.deviation(mode.spread) ** 2
    return linear.pull(residuals) - np.where(in_units, 0.0, of_prior)


# --- cells


def cell_intervals(found: Estimates, has_nominal: bool) -> CellIntervals:
    """Intervals of the conductances."""
    if has_nominal:
        return _around_nominal(found)
    return _clear_of_noise(found)


def _around_nominal(found: Estimates) -> CellIntervals:
    """Of conductances with nominal values: the posterior's."""
    deviation = found.deviation[: found.cells]
    prior = found.prior[: found.cells]
    factor = np.exp(Z * deviation)
    known = (deviation * Z < WIDEST) & (deviation < 0.9 * prior)
    return CellIntervals(found.conductance / factor, found.conductance * factor, known)


def _clear_of_noise(found: Estimates) -> CellIntervals:
    """Of conductances without nominal values.

    A cell has a value where its current stands clear of the noise; the others have a bound.
    """
    estimate = found.least_squares[: found.cells]
    deviation = found.deviation[: found.cells]
    known = conditional.stands_clear(estimate, deviation)
    ends = conditional.interval(estimate, deviation)
    bound = conditional.upper_bound(estimate, deviation)
    return CellIntervals(
        low=np.where(known, ends.low, 0.0),
        high=np.where(known, ends.high, bound),
        identified=known,
    )


def nominal_spread(spread: float, errors: Floats) -> Parameter:
    """Parameter nominal_spread; its interval is by the fourth moment, which holds for any shape.

    errors : (cells,) logarithms of achieved over nominal conductances
    """
    square = max((errors**2).mean(), np.finfo(float).tiny ** 0.25)
    kurtosis = max((errors**4).mean() / square**2, 1.0)
    factor = math.exp(Z * math.sqrt((kurtosis - 1) / (4 * errors.size)))
    return Parameter.known(
        "nominal_spread", "1", value=spread, low=spread / factor, high=spread * factor
    )


# --- resistances


def resistances(found: Estimates) -> list[Parameter]:
    """Parameters of the fitted resistances."""
    return [_resistance(found, number) for number in range(len(found.fitted))]


def _resistance(found: Estimates, number: int) -> Parameter:
    """Parameter of one fitted resistance."""
    name = found.fitted[number].value
    place = found.cells + number
    covariance = found.covariance[found.cells :, found.cells :]
    estimate = found.least_squares[place]
    deviation = math.sqrt(covariance[number, number])
    if conditional.stands_clear(estimate, deviation):
        ends = conditional.interval(estimate, deviation)
        return Parameter.known(
            name, "ohm", value=estimate, low=float(ends.low), high=float(ends.high)
        )
    reason = _why_unknown(found, number, covariance)
    bound = _upper_bound(found, place)
    if bound is not None:
        reason += f"; the data only say that it is below {engineering(bound, 'ohm')}"
    return Parameter.unknown(name, "ohm", reason, bound)


def _why_unknown(found: Estimates, number: int, covariance: Floats) -> str:
    """Why a resistance does not stand clear of zero.

    covariance : (resistances, resistances) ohm², cells unknown
    """
    value = found.mode[found.cells + number]

    def is_vague(information: float) -> bool:
        return bool(Z * (1 / math.sqrt(information)) >= WIDEST * value)

    if is_vague(max(found.information[number, number], 1e-300)):
        return "its effect is below the noise"
    if is_vague(np.linalg.inv(covariance)[number, number]):
        return (
            "the cells can take up its effect: give (better) nominal conductances or input currents"
        )
    return _flat_direction(number, found.fitted, covariance) or "it does not stand clear of zero"


def _upper_bound(found: Estimates, place: int) -> float | None:
    """What a quantity (ohm) is below at 95 %; None where only the prior says it."""
    deviation = found.deviation[place]
    if not deviation < 0.5 * found.prior[place]:
        return None
    return float(conditional.upper_bound(found.least_squares[place], deviation))


def _flat_direction(number: int, names: list[Resistance], covariance: Floats) -> str:
    """The resistances that move with one and leave the currents as they are, or ""."""
    vector = np.linalg.eigh(covariance)[1][:, -1]
    size = abs(vector)
    moving = [k for k in np.argsort(-size) if size[k] > MOVES * size.max()]
    if number not in moving or len(moving) == 1:
        return ""
    ways = []
    for k in moving:
        way = "up" if vector[k] * vector[number] > 0 else "down"
        ways.append(f"{names[k]} {way}")
    return f"flat direction: {', '.join(ways)} together leave the currents as they are"
