"""Passive arrays of 6 nm half-pitch (Pi et al., Nat. Nanotechnol. 14, 35, 2019): how dense, how large?

Read in the abstract: half-pitch, 4.5 Tb/in2 of one layer, cells that switch at tens of nA.  Assumed:
copper, 1 V, all cells on, and that a tenth of the voltage may be lost on the way to a cell and back.
"""

import numpy as np

import xbarsim

METRES_PER_INCH = 0.0254
HALF_PITCH = 6e-9  # m
VOLTAGE = 1.0  # V
LOSS = 0.1  # of the voltage, at the cell that loses most

density = METRES_PER_INCH**2 / (2 * HALF_PITCH) ** 2
print(f"cells per square inch: {density:.3e}")


def largest_loss(lines: int, conductance: float, segment: float) -> float:
    """Share of the voltage that the worst cell of a square array lacks."""
    cells = np.full((lines, lines), conductance)
    array = xbarsim.Crossbar(cells, word_line_resistance=segment, bit_line_resistance=segment)
    return 1.0 - array.solve(np.full(lines, VOLTAGE)).cell_voltage.min() / VOLTAGE


for aspect_ratio in (1.0, 2.0, 5.0, 10.0):
    geometry = {"half_pitch_nm": HALF_PITCH * 1e9, "aspect_ratio": aspect_ratio}
    segment, _ = xbarsim.wire_resistances({"geometry": geometry})
    print(f"ohm per cell at height {aspect_ratio:g} x width: {segment:.3f}")
    for current in (10e-9, 30e-9, 100e-9):
        lines = 2
        while largest_loss(2 * lines, current / VOLTAGE, segment) <= LOSS:
            lines *= 2
        print(f"largest power of two of lines at {current * 1e9:g} nA: {lines}")
