"""`Crossbar`: one memristor array as a circuit person sees it.

V0 --[Rs]--[Rw]--w00----[Rw]--w01-- (open)    Rw, Rb  resistance of a word-line, bit-line segment
                  |            |              Rs, Rx  source resistance, sense resistance
                [G00]        [G01]            w, u    word-line nodes, bit-line nodes
                  |            |
                 u00          u01             The first cell is one segment away from the source,
                  :            :              the last cell of a bit line one segment away from its
                 [Rb]         [Rb]            sense amplifier, which holds the terminal at 0 V or at
                  :            :              a given bias. Bit lines (:) pass under the word lines.
V1 --[Rs]--[Rw]--w10----[Rw]--w11-- (open)
                  |            |              Word line i is row i of the conductances, bit line j
                [G10]        [G11]            column j; word lines end at "left" and "right"
                  |            |              terminals, bit lines at "top" and "bottom" ones.
                 u10          u11
                  :            :
               [Rb + Rx]    [Rb + Rx]
                  :            :
               bias, I0     bias, I1
"""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from xbarsim.base.arguments import flag, shown, whole_number
from xbarsim.base.array_files import numbers
from xbarsim.base.array_types import Booleans, Floats
from xbarsim.base.errors import ConfigError, OutOfRangeError, ShapeError
from xbarsim.base.files import replacing
from xbarsim.circuit import adjoint, cells, settling, spice
from xbarsim.circuit.arguments import (
    bit_segments,
    choice,
    line_mask,
    not_negative,
    positive,
    word_segments,
)
from xbarsim.circuit.solution import Solution
from xbarsim.circuit.solving import require_solved, solution_of, solve_cells
from xbarsim.circuit.terminals import end_voltages, span_of, terminal_voltages
from xbarsim.kernels.circuit import nodal
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
        cell: cells.Memristor | None = None,
        access: cells.Access | None = None,
    ) -> None:
        self.conductance = _checked_conductance(conductance)
        self.transposed = flag("transposed", transposed)
        self.cell = cell
        self.access = access
        m, n = self.shape
        self.floating_word_lines: Booleans = line_mask(
            "floating_word_lines", floating_word_lines, m
        )
        self.floating_bit_lines: Booleans = line_mask("floating_bit_lines", floating_bit_lines, n)
        self.word_segments: Floats = word_segments(
            word_line_resistance,
            source_resistance,
            drive=choice("drive", drive, ("left", "right", "both")),
            floating=self.floating_word_lines,
            shape=(m, n),
        )
        self.bit_segments: Floats = bit_segments(
            bit_line_resistance,
            sense_resistance,
            sense=choice("sense", sense, ("bottom", "top", "both")),
            floating=self.floating_bit_lines,
            shape=(m, n),
        )
        self._check_shorts()
        _check_kind("cell", cell, cells.MEMRISTORS)
        _check_kind("access", access, cells.ACCESS)
        if not self.ohmic and np.isinf(self.conductance).any():
            raise OutOfRangeError(
                "conductance is inf S where cells are not ohmic; allowed: 0 S or more, finite"
            )
        for array in (
            self.conductance,
            self.word_segments,
            self.bit_segments,
            self.floating_word_lines,
            self.floating_bit_lines,
        ):
            array.setflags(write=False)

    def _check_shorts(self) -> None:
        """Refuse a shorted cell between two lines without resistance."""
        word = self.word_segments
        bit = self.bit_segments
        ideal_word = np.minimum(word[:, :-1], word[:, 1:]) == 0
        ideal_bit = np.minimum(bit[:-1], bit[1:]) == 0
        bad = np.argwhere(np.isinf(self.conductance) & ideal_word & ideal_bit)
        if bad.size:
            raise OutOfRangeError(
                f"conductance is inf S at {tuple(map(int, bad[0]))}, between a word line and a bit "
                "line without resistance; allowed where one of them has resistance on both sides "
                "of the cell: give the wires a resistance or the short a conductance"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n): word lines, bit lines."""
        m, n = self.conductance.shape
        return m, n

    @property
    def terminals(self) -> tuple[int, int]:
        """(inputs, outputs): lines that are driven, lines that are sensed."""
        m, n = self.shape
        if self.transposed:
            return n, m
        return m, n

    @property
    def ohmic(self) -> bool:
        """Whether every cell is a resistor, so that the array is linear."""
        return self.cell is None and self.access is None

    @cached_property
    def _network(self) -> Any:
        return nodal.factor(self.conductance, self.word_segments, self.bit_segments)

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
        steps = whole_number("steps", steps)
        terminals = terminal_voltages(self, input_voltage, bias_voltage)
        if self.ohmic:
            ends = end_voltages(self, terminals)
            state = nodal.node_voltages(self._network, ends, tolerance=tolerance)
        else:
            state = solve_cells(self, terminals, tolerance, steps)
        solution = solution_of(self, state, terminals)
        require_solved(solution, tolerance)
        return solution

    def sensitivity(
        self,
        input_voltage: ArrayLike,
        output_weight: ArrayLike | None = None,
        bias_voltage: ArrayLike = 0.0,
    ) -> Floats:
        """Derivative of the outputs with respect to every conductance.

        Parameters
        ----------
        input_voltage : (m,) V;  bias_voltage : as in `solve`, for one input
        output_weight : (n,); the derivative of output_weight @ output_current; None for every
            output by itself

        Returns
        -------
        (m, n) A/S for a weight, (outputs, m, n) without

        Raises
        ------
        ConfigError : nonlinear or shorted cells
        ShapeError : more than one input

        Notes
        -----
        The adjoint: a cell's voltage times its voltage when the weights drive the sense amplifiers
        and all inputs are at 0 V.  One solution per output, or one altogether for a weight.
        """
        self._require_ohmic()
        return adjoint.sensitivity(self, input_voltage, output_weight, bias_voltage)

    def gradient(
        self,
        input_voltage: ArrayLike,
        output_gradient: ArrayLike,
        bias_voltage: ArrayLike = 0.0,
    ) -> adjoint.Gradient:
        """Derivatives of a scalar F of the outputs by every conductance, wire and input.

        Parameters
        ----------
        input_voltage : (m,) or (b, m) V;  bias_voltage : as in `solve`
        output_gradient : (n,) or (b, n), dF / d output_current of every input; of a function of
            the transfer matrix T: input_voltage = eye(m), output_gradient = (dF / dT).T

        Returns
        -------
        Gradient : summed over the inputs, but for that by the inputs

        Raises
        ------
        ConfigError : nonlinear or shorted cells
        ShapeError : a gradient that is not of the outputs of these inputs

        Notes
        -----
        The adjoint: two solutions per input, O(m n) an iteration, for all derivatives together.
        """
        self._require_ohmic()
        return adjoint.gradient(self, input_voltage, output_gradient, bias_voltage)

    def output_noise(
        self,
        input_voltage: ArrayLike,
        conductance_sigma: ArrayLike,
        bias_voltage: ArrayLike = 0.0,
    ) -> Floats:
        """Standard deviation of the outputs for independent small fluctuations of the cells.

        Parameters
        ----------
        input_voltage : (m,) V;  bias_voltage : as in `solve`, for one input
        conductance_sigma : S, standard deviation of each cell, a scalar or (m, n)

        Returns
        -------
        (outputs,) A

        Raises
        ------
        ConfigError : nonlinear or shorted cells
        ShapeError, OutOfRangeError : more than one input, a sigma that is no number of 0 or more
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
        return settling.settle(
            self,
            input_voltage,
            (word_line_capacitance, bit_line_capacitance, cell_capacitance),
            within=within,
            lsb=lsb,
            accuracy=accuracy,
        )

    def to_spice(
        self,
        path: str | Path,
        input_voltage: ArrayLike,
        bias_voltage: ArrayLike = 0.0,
        dialect: str = "ngspice",
    ) -> Path:
        """Write a netlist of the array with one input.

        It prints the current of every terminal; node names are those of `spice.netlist`.

        Parameters
        ----------
        path : of the file to write
        input_voltage, bias_voltage : V, as in `solve`, for one input
        dialect : "ngspice" (`ngspice -b path` runs it as it is), "ltspice" or "xyce", which are
            written by their published syntax and were not run

        Returns
        -------
        Path of the file

        Raises
        ------
        ConfigError : another dialect
        ShapeError : more than one input
        """
        terminals = terminal_voltages(self, input_voltage, bias_voltage)
        if not terminals.single:
            batch = len(terminals.word)
            raise ShapeError(f"a netlist holds one input vector, got a batch of {batch}")
        choice("dialect", dialect, tuple(spice.DIALECTS))
        word = terminals.word[0]
        bit = terminals.bit[0]
        span = span_of(self, word, bit)
        text = spice.netlist(self, word, bit, span, spice.DIALECTS[dialect])
        with replacing(path, encoding="ascii") as file:
            file.write(text)
        return Path(path)

    def transfer_matrix(self) -> Floats:
        """Current into each sensed line per volt on each driven line.

        In any arrangement by joining blocks of cells (`kernels/circuit/transfer.py`).

        Returns
        -------
        (n, m) S; transposed: (m, n)

        Raises
        ------
        ConfigError : nonlinear or shorted cells
        """
        self._require_ohmic()
        transfer, _ = _joined(self.conductance, self.word_segments, self.bit_segments)
        if self.transposed:
            transfer = transfer.T  # reciprocity
        return np.ascontiguousarray(transfer)

    def power_matrix(self) -> Floats:
        """What inputs v draw: v @ power_matrix @ v watts, sensing at 0 V.

        Returns
        -------
        (m, m) S, symmetric; transposed: (n, n)

        Raises
        ------
        ConfigError : nonlinear or shorted cells
        """
        self._require_ohmic()
        if self.transposed:
            _, power = _joined(self.conductance.T, self.bit_segments.T, self.word_segments.T)
        else:
            _, power = _joined(self.conductance, self.word_segments, self.bit_segments)
        return np.ascontiguousarray(power)

    def _require_ohmic(self) -> None:
        if not self.ohmic:
            raise ConfigError(
                "an array of nonlinear cells has no transfer matrix: use solve(input_voltage)"
            )


def _checked_conductance(conductance: ArrayLike) -> Floats:
    """(m, n) S, 0 to infinity."""
    array = numbers("conductance", conductance, "S")
    shape = array.shape
    if len(shape) != 2 or 0 in shape:
        raise ShapeError(
            f"conductance has shape {shape}; "
            "allowed: (m, n) word lines by bit lines, at least 1 each"
        )
    checked = not_negative(
        "conductance", array, "S", {shape: ""}, remedy=" (inf for a short)", infinite=True
    )
    return checked.copy()


def _check_kind(name: str, value: object, kinds: tuple[type, ...]) -> None:
    """Refuse what is neither None nor of one of the kinds."""
    if value is not None and not isinstance(value, kinds):
        allowed = ", ".join(kind.__name__ for kind in kinds)
        raise ConfigError(f"{name} is {shown(value)}; allowed: None, {allowed}")


def _joined(conductance: Floats, word: Floats, bit: Floats) -> tuple[Floats, Floats]:
    """(transfer matrix, power matrix) of cells and segments, see `transfer.transfer_matrix`."""
    right = _connected(word[:, -1])
    top = _connected(bit[0])
    transfer, power = transfer_matrix(conductance, word[:, :-1], bit[1:], right, top)
    return transfer, power


def _connected(ends: Floats) -> Floats | None:
    """Resistances of the ends at one edge; None where none is connected."""
    if np.isinf(ends).all():
        return None
    return ends
