"""Models of the current through a cell that holds its state, fitted to branches of sweeps.

Branches share the shape of the curve (V0, or the coefficients of a polynomial) and the offset of
the instrument; each has a conductance of its own.  Points are weighted by the noise that the
residuals show: the same at all currents, or growing with the current or its square root.
"""

import dataclasses

import numpy as np
from scipy import stats

from xbarsim.base.errors import OutOfRangeError
from xbarsim.calibrate.result import Curve, FitResult, Parameter
from xbarsim.calibrate.statistics import (
    Separable,
    akaike,
    by_aic,
    solve,
    sum_of_errors,
    t_interval,
)

CURVATURES = np.concatenate(([0.0], np.geomspace(1e-2, 40.0, 36)))  # largest voltage over V0
EXACT = 1e-12  # of the currents: what a file or a sum does not resolve
DECISIVE = 10.0  # AIC by which an offset must beat its absence
NOISE_GAIN = 6.0  # deviance that a noise which grows with the current must gain
REWEIGHTED = 4  # times at most
UNLIKE = 0.3  # p of the F test below which branches differ in conductance
NO_OFFSET = f"AIC gains less than {DECISIVE:g} by one: 0 A was taken"


@dataclasses.dataclass(frozen=True)
class Noise:
    """Variance of a point relative to that at 0 A: 1 + (ratio |I| / largest)^power."""

    ratio: float = 0.0
    power: int = 2

    def root_weights(self, current):
        """Weights of residuals, (n,), 1 at 0 A."""
        top = abs(current).max() or 1.0
        return 1 / np.sqrt(1 + (self.ratio * abs(current) / top) ** self.power)

    @property
    def fitted(self):
        """How many parameters were fitted: the ratio and the power, where it grows at all."""
        return 2 if self.ratio else 0

    def __str__(self):
        of = "the current" if self.power == 2 else "the square root of the current"
        return f"the noise grows with {of}: points are weighted by it"


NOISES = [Noise()] + [Noise(r, 2) for r in np.geomspace(0.3, 300, 13)]
NOISES += [Noise(r * r, 1) for r in np.geomspace(0.3, 300, 13)]


@dataclasses.dataclass(frozen=True)
class Points:
    """Points of the branches that are fitted.

    voltage, current : (n,) V and A;  owner : (n,) number of the branch;  count : branches
    root : (n,) weights of residuals;  offset : whether the instrument has one
    spent : parameters of the weights that were fitted to the same points
    """

    voltage: np.ndarray
    current: np.ndarray
    owner: np.ndarray
    count: int
    root: np.ndarray
    offset: bool = False
    spent: int = 0

    @classmethod
    def of(cls, branches):
        lengths = [len(b.voltage) for b in branches]
        voltage = np.concatenate([b.voltage for b in branches])
        current = np.concatenate([b.current for b in branches])
        owner = np.repeat(np.arange(len(branches)), lengths)
        return cls(voltage, current, owner, len(branches), np.ones(len(voltage)))

    def columns(self, shape):
        """Weighted design (n, count or count + 1) of a curve (n,) with one conductance a branch."""
        one = self.owner[:, None] == np.arange(self.count)
        columns = one * shape[:, None]
        if self.offset:
            columns = np.column_stack((columns, np.ones(len(shape))))
        return columns * self.root[:, None]

    @property
    def target(self):
        """Weighted currents."""
        return self.current * self.root

    def aic(self, rss, parameters):
        """AIC of a weighted sum of squares, which is not taken for better than numbers are
        exact."""
        rss = max(rss, EXACT**2 * (self.target @ self.target))
        return akaike(rss, len(self.current), parameters) - 2 * np.log(self.root).sum()


def sinh_shape(voltage, curvature):
    """V0 sinh(V / V0) with curvature 1 / V0; V itself at 0."""
    return voltage if curvature == 0 else np.sinh(voltage * curvature) / curvature


def fit_branches(branches, notes):
    """FitResult of I = G V0 sinh(V / V0), with a straight line and odd polynomials beside it.

    Parameters
    ----------
    branches : sequence of sweeps.Branch in which the cell holds one state;  notes : what is said
        before the notes of the fit

    Raises
    ------
    OutOfRangeError : all voltages are 0 V
    """
    points = Points.of(branches)
    top = float(abs(points.voltage).max())
    if top == 0:
        raise OutOfRangeError("all voltages are 0 V; sweep the voltage")
    points, noise = _weighted(points, top)
    profile = _profile(points, top)
    notes = [*notes]
    if noise.ratio:
        notes.append(str(noise))
    if profile.correlated:
        notes.append(
            f"residuals follow a curve (correlation {profile.correlated:.2f} of neighbours): the "
            "intervals are widened, and the equation is not exact at this voltage"
        )
    each = profile.c[: points.count]
    if points.count > 1:
        values = ", ".join(f"{c * 1e6:.4g}" for c in each)
        notes.append(f"conductance of the branches: {values} µS")
    scale = _voltage_scale(profile, top)
    polynomials = [(_polynomial(points, p, top), 1 + len(p)) for p in ((), (3,), (3, 5))]
    sinh = FitResult(
        kind="iv",
        model="sinh, I = G V0 sinh(V / V0)",
        parameters=(_sinh_conductance(points, profile), scale, *_sinh_offset(points, profile)),
        points=len(points.voltage),
        goodness=_goodness(points, profile, top),
        aic=points.aic(profile.rss, profile.k),
        alternatives=tuple(by_aic(polynomials)),
        notes=tuple(notes),
        curves={"current against voltage": _curve(branches, profile, points)},
        device=_sinh_table(scale, top),
    )
    better = sinh.better()
    if better is not None:
        sinh = dataclasses.replace(
            sinh, notes=(*sinh.notes, f"{better.model} describes the points better")
        )
    return sinh


# --- weights, offset


def _weighted(points, top):
    """(points with weights and perhaps an offset, their noise): reweighted until they agree."""
    points, noise = _with_offset(points, top), Noise()
    for _ in range(REWEIGHTED):
        profile = _profile(points, top)
        if profile.correlated and not noise.ratio:  # the equation's misfit is no noise
            return points, noise
        fitted = profile.design(profile.value) @ profile.c / points.root
        found = _noise(fitted, points.current - fitted)
        if found == noise:
            return points, noise
        noise = found
        root = noise.root_weights(fitted)
        points = dataclasses.replace(points, root=root, spent=noise.fitted)
    return _with_offset(points, top), noise


def _noise(fitted, residual):
    """The noise of highest likelihood, if it gains enough over the same at all currents."""
    n = len(residual)
    if residual @ residual <= EXACT**2 * (fitted @ fitted):
        return NOISES[0]

    def deviance(noise):
        weighted = residual * noise.root_weights(fitted)
        power = max((weighted**2).sum(), np.finfo(float).tiny)
        return n * np.log(power / n) - 2 * np.log(noise.root_weights(fitted)).sum()

    best = min(NOISES, key=deviance)
    return best if deviance(NOISES[0]) - deviance(best) > NOISE_GAIN else NOISES[0]


def _with_offset(points, top):
    """Points with an offset where it describes them decisively better, counted in points that do
    not follow a curve."""
    shifted = dataclasses.replace(points, offset=True)
    points = dataclasses.replace(points, offset=False)
    without, with_offset = _profile(points, top), _profile(shifted, top)
    if without.n <= with_offset.k:
        return points
    gain = points.aic(without.rss, without.k) - points.aic(with_offset.rss, with_offset.k)
    return shifted if gain / with_offset.costs > DECISIVE else points


def _profile(points, top):
    def design(curvature):
        return points.columns(sinh_shape(points.voltage, curvature))

    return Separable(design, points.target, CURVATURES / top, points.spent)


# --- parameters of the sinh


def _voltage_scale(profile, top):
    straight = profile.low is None  # the profile stays flat to a straight line
    if not straight and profile.high is not None:
        return Parameter.known(
            "voltage_scale", "V", 1 / profile.value, 1 / profile.high, 1 / profile.low
        )
    reason = f"all points lie too close to 0 V or above {top:.3g} V"
    if straight and profile.high is not None:
        reason = (
            f"a straight line is within the interval; V0 is above {1 / profile.high:.3g} V, sweep "
            f"beyond {top:.3g} V"
        )
    return Parameter.unknown("voltage_scale", "V", reason)


def _sinh_conductance(points, profile):
    """Conductance, of several branches their mean, with the error of the V0 that they share."""
    weights = np.zeros(len(profile.c))
    weights[: points.count] = 1 / points.count
    value, low, high = profile.combination(lambda s: weights)
    each = profile.c[: points.count]
    covariance = profile.rss / profile.freedom * profile.inverse[: points.count, : points.count]
    if points.count > 1 and _unlike(each, covariance, profile.freedom):
        shared = _error_of_shape(profile, weights)
        half = _half_of_unlike(each, shared, profile.freedom)
        low, high = value - half, value + half
    return conductance_above_zero("conductance", value, low, high)


def _error_of_shape(profile, weights):
    """Standard error that weights @ c has from that of the curvature."""
    low = profile.grid[0] if profile.low is None else profile.low
    high = profile.grid[-1] if profile.high is None else profile.high
    ends = [weights @ solve(profile.design(s), profile.y)[0] for s in (low, high)]
    return abs(ends[1] - ends[0]) / 2 / stats.t.ppf(0.95, profile.freedom)


def _unlike(values, covariance, freedom):
    """Whether conductances of branches differ beyond the noise (F test)."""
    steps = np.diff(np.eye(len(values)), axis=0)
    difference = steps @ values
    spread = steps @ covariance @ steps.T
    statistic = difference @ np.linalg.pinv(spread, hermitian=True) @ difference / len(steps)
    return stats.f.sf(statistic, len(steps), freedom) < UNLIKE


def _half_of_unlike(values, shared, freedom):
    """Half width of the interval of the mean of branches that differ: their scatter, and the error
    that they share."""
    scatter = values.std(ddof=1) / np.sqrt(len(values))
    return sum_of_errors(scatter, len(values) - 1, shared, freedom)


def conductance_above_zero(name, value, low, high):
    """Parameter of a conductance: none at or below 0 S, and no interval that reaches below."""
    if not value > 0:
        return Parameter.unknown(
            name,
            "S",
            f"the points give {value * 1e6:.3g} µS ({low * 1e6:.3g} .. {high * 1e6:.3g} µS), and a "
            "conductance is above 0 S; check the sign of the current, or measure with less noise",
        )
    return Parameter.known(name, "S", value, max(low, 0.0), high)


def _sinh_offset(points, profile):
    """Offset of the instrument, as a sequence of its parameter."""
    if not points.offset:
        return [Parameter.unknown("current_offset", "A", NO_OFFSET)]
    last = np.zeros(len(profile.c))
    last[-1] = 1
    return [Parameter.known("current_offset", "A", *profile.combination(lambda s: last))]


def _goodness(points, profile, top):
    fitted = profile.design(profile.value) @ profile.c / points.root
    square = ((points.current - fitted) ** 2).sum()
    total = ((points.current - points.current.mean()) ** 2).sum()
    return {
        "r_squared": float(1 - square / total) if total else 0.0,
        "rms_residual_ua": float(np.sqrt(square / len(fitted)) * 1e6),
        "largest_voltage_v": top,
    }


def _sinh_table(scale, top):
    if not scale.identified:
        return {}
    return {"iv": {"model": "sinh", "v0_v": scale.value, "valid_voltage_v": top}}


def _curve(branches, profile, points):
    offset = profile.c[-1] if points.offset else 0.0
    data, fit = {}, {}
    for k, branch in enumerate(branches):
        x = np.linspace(branch.voltage.min(), branch.voltage.max(), 200)
        data[f"data {k + 1}"] = (branch.voltage, branch.current)
        fit[f"fit {k + 1}"] = (x, profile.c[k] * sinh_shape(x, profile.value) + offset)
    return Curve(("voltage", "V"), ("current", "A"), data, fit)


# --- polynomials


def _polynomial(points, powers, top):
    """I = G (V + c3 V³ + c5 V⁵), the c shared by the branches: Gauss-Newton, whose first step is
    exact for the products of one branch."""
    v, count = points.voltage, points.count
    each = np.stack([v**p for p in powers], axis=1) if powers else np.empty((len(v), 0))
    linear = solve(points.columns(v), points.target)[0]
    c = np.zeros(len(powers))
    for _ in range(20):
        columns = points.columns(v + each @ c)
        slopes = linear[:count][points.owner, None] * each * points.root[:, None]
        residual = points.target - columns @ linear
        step, inverse, _ = solve(np.concatenate((columns, slopes), axis=1), residual)
        linear = linear + step[: len(linear)]
        c = c + step[len(linear) :]
    residual = points.target - points.columns(v + each @ c) @ linear
    rss = float(residual @ residual)
    free = len(linear) + len(powers)
    freedom = max(len(v) - free - points.spent, 1)
    covariance = rss / freedom * inverse
    alone = rss / freedom * solve(points.columns(v + each @ c), residual)[1]
    conductance = _mean_conductance(
        linear[:count], covariance[:count, :count], alone[:count, :count], freedom
    )
    parameters = [conductance]
    for k, power in enumerate(powers):
        error = np.sqrt(covariance[len(linear) + k, len(linear) + k])
        unit = f"1/V^{power - 1}"
        parameters.append(t_interval(f"coefficient_{power}", unit, c[k], error, freedom))
    if points.offset:
        error = np.sqrt(covariance[count, count])
        parameters.append(t_interval("current_offset", "A", linear[count], error, freedom))
    unweighted = residual / points.root
    return FitResult(
        kind="iv",
        model=f"polynomial of degree {powers[-1]}" if powers else "straight line",
        parameters=tuple(parameters),
        points=len(v),
        goodness={"rms_residual_ua": float(np.sqrt((unweighted**2).mean()) * 1e6)},
        aic=points.aic(rss, free),
        device=_polynomial_table(powers, c, top),
    )


def _mean_conductance(each, covariance, alone, freedom):
    """`_sinh_conductance` of a polynomial.

    covariance : of the branches' conductances;  alone : the same were the coefficients known
    """
    count = len(each)
    value = each.mean()
    half = stats.t.ppf(0.95, freedom) * np.sqrt(covariance.sum()) / count
    if count > 1 and _unlike(each, covariance, freedom):
        shared = np.sqrt(max(covariance.sum() - alone.sum(), 0.0)) / count
        half = _half_of_unlike(each, shared, freedom)
    return conductance_above_zero("conductance", value, value - half, value + half)


def _polynomial_table(powers, c, top):
    if not powers:
        return {}
    by_power = dict(zip(powers, c, strict=True))
    coefficients = [float(by_power.get(p, 0.0)) for p in range(2, powers[-1] + 1)]
    table = {"model": "polynomial", "coefficients": coefficients, "valid_voltage_v": top}
    return {"iv": table}
