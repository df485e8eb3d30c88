"""`settle`: the transient of the outputs after a step of the inputs, and when it is over."""

from dataclasses import dataclass

import numpy as np

from xbarsim.base.errors import ConfigError, OutOfRangeError, ShapeError
from xbarsim.circuit.arguments import capacitances, positive
from xbarsim.kernels.circuit import transient

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

    time: np.ndarray
    output_current: np.ndarray
    final_current: np.ndarray
    settling_time: np.ndarray
    elmore_delay: np.ndarray


@dataclass(frozen=True)
class Senses:
    """How node voltages become output currents.

    Attributes
    ----------
    ends : (outputs, 2) ohm at both ends of the sensed lines, infinite where none is connected
    transposed : whether the word lines are sensed
    """

    ends: np.ndarray
    transposed: bool

    def currents(self, w, u):
        """(outputs,) A into sense amplifiers at 0 V from node voltages, (m, n) V each."""
        nodes = w[:, [0, -1]] if self.transposed else u[[0, -1]].T
        return (nodes / self.ends).sum(axis=1)

    def most(self, power):
        """(outputs,) A that node voltages can cause at most if they dissipate `power` in W
        altogether.

        By Cauchy and Schwarz: what flows out through the resistances at the ends of a line
        dissipates its share there.
        """
        return np.sqrt(power * (1 / self.ends).sum(axis=1))


def settle(crossbar, input_voltage, *capacitance, within, lsb, accuracy):
    """See `Crossbar.settle`."""
    senses = _senses(crossbar)
    capacitance = capacitances(crossbar.shape, *capacitance)
    steady = crossbar.solve(input_voltage)
    if steady.residual.ndim:
        batch = len(steady.residual)
        raise ShapeError(f"settling is that of one input vector, got a batch of {batch}")
    final = steady.output_current
    tolerance = _tolerance(final, within, lsb, steady)
    accuracy = positive("accuracy", accuracy, "", below=1)
    missing = -steady.word_line_voltage, -steady.bit_line_voltage
    circuit = transient.Circuit(
        crossbar.conductance, crossbar.word_segments, crossbar.bit_segments, *capacitance
    )
    moment = transient.first_moments(circuit, missing)
    delay = -senses.currents(*moment)
    elmore = np.divide(delay, final, out=np.full_like(final, np.nan), where=final != 0)
    longest = max(abs(part).max() for part in moment)  # V s
    if longest == 0:
        nothing = np.zeros_like(final)
        return Settling(np.zeros(1), nothing[None], final, nothing, elmore)

    def dissipated(x):
        return transient.power(circuit, *x)

    def too_large(error, x):
        """Both as all the power that they dissipate, and in every output, errors are a share of
        what is missing.
        """
        lacking = np.maximum(abs(senses.currents(*x)), tolerance)
        at_outputs = (abs(senses.currents(*error)) / lacking).max()
        whole = dissipated(x)
        everywhere = np.sqrt(dissipated(error) / whole) if whole > 0 else 0.0
        return max(at_outputs, everywhere) / accuracy

    time, current, slope = [0.0], [-final], [np.zeros_like(final)]
    first_step = 1e-3 * longest / max(abs(part).max() for part in missing)
    for now, x, rate in transient.steps(circuit, missing, too_large, first_step):
        time.append(now)
        current.append(senses.currents(*x))
        slope.append(senses.currents(*rate))
        if (senses.most(dissipated(x)) <= tolerance).all():  # a power that never grows again
            break
    time, current, slope = np.array(time), np.array(current), np.array(slope)
    slope[0] = (current[1] - current[0]) / time[1]
    settled = _last_exits(time, current, slope, tolerance)
    return Settling(time, final + current, final, settled, elmore)


def _senses(crossbar):
    """`Senses` of a crossbar that can settle."""
    word_ends = crossbar.word_segments[:, [0, -1]]
    bit_ends = crossbar.bit_segments.T[:, [0, -1]]
    shorted = np.isinf(crossbar.conductance).any()
    if shorted or (word_ends == 0).any() or (bit_ends == 0).any():
        raise ConfigError(
            "settling needs cells without shorts, and resistances above 0 ohm between every line "
            "and "
            "its terminals: give the wires, the sources or the sense amplifiers one"
        )
    return Senses(word_ends if crossbar.transposed else bit_ends, crossbar.transposed)


def _tolerance(final, within, lsb, steady):
    """A within which an output is settled."""
    share = positive("within", within, "", below=1)
    if lsb is not None:
        return share * positive("lsb", lsb, "A")
    largest = abs(final).max()
    moving = abs(steady.word_line_voltage).max() > 0
    if largest == 0 and moving:
        raise OutOfRangeError(
            "all final currents are 0 A: no share of them is a tolerance; give lsb in A"
        )
    return share * largest


def _last_exits(time, value, slope, tolerance):
    """(n,) s after which each column of value (t, n) A stays within the tolerance.

    Between steps the values are cubics through the values and slopes (t, n) A/s at `time`.
    """
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


def _cubic(part, step, value, slope):
    """Hermite's cubic at shares `part` (s, 1) of a step; value, slope : (2, n) at its ends."""
    rise = part**2 * (3 - 2 * part)
    leave = part * (1 - part) ** 2
    arrive = part**2 * (part - 1)
    change = (value[1] - value[0]) * rise
    return value[0] + change + step * (slope[0] * leave + slope[1] * arrive)
