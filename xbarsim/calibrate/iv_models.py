"""Models of the current through a cell that holds its state, fitted to branches of sweeps.

Branches share the shape of the curve (V0, or the coefficients of a polynomial) and the offset of
the instrument; each has a conductance of its own.  Points are weighted by the noise that the
residuals show: the same at all currents, or growing with the current or its square root.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from xbarsim.base.array_types import Floats
from xbarsim.base.errors import OutOfRangeError
from xbarsim.calibrate.iv_conductance import (
    are_unlike,
    conductance_above_zero,
    half_width_of_unlike,
)
from xbarsim.calibrate.iv_points import EXACT, Noise, Points
from xbarsim.calibrate.iv_polynomials import UPPER, fit_polynomial
from xbarsim.calibrate.result import Axis, Curve, DeviceTable, FitResult, Line, Parameter
from xbarsim.calibrate.statistics import Separable, by_aic, solve
from xbarsim.calibrate.sweeps import Branch

CURVATURES = np.concatenate(([0.0], np.geomspace(1e-2, 40.0, 36)))  # largest voltage over V0
DECISIVE = 10.0  # AIC by which an offset must beat its absence
NOISE_GAIN = 6.0  # deviance that a noise which grows with the current must gain
REWEIGHTED = 4  # times at most
RATIOS = np.geomspace(0.3, 300, 13)  # of noise that grows with the current
NOISES = [Noise(), *(Noise(r, 2) for r in RATIOS), *(Noise(r * r, 1) for r in RATIOS)]
NO_OFFSET = f"AIC gains less than {DECISIVE:g} by one: 0 A was taken"
POLYNOMIALS: tuple[tuple[int, ...], ...] = ((), (3,), (3, 5))  # powers beside 1
SHOWN = 200  # points of a line in the picture


class _Weighted(NamedTuple):
    """Points with weights and perhaps an offset, and the noise that the weights are of."""

    points: Points
    noise: Noise


def sinh_shape(voltage: Floats, curvature: float) -> Floats:
    """V0 sinh(V / V0) with curvature 1 / V0; V itself at 0."""
    if curvature == 0:
        return voltage
    shape: Floats = np.sinh(voltage * curvature) / curvature
    return shape


def fit_branches(branches: Sequence[Branch], notes: Sequence[str]) -> FitResult:
    """FitResult of I = G V0 sinh(V / V0), with a straight line and odd polynomials beside it.

    Parameters
    ----------
    branches : in which the cell holds one state;  notes : what is said before the notes of the fit

    Raises
    ------
    OutOfRangeError : all voltages are 0 V
    """
    every = Points.of(branches)
    top = float(abs(every.voltage).max())
    if top == 0:
        raise OutOfRangeError("all voltages are 0 V; sweep the voltage")
    points, noise = _weighted(every, top)
    profile = _profile(points, top)
    scale = _voltage_scale(profile, top)
    polynomials = []
    for powers in POLYNOMIALS:
        polynomials.append((fit_polynomial(points, powers, top), 1 + len(powers)))
    sinh = FitResult(
        kind="iv",
        model="sinh, I = G V0 sinh(V / V0)",
        parameters=(_conductance(points, profile), scale, _offset(points, profile)),
        points=len(points.voltage),
        goodness=_goodness(points, profile, top),
        aic=points.aic(profile.rss, profile.k),
        alternatives=tuple(by_aic(polynomials)),
        notes=(*notes, *_notes(points, noise, profile)),
        curves={"current against voltage": _curve(branches, profile, points)},
        device=_device_tables(scale, top),
    )
    better = sinh.better()
    if better is None:
        return sinh
    remark = f"{better.model} describes the points better"
    return dataclasses.replace(sinh, notes=(*sinh.notes, remark))


def _notes(points: Points, noise: Noise, profile: Separable) -> list[str]:
    notes = []
    if noise.ratio:
        notes.append(str(noise))
    if profile.correlated:
        notes.append(
            f"residuals follow a curve (correlation {profile.correlated:.2f} of neighbours): the "
            "intervals are widened, and the equation is not exact at this voltage"
        )
    if points.count > 1:
        each = profile.c[: points.count]
        values = ", ".join(f"{c * 1e6:.4g}" for c in each)
        notes.append(f"conductance of the branches: {values} µS")
    return notes


# --- weights, offset


def _weighted(points: Points, top: float) -> _Weighted:
    """Points weighted by their noise: reweighted until they agree."""
    points = _with_offset(points, top)
    noise = Noise()
    for _ in range(REWEIGHTED):
        profile = _profile(points, top)
        if profile.correlated and not noise.ratio:  # the equation's misfit is no noise
            return _Weighted(points, noise)
        fitted = profile.design(profile.value) @ profile.c / points.root
        found = _noise(fitted, points.current - fitted)
        if found == noise:
            return _Weighted(points, noise)
        noise = found
        root = noise.root_weights(fitted)
        points = dataclasses.replace(points, root=root, spent=noise.fitted)
    return _Weighted(_with_offset(points, top), noise)


def _noise(fitted: Floats, residual: Floats) -> Noise:
    """The noise of highest likelihood, if it gains enough over the same at all currents.

    fitted, residual : (n,) A
    """
    even = NOISES[0]
    if residual @ residual <= EXACT**2 * (fitted @ fitted):
        return even
    best = min(NOISES, key=lambda noise: _deviance(noise, fitted, residual))
    gain = _deviance(even, fitted, residual) - _deviance(best, fitted, residual)
    return best if gain > NOISE_GAIN else even


def _deviance(noise: Noise, fitted: Floats, residual: Floats) -> float:
    """-2 log of the likelihood of residuals, but for a constant."""
    n = len(residual)
    root = noise.root_weights(fitted)
    weighted = residual * root
    power = max((weighted**2).sum(), np.finfo(float).tiny)
    return float(n * np.log(power / n) - 2 * np.log(root).sum())


def _with_offset(points: Points, top: float) -> Points:
    """Points with an offset where it describes them decisively better, counted in points that do
    not follow a curve."""
    shifted = dataclasses.replace(points, offset=True)
    straight = dataclasses.replace(points, offset=False)
    without = _profile(straight, top)
    with_offset = _profile(shifted, top)
    if without.n <= with_offset.k:
        return straight
    gain = straight.aic(without.rss, without.k) - straight.aic(with_offset.rss, with_offset.k)
    return shifted if gain / with_offset.costs > DECISIVE else straight


def _profile(points: Points, top: float) -> Separable:
    """Least squares profiled over the curvature, 1/V."""

    def design(curvature: float) -> Floats:
        return points.columns(sinh_shape(points.voltage, curvature))

    return Separable(design, points.target, CURVATURES / top, points.spent)


# --- parameters of the sinh


def _voltage_scale(profile: Separable, top: float) -> Parameter:
    low = profile.low  # None: the profile stays flat to a straight line
    high = profile.high
    if low is not None and high is not None:
        return Parameter.known("voltage_scale", "V", 1 / profile.value, low=1 / high, high=1 / low)
    reason = f"all points lie too close to 0 V or above {top:.3g} V"
    if high is not None:
        reason = (
            f"a straight line is within the interval; V0 is above {1 / high:.3g} V, sweep beyond "
            f"{top:.3g} V"
        )
    return Parameter.unknown("voltage_scale", "V", reason)


def _conductance(points: Points, profile: Separable) -> Parameter:
    """Conductance, of several branches their mean, with the error of the V0 that they share."""
    count = points.count
    weights = np.zeros(len(profile.c))
    weights[:count] = 1 / count
    value, low, high = profile.combination(lambda _: weights)
    each = profile.c[:count]
    covariance = profile.rss / profile.freedom * profile.inverse[:count, :count]
    if are_unlike(each, covariance, profile.freedom):
        shared = _error_of_shape(profile, weights)
        half = half_width_of_unlike(each, shared, profile.freedom)
        low = value - half
        high = value + half
    return conductance_above_zero(value, low, high)


def _error_of_shape(profile: Separable, weights: Floats) -> float:
    """Standard error that weights @ c has from that of the curvature."""
    low = profile.grid[0] if profile.low is None else profile.low
    high = profile.grid[-1] if profile.high is None else profile.high
    at_low = weights @ solve(profile.design(low), profile.y).coefficients
    at_high = weights @ solve(profile.design(high), profile.y).coefficients
    return float(abs(at_high - at_low) / 2 / stats.t.ppf(UPPER, profile.freedom))


def _offset(points: Points, profile: Separable) -> Parameter:
    """Offset of the instrument."""
    if not points.offset:
        return Parameter.unknown("current_offset", "A", NO_OFFSET)
    last = np.zeros(len(profile.c))
    last[-1] = 1
    value, low, high = profile.combination(lambda _: last)
    return Parameter.known("current_offset", "A", value, low=low, high=high)


def _goodness(points: Points, profile: Separable, top: float) -> dict[str, float]:
    fitted = profile.design(profile.value) @ profile.c / points.root
    square = ((points.current - fitted) ** 2).sum()
    total = ((points.current - points.current.mean()) ** 2).sum()
    return {
        "r_squared": float(1 - square / total) if total else 0.0,
        "rms_residual_ua": float(np.sqrt(square / len(fitted)) * 1e6),
        "largest_voltage_v": top,
    }


def _device_tables(scale: Parameter, top: float) -> dict[str, DeviceTable]:
    """[iv] of a device file."""
    if not scale.identified:
        return {}
    return {"iv": {"model": "sinh", "v0_v": scale.value, "valid_voltage_v": top}}


def _curve(branches: Sequence[Branch], profile: Separable, points: Points) -> Curve:
    offset = profile.c[-1] if points.offset else 0.0
    data = {}
    fit = {}
    for number, branch in enumerate(branches):
        voltage = np.linspace(branch.voltage.min(), branch.voltage.max(), SHOWN)
        current = profile.c[number] * sinh_shape(voltage, profile.value) + offset
        data[f"data {number + 1}"] = Line(branch.voltage, branch.current)
        fit[f"fit {number + 1}"] = Line(voltage, current)
    return Curve(Axis("voltage", "V"), Axis("current", "A"), data, fit)
