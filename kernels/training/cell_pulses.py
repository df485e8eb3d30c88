"""Trains of pulses to the cells of an array that is trained."""

import math

from xbarsim.kernels._jit import jit
from xbarsim.kernels.devices.variability import pulse_step

UP = 0
DOWN = 1


@jit
def pulse_cells(
    g,
    heat,
    pulses,
    responds,
    cells,
    counts,
    normals,
    way,
    low,
    high,
    step,
    nonlinearity,
    falling,
    sigma,
    gain,
    ohm,
    volts,
    slope,
):
    """Give cells trains of pulses of one direction, the first pulse to all of them, then the second.

    g, heat, pulses : of all cells (n,), changed in place;  responds : (n,) bool
    cells, counts : (k,) numbers of the cells that get pulses, and how many
    normals : (sum of counts,) standard normal deviates, in the order of the pulses
    way : UP or DOWN;  low, high, step, nonlinearity, falling : of `pulse_step` for pulses up, of its
        mirror image for pulses down
    sigma : of a step, relative to it;  gain : of heat
    ohm, volts, slope : of the divider; ohm = 0: none
    Returns the sum over pulses of what each cell and its resistor draw: siemens at the square of the
    voltage over a cell in the middle of the window.
    """
    middle = 0.5 * (low + high)
    drawn = 0.0
    used = 0
    most = 0
    for k in range(len(counts)):
        most = max(most, counts[k])
    for number in range(most):
        for k in range(len(cells)):
            if counts[k] <= number:
                continue
            i = cells[k]
            now = g[i]
            if way == UP:
                moved = pulse_step(now, low, high, step, nonlinearity, falling)
            else:
                moved = -pulse_step(-now, -high, -low, step, nonlinearity, falling)
            if gain != 0.0:
                moved *= math.exp(gain * heat[i])
            share = (1.0 + middle * ohm) / (1.0 + now * ohm)
            if ohm > 0.0:
                moved *= math.exp(volts * (share - 1.0) / slope)
            drawn += now * (1.0 + middle * ohm) * share
            if responds[i]:
                g[i] = min(max(now + moved * (1.0 + sigma * normals[used]), low), high)
            heat[i] += 1.0
            pulses[i] += 1
            used += 1
    return drawn
