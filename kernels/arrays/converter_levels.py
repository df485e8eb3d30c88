"""Converters that are not ideal: noise of conversions and of drivers, and levels that lie unevenly.

Shapes: b rows (tokens and phases), k columns that are converted, m word lines.
"""

import numpy as np

from xbarsim.kernels._jit import jit
from xbarsim.kernels.devices.random import normal_pair


@jit
def add_conversion_noise(current, sigma, key, first):
    """Add normal deviates to `current` in place.

    current : (b, k) float32;  sigma : (k,) float32, of every column;  key : (b,) uint64, one per
    row;  first : index of the first column, even
    """
    k = current.shape[1]
    for b in range(current.shape[0]):
        values = current[b]
        own = key[b]
        for pair in range(k // 2):
            j = 2 * pair
            even, odd = normal_pair(own, np.uint64(first + j))
            values[j] += even * sigma[j]
            values[j + 1] += odd * sigma[j + 1]
        if k % 2:
            even, odd = normal_pair(own, np.uint64(first + k - 1))
            values[k - 1] += even * sigma[k - 1]


@jit
def add_driver_noise(volts, sigma, key, first):
    """Add normal deviates to the voltages of word lines that are driven, in place: a line at 0 V is
    held at ground.

    volts : (b, m) float32;  sigma : float32, V;  key : (b,) uint64, one per row;  first : number of
    the first word line, even
    """
    m = volts.shape[1]
    for b in range(volts.shape[0]):
        values = volts[b]
        own = key[b]
        for i in range(0, m, 2):
            even, odd = normal_pair(own, np.uint64(first + i))
            if values[i] != 0:
                values[i] += even * sigma
            if i + 1 < m and values[i + 1] != 0:
                values[i + 1] += odd * sigma


@jit
def through_levels(current, inverse_lsb, factor, offset, table, levels, lowest):
    """Currents in place to those that an ideal converter would have to see to give the same codes.

    Parameters
    ----------
    current : (b, k) float32, amperes
    inverse_lsb, factor, offset : (k,) float32: a converter sees current * inverse_lsb * factor +
        offset, in LSB
    table : (k,) int32, which levels each column has
    levels : (t, n + 1) float32, rising: where each of the n codes begins, and where the range ends,
        in LSB; (0, 0) if they lie evenly
    lowest : int, the lowest code
    """
    rows, k = current.shape
    codes = levels.shape[1] - 1
    for b in range(rows):
        line = current[b]
        for j in range(k):
            x = line[j] * inverse_lsb[j] * factor[j] + offset[j]
            if codes > 0:
                own = levels[table[j]]
                nearest = np.rint(min(max(x - lowest, np.float32(-1)), np.float32(codes)))
                passed = np.int64(nearest) + 1  # levels at or below x
                while passed > 0 and x < own[passed - 1]:
                    passed -= 1
                while passed <= codes and x >= own[passed]:
                    passed += 1
                x = np.float32(passed - 1 + lowest)
            line[j] = x / inverse_lsb[j]
