"""DAC and ADC: inputs to voltage phases, currents to codes, codes to digital sums.

Shapes: b rows (tokens), p phases in which one input vector is applied, n outputs, k of the columns
that are converted: column c n + j is conversion c (a slice or, when a pair is subtracted digitally,
one of its two signs) of output j.
"""

import numpy as np

from xbarsim.kernels._jit import jit

# Adding and subtracting 1.5 * 2**23 rounds a float32 of magnitude below 2**22 to the nearest
# integer, ties to even, in two vectorised additions; `current * inverse_lsb` is clamped near the
# code range before.
_ROUND = np.float32(12582912.0)


@jit
def hold_inputs(x, per_unit, highest, lsb):
    """Inputs as codes, limited to their range, in the unit of the input again: the DAC.

    x : (b, n) float32;  per_unit : float32, codes per unit of the input;  highest : float32, of the
        codes, -highest the lowest;  lsb : float32, one code in the unit of the input

    Returns
    -------
    held : (b, n) float32;  outside : (b,) int64, inputs beyond the range
    """
    rows, n = x.shape
    held = np.empty((rows, n), np.float32)
    outside = np.zeros(rows, np.int64)
    for b in range(rows):
        line = x[b]
        result = held[b]
        count = 0
        for i in range(n):
            code = np.rint(line[i] * per_unit)
            limited = min(max(code, -highest), highest)
            count += abs(code) > highest
            result[i] = limited * lsb
        outside[b] = count
    return held, outside


@jit
def add_known(out, sums, weight, constant):
    """Add what is known digitally of b rows to `out` (b, n) float32, in place: sums (b,) times weight
    (n,), and constant (n,), all float32.
    """
    for b in range(out.shape[0]):
        line = out[b]
        own = sums[b]
        for j in range(line.size):
            line[j] = (line[j] + own * weight[j]) + constant[j]


@jit
def convert_accumulate(current, first, inverse_lsb, weight, phase_weight, lowest, highest, out):
    """Convert every current and add the weighted codes to `out`: the ADC fused with shift-and-add.

    Parameters
    ----------
    current : (b, p, k) float32, amperes; in place the codes, lowest - 1 and highest + 1 for what
        left the range
    first : number of the first of these columns
    inverse_lsb : (k,) float32, codes per ampere
    weight : (k,) float32, value of one code in the unit of the output
    phase_weight : (p,) float32
    lowest, highest : float32, range of the codes
    out : (b, n) float32, in place

    Returns
    -------
    (b,) int64 : conversions that left the range of the codes, per row
    """
    rows, phases, k = current.shape
    n = out.shape[1]
    saturated = np.zeros(rows, np.int64)
    below = lowest - np.float32(1)
    above = highest + np.float32(1)
    for b in range(rows):
        for p in range(phases):
            factor = phase_weight[p]
            start = 0
            j = first % n
            while start < k:  # up to the last output of a conversion
                run = min(k - start, n - j)
                end = start + run
                line = current[b, p, start:end]
                inverse = inverse_lsb[start:end]
                value = weight[start:end]
                total = out[b, j : j + run]
                count = 0
                for i in range(run):
                    x = min(max(line[i] * inverse[i], below), above)
                    code = (x + _ROUND) - _ROUND
                    line[i] = code
                    held = min(max(code, lowest), highest)
                    count += held != code
                    total[i] += held * (value[i] * factor)
                saturated[b] += count
                start = end
                j = 0
    return saturated


@jit
def count_codes(codes, lowest, counts):
    """Count the codes of `convert_accumulate`.

    codes : (b, p, k) float32 whole numbers;  lowest : float32, of the range
    counts : (4, codes + 2) int64, in place; column 0 holds what is below the range, the last what
        is above.  The sum of its lines is the count: a processor waits before it adds to what it
        has just written, so neighbours go to different lines.
    """
    rows, phases, k = codes.shape
    below = lowest - np.float32(1)
    last = np.int32(counts.shape[1] - 1)
    place = np.empty(k, np.uint32)
    whole = k - k % 4
    for b in range(rows):
        for p in range(phases):
            line = codes[b, p]
            for i in range(k):  # within bounds even of what is no number
                place[i] = np.uint32(min(max(np.int32(line[i] - below), np.int32(0)), last))
            for i in range(0, whole, 4):
                counts[0, place[i]] += 1
                counts[1, place[i + 1]] += 1
                counts[2, place[i + 2]] += 1
                counts[3, place[i + 3]] += 1
            for i in range(whole, k):
                counts[0, place[i]] += 1


@jit
def range_errors(current, scale, lowest, highest, fractions):
    """Mean square conversion error of each bit line for candidate full scales.

    current : (s, n) float32 samples; scale : (n,) float32 the largest |current|; fractions : (f,)
        float32 of `scale`.
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
