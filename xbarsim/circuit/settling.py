"""`settle`: the transient of the outputs after a step of the inputs, and when it is over."""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from xbarsim.base.array_types import Floats
from xbarsim.base.errors import ConfigError, ConvergenceError, OutOfRangeError, ShapeError
from xbarsim.circuit.arguments import capacitances, positive
from xbarsim.circuit.array import Array
from xbarsim.circuit.solution import Solution
from xbarsim.kernels.circuit import transient

LEAST_ACCURACY = 1e-7  # of a step
LEAST_SHARE = 1e-12  # of a final current that is a tolerance: rounding is not far below
MOST_STEPS = 40_000  # of a transient; the finest accuracy took 30,000 on a few cells
MOST_TRIES = 2 * MOST_STEPS  # of steps, those that were not exact enough included
SAMPLES = 32  # of the curve between two steps, where the last way out of the band is looked for


@dataclass(frozen=True)
class Settling:
    """Response of the outputs to a step of the inputs at time 0.

    Attributes
    ----------
    time : (t,) s, 0 included;  output_current : (t, n) A into the sense amplifiers
    final_current : (n,) A;  settling_time : (n,) s, after which each output stays within the
        tolerance
    elmore_delay : (n,) s, first moment of the response (nan where the final current is 0)
    """

    time: Floats
    output_current: Floats
    final_current: Floats
    settling_time: Floats
    elmore_delay: Floats


@dataclass(frozen=True)
class Senses:
    """How node voltages become output currents.

    Attributes
    ----------
    ends : (outputs, 2) ohm at both ends of the sensed lines, infinite where none is connected
    transposed : whether the word lines are sensed
    """

    ends: Floats
    transposed: bool

    def currents(self, w: Floats, u: Floats) -> Floats:
        """(outputs,) A into sense amplifiers at 0 V from node voltages, (m, n) V each."""
        nodes = u[[0, -1]].T
        if self.transposed:
            nodes = w[:, [0, -1]]
        currents: Floats = (nodes / self.ends).sum(axis=1)
        return currents

    def most(self, power: float) -> Floats:
        """(outputs,) A that node voltages can cause at most if they dissipate `power` in W
        altogether.

        By Cauchy and Schwarz: what flows out through the resistances at the ends of a line
        dissipates its share there.
        """
        most: Floats = np.sqrt(power * (1 / self.ends).sum(axis=1))
        return most


Nodes = tuple[Floats, Floats]  # (m, n) V of the word-line nodes, of the bit-line nodes


@dataclass(frozen=True)
class Goal:
    """When the outputs are settled, and how exact a step is.

    tolerance : A within which an output is settled
    accuracy : error of a step as a share of what is missing
    """

    tolerance: float
    accuracy: float


@dataclass(frozen=True)
class Response:
    """What the outputs lack at the times of the steps.

    time : (t,) s;  current, slope : (t, n) A, A/s
    """

    time: Floats
    current: Floats
    slope: Floats


def settle(
    array: Array,
    input_voltage: ArrayLike,
    capacitance: tuple[ArrayLike, ArrayLike, ArrayLike],
    *,
    within: float,
    lsb: float | None,
    accuracy: float,
) -> Settling:
    """See `Crossbar.settle`.

    capacitance : F of word-line nodes, bit-line nodes and cells
    """
    senses = _senses(array)
    word, bit, across = capacitances(array.shape, *capacitance)
    steady = array.solve(input_voltage)
    if steady.residual.ndim:
        batch = len(steady.residual)
        raise ShapeError(f"settling is that of one input vector, got a batch of {batch}")
    final = steady.output_current
    goal = Goal(
        tolerance=_tolerance(final, within, lsb, steady),
        accuracy=_accuracy(accuracy),
    )
    missing = (-steady.word_line_voltage, -steady.bit_line_voltage)
    circuit = transient.Circuit(
        array.conductance, array.word_segments, array.bit_segments, word, bit, across
    )
    moment = transient.first_moments(circuit, missing)
    delay = -senses.currents(*moment)
    elmore = np.divide(delay, final, out=np.full_like(final, np.nan), where=final != 0)
    longest = max(abs(part).max() for part in moment)  # V s
    if longest == 0:
        nothing = np.zeros_like(final)
        return Settling(np.zeros(1), nothing[None], final, nothing, elmore)
    first_step = 1e-3 * longest / max(abs(part).max() for part in missing)
    response = _response(circuit, senses, missing, -final, goal, first_step)
    return Settling(
        time=response.time,
        output_current=final + response.current,
        final_current=final,
        settling_time=_last_exits(response, goal.tolerance),
        elmore_delay=elmore,
    )


def _accuracy(given: float) -> float:
    """Error of a step, which the method reaches in a number of steps that ends."""
    accuracy = positive("accuracy", given, "", below=1)
    if accuracy < LEAST_ACCURACY:
        raise OutOfRangeError(f"accuracy is {accuracy:g}; allowed: {LEAST_ACCURACY:g} to 1")
    return accuracy


def _response(
    circuit: transient.Circuit,
    senses: Senses,
    missing: Nodes,
    at_start: Floats,
    goal: Goal,
    first_step: float,
) -> Response:
    """Steps of what the nodes lack, until no output can leave the tolerance again.

    missing : V that the nodes lack at time 0;  at_start : (n,) A that the outputs lack then
    """

    tried = [0]

    def too_large(error: Nodes, x: Nodes) -> float:
        """Both as all the power that they dissipate, and in every output, errors are a share of
        what is missing.
        """
        lacking = np.maximum(abs(senses.currents(*x)), goal.tolerance)
        at_outputs: float = (abs(senses.currents(*error)) / lacking).max()
        whole = transient.power(circuit, *x)
        everywhere = 0.0
        tried[0] += 1
        if tried[0] > MOST_TRIES or not np.isfinite(whole):
            raise ConvergenceError(
                f"no step is exact enough after {tried[0]:,} tries; allow a wider tolerance (within, "
                "lsb) or a larger error of a step (accuracy)",
                iterations=tried[0],
            )
        if whole > 0:
            everywhere = np.sqrt(transient.power(circuit, *error) / whole)
        return max(at_outputs, everywhere) / goal.accuracy

    times = [0.0]
    currents = [at_start]
    slopes = [np.zeros_like(at_start)]
    steps = transient.steps(circuit, missing, too_large, first_step)
    for now, x, rate in itertools.islice(steps, MOST_STEPS):
        times.append(now)
        currents.append(senses.currents(*x))
        slopes.append(senses.currents(*rate))
        power = transient.power(circuit, *x)  # which never grows again
        if (senses.most(power) <= goal.tolerance).all():
            break
    else:
        raise ConvergenceError(
            f"the outputs are not settled after {MOST_STEPS:,} steps, at {now:g} s; allow a wider "
            "tolerance (within, lsb) or a larger error of a step (accuracy)",
            iterations=MOST_STEPS,
        )
    response = Response(np.array(times), np.array(currents), np.array(slopes))
    response.slope[0] = (response.current[1] - response.current[0]) / response.time[1]
    return response


def _senses(array: Array) -> Senses:
    """`Senses` of a crossbar that can settle."""
    word_ends = array.word_segments[:, [0, -1]]
    bit_ends = array.bit_segments.T[:, [0, -1]]
    shorted = np.isinf(array.conductance).any()
    if shorted or (word_ends == 0).any() or (bit_ends == 0).any():
        raise ConfigError(
            "settling needs cells without shorts, and resistances above 0 ohm between every line "
            "and its terminals: give the wires, the sources or the sense amplifiers one"
        )
    if array.transposed:
        return Senses(word_ends, transposed=True)
    return Senses(bit_ends, transposed=False)


def _tolerance(final: Floats, within: float, lsb: float | None, steady: Solution) -> float:
    """A within which an output is settled."""
    share = positive("within", within, "", below=1)
    if share < LEAST_SHARE:
        raise OutOfRangeError(f"within is {share:g}; allowed: {LEAST_SHARE:g} to 1")
    if lsb is not None:
        return share * positive("lsb", lsb, "A")
    largest: float = abs(final).max()
    moving = abs(steady.word_line_voltage).max() > 0
    if largest == 0 and moving:
        raise OutOfRangeError(
            "all final currents are 0 A: no share of them is a tolerance; give lsb in A"
        )
    return share * largest


def _last_exits(response: Response, tolerance: float) -> Floats:
    """(n,) s after which each output stays within the tolerance.

    Between steps the currents are cubics through those of the steps and their slopes.
    """
    time = response.time
    value = response.current
    slope = response.slope
    result = np.zeros(value.shape[1])
    left = np.arange(value.shape[1])  # columns that no step has been outside of yet
    part = np.linspace(0, 1, SAMPLES + 1)[:, None]
    for k in range(len(time) - 2, -1, -1):
        step = time[k + 1] - time[k]
        curve = abs(_cubic(part, step, value[k : k + 2, left], slope[k : k + 2, left]))
        outside = curve[:-1] > tolerance
        leaves = outside.any(axis=0)
        for column in np.flatnonzero(leaves):
            before = np.flatnonzero(outside[:, column])[-1]
            high, low = curve[before : before + 2, column]
            inside = (high - tolerance) / (high - low)
            result[left[column]] = time[k] + step * (before + min(inside, 1.0)) / SAMPLES
        left = left[~leaves]
    return result


def _cubic(part: Floats, step: float, value: Floats, slope: Floats) -> Floats:
    """Hermite's cubic at shares `part` (s, 1) of a step; value, slope : (2, n) at its ends."""
    rise = part**2 * (3 - 2 * part)
    leave = part * (1 - part) ** 2
    arrive = part**2 * (part - 1)
    change = (value[1] - value[0]) * rise
    curve: Floats = value[0] + change + step * (slope[0] * leave + slope[1] * arrive)
    return curve
