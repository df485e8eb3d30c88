"""Node voltages of a crossbar, from the kernels to a `Solution`."""

from typing import Any

import numpy as np

from xbarsim.base.array_types import Floats
from xbarsim.base.errors import ConvergenceError
from xbarsim.circuit import cells
from xbarsim.circuit.array import Array
from xbarsim.circuit.solution import Segments, Solution
from xbarsim.circuit.terminals import Terminals, end_voltages, span_of
from xbarsim.kernels.circuit import newton, nodal

State = Any  # `nodal.State`: kernels are typed by Numba


def solve_cells(array: Array, terminals: Terminals, tolerance: float, steps: int) -> State:
    """As `nodal.node_voltages` where cells are not ohmic, one input after the other."""
    ends = end_voltages(array, terminals)
    solved = []
    for k in range(len(terminals.word)):
        word = terminals.word[k]
        bit = terminals.bit[k]
        span = span_of(array, word, bit)
        currents = cells.evaluator(array.cell, array.access, array.conductance, span)
        of_one = tuple(end[k : k + 1] for end in ends)
        wires = newton.Wires(array.word_segments, array.bit_segments, of_one)
        start = word[:, None] - bit
        solved.append(newton.solve_cells(currents, start, wires, tolerance, steps))
    return nodal.State(*(np.array(part) for part in zip(*solved, strict=True)))


def solution_of(array: Array, state: State, terminals: Terminals) -> Solution:
    """The Solution of node voltages; without the axis of the batch for one input."""
    output: Floats = np.where(array.floating_bit_lines, 0.0, state.into_bit)
    drawn: Floats = np.where(array.floating_word_lines, 0.0, state.from_word)
    if array.transposed:
        output, drawn = -drawn, -output

    def shown(batch: Any) -> Any:
        if terminals.single:
            return batch[0]
        return batch

    return Solution(
        output_current=shown(output),
        input_current=shown(drawn),
        word_line_voltage=shown(state.w),
        bit_line_voltage=shown(state.u),
        cell_voltage=shown(state.across),
        cell_current=shown(state.current),
        residual=shown(state.residual),
        iterations=shown(state.iterations),
        _segments=Segments(array.word_segments, array.bit_segments),
        _terminals=(shown(terminals.word), shown(terminals.bit)),
    )


def require_solved(solution: Solution, tolerance: float) -> None:
    """Raise ConvergenceError with the Solution where its residual is above the tolerance."""
    worst = float(np.max(solution.residual))
    if worst <= tolerance:
        return
    iterations = int(np.max(solution.iterations))
    raise ConvergenceError(
        f"node voltages reached a KCL residual of {worst:.1e} of the largest cell current "
        f"in {iterations} iterations; wanted {tolerance:.1e}: raise the tolerance, or check "
        "resistances and conductances for values many orders of magnitude apart",
        iterate=solution,
        residual=worst,
        iterations=iterations,
    )
