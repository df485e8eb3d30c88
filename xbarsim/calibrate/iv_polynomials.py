"""I = G (V + c3 V³ + c5 V⁵) of branches of sweeps: the conductances G are their own, the c shared."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import stats

from xbarsim.base.array_types import Floats
from xbarsim.calibrate.iv_conductance import (
    are_unlike,
    conductance_above_zero,
    half_width_of_unlike,
)
from xbarsim.calibrate.iv_points import Points
from xbarsim.calibrate.result import DeviceTable, FitResult, Parameter
from xbarsim.calibrate.statistics import solve, t_interval

STEPS = 20  # of Gauss-Newton, whose first is exact for the products of one branch
UPPER = 0.95  # level of the upper end of a 90 % interval


@dataclasses.dataclass(frozen=True)
class _Solution:
    """Least squares of a polynomial.

    linear : conductances (S) of the branches, then the offset (A) if there is one
    coefficients : (powers,) 1/V^(power - 1)
    covariance : of both, in this order;  alone : of `linear`, were the coefficients known
    residual : (n,) weighted, A;  rss : their sum of squares;  freedom : degrees of it
    """

    linear: Floats
    coefficients: Floats
    covariance: Floats
    alone: Floats
    residual: Floats
    rss: float
    freedom: int

    @property
    def free(self) -> int:
        """Number of free parameters."""
        return len(self.linear) + len(self.coefficients)


def fit_polynomial(points: Points, powers: Sequence[int], top: float) -> FitResult:
    """The fit of a straight line (no powers) or an odd polynomial.

    powers : above 1, rising;  top : largest voltage, V
    """
    solution = _solve(points, powers)
    parameters = [_mean_conductance(points, solution)]
    for number, power in enumerate(powers):
        place = len(solution.linear) + number
        error = np.sqrt(solution.covariance[place, place])
        name = f"coefficient_{power}"
        unit = f"1/V^{power - 1}"
        value = solution.coefficients[number]
        parameters.append(t_interval(name, unit, value, error, solution.freedom))
    if points.offset:
        error = np.sqrt(solution.covariance[points.count, points.count])
        offset = solution.linear[points.count]
        parameters.append(t_interval("current_offset", "A", offset, error, solution.freedom))
    unweighted = solution.residual / points.root
    return FitResult(
        kind="iv",
        model=f"polynomial of degree {powers[-1]}" if powers else "straight line",
        parameters=tuple(parameters),
        points=len(points.voltage),
        goodness={"rms_residual_ua": float(np.sqrt((unweighted**2).mean()) * 1e6)},
        aic=points.aic(solution.rss, solution.free),
        device=_device_tables(powers, solution.coefficients, top),
    )


def _solve(points: Points, powers: Sequence[int]) -> _Solution:
    """Gauss-Newton from the straight line."""
    voltage = points.voltage
    terms = np.empty((len(voltage), len(powers)))
    for number, power in enumerate(powers):
        terms[:, number] = voltage**power
    linear = solve(points.columns(voltage), points.target).coefficients
    coefficients = np.zeros(len(powers))
    inverse = np.empty((0, 0))
    for _ in range(STEPS):
        columns = points.columns(voltage + terms @ coefficients)
        conductance = linear[: points.count][points.owner, None]
        slopes = conductance * terms * points.root[:, None]
        residual = points.target - columns @ linear
        step = solve(np.concatenate((columns, slopes), axis=1), residual)
        inverse = step.inverse
        linear = linear + step.coefficients[: len(linear)]
        coefficients = coefficients + step.coefficients[len(linear) :]
    columns = points.columns(voltage + terms @ coefficients)
    residual = points.target - columns @ linear
    rss = float(residual @ residual)
    freedom = max(len(voltage) - (len(linear) + len(powers)) - points.spent, 1)
    return _Solution(
        linear=linear,
        coefficients=coefficients,
        covariance=rss / freedom * inverse,
        alone=rss / freedom * solve(columns, residual).inverse,
        residual=residual,
        rss=rss,
        freedom=freedom,
    )


def _mean_conductance(points: Points, solution: _Solution) -> Parameter:
    """Parameter of the conductance, of several branches their mean."""
    count = points.count
    each = solution.linear[:count]
    covariance = solution.covariance[:count, :count]
    value = each.mean()
    half = stats.t.ppf(UPPER, solution.freedom) * np.sqrt(covariance.sum()) / count
    if are_unlike(each, covariance, solution.freedom):
        alone = solution.alone[:count, :count]
        shared = np.sqrt(max(covariance.sum() - alone.sum(), 0.0)) / count
        half = half_width_of_unlike(each, shared, solution.freedom)
    return conductance_above_zero(value, value - half, value + half)


def _device_tables(
    powers: Sequence[int], coefficients: Floats, top: float
) -> dict[str, DeviceTable]:
    """[iv] of a device file: coefficients of V², V³ and so on."""
    if not powers:
        return {}
    written = [0.0] * (powers[-1] - 1)
    for power, coefficient in zip(powers, coefficients, strict=True):
        written[power - 2] = float(coefficient)
    table = {"model": "polynomial", "coefficients": written, "valid_voltage_v": top}
    return {"iv": table}
