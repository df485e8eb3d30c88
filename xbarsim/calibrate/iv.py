"""Sweeps of current against voltage: nonlinearity of a state, with compliance and set/reset branches recognised."""
import dataclasses

import numpy as np

from xbarsim.calibrate.result import Curve, FitResult, Parameter
from xbarsim.calibrate.statistics import Separable, akaike, solve, t_interval
from xbarsim.calibrate.tables import Wanted, read_tables
from xbarsim.errors import OutOfRangeError, ShapeError

COLUMNS = (Wanted("voltage", "V", ("voltage", "v", "bias", "vd", "vds", "av")),
           Wanted("current", "A", ("current", "i", "id", "ids", "ai")))
LEAST = 8                            # points of a branch
SWITCHED = 1.3                       # ratio of conductances of return and rise above which a sweep set the cell


@dataclasses.dataclass(frozen=True)
class Branch:
    """Part of a sweep in which the magnitude of the voltage rises, or falls (`returns`).

    kind : "set", "reset" or "read" (the cell stays as it is);  compliance : A, None where none was met
    """

    voltage: np.ndarray
    current: np.ndarray
    returns: bool
    kind: str = "read"
    compliance: float | None = None


def branches(voltage, current):
    """Branches of a recording, points at the current compliance left out.

    A compliance is a run of three or more points within 0.5 % of the largest current over different voltages.  Two
    branches of one polarity, rise and return, tell a set (the return conducts 1.3 times more) from a reset.
    """
    found, start, side, way = [], 0, 0, 0
    for k in range(1, len(voltage) + 1):
        here = np.sign(voltage[k]) if k < len(voltage) else -2
        step = np.sign(abs(voltage[k]) - abs(voltage[k - 1])) if k < len(voltage) else 0
        side = side or np.sign(voltage[k - 1])
        if k == len(voltage) or here and side and here != side or step and way and step != way:
            end = k
            while way > 0 and end > start + 1 and voltage[end - 1] == voltage[end - 2]:
                end -= 1                                             # the turning voltage measured again: of the return
            found.append(_branch(voltage[start:end], current[start:end], way < 0))
            start, side, way = end, 0, 0
        way = step or way
    found = [b for b in found if len(b.voltage) >= LEAST]
    for k in range(len(found) - 1):
        rise, back = found[k], found[k + 1]
        if not rise.returns and back.returns and rise.voltage.mean() * back.voltage.mean() > 0:
            half = abs(back.voltage).max() / 2
            ratio = _slope(back, half) / _slope(rise, half)
            kind = "set" if ratio > SWITCHED else "reset" if ratio < 1 / SWITCHED else "read"
            found[k], found[k + 1] = dataclasses.replace(rise, kind=kind), dataclasses.replace(back, kind=kind)
    return found


def _branch(voltage, current, returns):
    top = abs(current).max()
    flat = abs(current) >= 0.995 * top
    limited = flat.sum() >= 3 and np.ptp(abs(voltage[flat])) > 0.05 * abs(voltage).max() and top > 0
    keep = ~flat if limited else np.ones(len(voltage), bool)
    return Branch(voltage[keep], current[keep], returns, compliance=top if limited else None)


def _slope(branch, limit):
    v, i = branch.voltage[abs(branch.voltage) <= limit], branch.current[abs(branch.voltage) <= limit]
    return max((v * i).sum() / max((v * v).sum(), 1e-300), 1e-300)


def fit_iv(voltage, current):
    """I = G V0 sinh(V / V0) of the state that a cell holds along its sweeps.

    Fitted are the branches in which the state does not change: the returns of resets (the high-resistance state) where
    there are any, else the returns of sets, else all branches.  Points at a compliance do not count.  Several branches
    share V0 and have a conductance each; `conductance` is then their mean.  Least squares, all points weighted equally.
    Alternatives: a straight line, odd polynomials.

    Parameters
    ----------
    voltage, current : (n,) V and A in the order of measurement, or sequences of such arrays, one for each recording

    Returns
    -------
    FitResult : conductance (S, at 0 V), voltage_scale (V0 in V)

    Raises
    ------
    ShapeError, OutOfRangeError : not two finite vectors of one length; no branch with enough points
    """
    if len(voltage) != len(current) or not len(voltage):
        raise ShapeError(f"voltage has {len(voltage)} entries, current {len(current)}; allowed: finite vectors of one "
                         "length")
    recordings = [(voltage, current)] if np.ndim(voltage[0]) == 0 else list(zip(voltage, current, strict=True))
    found = []
    for v, i in recordings:
        v, i = np.asarray(v, float), np.asarray(i, float)
        if v.ndim != 1 or v.shape != i.shape or not (np.isfinite(v).all() and np.isfinite(i).all()):
            raise ShapeError(f"voltage {v.shape} and current {i.shape}; allowed: finite vectors of one length")
        found += branches(v, i)
    if not found:
        raise OutOfRangeError(f"no branch of {LEAST} or more points below the compliance; measure finer steps")
    chosen, what = found, "every branch"
    for kind in ("reset", "set"):
        returns = [b for b in found if b.kind == kind and b.returns]
        if returns:
            chosen, what = returns, f"the return of the {kind}"
            break
    notes = [f"{len(found)} branch{'es' * (len(found) > 1)}: " + _summary(found),
             f"fitted: {what}" + f" ({len(chosen)})" * (len(chosen) > 1)]
    return _fit(chosen, notes)


def _summary(found):
    names = [f"{b.kind} {'return' if b.returns else 'rise'}" for b in found]
    limits = sorted({f"{b.compliance * 1e6:.4g}" for b in found if b.compliance is not None}, key=float)
    return (", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names))
            + (f"; compliance at {', '.join(limits)} µA" if limits else "; no compliance met"))


def _fit(chosen, notes):
    v = np.concatenate([b.voltage for b in chosen])
    y = np.concatenate([b.current for b in chosen])
    owner = np.repeat(np.arange(len(chosen)), [len(b.voltage) for b in chosen])
    top = abs(v).max()
    if top == 0:
        raise OutOfRangeError("all voltages are 0 V; sweep the voltage")
    one = owner[:, None] == np.arange(len(chosen))

    def design(curvature):                                           # 1 / V0: the straight line is an end of the range
        return one * _sinh(v, curvature)[:, None]

    profile = Separable(design, y, np.concatenate(([0.0], np.geomspace(1e-2, 40.0, 36))) / top)
    mean = np.full(len(chosen), 1 / len(chosen))
    straight = profile.low is None                                   # the profile stays flat down to a straight line
    if len(chosen) == 1:
        conductance = Parameter.known("conductance", "S", *profile.combination(lambda s: mean))
    else:
        conductance = t_interval("conductance", "S", profile.c.mean(), profile.c.std(ddof=1) / np.sqrt(len(chosen)),
                                 len(chosen) - 1)
        notes.append("conductance of the branches: " + ", ".join(f"{c * 1e6:.4g}" for c in profile.c) + " µS")
    if straight or profile.high is None:
        reason = (f"a straight line is within the interval; V0 is above {1 / profile.high:.3g} V, sweep beyond {top:.3g} V"
                  if straight and profile.high is not None else f"all points lie too close to 0 V or above {top:.3g} V")
        scale = Parameter.unknown("voltage_scale", "V", reason)
    else:
        scale = Parameter.known("voltage_scale", "V", 1 / profile.value, 1 / profile.high, 1 / profile.low)
    if profile.correlated:
        notes.append(f"residuals follow a curve (correlation {profile.correlated:.2f} of neighbours): the intervals are "
                     "widened, and the equation is not exact at this voltage")
    total = ((y - y.mean()) ** 2).sum()
    curves = {"current against voltage": Curve(
        ("voltage", "V"), ("current", "A"), {f"data {k + 1}": (b.voltage, b.current) for k, b in enumerate(chosen)},
        {f"fit {k + 1}": (x := np.linspace(b.voltage.min(), b.voltage.max(), 200), c * _sinh(x, profile.value))
         for k, (b, c) in enumerate(zip(chosen, profile.c, strict=True))})}
    polynomials = [_polynomial(v, y, one, odd, top) for odd in ((), (3,), (3, 5))]
    result = FitResult(
        "iv", "sinh, I = G V0 sinh(V / V0)", (conductance, scale), len(v),
        {"r_squared": 1 - profile.rss / total if total else 0.0, "rms_residual_ua": np.sqrt(profile.rss / len(v)) * 1e6,
         "largest_voltage_v": top},
        akaike(profile.rss, len(v), profile.k), tuple(sorted(polynomials, key=lambda other: other.aic)), tuple(notes),
        curves=curves,
        device={"iv": {"model": "sinh", "v0_v": scale.value, "valid_voltage_v": float(top)}} if scale.identified else {})
    if result.better() is not None:
        result = dataclasses.replace(result, notes=(*result.notes, f"{result.better().model} describes the points better"))
    return result


def _sinh(v, curvature):
    return v if curvature == 0 else np.sinh(v * curvature) / curvature


def _polynomial(v, y, one, powers, top):
    """I = G (V + c3 V³ + c5 V⁵), the c shared by the branches: Gauss-Newton, exact in one step for one branch's products."""
    g, c = solve(one * v[:, None], y)[0], np.zeros(len(powers))
    each = np.stack([v ** p for p in powers], axis=1) if powers else np.empty((len(v), 0))
    for _ in range(20):
        shape = v + each @ c
        design = np.concatenate((one * shape[:, None], (one @ g)[:, None] * each), axis=1)
        step, inverse, _ = solve(design, y - (one @ g) * shape)
        g, c = g + step[:len(g)], c + step[len(g):]
    rss = float(((y - (one @ g) * (v + each @ c)) ** 2).sum())
    freedom = max(len(v) - len(g) - len(powers), 1)
    error = np.sqrt(rss / freedom * np.diag(inverse))
    parameters = [t_interval("conductance", "S", g.mean(), np.sqrt((error[:len(g)] ** 2).sum()) / len(g), freedom)]
    parameters += [t_interval(f"coefficient_{p}", f"1/V^{p - 1}", *pair, freedom)
                   for p, *pair in zip(powers, c, error[len(g):], strict=True)]
    model = "polynomial of degree " + str(powers[-1]) if powers else "straight line"
    coefficients = [float(dict(zip(powers, c, strict=True)).get(p, 0.0)) for p in range(2, powers[-1] + 1)] if powers else []
    device = {"iv": {"model": "polynomial", "coefficients": coefficients, "valid_voltage_v": float(top)}} if powers else {}
    return FitResult("iv", model, tuple(parameters), len(v), {"rms_residual_ua": float(np.sqrt(rss / len(v)) * 1e6)},
                     akaike(rss, len(v), len(g) + len(powers)), device=device)


def from_files(paths, columns, where):
    """`fit_iv` of files with a column of voltages and one of currents; each file is a recording of its own."""
    tables = read_tables(paths, COLUMNS, columns, where)
    for table in tables:
        table.require(LEAST, "an I-V fit")
    result = fit_iv([t["voltage"] for t in tables], [t["current"] for t in tables])
    return dataclasses.replace(result, inputs=tuple(t.echo for t in tables))
