"""Maps of one crossbar: voltages, currents and what its wires lose."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xbarsim.base.errors import OutOfRangeError
from xbarsim.report.plots.figure import new_figure, save

if TYPE_CHECKING:
    from xbarsim.circuit.crossbar import Crossbar
    from xbarsim.circuit.solution import Solution

UNIT_OF_LOSS = "% of the largest terminal voltage"
LEAST_CONDUCTANCE = 0.01  # of the largest, of a cell whose attenuation is drawn


def voltage_map(solution: Solution, path: str | Path) -> Path:
    """Voltage across every cell of one solution of `Crossbar.solve` (one input vector)."""
    voltage = _single(solution).cell_voltage
    return _draw_map(voltage, title="voltage across the cells", unit="V", path=path)


def current_map(solution: Solution, path: str | Path) -> Path:
    """Current through every cell of one solution."""
    microampere = _single(solution).cell_current * 1e6
    return _draw_map(microampere, title="current through the cells", unit="µA", path=path)


def ir_drop_map(solution: Solution, path: str | Path) -> Path:
    """Difference between the voltage of the terminals of its lines and that across a cell, in
    percent of the largest terminal voltage of all cells.

    (Of its own, lines that are nearly at one voltage would lose thousands of percent.)
    """
    applied = _single(solution).terminal_voltage
    largest = float(np.abs(applied).max())
    lost = (applied - solution.cell_voltage) * np.where(applied < 0, -1.0, 1.0)
    if largest > 0:
        lost = 100 * lost / largest
    title = "voltage lost in wires, drivers and sense nodes"
    return _draw_map(lost, title=title, unit=UNIT_OF_LOSS, path=path)


def attenuation(crossbar: Crossbar, path: str | Path) -> Path:
    """Transfer matrix over conductance, against the position of the cell: word lines (lines) along
    the bit lines (axis).

    Gaps are cells that hardly conduct: what they pass on leaks to them from others.
    """
    transfer = crossbar.transfer_matrix()
    if not crossbar.transposed:
        transfer = transfer.T
    conductance = crossbar.conductance
    conducts = conductance >= LEAST_CONDUCTANCE * conductance.max()
    share = np.full(conductance.shape, np.nan)
    np.divide(transfer, conductance, out=share, where=conducts & (conductance > 0))
    figure, axes = new_figure(6, 4)
    rows = len(share)
    for row in sorted({0, rows // 4, rows // 2, 3 * rows // 4, rows - 1}):
        axes.plot(share[row], label=f"word line {row}")
    axes.set(
        xlabel="bit line",
        ylabel="transfer / conductance",
        title="attenuation against position",
    )
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return save(figure, path)


def _draw_map(matrix: NDArray[np.float64], *, title: str, unit: str, path: str | Path) -> Path:
    figure, axes = new_figure(5.5, 4.5)
    image = axes.imshow(matrix, aspect="auto", interpolation="nearest", cmap="viridis")
    axes.set(title=title, xlabel="bit line", ylabel="word line")
    figure.colorbar(image, label=unit)
    return save(figure, path)


def _single(solution: Solution) -> Solution:
    if solution.cell_voltage.ndim != 2:
        raise OutOfRangeError(
            f"the solution holds a batch of {len(solution.cell_voltage)} inputs; "
            "solve for one vector"
        )
    return solution
