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
    percent of the terminals'.

    White where both lines are at the same voltage.
    """
    applied = _single(solution).terminal_voltage
    with np.errstate(divide="ignore", invalid="ignore"):
        lost = np.where(applied == 0, np.nan, 1 - solution.cell_voltage / applied)
    title = "voltage lost in wires, drivers and sense nodes"
    return _draw_map(lost * 100, title=title, unit="%", path=path)


def attenuation(crossbar: Crossbar, path: str | Path) -> Path:
    """Transfer matrix over conductance, against the position of the cell: word lines (lines) along
    the bit lines (axis).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        transfer = crossbar.transfer_matrix()
        if not crossbar.transposed:
            transfer = transfer.T
        share = transfer / crossbar.conductance
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
