"""`Crossbar`: one memristor array as a circuit person sees it.

V0 --[Rs]--[Rw]--w00----[Rw]--w01-- (open)      Rw, Rb  resistance of a word-line, bit-line segment
                  |            |                Rs, Rx  source resistance, sense resistance
                [G00]        [G01]              w, u    word-line nodes, bit-line nodes
                  |            |
                 u00          u01               The first cell is one segment away from the source,
                 the last
                  :            :                cell of a bit line one segment away from its sense
                  amplifier,
                 [Rb]         [Rb]              which holds the terminal at 0 V or at a given bias.
                 The bit
                  :            :                lines (:) pass under the word lines.
V1 --[Rs]--[Rw]--w10----[Rw]--w11-- (open)
                  |            |                Word line i is row i of the conductances, bit line j
                  column j;
                [G10]        [G11]              word lines end at "left" and "right" terminals, bit
                lines at
                  |            |                "top" and "bottom" ones.
                 u10          u11
                  :            :
               [Rb + Rx]    [Rb + Rx]
                  :            :
               bias, I0     bias, I1
"""

from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xbarsim.base.array_files import numbers
from xbarsim.base.errors import ConfigError, ConvergenceError, OutOfRangeError, ShapeError
from xbarsim.base.files import replacing
from xbarsim.circuit import adjoint, cells, settling, spice
from xbarsim.circuit.arguments import (
    bit_segments,
    choice,
    line_mask,
    not_negative,
    positive,
    voltages,
    word_segments,
)
from xbarsim.circuit.solution import Solution
from xbarsim.kernels.circuit import newton, nodal
from xbarsim.kernels.circuit.transfer import transfer_matrix


class Crossbar:
    """A crossbar of resistive cells with its wires, drivers and sense amplifiers.

    Parameters
    ----------
    conductance : (m, n) S, m word lines by n bit lines; 0 is an open cell, inf a shorted one
        (where the word line or the bit line has resistance on both sides of the cell)
    word_line_resistance, bit_line_resistance : ohm per segment: a scalar, one value per line, one
        per segment ((m, n): the segment left of each cell, below each cell), or every segment from
        terminal to terminal ((m, n + 1) and (m + 1, n); those beyond an open end are ignored)
    source_resistance, sense_resistance : ohm at each connected end of a word line, of a bit line:
        scalar or per line
    drive : "left", "right" or "both": connected ends of the word lines
    sense : "bottom", "top" or "both": connected ends of the bit lines
    floating_word_lines, floating_bit_lines : mask or list of lines that are connected nowhere
    transposed : drive the bit lines and sense the word lines: the same circuit, the same terminal
        resistances, but inputs are voltages of the n bit-line terminals and outputs currents of
        the m word-line terminals
    cell : `cells.Sinh`, `Polynomial` or `Table`: the curve of the memristors, whose conductance at
        0 V is `conductance`; None for ohmic ones
    access : `cells.Selector` or `Transistor` in series with every memristor; None for none

    A line without resistance is one node.  Nothing is changed after construction: attributes are
    read-only arrays.

    Raises
    ------
    ShapeError, OutOfRangeError, ConfigError : an argument that is no such thing; the message says
        what is allowed
    """

    def __init__(
        self,
        conductance: ArrayLike,
        word_line_resistance: ArrayLike = 1.0,
        bit_line_resistance: ArrayLike = 1.0,
        source_resistance: ArrayLike = 0.0,
        sense_resistance: ArrayLike = 0.0,
        *,
        drive: str = "left",
        sense: str = "bottom",
        floating_word_lines: ArrayLike = (),
        floating_bit_lines: ArrayLike = (),
        transposed: bool = False,
        cell: cells.Sinh | cells.Polynomial | cells.Table | None = None,
        access: cells.Selector | cells.Transistor | None = None,
    ) -> None:
        conductance = numbers("conductance", conductance, "S")
        shape = conductance.shape
        if len(shape) != 2 or 0 in shape:
            raise ShapeError(
                f"conductance has shape {shape}; "
                "allowed: (m, n) word lines by bit lines, at least 1 each"
            )
        g = not_negative(
            "conductance", conductance, "S", {shape: ""}, " (inf for a short)", infinite=True
        )
        drive = choice("drive", drive, ("left", "right", "both"))
        sense = choice("sense", sense, ("bottom", "top", "both"))
        self.floating_word_lines = line_mask("floating_word_lines", floating_word_lines, shape[0])
        self.floating_bit_lines = line_mask("floating_bit_lines", floating_bit_lines, shape[1])
        word = word_segments(
            word_line_resistance, source_resistance, drive, self.floating_word_lines, shape
        )
        bit = bit_segments(
            bit_line_resistance, sense_resistance, sense, self.floating_bit_lines, shape
        )
        ideal_word = np.minimum(word[:, :-1], word[:, 1:]) == 0
        ideal_bit = np.minimum(bit[:-1], bit[1:]) == 0
        bad = np.argwhere(np.isinf(g) & ideal_word & ideal_bit)
        if bad.size:
            raise OutOfRangeError(
                f"conductance is inf S at {tuple(map(int, bad[0]))}, between a word line and a bit "
                "line without resistance; allowed where one of them has resistance on both sides "
                "of the cell: give the wires a resistance or the short a conductance"
            )
        self.conductance, self.word_segments, self.bit_segments = g.copy(), word, bit
        self.transposed, self.cell, self.access = bool(transposed), cell, access
        if cell is not None and not isinstance(cell, cells.MEMRISTORS):
            raise ConfigError(
                f"cell is {cell!r}; "
                f"allowed: None, {', '.join(k.__name__ for k in cells.MEMRISTORS)}"
            )
        if access is not None and not isinstance(access, cells.ACCESS):
            raise ConfigError(
                f"access is {access!r}; "
                f"allowed: None, {', '.join(k.__name__ for k in cells.ACCESS)}"
            )
        if not self.ohmic and np.isinf(g).any():
            raise OutOfRangeError(
                "conductance is inf S where cells are not ohmic; allowed: 0 S or more, finite"
            )
        for array in (
            self.conductance,
            word,
            bit,
            self.floating_word_lines,
            self.floating_bit_lines,
        ):
            array.setflags(write=False)

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n): word lines, bit lines."""
        return self.conductance.shape

    @property
    def terminals(self) -> tuple[int, int]:
        """(inputs, outputs): lines that are driven, lines that are sensed."""
        m, n = self.shape
        return (n, m) if self.transposed else (m, n)

    @property
    def ohmic(self) -> bool:
        """Whether every cell is a resistor, so that the array is linear."""
        return self.cell is None and self.access is None

    @cached_property
    def _network(self):
        return nodal.factor(self.conductance, self.word_segments, self.bit_segments)

    def _terminal_voltages(self, input_voltage, bias_voltage):
        """(b, m) word-line and (b, n) bit-line terminal voltages, 0 at floating lines; True for
        one input.
        """
        inputs, outputs = self.terminals
        v = voltages("input_voltage", input_voltage, {(inputs,): "one input"}, inputs)
        per_line = {(): "for all", (outputs,): "per sensed line"}
        bias = voltages("bias_voltage", bias_voltage, per_line, outputs)
        single = v.ndim == 1 and bias.ndim < 2
        v, bias = np.atleast_2d(v), np.atleast_1d(bias)
        if bias.ndim == 2 and len(v) > 1 and len(bias) > 1 and len(v) != len(bias):
            raise ShapeError(
                f"bias_voltage is a batch of {len(bias)}, input_voltage one of {len(v)}; "
                "they must agree"
            )
        batch = max(len(v), len(bias) if bias.ndim == 2 else 1)
        v, bias = np.broadcast_to(v, (batch, inputs)), np.broadcast_to(bias, (batch, outputs))
        word, bit = (bias, v) if self.transposed else (v, bias)
        return (
            np.where(self.floating_word_lines, 0.0, word),
            np.where(self.floating_bit_lines, 0.0, bit),
            single,
        )

    def _ends(self, word, bit):
        """Terminal voltages at the (left, right, top, bottom) ends, 0 at ends that are not
        connected.
        """
        ends = (
            (self.word_segments[:, 0], word),
            (self.word_segments[:, -1], word),
            (self.bit_segments[0], bit),
            (self.bit_segments[-1], bit),
        )
        return tuple(np.where(np.isfinite(segment), voltage, 0.0) for segment, voltage in ends)

    def solve(
        self,
        input_voltage: ArrayLike,
        bias_voltage: ArrayLike = 0.0,
        tolerance: float = 1e-12,
        steps: int = 100,
    ) -> Solution:
        """All voltages and currents for given terminal voltages.

        Parameters
        ----------
        input_voltage : (m,) or (b, m) V of the driven lines (transposed: n for m); ignored at
            floating lines
        bias_voltage : V at the sense amplifiers: scalar (0 is virtual ground), per sensed line, or
            (b, sensed lines)
        tolerance : largest `Solution.residual`
        steps : largest number of Newton steps, where cells are not ohmic

        Returns
        -------
        Solution

        Raises
        ------
        ConvergenceError : the tolerance was not reached; carries the Solution, residual and
            iterations

        Notes
        -----
        Conjugate gradients with exact solves along every line (`kernels/circuit/nodal.py`): O(m n) per
        iteration.  Around them, where cells are not ohmic, damped Newton steps
        (`kernels/circuit/newton.py`).
        """
        tolerance = positive("tolerance", tolerance, "")
        if not isinstance(steps, (int, np.integer)) or steps < 0:
            raise OutOfRangeError(f"steps is {steps!r}; allowed: a whole number, 0 or more")
        word, bit, single = self._terminal_voltages(input_voltage, bias_voltage)
        if self.ohmic:
            state = nodal.node_voltages(self._network, self._ends(word, bit), tolerance=tolerance)
        else:
            state = self._newton(word, bit, tolerance, steps)
        solution = self._solution(state, word, bit, single)
        worst = float(np.max(solution.residual))
        if not worst <= tolerance:
            raise ConvergenceError(
                f"node voltages reached a KCL residual of {worst:.1e} of the largest cell current "
                f"in {np.max(solution.iterations)} iterations; wanted {tolerance:.1e}: "
                "raise the tolerance, or check "
                "resistances and conductances for values many orders of magnitude apart",
                iterate=solution,
                residual=worst,
                iterations=int(np.max(solution.iterations)),
            )
        return solution

    def _newton(self, word, bit, tolerance, steps):
        """As `nodal.node_voltages`, one input after the other."""
        ends, solved = self._ends(word, bit), []
        for k in range(len(word)):
            span = self._span(word[k], bit[k])
            currents = cells.evaluator(self.cell, self.access, self.conductance, span)
            start = word[k][:, None] - bit[k]
            solved.append(
                newton.solve_cells(
                    currents,
                    start,
                    newton.Wires(
                        self.word_segments, self.bit_segments, tuple(end[k : k + 1] for end in ends)
                    ),
                    tolerance,
                    steps,
                )
            )
        return nodal.State(*(np.array(part) for part in zip(*solved, strict=True)))

    def _span(self, word, bit):
        """V between the highest and the lowest terminal, ground included: no cell can see more."""
        span = max(word.max(), bit.max(), 0.0) - min(word.min(), bit.min(), 0.0)
        for part in (self.cell, self.access):
            if part is not None and span > part.maximum_voltage:
                raise OutOfRangeError(
                    f"terminals are {span:.3g} V apart; allowed for {part!r}: up to "
                    f"{part.maximum_voltage:.3g} V"
                )
        return span

    def sensitivity(
        self,
        input_voltage: ArrayLike,
        output_weight: ArrayLike | None = None,
        bias_voltage: ArrayLike = 0.0,
    ) -> NDArray[np.float64]:
        """Derivative of the outputs with respect to every conductance.

        Parameters
        ----------
        input_voltage : (m,) V;  bias_voltage : as in `solve`, for one input
        output_weight : (n,); the derivative of output_weight @ output_current; None for every
            output by itself

        Returns
        -------
        (m, n) A/S for a weight, (outputs, m, n) without

        Notes
        -----
        The adjoint: a cell's voltage times its voltage when the weights drive the sense amplifiers
        and all inputs are at 0 V.  One solution per output, or one altogether for a weight.
        """
        self._require_ohmic()
        return adjoint.sensitivity(self, input_voltage, output_weight, bias_voltage)

    def output_noise(
        self,
        input_voltage: ArrayLike,
        conductance_sigma: ArrayLike,
        bias_voltage: ArrayLike = 0.0,
    ) -> NDArray[np.float64]:
        """(outputs,) A: standard deviation of the outputs for independent small fluctuations of
        the cells.

        conductance_sigma : S, standard deviation of each cell, a scalar or (m, n)
        """
        self._require_ohmic()
        return adjoint.output_noise(self, input_voltage, conductance_sigma, bias_voltage)

    def settle(
        self,
        input_voltage: ArrayLike,
        word_line_capacitance: ArrayLike,
        bit_line_capacitance: ArrayLike,
        cell_capacitance: ArrayLike = 0.0,
        *,
        within: float = 1e-3,
        lsb: float | None = None,
        accuracy: float = 1e-3,
    ) -> settling.Settling:
        """Transient of the outputs after the inputs step from 0 V to `input_voltage`.

        Parameters
        ----------
        input_voltage : (m,) V (transposed: (n,)); sense amplifiers are at 0 V
        word_line_capacitance, bit_line_capacitance, cell_capacitance : F of each node to ground,
            and across each cell: scalar or (m, n)
        within : tolerance of `settling_time` as a fraction of `lsb`
        lsb : A, of the converter at the outputs; None for the largest final current
        accuracy : estimated error of a step as a share of what is missing: in every output of its
            distance from its final current (or of the tolerance, where that is more), and in the
            power that all these errors dissipate

        Returns
        -------
        Settling

        Raises
        ------
        ConfigError : nonlinear or shorted cells, or a line that reaches its terminal without
            resistance
        OutOfRangeError : no final current to take a share of

        Notes
        -----
        L-stable second-order steps of what each node still lacks (`kernels/circuit/transient.py`), each
        two solutions of the network, until no output can leave the tolerance again.  The voltages
        that nodes still lack dissipate a power that never grows, and no output can be further off
        than if its sense resistance took all of it.
        """
        self._require_ohmic()
        capacitance = word_line_capacitance, bit_line_capacitance, cell_capacitance
        return settling.settle(
            self, input_voltage, *capacitance, within=within, lsb=lsb, accuracy=accuracy
        )

    def to_spice(
        self,
        path: str | Path,
        input_voltage: ArrayLike,
        bias_voltage: ArrayLike = 0.0,
        dialect: str = "ngspice",
    ) -> Path:
        """Write a netlist of the array with one input; returns the path.

        It prints the current of every terminal; node names are those of `spice.netlist`.

        dialect : "ngspice" (`ngspice -b path` runs it as it is), "ltspice" or "xyce", which are
            written by their published syntax and were not run
        """
        word, bit, single = self._terminal_voltages(input_voltage, bias_voltage)
        if not single:
            raise ShapeError(f"a netlist holds one input vector, got a batch of {len(word)}")
        choice("dialect", dialect, tuple(spice.DIALECTS))
        span = self._span(word[0], bit[0])
        text = spice.netlist(self, word[0], bit[0], span, spice.DIALECTS[dialect])
        with replacing(path, encoding="ascii") as file:
            file.write(text)
        return Path(path)

    def _solution(self, state, word, bit, single):
        from_word = np.where(self.floating_word_lines, 0.0, state.from_word)
        into_bit = np.where(self.floating_bit_lines, 0.0, state.into_bit)
        output, drawn = (-from_word, -into_bit) if self.transposed else (into_bit, from_word)
        arrays = (
            output,
            drawn,
            state.w,
            state.u,
            state.across,
            state.current,
            state.residual,
            state.iterations,
        )
        terminals = word, bit
        if single:
            arrays, terminals = tuple(a[0] for a in arrays), tuple(a[0] for a in terminals)
        return Solution(*arrays, self, terminals)

    def transfer_matrix(self) -> NDArray[np.float64]:
        """(n, m) S: current into each sensed line per volt on each driven line (transposed: (m,
        n)).

        In any arrangement by joining blocks of cells (`kernels/circuit/transfer.py`).
        """
        transfer, _ = self._joined(self.conductance, self.word_segments, self.bit_segments)
        return np.ascontiguousarray(transfer.T if self.transposed else transfer)  # reciprocity

    def power_matrix(self) -> NDArray[np.float64]:
        """(m, m) S, symmetric (transposed: (n, n)): v @ power_matrix @ v watts are drawn, sensing
        at 0 V.
        """
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
            raise ConfigError(
                "an array of nonlinear cells has no transfer matrix: use solve(input_voltage)"
            )
