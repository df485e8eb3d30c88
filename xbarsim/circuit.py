"""`Crossbar`: one memristor array as a circuit person sees it.

    V0 --[Rs]--[Rw]--w00----[Rw]--w01-- (open)      Rw, Rb  resistance of a word-line, bit-line segment
                      |            |                Rs, Rx  source resistance, sense resistance
                    [G00]        [G01]              w, u    word-line nodes, bit-line nodes
                      |            |
                     u00          u01               The first cell is one segment away from the source, the last
                      :            :                cell of a bit line one segment away from its sense amplifier,
                     [Rb]         [Rb]              which holds the terminal at 0 V or at a given bias.  The bit
                      :            :                lines (:) pass under the word lines.
    V1 --[Rs]--[Rw]--w10----[Rw]--w11-- (open)
                      |            |                Word line i is row i of the conductances, bit line j column j;
                    [G10]        [G11]              word lines end at "left" and "right" terminals, bit lines at
                      |            |                "top" and "bottom" ones.
                     u10          u11
                      :            :
                   [Rb + Rx]    [Rb + Rx]
                      :            :
                   bias, I0     bias, I1
"""
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from xbarsim import cells, spice
from xbarsim.errors import ConfigError, ConvergenceError, OutOfRangeError, ShapeError
from xbarsim.kernels import newton, nodal, transient
from xbarsim.kernels.transfer import transfer_matrix


def _array(name, value, unit, shapes, remedy="", infinite=False):
    """`value` as a float64 array of one of `shapes` ({shape: meaning}), checked to be finite and not negative."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ShapeError(f"{name}: {error}; give numbers in {unit}") from None
    if array.shape not in shapes:
        allowed = ", ".join(f"{shape} {meaning}" for shape, meaning in shapes.items())
        raise ShapeError(f"{name} has shape {array.shape}; allowed: {allowed}")
    wrong = np.isnan(array) | (array < 0) | (np.isinf(array) & (not infinite))
    if wrong.any():
        where = np.argwhere(wrong)[0]
        at = f" at {tuple(int(k) for k in where)}" if array.ndim else ""
        raise OutOfRangeError(f"{name} is {array[tuple(where)]:g} {unit}{at}; "
                              f"allowed: 0 {unit} {'to infinity' if infinite else 'or more, finite'}{remedy}")
    return array


def _choice(name, value, allowed):
    if value not in allowed:
        raise ConfigError(f"{name} is {value!r}; allowed: {', '.join(map(repr, allowed))}")
    return value


def _lines(name, value, count):
    """A mask of lines from a mask or a list of indices."""
    array = np.asarray(value)
    if array.dtype == bool:
        if array.shape != (count,):
            raise ShapeError(f"{name} is a mask of shape {array.shape}; allowed: ({count},), or a list of line numbers")
        return array
    mask = np.zeros(count, dtype=bool)
    if array.size:
        if not np.issubdtype(array.dtype, np.integer) or array.ndim != 1:
            raise ShapeError(f"{name} must be a mask ({count},) or a list of line numbers, not {value!r}")
        if array.min() < 0 or array.max() >= count:
            raise OutOfRangeError(f"{name} names line {array.min() if array.min() < 0 else array.max()}; "
                                  f"allowed: 0 to {count - 1}")
        mask[array] = True
    return mask


def _segments(name, value, end_name, end_resistance, ends, floating, lines, cells, default_end):
    """(lines, cells + 1) resistances from terminal to terminal, infinite at ends that are not connected."""
    first, last = ends
    shapes = {(): "for all", (lines,): "per line", (lines, cells + 1): "per segment from terminal to terminal"}
    if ends == default_end:
        shapes[lines, cells] = "per segment, one on the terminal's side of each cell"
    remedy = "; declare a line that is not connected as floating"
    resistance = _array(name, value, "ohm", shapes, remedy)
    end_resistance = _array(end_name, end_resistance, "ohm", {(): "for all", (lines,): "per line"}, remedy)
    segments = np.empty((lines, cells + 1))
    if resistance.shape == (lines, cells):
        segments[:, :cells] = resistance
    else:
        segments[:] = resistance[:, None] if resistance.ndim == 1 else resistance
    segments[:, 0] = np.where(floating, np.inf, segments[:, 0] + end_resistance) if first else np.inf
    segments[:, cells] = np.where(floating, np.inf, segments[:, cells] + end_resistance) if last else np.inf
    return segments


def _line_currents(segments, injected):
    """Current in every segment of the lines, in the direction of growing index.

    segments : (lines, cells + 1) ohm; injected : (b, lines, cells) A, flowing into the nodes from the cells.
    Terminals of one line are at the same voltage.  Returns (b, lines, cells + 1) A.
    """
    first, last = np.isfinite(segments[:, 0]), np.isfinite(segments[:, -1])
    behind = np.cumsum(segments[:, :-1], axis=1)                   # from the first terminal to each node
    total = segments.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(total[:, None] > 0, 1 - behind / total[:, None], 0.5)  # leaving through the first terminal
    share = np.where((first & last)[:, None], share, (first & ~last)[:, None].astype(float))
    current = np.empty((*injected.shape[:2], segments.shape[1]))
    current[..., 0] = -(share * injected).sum(axis=2)
    np.cumsum(injected, axis=2, out=current[..., 1:])
    current[..., 1:] += current[..., :1]
    current[:, ~last, -1] = 0.0
    return current


@dataclass(frozen=True)
class Solution:
    """State of a crossbar for a batch of b inputs; for one input vector the axis b is absent everywhere.

    Attributes
    ----------
    output_current : (b, n) A into the sense amplifiers of the bit lines (transposed: (b, m), of the word lines)
    input_current : (b, m) A drawn from the sources of the word lines (transposed: (b, n))
    word_line_voltage, bit_line_voltage : (b, m, n) V
    cell_current : (b, m, n) A from word line to bit line
    residual : (b,) largest violation of Kirchhoff's current law at a node, over the largest cell current at ideal wires
        (where cells are not ohmic: over the largest cell current)
    iterations : (b,) iterations of the linear solver; Newton steps where cells are not ohmic
    """

    output_current: np.ndarray
    input_current: np.ndarray
    word_line_voltage: np.ndarray
    bit_line_voltage: np.ndarray
    cell_current: np.ndarray
    residual: np.ndarray
    iterations: np.ndarray
    _crossbar: "Crossbar" = field(repr=False)
    _terminals: tuple = field(repr=False)                          # (b, m) word-line and (b, n) bit-line voltages

    @property
    def cell_voltage(self):
        """(b, m, n) V across the cells, word line minus bit line."""
        return self.word_line_voltage - self.bit_line_voltage

    @property
    def terminal_voltage(self):
        """(b, m, n) V between the terminals of a cell's word line and bit line: its voltage if wires were ideal."""
        word, bit = self._terminals
        return word[..., :, None] - bit[..., None, :]

    def _lines(self):
        xb = self._crossbar
        cell = self.cell_current.reshape(-1, *xb.conductance.shape)
        return (_line_currents(xb.word_segments, -cell),
                _line_currents(xb.bit_segments.T, cell.transpose(0, 2, 1)).transpose(0, 2, 1))

    @property
    def word_line_current(self):
        """(b, m, n + 1) A in the word-line segments, from left to right."""
        return self._lines()[0].reshape(*self.residual.shape, *self._crossbar.word_segments.shape)

    @property
    def bit_line_current(self):
        """(b, m + 1, n) A in the bit-line segments, from top to bottom."""
        return self._lines()[1].reshape(*self.residual.shape, *self._crossbar.bit_segments.shape)

    @property
    def cell_power(self):
        """(b,) W dissipated in the cells."""
        return (self.cell_voltage * self.cell_current).sum(axis=(-2, -1))

    @property
    def wire_power(self):
        """(b,) W dissipated in wires, source and sense resistances."""
        xb = self._crossbar
        total = sum((np.where(np.isfinite(r), r, 0) * i ** 2).sum(axis=(1, 2))
                    for r, i in zip((xb.word_segments, xb.bit_segments), self._lines(), strict=True))
        return total.reshape(self.residual.shape)

    @property
    def power(self):
        """(b,) W delivered by all terminals: cell_power + wire_power, from the terminal currents alone."""
        word, bit = self._terminals
        into_word, out_of_bit = self.cell_current.sum(axis=-1), self.cell_current.sum(axis=-2)
        return (word * into_word).sum(axis=-1) - (bit * out_of_bit).sum(axis=-1)


@dataclass(frozen=True)
class Settling:
    """Response of the outputs to a step of the inputs at time 0.

    Attributes
    ----------
    time : (t,) s, 0 included;  output_current : (t, n) A into the sense amplifiers
    final_current : (n,) A;  settling_time : (n,) s, after which each output stays within the tolerance
    elmore_delay : (n,) s, first moment of the response (nan where the final current is 0)
    """

    time: np.ndarray
    output_current: np.ndarray
    final_current: np.ndarray
    settling_time: np.ndarray
    elmore_delay: np.ndarray


class Crossbar:
    """A crossbar of resistive cells with its wires, drivers and sense amplifiers.

    Parameters
    ----------
    conductance : (m, n) S, m word lines by n bit lines; 0 is an open cell, inf a shorted one (where the word line or
        the bit line has resistance on both sides of the cell)
    word_line_resistance, bit_line_resistance : ohm per segment: a scalar, one value per line, one per segment ((m, n):
        the segment left of each cell, below each cell), or every segment from terminal to terminal ((m, n + 1) and
        (m + 1, n); those beyond an open end are ignored)
    source_resistance, sense_resistance : ohm at each connected end of a word line, of a bit line: scalar or per line
    drive : "left", "right" or "both": connected ends of the word lines
    sense : "bottom", "top" or "both": connected ends of the bit lines
    floating_word_lines, floating_bit_lines : mask or list of lines that are connected nowhere
    transposed : drive the bit lines and sense the word lines: the same circuit, the same terminal resistances, but
        inputs are voltages of the n bit-line terminals and outputs currents of the m word-line terminals
    cell : `cells.Sinh`, `Polynomial` or `Table`: the curve of the memristors, whose conductance at 0 V is `conductance`;
        None for ohmic ones
    access : `cells.Selector` or `Transistor` in series with every memristor; None for none

    A line without resistance is one node.  Nothing is changed after construction: attributes are read-only arrays.

    Raises
    ------
    ShapeError, OutOfRangeError, ConfigError : an argument that is no such thing; the message says what is allowed
    """

    def __init__(self, conductance, word_line_resistance=1.0, bit_line_resistance=1.0, source_resistance=0.0,
                 sense_resistance=0.0, *, drive="left", sense="bottom", floating_word_lines=(), floating_bit_lines=(),
                 transposed=False, cell=None, access=None):
        shape = np.shape(conductance)
        if len(shape) != 2 or 0 in shape:
            raise ShapeError(f"conductance has shape {shape}; allowed: (m, n) word lines by bit lines, at least 1 each")
        g = _array("conductance", conductance, "S", {shape: ""}, " (inf for a short)", infinite=True)
        m, n = shape
        drive = _choice("drive", drive, ("left", "right", "both"))
        sense = _choice("sense", sense, ("bottom", "top", "both"))
        self.floating_word_lines = _lines("floating_word_lines", floating_word_lines, m)
        self.floating_bit_lines = _lines("floating_bit_lines", floating_bit_lines, n)
        word = _segments("word_line_resistance", word_line_resistance, "source_resistance", source_resistance,
                         (drive != "right", drive != "left"), self.floating_word_lines, m, n, (True, False))
        bit = _bit_segments(bit_line_resistance, sense_resistance, sense, self.floating_bit_lines, m, n)
        ideal_word = np.minimum(word[:, :-1], word[:, 1:]) == 0
        ideal_bit = np.minimum(bit[:-1], bit[1:]) == 0
        bad = np.argwhere(np.isinf(g) & ideal_word & ideal_bit)
        if bad.size:
            raise OutOfRangeError(f"conductance is inf S at {tuple(map(int, bad[0]))}, between a word line and a bit "
                                  "line without resistance; allowed where one of them has resistance on both sides of "
                                  "the cell: give the wires a resistance or the short a conductance")
        self.conductance, self.word_segments, self.bit_segments = g.copy(), word, bit
        self.transposed, self.cell, self.access = bool(transposed), cell, access
        if cell is not None and not isinstance(cell, cells.MEMRISTORS):
            raise ConfigError(f"cell is {cell!r}; allowed: None, {', '.join(k.__name__ for k in cells.MEMRISTORS)}")
        if access is not None and not isinstance(access, cells.ACCESS):
            raise ConfigError(f"access is {access!r}; allowed: None, {', '.join(k.__name__ for k in cells.ACCESS)}")
        if not self.ohmic and np.isinf(g).any():
            raise OutOfRangeError("conductance is inf S where cells are not ohmic; allowed: 0 S or more, finite")
        for array in (self.conductance, word, bit, self.floating_word_lines, self.floating_bit_lines):
            array.setflags(write=False)

    @property
    def shape(self):
        """(m, n): word lines, bit lines."""
        return self.conductance.shape

    @property
    def ohmic(self):
        """Whether every cell is a resistor, so that the array is linear."""
        return self.cell is None and self.access is None

    @cached_property
    def _network(self):
        return nodal.factor(self.conductance, self.word_segments, self.bit_segments)

    def _terminal_voltages(self, input_voltage, bias_voltage):
        """(b, m) word-line and (b, n) bit-line terminal voltages, 0 at floating lines; True for one input."""
        m, n = self.shape
        inputs, outputs = (n, m) if self.transposed else (m, n)
        v = _voltages("input_voltage", input_voltage, {(inputs,): "one input"}, inputs)
        bias = _voltages("bias_voltage", bias_voltage, {(): "for all", (outputs,): "per sensed line"}, outputs)
        single = v.ndim == 1 and bias.ndim < 2
        v, bias = np.atleast_2d(v), np.atleast_1d(bias)
        if bias.ndim == 2 and len(v) > 1 and len(bias) > 1 and len(v) != len(bias):
            raise ShapeError(f"bias_voltage is a batch of {len(bias)}, input_voltage one of {len(v)}; they must agree")
        batch = max(len(v), len(bias) if bias.ndim == 2 else 1)
        v, bias = np.broadcast_to(v, (batch, inputs)), np.broadcast_to(bias, (batch, outputs))
        word, bit = (bias, v) if self.transposed else (v, bias)
        return np.where(self.floating_word_lines, 0.0, word), np.where(self.floating_bit_lines, 0.0, bit), single

    def _ends(self, word, bit):
        """Terminal voltages at the (left, right, top, bottom) ends, 0 at ends that are not connected."""
        ends = ((self.word_segments[:, 0], word), (self.word_segments[:, -1], word),
                (self.bit_segments[0], bit), (self.bit_segments[-1], bit))
        return tuple(np.where(np.isfinite(segment), voltage, 0.0) for segment, voltage in ends)

    def solve(self, input_voltage, bias_voltage=0.0, tolerance=1e-12, steps=100):
        """All voltages and currents for given terminal voltages.

        Parameters
        ----------
        input_voltage : (m,) or (b, m) V of the driven lines (transposed: n for m); ignored at floating lines
        bias_voltage : V at the sense amplifiers: scalar (0 is virtual ground), per sensed line, or (b, sensed lines)
        tolerance : largest `Solution.residual`
        steps : largest number of Newton steps, where cells are not ohmic

        Returns
        -------
        Solution

        Raises
        ------
        ConvergenceError : the tolerance was not reached; carries the Solution, residual and iterations

        Notes
        -----
        Conjugate gradients with exact solves along every line (`kernels/nodal.py`): O(m n) per iteration.  Around them,
        where cells are not ohmic, damped Newton steps (`kernels/newton.py`).
        """
        if not (tolerance > 0 and steps >= 0):
            raise OutOfRangeError(f"tolerance is {tolerance!r} and steps {steps!r}; allowed: above 0, and 0 or more")
        word, bit, single = self._terminal_voltages(input_voltage, bias_voltage)
        if self.ohmic:
            state = nodal.node_voltages(self._network, *self._ends(word, bit), tolerance=tolerance)
        else:
            state = self._newton(word, bit, tolerance, steps)
        solution = self._solution(*state, word, bit, single)
        worst = float(np.max(solution.residual))
        if not worst <= tolerance:
            raise ConvergenceError(
                f"node voltages reached a KCL residual of {worst:.1e} of the largest cell current in "
                f"{np.max(solution.iterations)} iterations; wanted {tolerance:.1e}: raise the tolerance, or check "
                "resistances and conductances for values many orders of magnitude apart",
                iterate=solution, residual=worst, iterations=int(np.max(solution.iterations)))
        return solution

    def _newton(self, word, bit, tolerance, steps):
        """As `nodal.node_voltages`, one input after the other."""
        ends, solved = self._ends(word, bit), []
        for k in range(len(word)):
            high, low = max(word[k].max(), bit[k].max(), 0.0), min(word[k].min(), bit[k].min(), 0.0)
            for part in (self.cell, self.access):
                if part is not None and high - low > part.maximum_voltage:
                    raise OutOfRangeError(f"terminals are {high - low:.3g} V apart; allowed for {part!r}: up to "
                                          f"{part.maximum_voltage:.3g} V")
            currents = cells.evaluator(self.cell, self.access, self.conductance, high - low)
            start = word[k][:, None] - bit[k]
            solved.append(newton.solve_cells(currents, start, self.word_segments, self.bit_segments,
                                             tuple(end[k:k + 1] for end in ends), tolerance, steps))
        return tuple(np.array(part) for part in zip(*solved, strict=True))

    def sensitivity(self, input_voltage, output_weight=None, bias_voltage=0.0):
        """Derivative of the outputs with respect to every conductance.

        Parameters
        ----------
        input_voltage : (m,) V;  bias_voltage : as in `solve`, for one input
        output_weight : (n,); the derivative of output_weight @ output_current; None for every output by itself

        Returns
        -------
        (m, n) A/S for a weight, (outputs, m, n) without

        Notes
        -----
        The adjoint: a cell's voltage times its voltage when the weights drive the sense amplifiers and all inputs are at
        0 V.  One solution per output, or one altogether for a weight.
        """
        self._require_ohmic()
        forward = self.solve(input_voltage, bias_voltage)
        if forward.residual.ndim:
            raise ShapeError(f"sensitivities are those of one input vector, got a batch of {len(forward.residual)}")
        m, n = self.shape
        inputs, outputs = (n, m) if self.transposed else (m, n)
        weight = np.eye(outputs) if output_weight is None else _voltages(
            "output_weight", output_weight, {(outputs,): "one weight per output"}, outputs)
        adjoint = self.solve(np.zeros(inputs), weight[None] if weight.ndim == 1 else weight)
        result = -forward.cell_voltage * adjoint.cell_voltage
        return result[0] if weight.ndim == 1 else result

    def output_noise(self, input_voltage, conductance_sigma, bias_voltage=0.0):
        """(outputs,) A: standard deviation of the outputs for independent small fluctuations of the cells.

        conductance_sigma : S, standard deviation of each cell, a scalar or (m, n)
        """
        sigma = _array("conductance_sigma", conductance_sigma, "S", {(): "for all", self.shape: "per cell"})
        return np.sqrt((self.sensitivity(input_voltage, None, bias_voltage) ** 2 * sigma ** 2).sum(axis=(1, 2)))

    def settle(self, input_voltage, word_line_capacitance, bit_line_capacitance, cell_capacitance=0.0, *, within=1e-3,
               lsb=None, accuracy=1e-4):
        """Transient of the outputs after the inputs step from 0 V to `input_voltage`.

        Parameters
        ----------
        input_voltage : (m,) V (transposed: (n,)); sense amplifiers are at 0 V
        word_line_capacitance, bit_line_capacitance, cell_capacitance : F of each node to ground, and across each cell:
            scalar or (m, n)
        within : tolerance of `settling_time` as a fraction of `lsb`
        lsb : A, of the converter at the outputs; None for the largest final current
        accuracy : estimated error of a step, as a share of the largest input voltage

        Returns
        -------
        Settling

        Raises
        ------
        ConfigError : nonlinear or shorted cells, or a line that reaches its terminal without resistance

        Notes
        -----
        L-stable second-order steps (`kernels/transient.py`), each two solutions of the network, until every output is
        within a tenth of the tolerance.
        """
        self._require_ohmic()
        word, bit, single = self._terminal_voltages(input_voltage, 0.0)
        if not single:
            raise ShapeError(f"settling is that of one input vector, got a batch of {len(word)}")
        word_ends, bit_ends = self.word_segments[:, [0, -1]], self.bit_segments.T[:, [0, -1]]
        sensed = word_ends if self.transposed else bit_ends
        if np.isinf(self.conductance).any() or (word_ends == 0).any() or (bit_ends == 0).any():
            raise ConfigError("settling needs cells without shorts, and resistances above 0 ohm between every line and its "
                              "terminals: give the wires, the sources or the sense amplifiers one")
        lsb = None if lsb is None else float(_array("lsb", lsb, "A", {(): ""}))
        if lsb == 0:
            raise OutOfRangeError("lsb is 0 A; allowed: above 0 A, or None")
        if not (0 < within < 1 and 0 < accuracy < 1):
            raise OutOfRangeError(f"within is {within!r} and accuracy {accuracy!r}; allowed: between 0 and 1")
        shapes = {(): "for all", self.shape: "per cell"}
        capacitance = tuple(np.broadcast_to(_array(name, value, "F", shapes), self.shape) for name, value in (
            ("word_line_capacitance", word_line_capacitance), ("bit_line_capacitance", bit_line_capacitance),
            ("cell_capacitance", cell_capacitance)))
        if not (capacitance[0] > 0).all() or not (capacitance[1] > 0).all():
            raise OutOfRangeError("word_line_capacitance or bit_line_capacitance is 0 F; allowed: above 0 F at every node")
        steady, ends = self.solve(input_voltage), self._ends(word, bit)

        def sense(w, u):
            """Currents into the sense amplifiers, which are at 0 V."""
            nodes = w[:, [0, -1]] if self.transposed else u[[0, -1]].T
            return (nodes / sensed).sum(axis=1)

        state = steady.word_line_voltage, steady.bit_line_voltage
        final = sense(*state)
        network = self.conductance, self.word_segments, self.bit_segments, capacitance, ends
        moment = transient.first_moments(*network, state)
        delay = max(abs(part).max() for part in moment)                                    # V s
        tolerance = within * (abs(final).max() if lsb is None else lsb)
        time, current = [0.0], [np.zeros_like(final)]
        if tolerance > 0 and delay > 0:
            highest = max(abs(part).max() for part in (word, bit))
            delay /= highest
            for now, w, u in transient.steps(*network, state, accuracy * highest, 1e-3 * delay):
                time.append(now)
                current.append(sense(w, u))
                if now > 2 * delay and abs(current[-1] - final).max() <= 0.1 * tolerance:
                    break
        time, current = np.array(time), np.array(current)
        with np.errstate(divide="ignore", invalid="ignore"):
            elmore = np.where(final == 0, np.nan, sense(*moment) / final)
        return Settling(time, current, final, _settling_times(time, abs(current - final), tolerance), elmore)

    def to_spice(self, path, input_voltage, bias_voltage=0.0):
        """Write a netlist of the array with one input that ngspice runs as it is (`ngspice -b path`); returns the path.

        It prints the current of every terminal; node names are those of `spice.netlist`.
        """
        word, bit, single = self._terminal_voltages(input_voltage, bias_voltage)
        if not single:
            raise ShapeError(f"a netlist holds one input vector, got a batch of {len(word)}")
        path = Path(path)
        path.write_text(spice.netlist(self, word[0], bit[0]))
        return path

    def _solution(self, w, u, current, iterations, residual, word, bit, single):
        from_word = np.where(self.floating_word_lines, 0.0, current.sum(axis=2))
        into_bit = np.where(self.floating_bit_lines, 0.0, current.sum(axis=1))
        output, drawn = (-from_word, -into_bit) if self.transposed else (into_bit, from_word)
        arrays = output, drawn, w, u, current, residual, iterations
        terminals = word, bit
        if single:
            arrays, terminals = tuple(a[0] for a in arrays), tuple(a[0] for a in terminals)
        return Solution(*arrays, self, terminals)

    def transfer_matrix(self):
        """(n, m) S: current into each sensed line per volt on each driven line (transposed: (m, n)).

        In any arrangement by joining blocks of cells (`kernels/transfer.py`).
        """
        transfer, _ = self._joined(self.conductance, self.word_segments, self.bit_segments)
        return np.ascontiguousarray(transfer.T if self.transposed else transfer)          # reciprocity

    def power_matrix(self):
        """(m, m) S, symmetric (transposed: (n, n)): v @ power_matrix @ v watts are drawn, sensing at 0 V."""
        arrays = self.conductance, self.word_segments, self.bit_segments
        if self.transposed:
            arrays = self.conductance.T, self.bit_segments.T, self.word_segments.T
        return np.ascontiguousarray(self._joined(*arrays)[1])

    def _joined(self, conductance, word, bit):
        self._require_ohmic()
        right, top = (None if np.isinf(ends).all() else ends for ends in (word[:, -1], bit[0]))
        return transfer_matrix(conductance, word[:, :-1], bit[1:], right, top)

    def _require_ohmic(self):
        if not self.ohmic:
            raise ConfigError("an array of nonlinear cells has no transfer matrix: use solve(input_voltage)")


def _settling_times(time, distance, tolerance):
    """(n,) s after which each column of distance (t, n) stays within the tolerance; linear in its logarithm between."""
    result = np.zeros(distance.shape[1])
    for k, column in enumerate(distance.T):
        outside = np.flatnonzero(column > tolerance)
        if outside.size:
            before = outside[-1]
            a, b = np.log(column[before]), np.log(max(column[before + 1], 1e-3 * tolerance))
            result[k] = time[before] + (time[before + 1] - time[before]) * (a - np.log(tolerance)) / (a - b)
    return result


def _bit_segments(resistance, sense_resistance, sense, floating, m, n):
    """`_segments` of the bit lines, (m + 1, n): the same from bottom to top, seen upside down."""
    value = np.asarray(resistance)
    flipped = value[::-1].T if value.ndim == 2 else value
    segments = _segments("bit_line_resistance", flipped, "sense_resistance", sense_resistance,
                         (sense != "top", sense != "bottom"), floating, n, m, (True, False))
    return np.ascontiguousarray(segments.T[::-1])


def _voltages(name, value, shapes, lines):
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise ShapeError(f"{name} must be numbers in V, not {array.dtype}")
    if array.shape not in shapes and not (array.ndim == 2 and array.shape[1] == lines and len(array)):
        allowed = ", ".join(f"{shape} {meaning}" for shape, meaning in shapes.items())
        raise ShapeError(f"{name} has shape {array.shape}; allowed: {allowed}, (b, {lines}) a batch")
    if not np.isfinite(array).all():
        where = tuple(map(int, np.argwhere(~np.isfinite(array))[0]))
        raise OutOfRangeError(f"{name} is {array[where]:g} V at {where}; allowed: finite voltages")
    return array.astype(np.float64)
