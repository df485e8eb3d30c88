"""Potentiation and depression by equal pulses: first step, how the steps fall, their noise,
window."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from xbarsim.base.array_types import Floats, Integers
from xbarsim.base.errors import OutOfRangeError, ShapeError
from xbarsim.base.units import MICROSIEMENS
from xbarsim.calibrate.result import Axis, Curve, DeviceTable, FitResult, Line, Parameter
from xbarsim.calibrate.statistics import Estimate, by_aic
from xbarsim.calibrate.step_analysis import Analysis, analyse
from xbarsim.calibrate.step_intervals import Uncertainty
from xbarsim.calibrate.steps import (
    SATURATION,
    WAYS,
    Steps,
    Trains,
    choices,
    fit_steps,
    sign,
    step_table,
)
from xbarsim.calibrate.tables import Wanted, read_tables

COLUMNS = (
    Wanted("up", "S", ("up", "potentiation", "ltp", "set"), optional=True, free=True),
    Wanted("down", "S", ("down", "depression", "ltd", "reset"), optional=True, free=True),
    Wanted("train", "text", ("train", "cycle", "repeat", "run"), optional=True),
)
LEAST = 8
UNCERTAIN = 3.0  # an end of the interval so many times the value: not identified
LEAST_STEP = 1e-12  # of the mean step, for its logarithm
OPEN_ABOVE = "is open above: the train saturates within few pulses; apply smaller ones"
NO_UNIT = "arbitrary units: no device file; give the unit of the columns, such as --column up=1:uS"
NO_TABLE = "no table of a device file: a step is not identified, or the window reaches below 0 S"

TrainsByWay: TypeAlias = tuple[list[Floats], list[Floats]]  # up, down


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
    unit : "S", or "1" for arbitrary units;  law : "logarithmic" or "exponential saturation", for
        both directions; by AIC if None

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
    trains = (_trains("up", up), _trains("down", down))
    pairs = [(train, sign(way)) for way in (0, 1) for train in trains[way]]
    if not pairs:
        raise OutOfRangeError("neither a train of pulses up nor one down is given")
    joined = Trains.join(pairs)
    fitted = [fit_steps(joined, laws) for laws in choices(joined, law)]
    fits = by_aic([(_result(steps, trains, unit), len(steps.free)) for steps in fitted])
    return dataclasses.replace(fits[0], alternatives=tuple(fits[1:]))


def _trains(name: str, given: ArrayLike | Sequence[ArrayLike] | None) -> list[Floats]:
    """Vectors of one direction, that were given as one or as a list of them."""
    if given is None:
        return []
    if isinstance(given, (list, tuple)) and len(given) > 0 and np.ndim(given[0]) > 0:
        return [_checked_train(name, train) for train in given]
    return [_checked_train(name, given)]


def _checked_train(name: str, train: ArrayLike | Sequence[ArrayLike]) -> Floats:
    """A train without the blanks at the end of a column (NaN)."""
    g: Floats = np.asarray(train, float)
    if g.ndim == 1 and np.isfinite(g).any():
        g = g[: np.flatnonzero(np.isfinite(g))[-1] + 1]
    if g.ndim != 1 or not np.isfinite(g).all():
        raise ShapeError(
            f"{name} has shape {g.shape}; allowed: a finite vector, one value for each pulse"
        )
    if len(g) < LEAST:
        raise OutOfRangeError(f"{name} has {len(g)} pulses; a curve needs {LEAST} or more")
    quarter = len(g) // 4
    change = np.median(g[-quarter:]) - np.median(g[:quarter])
    way = WAYS.index(name)
    if change * sign(way) <= 0:
        raise OutOfRangeError(
            f"the train {name!r} goes {WAYS[1 - way]}, by {abs(change):.3g}; are the two columns "
            "exchanged?"
        )
    return g


# --- results


class Direction(NamedTuple):
    """Parameters of one direction; `saturation` of a law that has one."""

    step: Parameter
    nonlinearity: Parameter
    saturation: Parameter | None


class Window(NamedTuple):
    """Least and largest conductance of the trains."""

    minimum: Estimate
    maximum: Estimate


def _result(fitted: Steps, trains: TrainsByWay, unit: str) -> FitResult:
    """FitResult of fitted Steps."""
    analysis = analyse(fitted, unit)
    steps = analysis.steps
    ends = Ends(steps)
    window = _window(analysis.uncertainty, ends)
    parameters: list[Parameter] = []
    table: DeviceTable = {}
    for way in steps.trains.directions:
        found = _direction(analysis, ends, way, unit)
        parameters += [parameter for parameter in found if parameter is not None]
        constant = way in analysis.constant
        if found.nonlinearity.identified or constant:
            table |= step_table(steps, way, window.minimum.value, window.maximum.value, constant)
    parameters += analysis.noise
    parameters.append(Parameter.known("conductance_minimum", unit, *window.minimum))
    parameters.append(Parameter.known("conductance_maximum", unit, *window.maximum))
    lines = _lines(steps, trains)
    no_file = _why_no_file(table, steps, window, unit)
    notes = []
    device = {}
    if no_file is None:
        device = _device(table | analysis.noise.table(), window)
    else:
        notes.append(no_file)
    return FitResult(
        kind="pulses",
        model=fitted.model,
        parameters=tuple(parameters),
        points=len(steps.trains.reads),
        goodness=_goodness(trains, lines, unit),
        aic=fitted.aic,
        notes=tuple(notes),
        curves={"pulses": _curve(trains, lines, unit)},
        device=device,
    )


class Read(NamedTuple):
    """A conductance, and its variance given the law."""

    conductance: float
    variance: float


class Ends:
    """Where the trains of a direction start and end, averaged over them.

    first, last : (up, down) numbers of the reads
    """

    def __init__(self, steps: Steps) -> None:
        way = steps.trains.way
        first = np.flatnonzero(way == 0)
        last = np.append(first[1:], len(way)) - 1
        directions = way[np.minimum(first + 1, len(way) - 1)]
        self.first = [first[directions == sign(index)] for index in range(len(WAYS))]
        self.last = [last[directions == sign(index)] for index in range(len(WAYS))]

    def start(self, steps: Steps, way: int) -> Read:
        """Mean of the first reads of a direction."""
        return _average(steps, self.first[way])

    def end(self, steps: Steps, way: int) -> Read:
        """Mean of the last reads of a direction."""
        return _average(steps, self.last[way])


def _average(steps: Steps, places: Integers) -> Read:
    followed = steps.follow()
    conductance = followed.smooth[places].mean()
    variance = steps.variance * followed.smooth_variance[places].mean() / len(places)
    return Read(conductance, variance)


def _window(uncertainty: Uncertainty, ends: Ends) -> Window:
    found = []
    for way in uncertainty.steps.trains.directions:
        found.append(_interval_of_average(uncertainty, ends.first[way]))
        found.append(_interval_of_average(uncertainty, ends.last[way]))
    return Window(min(found), max(found))


def _interval_of_average(uncertainty: Uncertainty, places: Integers) -> Estimate:
    variance = _average(uncertainty.steps, places).variance
    return uncertainty.interval(lambda steps: _average(steps, places).conductance, variance)


def _direction(analysis: Analysis, ends: Ends, way: int, unit: str) -> Direction:
    """Step, nonlinearity, and saturation of that law."""
    steps = analysis.steps

    def first_step(moved: Steps) -> float:
        return moved.step(way, ends.start(moved, way).conductance)

    def fall(moved: Steps) -> float:
        first = _log_step(moved, way, ends.start(moved, way).conductance)
        return first - _log_step(moved, way, ends.end(moved, way).conductance)

    at_start = _log_step_variance(steps, way, ends.start(steps, way))
    at_end = _log_step_variance(steps, way, ends.end(steps, way))
    step = analysis.step_interval(way, first_step, at_start)
    nonlinearity = analysis.uncertainty.interval(fall, at_start + at_end)
    reason = analysis.constant.get(way)
    if reason is None and nonlinearity.high - nonlinearity.low > UNCERTAIN * abs(
        nonlinearity.value
    ):
        reason = OPEN_ABOVE
    saturation = None
    if steps.laws[way] == SATURATION:
        saturation = _saturation_parameter(analysis, way, unit, reason)
    return Direction(
        step=_step_parameter(step, way, unit),
        nonlinearity=_nonlinearity_parameter(nonlinearity, way, reason),
        saturation=saturation,
    )


def _step_parameter(step: Estimate, way: int, unit: str) -> Parameter:
    name = f"step_{WAYS[way]}"
    if step.high > UNCERTAIN * step.value:
        return Parameter.unknown(name, unit, "the first step depends on the nonlinearity")
    return Parameter.known(name, unit, *step)


def _nonlinearity_parameter(nonlinearity: Estimate, way: int, reason: str | None) -> Parameter:
    """reason : why it is not identified, None where it is."""
    name = f"nonlinearity_{WAYS[way]}"
    if reason is not None:
        return Parameter.unknown(name, "1", reason)
    return Parameter.known(name, "1", *nonlinearity)


def _saturation_parameter(analysis: Analysis, way: int, unit: str, reason: str | None) -> Parameter:
    """reason : why it is not identified, None where it is."""
    name = f"saturation_{WAYS[way]}"
    if reason is not None:
        return Parameter.unknown(name, unit, reason)
    saturation = analysis.uncertainty.interval(lambda steps: steps.saturation(way))
    return Parameter.known(name, unit, *saturation)


def _log_step(steps: Steps, way: int, x: float) -> float:
    """ln of the step at x."""
    return float(np.log(max(steps.step(way, x), LEAST_STEP * steps.unit)))


def _log_step_variance(steps: Steps, way: int, at: Read) -> float:
    """Variance of ln of the step, by that of the conductance alone."""
    move = 1e-4 * (steps.high - steps.low)
    above = _log_step(steps, way, at.conductance + move)
    below = _log_step(steps, way, at.conductance - move)
    return ((above - below) / (2 * move)) ** 2 * at.variance


# --- goodness, picture, device file


def _lines(steps: Steps, trains: TrainsByWay) -> dict[str, list[Floats]]:
    """The law run without noise along every train, by the name of the direction."""
    lines = {}
    for way in steps.trains.directions:
        lines[WAYS[way]] = [_line(steps, way, train) for train in trains[way]]
    return lines


def _line(steps: Steps, way: int, g: Floats) -> Floats:
    """The law run from the start that lies nearest to the train g."""
    begin = g[: max(3, len(g) // 50)]
    start = float(begin.min() if way == 0 else begin.max())
    moved = np.zeros(len(g))
    x = start
    for k in range(1, len(g)):
        x += steps.step(way, x) * sign(way)
        moved[k] = x - start
    line: Floats = moved + (g - moved).mean()
    return line


def _goodness(trains: TrainsByWay, lines: dict[str, list[Floats]], unit: str) -> dict[str, float]:
    """Named measures of the lines of every direction."""
    suffix = "arbitrary"
    scale = 1.0
    if unit == "S":
        suffix = "us"
        scale = MICROSIEMENS
    goodness = {}
    for name, fitted in lines.items():
        measured = trains[WAYS.index(name)]
        pairs = zip(measured, fitted, strict=True)
        residual = np.concatenate([train - line for train, line in pairs])
        total = np.concatenate([train - train.mean() for train in measured])
        goodness[f"r_squared_{name}"] = float(1 - (residual**2).sum() / (total**2).sum())
        rms = np.sqrt((residual**2).mean())
        goodness[f"rms_residual_{name}_{suffix}"] = float(rms / scale)
    return goodness


def _curve(trains: TrainsByWay, lines: dict[str, list[Floats]], unit: str) -> Curve:
    """Picture of the first train of every direction."""
    data = {}
    fit = {}
    for name, fitted in lines.items():
        measured = trains[WAYS.index(name)][0]
        data[name] = Line(np.arange(len(measured)), measured)
        fit[f"{name}, fit"] = Line(np.arange(len(fitted[0])), fitted[0])
    return Curve(Axis("pulse", ""), Axis("conductance", unit), data, fit)


def _why_no_file(table: DeviceTable, steps: Steps, window: Window, unit: str) -> str | None:
    """What is missing for a device file, None where nothing is."""
    if unit != "S":
        return NO_UNIT
    wanted = [f"step_{WAYS[way]}_us" for way in steps.trains.directions]
    if window.minimum.value < 0 or any(key not in table for key in wanted):
        return NO_TABLE
    return None


def _device(table: DeviceTable, window: Window) -> dict[str, DeviceTable]:
    """Tables of a device file."""
    low = float(window.minimum.value / MICROSIEMENS)
    high = float(window.maximum.value / MICROSIEMENS)
    conductance = {"minimum_us": low, "maximum_us": high, "valid_range_us": [low, high]}
    return {"write_verify": table, "conductance": conductance}


# --- files


def from_files(
    paths: Sequence[str | os.PathLike[str]],
    columns: Mapping[str, str],
    where: Mapping[str, str],
) -> FitResult:
    """`fit_pulses` of files with a column of potentiation, of depression or both, a row for each
    pulse.

    Several files, and the trains that a column `train` tells apart, are repeated trains.
    """
    tables = read_tables(paths, COLUMNS, columns, where)
    trains: dict[str, list[Floats]] = {name: [] for name in WAYS}
    units = set()
    for table in tables:
        present = [name for name in WAYS if name in table]
        if not present:
            raise OutOfRangeError(
                f"{table.path}: no column of pulses up or down; name one, such as --column "
                f"up=NAME:uS"
            )
        table.require(LEAST, "a fit of pulses")
        units |= {table.units[name] for name in present}
        labels = table["train"] if "train" in table else np.zeros(len(table))
        for label in dict.fromkeys(labels.tolist()):
            for name in present:
                trains[name].append(table[name][labels == label])
    if len(units) > 1:
        raise OutOfRangeError("columns and files of pulses need one unit")
    result = fit_pulses(trains["up"] or None, trains["down"] or None, units.pop())
    return dataclasses.replace(result, inputs=tuple(table.echo for table in tables))
