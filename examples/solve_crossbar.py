"""Solve one crossbar: how much current do its wires cost the farthest bit line?"""

import numpy as np

import xbarsim

conductance = np.full((32, 16), 50e-6)  # S, 32 word lines by 16 bit lines
voltage = np.full(32, 0.2)  # V

crossbar = xbarsim.Crossbar(conductance, word_line_resistance=2.0, bit_line_resistance=2.0)
solution = crossbar.solve(voltage)

without_wires = voltage @ conductance  # A, Ohm's and Kirchhoff's laws alone
lost = 1 - solution.output_current[-1] / without_wires[-1]
print(f"share of the current that is lost: {lost:.9f}")
