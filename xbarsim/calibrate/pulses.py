"""Potentiation and depression by equal pulses: step of the first pulse, nonlinearity, window."""
import dataclasses

import numpy as np

from xbarsim.calibrate.result import Curve, FitResult, Parameter
from xbarsim.calibrate.statistics import Separable, akaike
from xbarsim.calibrate.tables import Wanted, read_tables
from xbarsim.errors import OutOfRangeError, ShapeError
from xbarsim.units import MICROSIEMENS

COLUMNS = (Wanted("up", "S", ("up", "potentiation", "ltp", "set"), free=True),
           Wanted("down", "S", ("down", "depression", "ltd", "reset"), free=True))
LEAST = 8
GRID = np.concatenate((-np.geomspace(5, 0.03, 10), [0.0], np.geomspace(0.03, 15, 24)))


def _logarithmic(nonlinearity, share):
    """0 to 1: the step falls as exp(-nonlinearity x share of the change made), as in [write_verify] of a device file."""
    n = nonlinearity
    return share if n == 0 else np.log1p(np.expm1(n) * share) / n


def _exponential(nonlinearity, share):
    """0 to 1: the step falls as exp(-nonlinearity x share of the pulses), towards a saturation."""
    n = nonlinearity
    return share if n == 0 else np.expm1(-n * share) / np.expm1(-n)


LAWS = {"logarithmic": (_logarithmic, lambda n: 1.0 if n == 0 else np.expm1(n) / n),
        "exponential saturation": (_exponential, lambda n: 1.0 if n == 0 else -n / np.expm1(-n))}


def fit_pulses(up, down, unit="S"):
    """Change of the conductance by trains of equal pulses, G(p) = first + change f(p; nonlinearity).

    Two laws, of which the one with the lower AIC is the result and the other its alternative: a step that falls with the
    share of the change already made (logarithmic in p), or with the share of the pulses (exponential saturation).  The
    nonlinearity is ln(first step / last step) in both; 0 is a straight line, and where that lies within the interval the
    nonlinearity is not identified.

    Parameters
    ----------
    up, down : (p,) S after every pulse, or arbitrary units;  unit : "S", or "1" for arbitrary units

    Returns
    -------
    FitResult : step_up, nonlinearity_up, step_down, nonlinearity_down, conductance_minimum, conductance_maximum

    Raises
    ------
    ShapeError, OutOfRangeError : not finite vectors; too few pulses; a train that goes the other way
    """
    trains = {"up": np.asarray(up, float), "down": np.asarray(down, float)}
    for name, g in trains.items():
        if g.ndim != 1 or not np.isfinite(g).all():
            raise ShapeError(f"{name} has shape {g.shape}; allowed: a finite vector, one value for each pulse")
        if len(g) < LEAST:
            raise OutOfRangeError(f"{name} has {len(g)} pulses; a curve needs {LEAST} or more")
    fits = sorted((_law(name, trains, unit) for name in LAWS), key=lambda fit: fit.aic)
    return dataclasses.replace(fits[0], alternatives=(fits[1],))


def _law(law, trains, unit):
    shape, first_step = LAWS[law]
    parameters, goodness, notes, aic, ends, fitted, table = [], {}, [], 0.0, [], {}, {}
    for name, g in trains.items():
        sign, share = (1 if name == "up" else -1), np.arange(len(g)) / (len(g) - 1)
        profile = Separable(lambda n, share=share: np.stack([np.ones(len(share)), shape(n, share)], axis=1), g, GRID)
        if sign * profile.c[1] <= 0:
            raise OutOfRangeError(f"the train {name!r} goes {'down' if sign > 0 else 'up'}, by {abs(profile.c[1]):.3g}; are "
                                  "the two columns exchanged?")
        low, high = profile.low, profile.high
        total, count = ((g - g.mean()) ** 2).sum(), len(g) - 1
        step = profile.combination(lambda n, s=sign, k=count: np.array([0.0, s * first_step(n) / k]))
        if low is None or high is None or low <= 0:
            limit = "is open above" if high is None else f"reaches {high:.2g}"
            why = ("a straight line is within the interval, which " + limit + ": the train does not reach its saturation; "
                   "apply more pulses" if high is None or high > 0 else "the steps grow along the train")
            shape_of = Parameter.unknown(f"nonlinearity_{name}", "1", why)
        else:
            shape_of = Parameter.known(f"nonlinearity_{name}", "1", profile.value, low, high)
            table[f"nonlinearity_{name}"] = float(profile.value)
        if shape_of.identified or step[1] > 0 and step[2] < 3 * step[0]:
            parameters.append(Parameter.known(f"step_{name}", unit, *step))
            table[f"step_{name}_us"] = float(step[0] / MICROSIEMENS)
        else:
            parameters.append(Parameter.unknown(f"step_{name}", unit, "the first step depends on the nonlinearity"))
        parameters.append(shape_of)
        ends.append([profile.combination(lambda n: np.array([1.0, 0.0])), profile.combination(lambda n: np.ones(2))][::sign])
        goodness[f"r_squared_{name}"] = 1 - profile.rss / total
        goodness[f"rms_residual_{name}_{'us' if unit == 'S' else 'arbitrary'}"] = (
            np.sqrt(profile.rss / len(g)) / (MICROSIEMENS if unit == "S" else 1))
        if profile.correlated:
            notes.append(f"{name}: residuals of neighbours correlate by {profile.correlated:.2f}: the intervals are widened")
        aic += akaike(profile.rss, len(g), profile.k)
        fitted[f"{name}, fit"] = (np.arange(len(g)), profile.y - profile.residual)
    for label, k, pick in (("minimum", 0, min), ("maximum", 1, max)):
        value, low, high = pick((pair[k] for pair in ends), key=lambda end: end[0])
        parameters.append(Parameter.known(f"conductance_{label}", unit, value, low, high))
    window = [p.value / MICROSIEMENS for p in parameters[-2:]]
    device = {}
    if unit != "S":
        notes.append("arbitrary units: no device file; give the unit of the columns, such as --column up=1:uS")
    elif window[0] < 0 or any(f"step_{name}_us" not in table for name in trains):
        notes.append("no table of a device file: a step is not identified, or the window reaches below 0 S")
    else:
        device = {"write_verify": table, "conductance": {"minimum_us": window[0], "maximum_us": window[1],
                                                         "valid_range_us": window}}
    data = {name: (np.arange(len(g)), g) for name, g in trains.items()}
    curves = {"pulses": Curve(("pulse", ""), ("conductance", unit), data, fitted)}
    return FitResult("pulses", law, tuple(parameters), sum(map(len, trains.values())), goodness, aic, notes=tuple(notes),
                     curves=curves, device=device)


def from_files(paths, columns, where):
    """`fit_pulses` of a file with a column of potentiation and one of depression, a row for each pulse."""
    tables = read_tables(paths, COLUMNS, columns, where)
    for table in tables:
        table.require(LEAST, "a fit of pulses")
    units = {unit for table in tables for unit in table.units.values()}
    up, down = (np.mean([t[name] for t in tables], axis=0) if len({len(t) for t in tables}) == 1 else None
                for name in ("up", "down"))
    if len(units) > 1 or up is None:
        raise OutOfRangeError("columns and files of pulses need one unit and one length: their trains are averaged")
    return dataclasses.replace(fit_pulses(up, down, units.pop()), inputs=tuple(t.echo for t in tables))
