"""Potentiation and depression by equal pulses: first step, how the steps fall, their noise,
window."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from xbarsim.base.errors import OutOfRangeError, ShapeError
from xbarsim.base.units import MICROSIEMENS
from xbarsim.calibrate.result import Curve, FitResult, Parameter
from xbarsim.calibrate.steps import (
    LOGARITHMIC,
    SATURATION,
    WAYS,
    Trains,
    Uncertainty,
    choices,
    fit_steps,
    noise_parameters,
    straight,
)
from xbarsim.calibrate.tables import Wanted, read_tables

COLUMNS = (
    Wanted("up", "S", ("up", "potentiation", "ltp", "set"), optional=True, free=True),
    Wanted("down", "S", ("down", "depression", "ltd", "reset"), optional=True, free=True),
    Wanted("train", "text", ("train", "cycle", "repeat", "run"), optional=True),
)
LEAST = 8
UNCERTAIN = 3.0  # an end of the interval so many times the value: not identified


def fit_pulses(
    up: ArrayLike | Sequence[ArrayLike] | None = None,
    down: ArrayLike | Sequence[ArrayLike] | None = None,
    unit: str = "S",
    law: str | None = None,
) -> FitResult:
    """Law of the steps of trains of equal pulses.

    Every pulse moves the cell by the law that `[write_verify]` of a device file runs, of two for
    each direction: a step that falls exponentially with the conductance (logarithmic in the
    pulses), or along a straight line to a saturation (exponential in the pulses).  Steps and reads
    have noise.  The combination of the lowest AIC is the result, the others its alternatives.

    Parameters
    ----------
    up, down : (p,) S before the first pulse and after every pulse, or arbitrary units; a list of
        such vectors for repeated trains, of any lengths; None for a direction that was not measured
    unit : "S", or "1" for arbitrary units;  law : of `LAWS`, for both directions; by AIC if None

    Returns
    -------
    FitResult : step_up (mean change by the first pulse of a train), nonlinearity_up (ln of the
        first over the last step), saturation_up (where the steps end, exponential saturation only),
        likewise down; step_relative_sigma, read_sigma; conductance_minimum, conductance_maximum

    Raises
    ------
    ShapeError, OutOfRangeError : not finite vectors; too few pulses; a train that goes the other
        way
    """
    trains = {"up": _trains("up", up), "down": _trains("down", down)}
    if not trains["up"] and not trains["down"]:
        raise OutOfRangeError("neither a train of pulses up nor one down is given")
    pairs = [(train, 1 if way == "up" else -1) for way in WAYS for train in trains[way]]
    joined = Trains.join(pairs)
    fits = [_result(fit_steps(joined, laws), trains, unit) for laws in choices(joined, law)]
    fits.sort(key=lambda fit: fit.aic)
    return dataclasses.replace(fits[0], alternatives=tuple(fits[1:]))


def _trains(name, given):
    """List of vectors of one direction; blanks at the end of a column (NaN) are its end."""
    if given is None:
        return []
    several = isinstance(given, (list, tuple)) and len(given) > 0 and np.ndim(given[0]) > 0
    trains = []
    for train in given if several else [given]:
        g = np.asarray(train, float)
        if g.ndim == 1 and np.isfinite(g).any():
            g = g[: np.flatnonzero(np.isfinite(g))[-1] + 1]
        if g.ndim != 1 or not np.isfinite(g).all():
            raise ShapeError(
                f"{name} has shape {g.shape}; allowed: a finite vector, one value for each pulse"
            )
        if len(g) < LEAST:
            raise OutOfRangeError(f"{name} has {len(g)} pulses; a curve needs {LEAST} or more")
        change = np.median(g[-(len(g) // 4) :]) - np.median(g[: len(g) // 4])
        if change * (1 if name == "up" else -1) <= 0:
            raise OutOfRangeError(
                f"the train {name!r} goes {'down' if name == 'up' else 'up'}, by "
                f"{abs(change):.3g}; are "
                "the two columns exchanged?"
            )
        trains.append(g)
    return trains


def _result(steps, trains, unit):
    """FitResult of fitted Steps."""
    laws = [steps.laws[way] for way in steps.trains.directions]
    model = laws[0] if len(set(laws)) == 1 else f"{laws[0]} up, {laws[1]} down"
    aic = steps.aic
    fitted_steps = steps
    steps, reasons = straight(steps)
    other = falling(fitted_steps, reasons)
    noise, steps = noise_parameters(steps, unit)
    uncertainty = Uncertainty(steps)
    ends = Ends(steps)
    parameters, table = [], {}
    minimum, maximum = window(uncertainty, ends)
    for way in steps.trains.directions:
        parameters += step_parameters(
            uncertainty, other, ends, way=way, unit=unit, straight_line=reasons.get(way)
        )
        if parameters[-1 if steps.laws[way] == LOGARITHMIC else -2].identified or way in reasons:
            table |= step_table(steps, way, minimum[0], maximum[0], way in reasons)
    table |= noise_table(*noise)
    parameters += noise
    parameters += [
        Parameter.known("conductance_minimum", unit, *minimum),
        Parameter.known("conductance_maximum", unit, *maximum),
    ]
    goodness, fitted = _goodness(steps, trains, unit)
    notes, device = _device(table, steps, minimum[0], maximum[0], unit)
    data = {name: (np.arange(len(g)), g) for name in WAYS for g in trains[name][:1]}
    curves = {"pulses": Curve(("pulse", ""), ("conductance", unit), data, fitted)}
    return FitResult(
        "pulses",
        model,
        tuple(parameters),
        len(steps.trains.reads),
        goodness,
        aic,
        notes=tuple(notes),
        curves=curves,
        device=device,
    )


class Ends:
    """Where the trains of a direction start and end, averaged over them."""

    def __init__(self, steps):
        way = steps.trains.way
        first = np.flatnonzero(way == 0)
        last = np.append(first[1:], len(way)) - 1
        directions = way[np.minimum(first + 1, len(way) - 1)]
        self.first = [first[directions == sign] for sign in (1, -1)]
        self.last = [last[directions == sign] for sign in (1, -1)]

    def start(self, steps, way):
        """(conductance, its variance given the law)."""
        return _average(steps, self.first[way])

    def end(self, steps, way):
        return _average(steps, self.last[way])


def _average(steps, places):
    _, _, smooth, variance = steps.follow()
    return smooth[places].mean(), steps.variance * variance[places].mean() / len(places)


def window(uncertainty, ends):
    """((value, low, high) of the least conductance, the same of the largest)."""
    steps = uncertainty.steps
    found = []
    for way in steps.trains.directions:
        for end in (ends.start, ends.end):
            variance = end(steps, way)[1]
            found.append(uncertainty.interval(lambda s, end=end, way=way: end(s, way)[0], variance))
    return min(found), max(found)


def step_parameters(uncertainty, other, ends, way, unit, straight_line):
    """[step, nonlinearity, and saturation of that law] of a direction; `other`: see `falling`."""
    name = WAYS[way]
    steps = uncertainty.steps

    def first_step(s):
        return s.step(way, ends.start(s, way)[0])

    def fall(s):
        first = _log_step(s, way, ends.start(s, way)[0])
        return first - _log_step(s, way, ends.end(s, way)[0])

    at_start = _log_step_variance(steps, way, *ends.start(steps, way))
    at_end = _log_step_variance(steps, way, *ends.end(steps, way))
    step = step_interval(uncertainty, other if straight_line else None, first_step, at_start)
    if step[2] > UNCERTAIN * step[0]:
        parameters = [
            Parameter.unknown(f"step_{name}", unit, "the first step depends on the nonlinearity")
        ]
    else:
        parameters = [Parameter.known(f"step_{name}", unit, *step)]
    values = uncertainty.interval(fall, at_start + at_end)
    open_ended = values[2] - values[0] > UNCERTAIN * abs(values[0])
    reason = (
        straight_line or "is open above: the train saturates within few pulses; apply smaller ones"
    )
    if straight_line or open_ended:
        parameters.append(Parameter.unknown(f"nonlinearity_{name}", "1", reason))
    else:
        parameters.append(Parameter.known(f"nonlinearity_{name}", "1", *values))
    if steps.laws[way] == SATURATION:
        if straight_line or open_ended:
            parameters.append(Parameter.unknown(f"saturation_{name}", unit, reason))
        else:
            parameters.append(
                Parameter.known(
                    f"saturation_{name}", unit, *uncertainty.interval(lambda s: s.saturation(way))
                )
            )
    return parameters


def _log_step(steps, way, x):
    """ln of the step at x."""
    return np.log(max(steps.step(way, x), 1e-12 * steps.unit))


def _log_step_variance(steps, way, x, variance):
    """Variance of ln of the step at x, by that of x alone."""
    move = 1e-4 * (steps.high - steps.low)
    rise = _log_step(steps, way, x + move) - _log_step(steps, way, x - move)
    return (rise / (2 * move)) ** 2 * variance


def falling(steps, reasons):
    """Uncertainty of steps that may fall, where `straight` held some of them constant by chance;
    None otherwise."""
    held = [way for way in reasons if 2 + way in steps.free]
    return Uncertainty(steps.restricted()) if held else None


def step_interval(uncertainty, other, function, variance=0.0):
    """(value, low, high) of a step; the interval holds that of `other` too, see `falling`."""
    value, low, high = uncertainty.positive(function, variance)
    if other is None:
        return value, low, high
    _, other_low, other_high = other.positive(function, variance)
    return value, min(low, other_low), max(high, other_high)


def step_table(steps, way, minimum, maximum, constant):
    """Keys of [write_verify] of one direction, for the window minimum to maximum."""
    name = WAYS[way]
    at_end = minimum if way == 0 else maximum
    table = {f"step_{name}_us": float(steps.step(way, at_end) / MICROSIEMENS)}
    if constant:
        return table
    if steps.laws[way] == LOGARITHMIC:
        return table | {f"nonlinearity_{name}": float(steps.rate[way] * (maximum - minimum))}
    return table | {f"saturation_{name}_us": float(steps.saturation(way) / MICROSIEMENS)}


def noise_table(step_relative_sigma, read_sigma):
    """Keys of [write_verify] of the noise: 0 where the data show none."""
    return {
        "step_relative_sigma": step_relative_sigma.value or 0.0,
        "read_sigma_us": (read_sigma.value or 0.0) / MICROSIEMENS,
    }


def _goodness(steps, trains, unit):
    """(named measures, fitted curves): the law run without noise from the start of every train."""
    goodness, fitted = {}, {}
    for way in steps.trains.directions:
        name = WAYS[way]
        lines = [_curve(steps, way, g) for g in trains[name]]
        residual = np.concatenate([g - line for g, line in zip(trains[name], lines, strict=True)])
        total = np.concatenate([g - g.mean() for g in trains[name]])
        goodness[f"r_squared_{name}"] = float(1 - (residual**2).sum() / (total**2).sum())
        suffix, scale = ("us", MICROSIEMENS) if unit == "S" else ("arbitrary", 1)
        goodness[f"rms_residual_{name}_{suffix}"] = float(np.sqrt((residual**2).mean()) / scale)
        fitted[f"{name}, fit"] = (np.arange(len(lines[0])), lines[0])
    return goodness, fitted


def _curve(steps, way, g):
    """The law run from the start that lies nearest to the train g."""
    moved = np.zeros(len(g))
    x = float(g[: max(3, len(g) // 50)].min() if way == 0 else g[: max(3, len(g) // 50)].max())
    start = x
    for k in range(1, len(g)):
        x += steps.step(way, x) * (1 - 2 * way)
        moved[k] = x - start
    return moved + (g - moved).mean()


def _device(table, steps, minimum, maximum, unit):
    """(notes, tables of a device file)."""
    if unit != "S":
        return [
            "arbitrary units: no device file; give the unit of the columns, such as --column "
            "up=1:uS"
        ], {}
    missing = [WAYS[way] for way in steps.trains.directions if f"step_{WAYS[way]}_us" not in table]
    if missing or minimum < 0:
        return [
            "no table of a device file: a step is not identified, or the window reaches below 0 S"
        ], {}
    ends = [float(end / MICROSIEMENS) for end in (minimum, maximum)]
    return [], {
        "write_verify": table,
        "conductance": {"minimum_us": ends[0], "maximum_us": ends[1], "valid_range_us": ends},
    }


def from_files(paths, columns, where):
    """`fit_pulses` of files with a column of potentiation, of depression or both, a row for each
    pulse.

    Several files, and the trains that a column `train` tells apart, are repeated trains.
    """
    tables = read_tables(paths, COLUMNS, columns, where)
    trains = {way: [] for way in WAYS}
    units = set()
    for table in tables:
        present = [way for way in WAYS if way in table]
        if not present:
            raise OutOfRangeError(
                f"{table.path}: no column of pulses up or down; name one, such as --column "
                f"up=NAME:uS"
            )
        table.require(LEAST, "a fit of pulses")
        units |= {table.units[way] for way in present}
        labels = table["train"] if "train" in table else np.zeros(len(table))
        for label in dict.fromkeys(labels.tolist()):
            for way in present:
                trains[way].append(table[way][labels == label])
    if len(units) > 1:
        raise OutOfRangeError("columns and files of pulses need one unit")
    result = fit_pulses(trains["up"] or None, trains["down"] or None, units.pop())
    return dataclasses.replace(result, inputs=tuple(t.echo for t in tables))
