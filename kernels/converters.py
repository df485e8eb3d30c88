"""DAC and ADC: inputs to voltage phases, currents to codes, codes to digital sums.

Shapes: b rows (tokens), p phases in which one input vector is applied, c conversions of one output (slices and, when a
pair is subtracted digitally, its two signs), n outputs.
"""
import numpy as np

from xbarsim.kernels._jit import jit

# Adding and subtracting 1.5 * 2**23 rounds a float32 of magnitude below 2**22 to the nearest integer, ties to even,
# in two vectorised additions; `current * inverse_lsb` is clamped near the code range before.
_ROUND = np.float32(12582912.0)


@jit
def convert_accumulate(current, inverse_lsb, weight, phase_weight, lowest, highest, out):
    """Convert every current and add the weighted codes to `out`: the ADC fused with shift-and-add.

    Parameters
    ----------
    current : (b, p, c, n) float32, amperes
    inverse_lsb : (c, n) float32, codes per ampere
    weight : (c, n) float32, value of one code in the unit of the output
    phase_weight : (p,) float32
    lowest, highest : float32, range of the codes
    out : (b, n) float32, in place

    Returns
    -------
    (b,) int64 : conversions that left the range of the codes, per row
    """
    rows, phases, conversions, n = current.shape
    saturated = np.zeros(rows, np.int64)
    below, above = lowest - np.float32(1), highest + np.float32(1)
    for b in range(rows):
        for p in range(phases):
            for c in range(conversions):
                factor = phase_weight[p]
                line = current[b, p, c]
                count = 0
                for j in range(n):
                    x = min(max(line[j] * inverse_lsb[c, j], below), above)
                    code = (x + _ROUND) - _ROUND
                    held = min(max(code, lowest), highest)
                    count += held != code
                    out[b, j] += held * (weight[c, j] * factor)
                saturated[b] += count
    return saturated


@jit
def range_errors(current, scale, lowest, highest, fractions):
    """Mean square conversion error of each bit line for candidate full scales.

    current : (s, n) float32 samples; scale : (n,) float32 the largest |current|; fractions : (f,) float32 of `scale`.
    Returns (f, n) float64.
    """
    samples, n = current.shape
    error = np.zeros((fractions.size, n))
    for f in range(fractions.size):
        lsb = scale * fractions[f] / highest
        inverse = np.where(lsb > 0, 1 / lsb, np.float32(0))
        for s in range(samples):
            for j in range(n):
                x = min(max(current[s, j] * inverse[j], lowest), highest)
                difference = ((x + _ROUND) - _ROUND) * lsb[j] - current[s, j]
                error[f, j] += difference * difference
    return error / samples
